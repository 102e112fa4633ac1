"""The sessions that older clients are tried with (`make compat`) are true of the client of today."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, clean_environment

BACKENDS = ["sqlite"]

HERE = Path(__file__).parent


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["client_session.py", "client_trace_session.py"])
def test_every_check_of_the_session_succeeds(server: ServerProcess, tmp_path: Path, name: str) -> None:
    session = HERE / name
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(session)],
        cwd=tmp_path,
        env=clean_environment()
        | {
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # Each wait for traces that are sent in the background takes a second; `make compat` and other tests wait.
            "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ok  ") == session.read_text().count("\n@since(")
