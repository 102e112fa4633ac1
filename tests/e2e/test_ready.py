"""Readiness: whether a load balancer should send requests to this server."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.api_client import Api
from tests.conftest import StartServer
from tests.postgresql_process import PostgresqlProcess, new_postgresql_database
from tests.s3_process import S3Process
from tests.server_process import ServerProcess

ALL_WELL = {"database": "ok", "artifacts": "ok"}


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts servers on SQLite, unless a flag names another database: most of this has to do with one part alone."""
    started: list[ServerProcess] = []

    def start_one(*flags: str, **options: dict[str, str]) -> ServerProcess:
        started.append(ServerProcess(tmp_path_factory.mktemp("server"), *flags, **options))
        return started[-1]

    try:
        yield start_one
        for server in started:
            server.check_ends_well()
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def own_s3(tmp_path: Path) -> Iterator[S3Process]:
    """S3 of the test's own, which it may stop."""
    process = S3Process(tmp_path)
    yield process
    process.kill()


def ready(server: ServerProcess) -> httpx.Response:
    return httpx.get(f"{server.url}/ready", timeout=10)


def is_healthy(server: ServerProcess) -> bool:
    return httpx.get(f"{server.url}/health", timeout=10).status_code == 200


def destroy_table(database: Path, name: str) -> None:
    """Overwrites the pages of a small table, as a broken disk might."""
    with closing(sqlite3.connect(database)) as connection:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        pages = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = ?", [name]).fetchall()
    with open(database, "r+b") as file:
        for (page,) in pages:
            file.seek((page - 1) * page_size)
            file.write(b"\xff" * page_size)


def test_a_server_is_ready_when_its_database_and_its_artifacts_are(api: Api) -> None:
    response = api.send("GET", "/ready")
    assert response.status_code == 200
    assert response.json() == ALL_WELL


def test_a_load_balancer_may_ask_by_any_name(api: Api) -> None:
    assert api.send("GET", "/ready", headers={"Host": "balancer.example"}).json() == ALL_WELL


def test_readiness_is_told_below_the_static_prefix_too(start: StartServer) -> None:
    server = start("--static-prefix", "/mlflow")
    assert httpx.get(f"{server.url}/ready").json() == ALL_WELL


def test_a_server_that_serves_no_artifacts_does_not_need_them(start: StartServer) -> None:
    server = start("--no-serve-artifacts", "--artifacts-destination", "s3://no-such-bucket")
    assert ready(server).json() == ALL_WELL


def test_a_server_is_not_ready_while_its_artifact_folder_is_away(start: StartServer, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "artifacts", tmp_path / "elsewhere"
    server = start("--artifacts-destination", str(folder))
    assert ready(server).status_code == 200

    folder.rename(elsewhere)
    response = ready(server)
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "artifacts": "cannot be used; the server's log says why"}
    assert server.logged(re.escape(f"'{folder}' is not there"))
    assert is_healthy(server)

    folder.write_text("a file is no folder")
    assert ready(server).status_code == 503

    folder.unlink()
    elsewhere.rename(folder)
    assert ready(server).status_code == 200


def test_a_server_is_not_ready_when_its_database_is_broken(start: StartServer, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    server = start("--backend-store-uri", f"sqlite:///{database}")
    destroy_table(database, "alembic_version")

    response = ready(server)
    assert response.status_code == 503
    assert response.json() == {"database": "cannot be used; the server's log says why", "artifacts": "ok"}
    assert server.logged("malformed")
    assert is_healthy(server)


def test_a_server_is_ready_again_when_postgresql_is(start: StartServer) -> None:
    with PostgresqlProcess() as postgresql:
        server = start("--backend-store-uri", new_postgresql_database(postgresql.uri))
        assert ready(server).json() == ALL_WELL

        postgresql.stop()
        response = ready(server)
        assert response.status_code == 503
        assert response.json() == {"database": "The database is away; try again shortly", "artifacts": "ok"}
        assert is_healthy(server)

        postgresql.start()
        deadline = time.monotonic() + 20
        while ready(server).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_replica_that_answers_does_not_stand_for_the_primary(start: StartServer, postgresql: str) -> None:
    replica = new_postgresql_database(postgresql)
    start("--backend-store-uri", replica).stop()  # makes the tables
    with PostgresqlProcess() as primary:
        uri = new_postgresql_database(primary.uri)
        server = start("--backend-store-uri", uri, "--read-replica-backend-store-uri", replica)
        assert ready(server).json() == ALL_WELL
        primary.stop()
        assert ready(server).json() == {"database": "The database is away; try again shortly", "artifacts": "ok"}


def test_a_server_is_not_ready_when_its_bucket_is_out_of_reach(start: StartServer, own_s3: S3Process) -> None:
    server = start("--artifacts-destination", f"s3://{own_s3.new_bucket()}", environment=own_s3.environment)
    assert ready(server).json() == ALL_WELL

    own_s3.kill()
    response = ready(server)
    assert response.status_code == 503
    assert response.json() == {"database": "ok", "artifacts": "The artifact store does not answer; try again later"}
    assert is_healthy(server)


def test_who_asks_while_a_store_hangs_is_answered_after_two_seconds_and_asks_it_no_more(
    start: StartServer, own_s3: S3Process
) -> None:
    server = start("--artifacts-destination", f"s3://{own_s3.new_bucket()}", environment=own_s3.environment)
    answered_before = len(own_s3.log)
    own_s3.pause()
    try:
        begin = time.monotonic()
        with httpx.Client(timeout=30) as client, ThreadPoolExecutor(40) as callers:
            answers = list(callers.map(lambda _: client.get(f"{server.url}/ready"), range(40)))
        assert 1.9 < time.monotonic() - begin < 20  # S3 would be waited for a minute
        assert {answer.status_code for answer in answers} == {503}
        assert answers[0].json() == {"database": "ok", "artifacts": "no answer within 2 seconds"}
    finally:
        own_s3.resume()
    asked_again, deadline = 1, time.monotonic() + 30
    while ready(server).status_code != 200:
        asked_again += 1
        assert time.monotonic() < deadline
    assert own_s3.log[answered_before:].count("list-type=2") <= 1 + asked_again
