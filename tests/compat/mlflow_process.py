"""A real `mlflow server` process, to compare with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.server_process import clean_environment, free_port

START_SECONDS = 180  # about 20 on an idle machine
STOP_SECONDS = 20


class MlflowProcess:
    """`mlflow server` of the tests' own environment, on a new SQLite database and an empty folder for artifacts."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log_file = folder / "server.log"
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=clean_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_for_database()

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"mlflow server ended with {self._process.returncode}:\n{self._log()}")
            try:
                answer = httpx.get(f"{self.url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=30)
                if answer.status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.stop()
        raise AssertionError(f"mlflow server did not answer within {START_SECONDS} seconds:\n{self._log()}")

    def _log(self) -> str:
        return self._log_file.read_text()[-3000:]

    def stop(self) -> None:
        """Ends the process and its children."""
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
