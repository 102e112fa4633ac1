"""Spans by OpenTelemetry's protocol over HTTP: what is kept of them, and what a trace takes from them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.api_client import Api, Refusal, invalid, not_there, refusal
from tests.conftest import StartServer
from tests.trace_requests import (
    START_MS,
    attributes_of,
    export_request,
    get_info,
    get_spans,
    key_values,
    locations,
    log_spans,
    new_otel_id,
    otel_span,
    send_body,
    send_spans,
)

JSON = "application/json"
SEARCH = "/api/3.0/mlflow/traces/search"

# Spans


def test_a_span_is_read_back_as_it_was_sent(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    other = new_otel_id()
    event = Span.Event(
        name="thought", time_unix_nano=START_MS * 1_000_000 + 5, attributes=key_values({"n": 1, "l": ["a"]})
    )
    link = Span.Link(trace_id=bytes.fromhex(other), span_id=b"12345678", attributes=key_values({"why": "b"}))
    span = otel_span(
        otel_id, 5, 1, name="ask", start=2, end=9, status=2, message="it broke", events=[event], links=[link]
    )
    log_spans(api, experiment_id, span)
    (read,) = get_spans(api, trace_id)
    assert base64.b64decode(read["trace_id"]) == bytes.fromhex(otel_id)
    assert base64.b64decode(read["span_id"]) == (5).to_bytes(8, "big")
    assert base64.b64decode(read["parent_span_id"]) == (1).to_bytes(8, "big")
    assert read["name"] == "ask"
    assert int(read["start_time_unix_nano"]) == (START_MS + 2) * 1_000_000
    assert int(read["end_time_unix_nano"]) == (START_MS + 9) * 1_000_000
    assert read["status"] == {"code": "STATUS_CODE_ERROR", "message": "it broke"}
    (read_event,) = read["events"]
    assert (read_event["name"], int(read_event["time_unix_nano"])) == ("thought", START_MS * 1_000_000 + 5)
    assert attributes_of(read_event) == {
        "n": {"int_value": 1},
        "l": {"array_value": {"values": [{"string_value": "a"}]}},
    }
    (read_link,) = read["links"]
    assert base64.b64decode(read_link["trace_id"]) == bytes.fromhex(other)
    assert base64.b64decode(read_link["span_id"]) == b"12345678"
    assert attributes_of(read_link) == {"why": {"string_value": "b"}}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("text", {"string_value": "text"}),
        ("", {"string_value": ""}),
        ("héllo ☃ \N{GRINNING FACE} \"'\\ \n", {"string_value": "héllo ☃ \N{GRINNING FACE} \"'\\ \n"}),
        ("5", {"string_value": "5"}),
        ("true", {"string_value": "true"}),
        (True, {"bool_value": True}),
        (7, {"int_value": 7}),
        (-(2**63), {"int_value": -(2**63)}),
        (2**63 - 1, {"int_value": 2**63 - 1}),
        (2.0, {"double_value": 2.0}),
        (float("nan"), {"double_value": "NaN"}),
        (float("-inf"), {"double_value": "-Infinity"}),
        (b"\x00\xff", {"string_value": "AP8="}),
        (None, {}),
    ],
)
def test_attributes_of_all_types_come_back(
    api: Api, experiment_id: str, otel_id: str, trace_id: str, sent: Any, read: Any
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={"x": sent}))
    assert attributes_of(get_spans(api, trace_id)[0])["x"] == read


@pytest.mark.parametrize("sent", [[], {}, [1, "a", [True, []]], {"a": {"b": [1.5, {"c": None}]}, "d": "e"}])
def test_lists_and_objects_come_back(api: Api, experiment_id: str, otel_id: str, trace_id: str, sent: Any) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={"x": sent}))
    assert _plain(attributes_of(get_spans(api, trace_id)[0])["x"]) == sent


def _plain(value: dict[str, Any]) -> Any:
    """A value of the wire as Python's own."""
    match value:
        case {"array_value": {"values": items}}:
            return [_plain(item) for item in items]
        case {"kvlist_value": {"values": items}}:
            return {item["key"]: _plain(item.get("value", {})) for item in items}
        case {}:
            return next(iter(value.values()), None)
    raise AssertionError(value)


