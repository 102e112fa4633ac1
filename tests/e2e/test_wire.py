"""What every endpoint has in common: how requests are read, and how errors are told."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api_client import JSON, Api, Refusal, invalid, missing, not_there, pairs, refusal, wrong_type
from tests.conftest import StartServer
from tests.server_process import ServerProcess

SET_TAG = "runs/set-tag"


def post_text(api: Api, body: str | bytes, path: str = SET_TAG, **headers: str) -> httpx.Response:
    return api.send("POST", path, content=body, headers=JSON | {k.replace("_", "-"): v for k, v in headers.items()})


# Fields


def test_every_path_answers_for_programs_and_for_browsers(api: Api, run_id: str) -> None:
    for mount in ("/api", "/ajax-api"):
        assert api.get(f"{mount}/2.0/mlflow/runs/get", run_id=run_id)["run"]["info"]["run_id"] == run_id
        assert api.post(f"{mount}/2.0/mlflow/runs/set-tag", run_id=run_id, key="k", value=mount) == {}
        assert api.tags(run_id)["k"] == mount


def test_unknown_fields_are_ignored(api: Api, run_id: str) -> None:
    assert api.post(SET_TAG, run_id=run_id, key="k", value="v", colour="red", more={"a": [None]}) == {}
    assert api.get("runs/get", run_id=run_id, colour="red")["run"]["info"]["run_id"] == run_id


def test_null_is_the_same_as_absent(api: Api, run_id: str) -> None:
    api.post(SET_TAG, run_id=run_id, key="k", value=None)
    assert api.tags(run_id)["k"] == ""
    assert api.post_refused(SET_TAG, run_id=run_id, key=None, value="v") == missing("key")
    assert api.post_refused("runs/log-batch", run_id=run_id, metrics=[{"key": None}]) == missing("metrics[0].key")


def test_of_a_field_that_stands_twice_the_last_counts(api: Api, run_id: str) -> None:
    post_text(api, f'{{"run_id": "{run_id}", "key": "k", "value": "1", "value": "2"}}')
    assert api.tags(run_id)["k"] == "2"


def test_text_is_unicode(api: Api, run_id: str) -> None:
    for spelling in ('"\\u00e9\\ud83d\\ude80"', '"é🚀"'):
        post_text(api, f'{{"run_id": "{run_id}", "key": "k", "value": {spelling}}}')
        assert api.tags(run_id)["k"] == "é🚀"


def test_the_first_missing_field_is_named(api: Api) -> None:
    assert api.post_refused(SET_TAG) == missing("run_id")
    assert api.post_refused(SET_TAG, run_id="r") == missing("key")
    assert api.get_refused("metrics/get-history") == missing("run_id")


@pytest.mark.parametrize(
    ("value", "shown", "type_name"),
    [
        (5, "5", "int"),
        (1.5, "1.5", "float"),
        (True, "true", "bool"),
        (["a", 1], '["a",1]', "list"),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}', "dict"),
        (["x" * 600], f'["{"x" * 498}...', "list"),
    ],
)
def test_a_field_of_a_wrong_type_is_shown_as_json(api: Api, value: Any, shown: str, type_name: str) -> None:
    assert api.post_refused(SET_TAG, run_id=value, key="k") == wrong_type("run_id", shown, type_name)


def test_an_empty_body_is_an_empty_object(api: Api) -> None:
    assert refusal(post_text(api, "")) == missing("run_id")
    assert refusal(post_text(api, "{}")) == missing("run_id")


def test_json_that_was_encoded_twice_is_read(api: Api, run_id: str) -> None:
    body = json.dumps(json.dumps({"run_id": run_id, "key": "k", "value": "v"}))
    assert post_text(api, body).json() == {}
    assert api.tags(run_id)["k"] == "v"


# Bodies that cannot be read


@pytest.mark.parametrize(
    "body",
    ["{", "{'a': 1}", '{"a": 1} x', "\xff\xfe", '{"a": tru}', '{"a": "unclosed', "NaN x", "{,}", '{"a": "\\ud800"}'],
)
def test_a_body_that_is_not_json_is_refused(api: Api, body: str) -> None:
    refused = refusal(post_text(api, body.encode("latin-1")))
    assert (refused.status, refused.error_code) == (400, "BAD_REQUEST")
    assert refused.message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize(
    ("body", "name"), [("[]", "list"), ('"x"', "str"), ("5", "int"), ("null", "NoneType"), ("true", "bool")]
)
def test_a_body_that_is_no_object_is_refused(api: Api, body: str, name: str) -> None:
    message = f"The request body must be a JSON object, got {name}"
    assert refusal(post_text(api, body)) == Refusal(400, "BAD_REQUEST", message)


@pytest.mark.parametrize("depth", [100, 400, 900, 1100, 5000, 200_000])
@pytest.mark.parametrize("field", ["run_id", "unknown"])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_json_is_refused_or_ignored(api: Api, run_id: str, depth: int, field: str, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    deep = opening * depth + ("1" if "{" in brackets else "") + closing * depth
    response = post_text(api, f'{{"{field}": {deep}, "key": "k", "value": null}}')
    assert refusal(response).status == 400
    fine = post_text(api, f'{{"run_id": "{run_id}", "key": "k", "unknown": {deep}}}')
    assert fine.status_code == 200 if depth < 1000 else refusal(fine).status == 400


@pytest.mark.parametrize("digits", [19, 20, 400, 4000, 5000, 100_000])
def test_huge_integers_are_refused_where_they_matter(api: Api, digits: int) -> None:
    for field in ("run_id", "timestamp", "value"):
        body = {"run_id": "r", "key": "k", "timestamp": 1, "value": 1} | {field: 0}
        text = json.dumps(body).replace(f'"{field}": 0', f'"{field}": {"9" * digits}')
        refused = refusal(post_text(api, text, "runs/log-metric"))
        assert refused.status in (400, 404)
        assert len(refused.message) < 1000
        assert "sys." not in refused.message


def test_text_with_a_nul_character_is_refused(api: Api, run_id: str) -> None:
    # PostgreSQL cannot store it.
    nul = "must not contain NUL characters"
    assert api.post_refused(SET_TAG, run_id=run_id, key="k", value="a\0b") == invalid(f"Parameter 'value' {nul}")
    assert api.post_refused("runs/log-batch", run_id=run_id, tags=pairs(a="x", b="\0")) == invalid(
        f"Parameter 'tags[1].value' {nul}"
    )
    assert api.get_refused("runs/get", run_id="a\0b") == invalid(f"Parameter 'run_id' {nul}")


@pytest.mark.parametrize("value", ["\\u0000 is text", "\x01", "\x7f", "\u2028", "\ufeff", "\U0010ffff"])
def test_other_odd_characters_are_kept(api: Api, run_id: str, value: str) -> None:
    api.post(SET_TAG, run_id=run_id, key="k", value=value)
    assert api.tags(run_id)["k"] == value


def test_a_long_list_of_nothing_useful_is_refused_at_its_first_item(api: Api, server: ServerProcess) -> None:
    # A validator that describes every wrong item would need a gigabyte for it, and half a minute.
    started, before = time.monotonic(), server.peak_memory
    for item in ("1", "{}", "null", '"x"'):
        body = f'{{"run_id": "r", "metrics": [{f"{item}," * 300_000}{item}]}}'
        assert refusal(post_text(api, body, "runs/log-batch")).status == 400
    assert time.monotonic() - started < 20
    assert server.peak_memory - before < 200 * 1024 * 1024
    many = [{"key": "k", "value": 1, "timestamp": 1}] * 100_001
    assert api.post_refused("runs/log-batch", run_id="r", metrics=many) == invalid(
        "'metrics' can contain at most 100000 items"
    )


# Query strings


def test_of_a_query_field_that_stands_twice_the_first_counts(api: Api, run_id: str) -> None:
    response = api.send("GET", f"runs/get?run_id={run_id}&run_id=other")
    assert response.json()["run"]["info"]["run_id"] == run_id


def test_a_query_string_is_percent_decoded(api: Api) -> None:
    assert api.get_refused("runs/get", run_id="a b&c=d/é%41") == not_there("Run with id=a b&c=d/é%41 not found")
    assert refusal(api.send("GET", "runs/get?run_id=%FF%41+b")) == not_there("Run with id=\ufffdA b not found")


def test_a_query_string_of_very_many_fields_is_refused(api: Api) -> None:
    # As long as the server reads at all.
    response = api.send("GET", "runs/get?" + "a&" * 20_001)
    assert refusal(response) == invalid("The query string has more than 20,000 fields")


# Content types


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_called_so_in_several_ways(api: Api, content_type: str) -> None:
    assert refusal(post_text(api, "{}", Content_Type=content_type)) == missing("run_id")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_a_body_of_another_type_is_refused(api: Api, content_type: str) -> None:
    # Also what keeps a form on a foreign page from posting here.
    assert refusal(post_text(api, "{}", Content_Type=content_type)) == invalid(
        "Bad Request. Content-Type must be one of ['application/json']."
    )


def test_a_body_of_no_type_is_refused(api: Api) -> None:
    assert refusal(api.send("POST", SET_TAG, content="{}")) == invalid("Bad Request. Content-Type header is missing.")


# Methods and paths


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/2.0/mlflow/runs/create", "POST"),
        ("POST", "/api/2.0/mlflow/runs/get", "GET"),
        ("PUT", "/api/2.0/mlflow/experiments/search", "GET, POST"),
        ("POST", "/health", "GET"),
        ("POST", "/api/2.0/mlflow-artifacts/artifacts/x", "DELETE, GET, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api: Api, method: str, path: str, allowed: str) -> None:
    response = api.send(method, path)
    assert response.headers["allow"] == allowed
    assert refusal(response) == Refusal(
        405, "BAD_REQUEST", f"Method {method} is not allowed for {path}; allowed: {allowed}"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/runs/nothing",
        "/api/2.0/mlflow/runs/get/",
        "/api/9.9/mlflow/runs/get",
        "/API/2.0/mlflow/runs/get",
    ]
    + ["/graphql", "/nothing", "/api", "/2.0/mlflow/runs/get", "/api//2.0/mlflow/runs/get"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_is_not_there_is_a_404_in_mlflows_shape(api: Api, method: str, path: str) -> None:
    assert refusal(api.send(method, path)) == Refusal(404, "ENDPOINT_NOT_FOUND", f"No endpoint for {method} {path}")


def test_head_is_answered_as_get_without_the_body(api: Api, run_id: str) -> None:
    response = api.send("HEAD", "runs/get", params={"run_id": run_id})
    assert (response.status_code, response.content) == (200, b"")
    assert api.send("HEAD", "runs/get").status_code == 400


def test_the_server_says_that_it_is_well_and_which_api_it_serves(api: Api) -> None:
    assert (api.send("GET", "/health").text, api.send("GET", "/version").text) == ("OK", "3.17.2")
    info = api.get("/api/3.0/mlflow/server-info")
    assert (info["store_type"], info["workspaces_enabled"]) == ("SqlStore", False)


# Sizes and bad connections


@pytest.fixture
def small(start_server: StartServer) -> Iterator[Api]:
    """A server that takes bodies of 100,000 bytes."""
    with Api(start_server("--max-request-bytes", "100000").url) as api:
        yield api


def test_a_body_past_the_limit_is_refused_before_it_is_read(small: Api) -> None:
    experiment_id = small.new_experiment()
    fields = {"experiment_id": experiment_id, "key": "k", "unknown": ""}
    room = 100_000 - len(json.dumps(fields | {"value": ""}, separators=(",", ":")))
    too_large = Refusal(
        413, "BAD_REQUEST", "The request body is larger than the 100000 bytes allowed (--max-request-bytes)"
    )

    def body(filling: int) -> bytes:
        return json.dumps(fields | {"value": "", "unknown": "x" * filling}, separators=(",", ":")).encode()

    path = "experiments/set-experiment-tag"
    assert post_text(small, body(room), path).json() == {}
    assert refusal(post_text(small, body(room + 1), path)) == too_large
    # One that does not say how long it is, is stopped where it passes the limit.
    chunks = (b" " * 10_000 for _ in range(50))
    assert refusal(small.send("POST", path, content=chunks, headers=JSON)) == too_large
    # Artifacts have no limit.
    large = b"x" * 300_000
    assert small.send("PUT", "/api/2.0/mlflow-artifacts/artifacts/a", content=large).status_code == 200


def exchange(server: ServerProcess, request: bytes, wait: bool = True) -> bytes:
    """Sends bytes as they are; what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while wait and (part := connection.recv(65536)):
            answer += part
            if b"\r\n\r\n" in answer and b"HTTP/1.1 400" in answer:
                break
        return answer


def test_a_client_that_goes_away_in_the_middle_harms_nobody(api: Api, server: ServerProcess) -> None:
    head = b"POST /api/2.0/mlflow/runs/set-tag HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for _ in range(20):
        exchange(server, head + b"Content-Length: 1000\r\n\r\n{", wait=False)
        exchange(server, head[:40], wait=False)
    assert api.send("GET", "/health").text == "OK"


def test_what_is_not_http_is_refused(api: Api, server: ServerProcess) -> None:
    assert exchange(server, b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert api.send("GET", "/health").text == "OK"
