"""Servers for the tests that talk HTTP: one that they share, and others for the tests that need their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.postgresql_process import PostgresqlProcess, new_postgresql_database
from tests.server_process import ServerProcess

# The databases that all tests of a running server are done with.
BACKENDS = ["sqlite", "postgresql"]

NewDatabase = Callable[[], str]
StartServer = Callable[..., ServerProcess]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Does the tests of a running server with each database.

    A module whose subject is not the database (artifacts on S3, the real client) names one in its own ``BACKENDS``.
    """
    if "backend" in metafunc.fixturenames:
        backends = getattr(metafunc.module, "BACKENDS", BACKENDS)
        metafunc.parametrize("backend", backends, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database behind the servers."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URI of a PostgreSQL server, without the name of a database; it holds ``{}`` in its place."""
    with PostgresqlProcess() as process:
        yield process.uri


@pytest.fixture(scope="session")
def new_database(backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Makes the --backend-store-uri of an empty database."""
    if backend == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp(backend)}/mlflow.db"
    server = request.getfixturevalue("postgresql")
    return lambda: new_postgresql_database(server)


@pytest.fixture(scope="session")
def server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server that tests share, each with experiments of its own."""
    process = ServerProcess(tmp_path_factory.mktemp("server"), "--backend-store-uri", new_database())
    try:
        yield process
        process.check_ends_well()
    finally:
        process.kill()


@pytest.fixture
def start_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers of the test's own, with flags, on a new database unless a flag names one."""
    started: list[ServerProcess] = []

    def start(*flags: str, **options: dict[str, str]) -> ServerProcess:
        database = () if "--backend-store-uri" in flags else ("--backend-store-uri", new_database())
        process = ServerProcess(tmp_path_factory.mktemp("server"), *database, *flags, **options)
        started.append(process)
        return process

    try:
        yield start
        for process in started:
            process.check_ends_well()
    finally:
        for process in started:
            process.kill()
