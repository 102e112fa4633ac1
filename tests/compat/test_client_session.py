"""The session that older clients are tried with (`make compat`) is true of the client of today."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, clean_environment

BACKENDS = ["sqlite"]

SESSION = Path(__file__).with_name("client_session.py")


@pytest.mark.timeout(240)
def test_every_check_of_the_session_succeeds(server: ServerProcess, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SESSION)],
        cwd=tmp_path,
        env=clean_environment() | {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("ok  ") == SESSION.read_text().count("\n@since(")
