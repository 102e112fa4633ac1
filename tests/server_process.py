"""A Runnel server as the tests run it: a process of its own, started by its command line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

START_SECONDS = 30
STOP_SECONDS = 30
LOG_SECONDS = 5

_ADDRESS = re.compile(r"^Runnel listens on (http://\S+)$", re.MULTILINE)
# What would configure the server behind the test's back.
_CONFIGURATION = re.compile(r"MLFLOW_|RUNNEL_|AWS_|PROMETHEUS_")


def free_port() -> int:
    """A port that nobody listened on a moment ago; for what cannot choose one itself, as servers of several workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """The environment of the tests without anything that a server reads its settings from."""
    return {name: value for name, value in os.environ.items() if not _CONFIGURATION.match(name)}


class ServerProcess:
    """``runnel server`` in a folder of its own; it chooses its port unless a flag names one."""

    def __init__(self, folder: Path, *flags: str, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.log_file = folder / "server.log"
        port = () if "--port" in flags else ("--port", "0")
        self.command = [sys.executable, "-m", "runnel", "server", *port, *flags]
        self._environment = clean_environment() | (environment or {})
        self.fails_on_purpose = False  # a test that makes the server fail says so
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers; may be called again after it has ended."""
        already_logged = len(self.log)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log[-5000:]}")
            address = _ADDRESS.search(self.log, already_logged)
            if address is not None and _answers(address[1]):
                self.url = address[1]
                return
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server did not answer within {START_SECONDS} seconds:\n{self.log[-5000:]}")

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def logged(self, pattern: str) -> list[str]:
        """The lines of the log that match; they must come within seconds, as lines are written in batches."""
        deadline = time.monotonic() + LOG_SECONDS
        while time.monotonic() < deadline:
            found = [line for line in self.log.splitlines() if re.search(pattern, line)]
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no line like {pattern}:\n{self.log[-5000:]}")

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 80

    @property
    def peak_memory(self) -> int:
        """The most memory that the process has had at once, in bytes (Linux alone tells)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Asks the process to end and waits for it; its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Ends the process and its workers at once, as a crash would; does nothing when they have ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def check_ends_well(self) -> None:
        """Stops the server if it runs, and checks that it ended as it should and that nothing failed inside."""
        if self.process.poll() is None:
            exit_code = self.stop()
            assert exit_code == 0, f"the server ended with {exit_code}:\n{self.log[-5000:]}"
        traceback = self.log.find("Traceback")
        assert traceback < 0 or self.fails_on_purpose, self.log[traceback : traceback + 5000]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=START_SECONDS).status_code == 200
    except httpx.TransportError:
        return False
