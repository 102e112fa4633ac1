"""What only a server on PostgreSQL has to stand: outages, poolers, other servers on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api_client import Api
from tests.postgresql_process import PgBouncerProcess, PostgresqlProcess, new_postgresql_database
from tests.server_process import ServerProcess

CLIENTS = 32


Start = Callable[..., Api]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers on a database, and gives back a client of each."""
    servers: list[ServerProcess] = []
    clients: list[Api] = []

    def start_one(uri: str, *flags: str) -> Api:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(ServerProcess(folder, "--backend-store-uri", uri, *flags))
        clients.append(Api(servers[-1].url))
        return clients[-1]

    yield start_one
    for client in clients:
        client.close()
    for server in servers:
        server.kill()


def test_overlapping_writes_of_many_clients_through_two_servers_lose_nothing(postgresql: str, start: Start) -> None:
    uri = new_postgresql_database(postgresql)
    apis = [start(uri), start(uri)]
    experiment = apis[0].new_experiment()
    runs = [apis[0].new_run(experiment) for _ in range(3)]
    keys = [f"metric-{index}" for index in range(5)]

    def log(client: int) -> None:
        for step in range(8):
            for position in range(len(runs)):
                run = runs[(client + position) % len(runs)]
                metrics = [
                    {"key": keys[(client + index) % len(keys)], "value": client, "timestamp": client, "step": step}
                    for index in range(len(keys))
                ]
                tags = [{"key": f"tag-{(client + index) % 3}", "value": str(client)} for index in range(3)]
                answer = apis[step % 2].post("runs/log-batch", run_id=run, metrics=metrics, tags=tags)
                assert answer == {}

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(log, range(CLIENTS)))
    for run in runs:
        for key in keys:
            history = apis[1].get("metrics/get-history", run_id=run, metric_key=key)["metrics"]
            assert {(point["timestamp"], point["step"]) for point in history} == {
                (client, step) for client in range(CLIENTS) for step in range(8)
            }
            assert len(history) == CLIENTS * 8


def test_of_different_values_for_a_param_exactly_one_wins(postgresql: str, start: Start) -> None:
    uri = new_postgresql_database(postgresql)
    apis = [start(uri), start(uri)]
    run = apis[0].new_run(apis[0].new_experiment())

    def log(client: int) -> bool:
        body = {"run_id": run, "key": "p", "value": str(client)}
        response = apis[client % 2].http.post("/api/2.0/mlflow/runs/log-parameter", json=body)
        assert response.status_code in (200, 400), response.text
        return response.status_code == 200

    with ThreadPoolExecutor(CLIENTS) as threads:
        accepted = [client for client, is_accepted in enumerate(threads.map(log, range(CLIENTS))) if is_accepted]
    assert len(accepted) == 1
    assert apis[1].run(run)["data"]["params"] == [{"key": "p", "value": str(accepted[0])}]


def test_what_one_server_has_answered_the_other_shows_at_once(postgresql: str, start: Start) -> None:
    uri = new_postgresql_database(postgresql)
    one, two = start(uri), start(uri)
    experiment = one.new_experiment()
    for index in range(20):
        writer, reader = (one, two) if index % 2 else (two, one)
        run = writer.new_run(experiment)
        writer.post("runs/log-metric", run_id=run, key="m", value=index, timestamp=1)
        assert reader.run(run)["data"]["metrics"][0]["value"] == index


def test_a_server_answers_503_while_its_database_is_away_and_recovers_by_itself(
    start: Start,
) -> None:
    with PostgresqlProcess() as database:
        api = start(new_postgresql_database(database.uri))
        run = api.new_run(api.new_experiment())
        database.stop()
        for path, method in (("runs/get", "GET"), ("runs/set-tag", "POST")):
            response = _ask(api, path, method, run)
            assert response.status_code == 503
            assert response.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert int(response.headers["retry-after"]) >= 1
        assert api.http.get("/health").status_code == 200
        database.start()
        deadline = time.monotonic() + 10
        while _ask(api, "runs/set-tag", "POST", run).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {"key": "t", "value": "v"} in api.run(run)["data"]["tags"]


def _ask(api: Api, path: str, method: str, run: str) -> httpx.Response:
    if method == "GET":
        return api.http.get(f"/api/2.0/mlflow/{path}", params={"run_id": run})
    return api.http.post(f"/api/2.0/mlflow/{path}", json={"run_id": run, "key": "t", "value": "v"})


def test_a_server_works_behind_pgbouncer_in_transaction_mode(postgresql: str, start: Start, tmp_path: Path) -> None:
    bouncer = PgBouncerProcess(new_postgresql_database(postgresql), tmp_path)
    try:
        api = start(bouncer.uri)
        experiment = api.new_experiment()

        def log(client: int) -> str:
            run = api.new_run(experiment)
            for step in range(10):
                api.post("runs/log-metric", run_id=run, key="m", value=step, timestamp=step, step=step)
                api.post("runs/set-tag", run_id=run, key=f"t{step}", value=str(client))
            return run

        with ThreadPoolExecutor(16) as threads:
            runs = list(threads.map(log, range(16)))
        found = api.post("runs/search", experiment_ids=[experiment], filter="metrics.m = 9", order_by=["metrics.m"])
        assert {run["info"]["run_id"] for run in found["runs"]} == set(runs)
        assert len(api.get("metrics/get-history", run_id=runs[0], metric_key="m")["metrics"]) == 10
    finally:
        bouncer.stop()


def test_queries_go_to_the_replica_and_writes_to_the_primary(postgresql: str, start: Start) -> None:
    primary, replica = new_postgresql_database(postgresql), new_postgresql_database(postgresql)
    # A replica that never catches up: another server has made the tables in it, and nothing comes from the primary.
    other = start(replica)
    api = start(primary, "--read-replica-backend-store-uri", replica)
    created = api.post("experiments/create", name="on the primary")["experiment_id"]
    missing = api.http.get("/api/2.0/mlflow/experiments/get", params={"experiment_id": created})
    assert missing.status_code == 404
    on_replica = other.post("experiments/create", name="on the replica")["experiment_id"]
    shown = api.get("experiments/get", experiment_id=on_replica)
    assert shown["experiment"]["name"] == "on the replica"
