"""The servers under test: how each is started, when it is ready, how it is stopped."""

import http.client
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import Environments
from benchmarks.memory import cpu_seconds, process_tree
from benchmarks.rest import API, RestClient

HOST = "127.0.0.1"
BENCHMARKS = Path(__file__).resolve().parent


class ServerFailed(Exception):
    """A server that ended, or that did not answer in time."""


@dataclass(frozen=True)
class ServerSpec:
    """One line of the table of servers. `command` and `sqlite_uri` are templates, see `RunningServer.start`."""

    name: str
    environment: str
    command: tuple[str, ...]
    sqlite_uri: str = "sqlite:///{folder}/tracking.db"
    # An answer to this needs the database: a server that says `/health` before its tables exist has not started.
    first_answer: str = f"{API}experiments/get?experiment_id=0"
    speaks_mlflow: bool = True


_MLFLOW = ("{bin}/mlflow", "server", "--backend-store-uri", "{store_uri}", "--artifacts-destination", "{artifacts}")
_ADDRESS = ("--host", "{host}", "--port", "{port}")

SERVERS = {
    spec.name: spec
    for spec in (
        ServerSpec("runnel", "runnel", ("{bin}/runnel", *_MLFLOW[1:], *_ADDRESS)),
        ServerSpec("mlflow", "mlflow", (*_MLFLOW, *_ADDRESS)),
        ServerSpec("mlflow-1w", "mlflow", (*_MLFLOW, *_ADDRESS, "--workers", "1")),
        ServerSpec(
            "fasttrackml",
            "fasttrackml",
            ("{bin}/fml", "server", "--listen-address", "{host}:{port}", "--database-uri", "{store_uri}")
            + ("--default-artifact-root", "{artifacts}"),
            sqlite_uri="sqlite://{folder}/tracking.db",
        ),
        ServerSpec(
            "empty",
            "empty",
            ("{bin}/python", "-m", "uvicorn", "empty_starlette:app", "--app-dir", "{benchmarks}", "--no-access-log")
            + ("--loop", "uvloop", "--http", "httptools", *_ADDRESS),
            first_answer="/health",
            speaks_mlflow=False,
        ),
    )
}


class RunningServer:
    """One server process with its children, in a process group of its own, with its data in `folder`."""

    def __init__(self, spec: ServerSpec, folder: Path, arguments: list[str]) -> None:
        self.spec = spec
        self.folder = folder
        self.port = _free_port()
        self._arguments = [argument.replace("{port}", str(self.port)) for argument in arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0

    @classmethod
    def start(
        cls, spec: ServerSpec, environments: Environments, folder: Path, store_uri: str | None = None
    ) -> "RunningServer":
        """Start the server on `folder` (an SQLite file there unless `store_uri` is given) and wait for its answer."""
        values = {
            "bin": str(environments.folder(spec.environment) / "bin"),
            "folder": str(folder),
            "artifacts": str(folder / "artifacts"),
            "benchmarks": str(BENCHMARKS),
            "host": HOST,
            "port": "{port}",
            "store_uri": store_uri or spec.sqlite_uri.format(folder=folder),
        }
        server = cls(spec, folder, [part.format(**values) for part in spec.command])
        server.launch()
        return server

    def launch(self, timeout: float = 300.0) -> None:
        """Start the process and wait for its first answer; `start_seconds` is the time from the one to the other."""
        began = time.perf_counter()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, cwd=self.folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            while not self._answers():
                if self._process.poll() is not None:
                    raise ServerFailed(f"{self.spec.name} ended with {self._process.returncode}:\n{self._log_tail()}")
                if time.perf_counter() - began > timeout:
                    raise ServerFailed(f"{self.spec.name} gave no answer in {timeout:.0f} s:\n{self._log_tail()}")
                time.sleep(0.005)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - began

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the group's leader."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process is not None and self._process.poll() is None

    def client(self) -> RestClient:
        """A new connection to the server's API."""
        return RestClient(HOST, self.port)

    def settle(self, timeout: float = 120.0) -> None:
        """Wait until start-up and old requests are done: until the tree uses less than 0.3 of a core for a second.

        An idle mlflow server uses up to 0.2.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            tree = process_tree(self.pid)
            before = cpu_seconds(tree)
            time.sleep(1.0)
            if cpu_seconds(tree) - before < 0.3:
                return

    def stop(self, grace: float = 15.0) -> None:
        """End the process group: SIGTERM, then SIGKILL for what is left of it after `grace` seconds."""
        process = self._process
        if process is None:
            return
        deadline = time.monotonic() + grace
        _signal_group(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()
            if not process_tree(process.pid):
                break
            time.sleep(0.02)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("GET", self.spec.first_answer)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _log_tail(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]


def _environment() -> dict[str, str]:
    """The environment without settings that would reach a server by accident, and without its calls home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "FML_", "RUNNEL_"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
