"""Answers that would be large: a page ends early, and what the server keeps in memory has an end."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_client import JSON, Api, invalid, metric, pairs
from tests.server_process import ServerProcess

MEBIBYTE = 1024 * 1024
# 40 MiB of text in all.
RUN_COUNT = 80
VALUE = "x" * 5_500


@pytest.fixture(scope="module")
def large_runs(api: Api) -> tuple[str, list[str]]:
    """An experiment, and its runs in the order of a search."""
    experiment_id = api.new_experiment()
    params = pairs(**{f"p{number}": VALUE for number in range(96)})

    def new_run(number: int) -> str:
        run_id = api.new_run(experiment_id, start_time=number)
        api.post("runs/log-batch", run_id=run_id, params=params, metrics=[metric("number", number)])
        return run_id

    with ThreadPoolExecutor(4) as clients:
        run_ids = list(clients.map(new_run, range(RUN_COUNT)))
    return experiment_id, run_ids[::-1]


@pytest.mark.parametrize("order_by", [[], ["metrics.number DESC"], ["params.p0"]])
def test_a_page_of_large_runs_ends_early_and_the_next_one_goes_on(
    api: Api, large_runs: tuple[str, list[str]], order_by: list[str]
) -> None:
    experiment_id, run_ids = large_runs
    pages = list(
        api.pages("POST", "runs/search", experiment_ids=[experiment_id], order_by=order_by, max_results=50_000)
    )
    assert [run["info"]["run_id"] for page in pages for run in page["runs"]] == run_ids
    assert [len(page["runs"]) for page in pages] == [31, 31, 18]
    assert all(len(run["data"]["params"]) == 96 for page in pages for run in page["runs"])


def test_many_large_answers_at_once_take_a_bounded_amount_of_memory(
    api: Api, server: ServerProcess, large_runs: tuple[str, list[str]]
) -> None:
    def search(_: int) -> int:
        return len(api.post("runs/search", experiment_ids=[large_runs[0]], max_results=50_000)["runs"])

    before = server.peak_memory
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(search, range(16))) == [31] * 16
    assert server.peak_memory < before + 160 * MEBIBYTE


def test_who_does_not_read_large_answers_holds_a_bounded_amount_of_memory(
    api: Api, server: ServerProcess, large_runs: tuple[str, list[str]]
) -> None:
    body = f'{{"experiment_ids":["{large_runs[0]}"]}}'.encode()
    head = b"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    connections = []
    try:
        answers = []
        for _ in range(14):
            connection = socket.socket()
            connections.append(connection)
            connection.settimeout(30)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # left alone, it grows to many megabytes
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(request)
            answers.append(connection.recv(12))  # and no more
        assert answers[0] == b"HTTP/1.1 200"
        assert answers[-1] == b"HTTP/1.1 503"
        assert len(api.post("runs/search", experiment_ids=[large_runs[0]], max_results=1)["runs"]) == 1
    finally:
        for connection in connections:
            connection.close()
    deadline = time.monotonic() + 20
    while (response := api.send("POST", "runs/search", content=body, headers=JSON)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert response.status_code == 200


def test_a_page_of_experiments_with_large_tags_ends_early(api: Api) -> None:
    tags = [{"key": f"k{number}", "value": "x" * 20_000} for number in range(100)]
    name = "large-tags-"
    ids = [api.new_experiment(name=f"{name}{api.new_experiment()}", tags=tags) for _ in range(10)]
    pages = list(api.pages("POST", "experiments/search", filter=f"name LIKE '{name}%'", max_results=100))
    assert [experiment["experiment_id"] for page in pages for experiment in page["experiments"]] == ids[::-1]
    assert len(pages) == 2


def test_a_page_of_logged_models_with_large_tags_ends_early(api: Api, experiment_id: str) -> None:
    tags = [{"key": "k", "value": "x" * 1_000_000}]
    for _ in range(20):
        api.post("logged-models", experiment_id=experiment_id, tags=tags)
    pages = list(api.pages("POST", "logged-models/search", experiment_ids=[experiment_id]))
    models = [model["info"]["model_id"] for page in pages for model in page["models"]]
    assert len(set(models)) == len(models) == 20
    assert [len(page["models"]) for page in pages] == [16, 4]


def test_a_like_pattern_has_a_greatest_length(api: Api, experiment_id: str) -> None:
    for operator in ("LIKE", "ILIKE"):
        for filter in (f"tags.k {operator} '{'é' * 501}'", f"run_name {operator} '{'x' * 1_001}'"):
            refused = api.post_refused("runs/search", experiment_ids=[experiment_id], filter=filter)
            assert refused == invalid("A LIKE pattern can have at most 1000 bytes")
        assert api.post("runs/search", experiment_ids=[experiment_id], filter=f"tags.k {operator} '{'é' * 500}'") == {
            "runs": []
        }
