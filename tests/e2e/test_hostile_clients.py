"""Requests made to harm: whatever a client sends, the server answers with a clear error, stays small and goes on."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runnel.domain.filter_grammars import RUNS
from runnel.domain.filters import Ordering, parse_order_by
from runnel.domain.page_tokens import encode_page_token
from tests.api_client import JSON, Api, invalid, metric, pairs, refusal
from tests.conftest import StartServer
from tests.server_process import ServerProcess, clean_environment

MEBIBYTE = 1024 * 1024
HEAD = b"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@contextlib.contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        yield connection


def send_without_end(server: ServerProcess, start: bytes, piece: bytes, most: int = 20 * MEBIBYTE) -> int:
    """Sends a piece again and again until the server closes the connection; how many bytes it took."""
    sent = 0
    with connected(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(start)
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    return sent


# Connections


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /health HTTP/1.1\r\n", b"X-Header: value\r\n" * 4_000),
        (b"GET /health HTTP/1.1\r\nX-Header: ", b"v" * 65_536),
        (b"GET /", b"v" * 65_536),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X-Trailer: value\r\n" * 4_000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;", b"x" * 65_536),
    ],
    ids=["headers", "one header", "a path", "trailers", "a chunk's extension"],
)
def test_the_head_of_a_request_has_an_end(api: Api, server: ServerProcess, start: bytes, piece: bytes) -> None:
    before = server.peak_memory
    assert send_without_end(server, start, piece) < 10 * MEBIBYTE
    assert server.peak_memory < before + 30 * MEBIBYTE
    assert api.send("GET", "/health").text == "OK"


def test_more_requests_in_a_row_than_anybody_sends_are_not_kept(api: Api, server: ServerProcess) -> None:
    before = server.peak_memory
    send_without_end(server, b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_500)
    assert server.peak_memory < before + 30 * MEBIBYTE
    assert api.send("GET", "/health").text == "OK"


def test_some_requests_in_a_row_are_all_answered(server: ServerProcess) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 30)
        answer = b""
        while answer.count(b"200 OK") < 30:
            answer += connection.recv(65_536)


@pytest.mark.skipif(not Path("/proc").exists(), reason="Linux alone tells the limits of a process")
def test_more_connections_are_accepted_than_the_system_starts_with(start_server: StartServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        server = start_server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connected(server))
        assert httpx.get(f"{server.url}/health").text == "OK"


# Bodies


def test_a_body_holds_so_many_json_values_at_most(api: Api, server: ServerProcess) -> None:
    before = server.peak_memory
    for value in ("{}", "[]", "1"):
        response = api.send("POST", "runs/create", content=f'{{"x":[{",".join([value] * 2_000_000)}]}}', headers=JSON)
        assert refusal(response).status == 413
        assert refusal(response).message == "The request body holds more than 1000000 JSON values"
    assert server.peak_memory < before + 60 * MEBIBYTE


def test_a_large_text_is_one_value(api: Api, experiment_id: str) -> None:
    value = "some text " * 1_000_000
    refused = api.post_refused("experiments/set-experiment-tag", experiment_id=experiment_id, key="k", value=value)
    assert refused == invalid("'value' exceeds the maximum length of 20000 characters")


def test_large_bodies_at_once_are_bounded_together(start_server: StartServer) -> None:
    server = start_server("--max-request-bytes", str(MEBIBYTE))
    announced = HEAD + b"Content-Length: %d\r\n\r\n" % (MEBIBYTE - 1_000)
    with contextlib.ExitStack() as stack:
        # Each sends all but the end of its body, so that the server keeps what it has.
        waiting = [stack.enter_context(connected(server)) for _ in range(10)]
        for connection in waiting:
            connection.sendall(announced + b" " * (MEBIBYTE - 100_000))
        answered, _, _ = select.select(waiting, [], [], 10)
        answer = answered[0].recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        with Api(server.url) as api:
            api.new_experiment()  # small ones have room
    with Api(server.url) as api:
        deadline = time.monotonic() + 10
        filled = {"filter": " " * 40_000, "experiment_ids": [], "x": " " * 900_000}
        while (response := api.send("POST", "runs/search", json=filled)).status_code == 503:
            assert time.monotonic() < deadline
        assert response.status_code == 200  # what the others kept has gone with them


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"run_id": "r", "key": "k", "value": "a\0b"}).encode("utf-16"),
        b'"{\\"run_id\\": \\"r\\", \\"key\\": \\"k\\", \\"value\\": \\"\\u005cu0000\\"}"',
        b'\xef\xbb\xbf{"run_id": "r"}',
        b'{"run_id": "\xff"}',
        b'{"run_id": "\\ud800"}',
    ],
    ids=["another encoding", "a NUL encoded twice", "a byte order mark", "no UTF-8", "half a surrogate pair"],
)
def test_what_no_database_stores_does_not_come_in_disguise(api: Api, body: bytes) -> None:
    refused = refusal(api.send("POST", "runs/set-tag", content=body, headers=JSON))
    assert refused.status == 400
    assert refused.error_code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")


def test_a_body_that_is_too_large_is_answered_before_it_has_been_sent(start_server: StartServer) -> None:
    server = start_server("--max-request-bytes", "100000")
    with Api(server.url) as api:
        # The connection stays open while the rest is thrown away, so that the client gets to read the answer.
        response = api.send("POST", "runs/search", content=b" " * 20 * MEBIBYTE, headers=JSON)
        assert refusal(response).status == 413
        assert api.send("GET", "/health").text == "OK"


# Page tokens


def with_tie_breakers(*orderings: Ordering) -> tuple[Ordering, ...]:
    return (*orderings, Ordering("attribute", "start_time", False), Ordering("attribute", "run_id", True))


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 10**400, "\ud800", True, None, [1], {}])
def test_a_forged_token_of_a_history_is_refused(api: Api, run_id: str, step: object) -> None:
    api.post("runs/log-metric", run_id=run_id, key="m", value=1, timestamp=1)
    position = [0, step, 0.0, 0]
    token = encode_page_token(position, ("metric history", run_id, "m"))  # type: ignore[arg-type]
    refused = api.get_refused("metrics/get-history", run_id=run_id, metric_key="m", page_token=token)
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith("Invalid page token")


@pytest.mark.parametrize("rank", [1.0, 0.5, 3, -1, "0", None, [0]])
def test_a_forged_token_of_a_ranking_is_refused(api: Api, experiment_id: str, rank: object) -> None:
    orderings = with_tie_breakers(*parse_order_by(["metrics.m"], RUNS))
    identity = ("runs", (int(experiment_id),), ("active",), (), orderings)
    position = [rank, 0.0, 0, "r"]
    token = encode_page_token(position, identity)  # type: ignore[arg-type]
    refused = api.post_refused("runs/search", experiment_ids=[experiment_id], order_by=["metrics.m"], page_token=token)
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith("Invalid page token")
    if rank == 0.5:  # the forgery is good enough to be read
        assert "another filter" not in refused.message


# Searches


@pytest.mark.parametrize("entity", ["metrics", "params", "tags"])
def test_a_search_in_as_many_orders_as_are_allowed_goes_on_page_after_page(
    api: Api, experiment_id: str, entity: str
) -> None:
    runs = [api.new_run(experiment_id, start_time=number) for number in range(4)]
    for number, run in enumerate(runs[:3]):
        if entity == "metrics":
            api.post("runs/log-batch", run_id=run, metrics=[metric(f"k{key}", number // 2) for key in range(20)])
        else:
            values = pairs(**{f"k{key}": str(number // 2) for key in range(20)})
            api.post("runs/log-batch", **{"run_id": run, entity: values})
    order = [f"{entity}.k{key} DESC" for key in range(20)]
    found = [
        run["info"]["run_id"]
        for page in api.pages("POST", "runs/search", experiment_ids=[experiment_id], order_by=order, max_results=1)
        for run in page.get("runs", [])
    ]
    assert found == [runs[2], runs[1], runs[0], runs[3]]


def test_a_history_of_models_that_is_no_list_is_an_error_of_the_client(api: Api, run_id: str) -> None:
    model = json.dumps({"artifact_path": "a", "flavors": {}, "run_id": run_id, "utc_time_created": "now"})
    for value in ("no JSON", "5", "{}"):
        api.post("runs/set-tag", run_id=run_id, key="mlflow.log-model.history", value=value)
        refused = api.post_refused("runs/log-model", run_id=run_id, model_json=model)
        assert refused == invalid(f"The tag 'mlflow.log-model.history' of run {run_id} is not a JSON list")


def test_a_model_that_is_nested_deeper_than_json_is_written_is_refused(api: Api, run_id: str) -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    model = f'{{"artifact_path": "a", "flavors": {{"f": {deep}}}, "run_id": "r", "utc_time_created": "now"}}'
    refused = api.post_refused("runs/log-model", run_id=run_id, model_json=model)
    assert refused == invalid("The model info is nested too deeply")


# The log


def test_a_path_is_logged_only_in_part_when_it_is_long(api: Api, server: ServerProcess) -> None:
    response = api.send("GET", f"/{'a' * 30_000}")
    (line,) = server.logged(re.escape(response.headers["x-request-id"]))
    assert len(line) < 1_200


def test_a_log_that_nobody_reads_holds_up_no_request(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runnel", "server", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stderr is not None
        try:
            address = None
            while address is None:
                address = re.match(r"Runnel listens on http://(\S+):(\d+)$", process.stderr.readline())
            port = int(address[2])
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(f"http://localhost:{port}/health")
                    break
            # From here on nobody reads. What is logged of these is far more than a pipe holds.
            with httpx.Client(base_url=f"http://localhost:{port}", timeout=5) as client:
                for _ in range(200):
                    client.get(f"/{'a' * 1_000}")
                    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                        connection.sendall(b"this is not HTTP\r\n\r\n")
                        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
                assert client.get("/health").text == "OK"
        finally:
            process.stderr.close()
            process.terminate()
            process.wait(30)
