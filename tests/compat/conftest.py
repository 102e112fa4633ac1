"""The real mlflow client, pointed at the shared server and at an experiment of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read when mlflow is imported.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

import mlflow

from tests.api_client import unique_name
from tests.server_process import ServerProcess


@pytest.fixture
def experiment_id(server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The experiment that mlflow's functions log to, on the shared server; the working folder is empty."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # what fails, fails at once
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(server.url)
    yield mlflow.set_experiment(unique_name()).experiment_id
    while mlflow.active_run() is not None:
        mlflow.end_run()
    assert not (tmp_path / "mlruns").exists(), "the client kept something beside itself"


@pytest.fixture
def client(experiment_id: str) -> mlflow.MlflowClient:
    """A client of the same server."""
    return mlflow.MlflowClient()
