"""The log of requests, and the id that a request carries through it."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.api_client import Api
from tests.conftest import StartServer
from tests.server_process import ServerProcess

BACKENDS = ["sqlite"]


def test_a_request_is_one_line_with_method_path_status_time_and_id(api: Api, server: ServerProcess) -> None:
    request_id = api.send("GET", "runs/get?run_id=secret").headers["x-request-id"]
    (line,) = server.logged(re.escape(request_id))
    pattern = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d GET /api/2\.0/mlflow/runs/get 404 \d+\.\dms {re.escape(request_id)}"
    assert re.fullmatch(pattern, line)


def test_every_request_has_an_id_of_its_own(api: Api) -> None:
    ids = {api.send("GET", "/health").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


def test_a_request_keeps_the_id_it_came_with(api: Api, server: ServerProcess) -> None:
    for given in ("0af7651916cd43dd8448eb211c80319c", "my-id_1.2", "a" * 128):
        response = api.send("GET", "/health", headers={"X-Request-Id": given})
        assert response.headers.get_list("x-request-id") == [given]
        assert len(server.logged(f" {re.escape(given)}$")) == 1


@pytest.mark.parametrize("given", ["two words", "a" * 129, "x\ttab", "<script>", ""])
def test_an_id_that_could_mislead_a_reader_of_the_log_is_replaced(api: Api, given: str) -> None:
    answered = api.send("GET", "/health", headers={"X-Request-Id": given}).headers["x-request-id"]
    assert answered != given
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", answered)


def test_errors_have_an_id_and_a_line_too(api: Api, server: ServerProcess) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("POST", "/health", 405), ("GET", "runs/get", 400)):
        response = api.send(method, path)
        assert len(server.logged(f" {status} .*{re.escape(response.headers['x-request-id'])}")) == 1


def test_no_character_of_a_path_forges_a_line(api: Api, server: ServerProcess) -> None:
    response = api.send("GET", "/a%0A2026-01-01 00:00:00 GET /forged 200 0.1ms x%1B[31m")
    (line,) = server.logged(re.escape(response.headers["x-request-id"]))
    assert "%0A2026" in line
    assert "%1B" in line
    assert not any(line.startswith("2026-01-01 00:00:00 GET /forged") for line in server.log.splitlines())


def test_nothing_of_a_query_or_a_body_is_logged(api: Api, server: ServerProcess) -> None:
    api.post_refused("runs/set-tag", run_id="hidden-in-body", key="k", value="v")
    response = api.send("GET", "runs/get?run_id=hidden-in-query")
    server.logged(re.escape(response.headers["x-request-id"]))
    assert "hidden-in" not in server.log


def test_json_lines_hold_the_same_as_fields(start_server: StartServer) -> None:
    server = start_server("--log-format", "json")
    with Api(server.url) as api:
        api.post_refused("runs/set-tag")
        response = api.send("GET", "runs/get?run_id=x")
        request_id = response.headers["x-request-id"]
        (line,) = [json.loads(line) for line in server.logged(re.escape(request_id))]
    assert abs(line.pop("time") - time.time()) < 60
    assert 0 <= line.pop("ms") < 10_000
    assert line == {"method": "GET", "path": "/api/2.0/mlflow/runs/get", "status": 404, "request_id": request_id}