def test_a_text_that_is_json_is_read_as_what_it_stands_for(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    texts = {"mlflow.spanInputs": '{"q": [1, 2]}', "list": "[1]", "string": '"a"', "number": "1", "broken": '{"a": '}
    log_spans(api, experiment_id, otel_span(otel_id, attributes=texts))
    read = {key: _plain(value) for key, value in attributes_of(get_spans(api, trace_id)[0]).items()}
    expected = {"mlflow.spanInputs": {"q": [1, 2]}, "list": [1], "string": "a", "number": "1", "broken": '{"a": '}
    assert read == expected | {"mlflow.traceRequestId": trace_id}


def test_what_is_nested_deeper_than_clients_read_comes_back_as_its_json(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    for depth in (30, 90, 400):
        log_spans(api, experiment_id, otel_span(otel_id, depth, attributes={"deep": "[" * depth + "]" * depth}))
    assert len(get_spans(api, trace_id)) == 3
    assert api.send("GET", "/api/2.0/mlflow/get-trace-artifact", params={"request_id": trace_id}).status_code == 200


def test_characters_that_no_database_keeps_are_replaced(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    span = otel_span(otel_id, name="a\0b", attributes={"k\0": "v\0", "json": '"\\u0000"'}, message="m\0")
    log_spans(api, experiment_id, span, resource={"r": "x\0y"})
    (read,) = get_spans(api, trace_id)
    assert read["name"] == "a\ufffdb"
    assert attributes_of(read)["k\ufffd"] == {"string_value": "v\ufffd"}
    assert get_info(api, trace_id)["tags"]["r"] == "x\ufffdy"
    condition = "span.attributes.json LIKE '%'"
    assert len(api.post(SEARCH, locations=locations(experiment_id), filter=condition)["traces"]) == 1


def test_the_id_of_a_trace_is_what_its_bytes_say(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={"mlflow.traceRequestId": "tr-of-another"}))
    (read,) = get_spans(api, trace_id)
    assert attributes_of(read)["mlflow.traceRequestId"] == {"string_value": trace_id}


def test_a_span_is_found_by_its_attributes_whatever_numbers_its_events_hold(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    odd = {"n": float("nan"), "l": [float("-inf"), 1, float("nan")], "i": float("inf")}
    event = Span.Event(name="e", attributes=key_values(odd))
    log_spans(api, experiment_id, otel_span(otel_id, events=[event], attributes={"model": "NaN, Infinity"}))
    condition = "span.attributes.model LIKE '%Infinity'"
    found = api.post(SEARCH, locations=locations(experiment_id), filter=condition)["traces"]
    assert [trace["trace_id"] for trace in found] == [trace_id]
    read = attributes_of(get_spans(api, trace_id)[0]["events"][0])
    assert read["n"] == {"double_value": "NaN"}
    assert read["i"] == {"double_value": "Infinity"}


def test_a_repeated_span_is_replaced_not_doubled(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 1, name="first", end=None, attributes={"a": 1}))
    log_spans(api, experiment_id, otel_span(otel_id, 1, name="second", end=5, attributes={"b": 2}))
    (read,) = get_spans(api, trace_id)
    assert read["name"] == "second"
    assert set(attributes_of(read)) == {"b", "mlflow.traceRequestId"}
    log_spans(api, experiment_id, otel_span(otel_id, 1, name="third"), otel_span(otel_id, 1, name="fourth"))
    assert [span["name"] for span in get_spans(api, trace_id)] == ["fourth"]


def test_spans_are_read_root_first_then_as_they_began(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    spans = [otel_span(otel_id, 4, 1, start=3), otel_span(otel_id, 2, 1, start=1), otel_span(otel_id, 1, start=2)]
    log_spans(api, experiment_id, *spans)
    numbers = [int.from_bytes(base64.b64decode(span["span_id"])) for span in get_spans(api, trace_id)]
    assert numbers == [1, 2, 4]


# Requests


def test_a_request_may_hold_several_traces(api: Api, experiment_id: str) -> None:
    ids = [new_otel_id() for _ in range(3)]
    spans = [otel_span(otel_id, number, None if number == 1 else 1) for number in (1, 2) for otel_id in ids]
    log_spans(api, experiment_id, *spans)
    for otel_id in ids:
        assert len(get_spans(api, f"tr-{otel_id}")) == 2


def test_a_request_is_taken_whole_or_not_at_all(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    broken = otel_span(new_otel_id())
    broken.span_id = b"short"
    response = send_spans(api, experiment_id, otel_span(otel_id), broken)
    assert refusal(response) == invalid("A span's 'span_id' must be 8 bytes, not all of them zero")
    gone = api.get_refused(f"/api/3.0/mlflow/traces/{trace_id}")
    assert gone == not_there(f"Trace with ID '{trace_id}' not found.")


def test_the_answer_is_empty_and_in_the_form_of_the_request(api: Api, experiment_id: str, otel_id: str) -> None:
    response = send_spans(api, experiment_id, otel_span(otel_id))
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "application/x-protobuf"
    body = json_request(otel_span(otel_id, 2))
    response = send_body(api, experiment_id, body, JSON)
    assert (response.status_code, response.content) == (200, b"{}")
    assert response.headers["content-type"] == JSON


def json_request(*spans: Span) -> bytes:
    """A request as OpenTelemetry writes it in JSON: ids in hexadecimal, other bytes in base64."""
    request = MessageToDict(export_request(*spans, resource={"service.name": "shop"}))
    for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for holder in (span, *span.get("links", [])):
            for field in ("traceId", "spanId", "parentSpanId"):
                if field in holder:
                    holder[field] = base64.b64decode(holder[field]).hex()
    return json.dumps(request).encode()


def test_json_says_the_same_as_protobuf(api: Api, experiment_id: str) -> None:
    def logged(as_json: bool) -> tuple[Any, Any]:
        otel_id = new_otel_id()
        link = Span.Link(trace_id=bytes.fromhex("ab" * 16), span_id=b"12345678")
        event = Span.Event(name="e", time_unix_nano=5, attributes=key_values({"x": [1, {"y": 2.5}]}))
        attributes = {"s": "é", "i": 2**60, "f": 1.5, "b": True, "bytes": b"\x01", "map": {"a": [None, "b"]}}
        spans = [
            otel_span(otel_id, 1, name="r", status=2, message="m", attributes=attributes, events=[event], links=[link]),
            otel_span(otel_id, 2, 1),
        ]
        if as_json:
            response = send_body(api, experiment_id, json_request(*spans), "application/json; charset=utf-8")
            assert response.status_code == 200, response.text
        else:
            log_spans(api, experiment_id, *spans, resource={"service.name": "shop"})
        text = json.dumps([get_info(api, f"tr-{otel_id}"), get_spans(api, f"tr-{otel_id}")])
        encoded = base64.b64encode(bytes.fromhex(otel_id)).decode()
        info, read = json.loads(text.replace(otel_id, "ID").replace(encoded, "ID"))
        return info, read

    assert logged(as_json=True) == logged(as_json=False)


def test_traces_are_linked_to_the_run_of_the_header(api: Api, experiment_id: str, run_id: str, otel_id: str) -> None:
    partial = new_otel_id()
    spans = [otel_span(otel_id), otel_span(partial, 2, 1)]
    assert send_spans(api, experiment_id, *spans, x_mlflow_run_id=run_id).status_code == 200
    found = api.post(SEARCH, locations=locations(experiment_id), filter=f"run_id = '{run_id}'")["traces"]
    assert [trace["trace_id"] for trace in found] == [f"tr-{otel_id}"]


def test_spans_go_to_the_experiment_that_has_their_trace(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 1))
    log_spans(api, api.new_experiment(), otel_span(otel_id, 2, 1))
    location = get_info(api, trace_id)["trace_location"]
    assert location["mlflow_experiment"]["experiment_id"] == experiment_id
    assert len(get_spans(api, trace_id)) == 2


def test_a_wrong_experiment_is_refused_with_the_reason(api: Api, otel_id: str) -> None:
    span = otel_span(otel_id)
    assert refusal(send_spans(api, "999999999", span)) == not_there("No Experiment with id=999999999 exists")
    wrong = invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer.")
    assert refusal(send_spans(api, "abc", span)) == wrong
    deleted = api.new_experiment()
    api.post("experiments/delete", experiment_id=deleted)
    assert send_spans(api, deleted, span).status_code == 400


def test_a_request_without_an_experiment_is_told_what_to_do(api: Api, otel_id: str) -> None:
    missing = refusal(send_spans(api, None, otel_span(otel_id)))
    assert (missing.status, missing.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert missing.message.startswith("Missing header 'x-mlflow-experiment-id'")
    assert "--trace-experiment-id" in missing.message


def test_a_setting_names_the_experiment_of_exporters_that_cannot(start_server: StartServer, otel_id: str) -> None:
    api = Api(start_server("--trace-experiment-id", "0").url)
    response = send_spans(api, None, otel_span(otel_id))
    assert response.status_code == 200, response.text
    location = get_info(api, f"tr-{otel_id}")["trace_location"]
    assert location["mlflow_experiment"]["experiment_id"] == "0"
    api.close()


def bad(message: str) -> Refusal:
    return invalid(message)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"", "application/x-protobuf", "Invalid OpenTelemetry format - no spans found"),
        (b"{}", JSON, "Invalid OpenTelemetry format - no spans found"),
        (b"\xff\xff garbage", "application/x-protobuf", "Invalid OpenTelemetry format: "),
        (b"{", JSON, "Invalid OpenTelemetry format: "),
        (b"[]", JSON, "Invalid OpenTelemetry format: "),
        (b'"text"', JSON, "Invalid OpenTelemetry format: "),
        (b'{"resourceSpans": 5}', JSON, "Invalid OpenTelemetry format: "),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}',
            JSON,
            "Invalid OpenTelemetry format: ",
        ),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}', JSON, "Invalid OpenTelemetry format: "),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', JSON, "Invalid OpenTelemetry format: "),
        (b"[" * 100_000, JSON, "Invalid OpenTelemetry format: "),
        (b"x", "text/plain", "Invalid Content-Type: text/plain. Expected: "),
        (b"x", "", "Invalid Content-Type: . Expected: "),
    ],
)
def test_a_malformed_body_is_refused_with_the_reason(
    api: Api, experiment_id: str, body: bytes, content_type: str, reason: str
) -> None:
    refused = refusal(send_body(api, experiment_id, body, content_type))
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(reason)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("trace_id", b"", "A span's 'trace_id' must be 16 bytes, not all of them zero"),
        ("trace_id", bytes(16), "A span's 'trace_id' must be 16 bytes, not all of them zero"),
        ("trace_id", b"short", "A span's 'trace_id' must be 16 bytes, not all of them zero"),
        ("span_id", bytes(8), "A span's 'span_id' must be 8 bytes, not all of them zero"),
        ("parent_span_id", b"1234567", "A span's 'parent_span_id' must be 8 bytes"),
        ("start_time_unix_nano", 2**64 - 1, "A span's times must be nanoseconds since the epoch in 63 bits"),
        ("end_time_unix_nano", 2**63, "A span's times must be nanoseconds since the epoch in 63 bits"),
    ],
)
def test_a_span_that_cannot_be_is_refused_with_the_reason(
    api: Api, experiment_id: str, otel_id: str, field: str, value: Any, reason: str
) -> None:
    span = otel_span(otel_id)
    setattr(span, field, value)
    assert refusal(send_spans(api, experiment_id, span)) == bad(reason)
