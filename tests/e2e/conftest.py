"""The client of the shared server, and places of a test's own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_client import Api
from tests.server_process import ServerProcess
from tests.trace_requests import new_otel_id


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> Iterator[Api]:
    """The API of the shared server."""
    client = Api(server.url)
    yield client
    client.close()


@pytest.fixture
def experiment_id(api: Api) -> str:
    """A new experiment."""
    return api.new_experiment()


@pytest.fixture
def run_id(api: Api, experiment_id: str) -> str:
    """A new run."""
    return api.new_run(experiment_id)


@pytest.fixture
def otel_id() -> str:
    """The id of a new trace as OpenTelemetry has it."""
    return new_otel_id()


@pytest.fixture
def trace_id(otel_id: str) -> str:
    """The same id as MLflow writes it."""
    return f"tr-{otel_id}"
