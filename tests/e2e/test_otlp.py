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
    start_trace,
)

JSON = "application/json"
SEARCH = "/api/3.0/mlflow/traces/search"
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
COST = {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}
METERED = {"mlflow.chat.tokenUsage": USAGE, "mlflow.llm.cost": COST}


@pytest.fixture
def otel_id() -> str:
    return new_otel_id()


@pytest.fixture
def trace_id(otel_id: str) -> str:
    """The same id as MLflow writes it."""
    return f"tr-{otel_id}"


def usage_of(api: Api, trace_id: str) -> tuple[Any, Any]:
    """Tokens and cost of a trace, as its metadata has them."""
    metadata = get_info(api, trace_id).get("trace_metadata", {})
    keys = ("mlflow.trace.tokenUsage", "mlflow.trace.cost")
    usage, cost = (json.loads(metadata[key]) if key in metadata else None for key in keys)
    return usage, cost


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
    span = otel_span(otel_id, name="a\0b", attributes={"k\0": "v\0"}, message="m\0")
    log_spans(api, experiment_id, span, resource={"r": "x\0y"})
    (read,) = get_spans(api, trace_id)
    assert read["name"] == "a\ufffdb"
    assert attributes_of(read)["k\ufffd"] == {"string_value": "v\ufffd"}
    assert get_info(api, trace_id)["tags"]["r"] == "x\ufffdy"


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


# The trace


def test_a_trace_is_made_of_its_spans(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    root = otel_span(
        otel_id,
        1,
        name="ask",
        start=5,
        end=100,
        attributes={
            "mlflow.spanInputs": {"messages": [{"role": "user", "content": "hello"}]},
            "mlflow.spanOutputs": {"choices": [{"message": {"role": "assistant", "content": "hi"}}]},
            "session.id": "s-1",
            "user.id": "ann",
        },
    )
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1, start=7, end=120), root)
    info = get_info(api, trace_id)
    assert info["request_time"] == "2023-11-14T22:13:20.005Z"
    assert (info["execution_duration"], info["state"]) == ("0.115s", "OK")
    assert (info["request_preview"], info["response_preview"]) == ("hello", "hi")
    assert info["trace_metadata"] == {"mlflow.trace.session": "s-1", "mlflow.trace.user": "ann"}
    location = f"mlflow-artifacts:/{experiment_id}/traces/{trace_id}/artifacts"
    assert info["tags"] == {"mlflow.artifactLocation": location, "mlflow.trace.spansLocation": "TRACKING_STORE"}


def test_a_root_that_comes_later_completes_the_trace(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1, start=10, end=50))
    info = get_info(api, trace_id)
    assert (info["state"], info["execution_duration"]) == ("IN_PROGRESS", "0.040s")
    root = otel_span(otel_id, 1, start=0, end=70, status=2, attributes={"mlflow.spanInputs": {"q": 1}})
    log_spans(api, experiment_id, root)
    info = get_info(api, trace_id)
    assert info["request_time"] == "2023-11-14T22:13:20Z"
    assert (info["state"], info["execution_duration"]) == ("ERROR", "0.070s")
    assert info["request_preview"] == '{"q": 1}'


def test_a_trace_without_a_root_stays_in_progress(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    for number in (2, 3, 4):
        log_spans(api, experiment_id, otel_span(otel_id, number, 1, start=number, end=number * 10))
    info = get_info(api, trace_id)
    assert (info["state"], info["request_time"]) == ("IN_PROGRESS", "2023-11-14T22:13:20.002Z")
    assert info["execution_duration"] == "0.038s"
    assert len(get_spans(api, trace_id)) == 3


def test_the_order_in_which_spans_come_changes_nothing(api: Api, experiment_id: str) -> None:
    def made_of(order: list[int]) -> dict[str, Any]:
        otel_id = new_otel_id()
        spans = [
            otel_span(otel_id, 1, start=1, end=90, attributes={"mlflow.spanInputs": {"q": 1}}),
            otel_span(otel_id, 2, 1, start=0, end=95, attributes=METERED),
            otel_span(otel_id, 3, 2, start=5, end=20, attributes=METERED),
            otel_span(otel_id, 4, 1, start=6, end=None, attributes={"session.id": "s"}),
        ]
        for position in order:
            log_spans(api, experiment_id, spans[position])
        info = get_info(api, f"tr-{otel_id}")
        return {key: value for key, value in info.items() if key not in ("trace_id", "tags")}

    first = made_of([0, 1, 2, 3])
    assert json.loads(first["trace_metadata"]["mlflow.trace.tokenUsage"]) == USAGE
    for order in ([3, 2, 1, 0], [2, 0, 3, 1], [1, 1, 3, 2, 0, 2]):
        assert made_of(order) == first


def test_a_span_that_has_not_ended_leaves_the_duration_open(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 1, end=None))
    assert "execution_duration" not in get_info(api, trace_id)
    assert "end_time_unix_nano" not in get_spans(api, trace_id)[0]
    log_spans(api, experiment_id, otel_span(otel_id, 1, end=30))
    assert get_info(api, trace_id)["execution_duration"] == "0.030s"


def test_a_long_preview_is_cut(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={"mlflow.spanInputs": "x" * 3000}))
    preview = get_info(api, trace_id)["request_preview"]
    assert preview == '"' + "x" * 996 + "..."


@pytest.mark.parametrize(
    ("inputs", "preview"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        ({"messages": [{"role": "system", "content": "only"}]}, "only"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "part"}]}]}, "part"),
        ({"request": {"input": [{"role": "user", "content": "nested"}]}}, "nested"),
        ({"messages": [{"role": "user", "content": None}]}, '{"messages": [{"role": "user", "content": null}]}'),
        ({"messages": "none"}, '{"messages": "none"}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_the_preview_is_the_last_message_of_the_user_or_the_json(
    api: Api, experiment_id: str, otel_id: str, trace_id: str, inputs: Any, preview: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={"mlflow.spanInputs": inputs}))
    assert get_info(api, trace_id)["request_preview"] == preview


# Tags, sessions, users


def test_resource_attributes_become_tags(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    resource = {
        "service.name": "shop",
        "n": 5,
        "list": ["a"],
        "telemetry.sdk.name": "x",
        "mlflow.trace.spansLocation": "y",
    }
    log_spans(api, experiment_id, otel_span(otel_id), resource=resource)
    tags = get_info(api, trace_id)["tags"]
    assert (tags["service.name"], tags["n"], tags["list"]) == ("shop", "5", '["a"]')
    assert "telemetry.sdk.name" not in tags
    assert tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"


def test_tags_that_a_client_puts_on_the_root_span_come_before_the_resources(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    own = {"mlflow.traceTag.service.name": "mine", "mlflow.traceTag.n": 5, "mlflow.traceTag.mlflow.traceName": "chat"}
    child = otel_span(otel_id, 2, 1, attributes={"mlflow.traceTag.child": "no"})
    log_spans(api, experiment_id, otel_span(otel_id, 1, attributes=own), child, resource={"service.name": "shop"})
    tags = get_info(api, trace_id)["tags"]
    assert (tags["service.name"], tags["n"], tags["mlflow.traceName"]) == ("mine", "5", "chat")
    assert "child" not in tags
    found = api.post(SEARCH, locations=locations(experiment_id), filter="name = 'chat'")["traces"]
    assert [trace["trace_id"] for trace in found] == [trace_id]


def test_what_cannot_be_a_tag_does_not_lose_the_spans(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    resource = {"k" * 251: "v", "../up": "v", "": "v", "long": "v" * 9000, "fine": "v"}
    log_spans(api, experiment_id, otel_span(otel_id), resource=resource)
    tags = get_info(api, trace_id)["tags"]
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    assert own == {"long": "v" * 8000, "fine": "v"}


def test_a_conversation_is_a_session_and_the_first_one_counts(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 1, attributes={"gen_ai.conversation.id": "c-1", "user.id": 5}))
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1, attributes={"session.id": "c-2", "user.id": "later"}))
    metadata = get_info(api, trace_id)["trace_metadata"]
    assert metadata == {"mlflow.trace.session": "c-1", "mlflow.trace.user": "5"}
    condition = "metadata.`mlflow.trace.session` = 'c-1'"
    assert len(api.post(SEARCH, locations=locations(experiment_id), filter=condition)["traces"]) == 1


# Tokens and cost


def test_tokens_and_cost_are_summed_up(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    calls = [otel_span(otel_id, number, 1, attributes=METERED) for number in (2, 3)]
    log_spans(api, experiment_id, otel_span(otel_id, 1), *calls)
    usage, cost = usage_of(api, trace_id)
    assert usage == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    assert cost == {"input_cost": 1.0, "output_cost": 0.5, "total_cost": 1.5}


def test_a_span_that_reports_stands_for_those_below_it(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    spans = [otel_span(otel_id, 1), otel_span(otel_id, 2, 1, attributes=METERED)]
    spans += [otel_span(otel_id, 3, 2), otel_span(otel_id, 4, 3, attributes=METERED)]
    log_spans(api, experiment_id, *spans)
    assert usage_of(api, trace_id) == (USAGE, COST)


def test_nothing_is_counted_twice_over_several_requests(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    call = otel_span(otel_id, 3, 2, attributes=METERED)
    for _ in range(2):
        log_spans(api, experiment_id, call)
        assert usage_of(api, trace_id) == (USAGE, COST)
    log_spans(api, experiment_id, otel_span(otel_id, 4, 2, attributes=METERED))
    assert usage_of(api, trace_id)[0] == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    # The span around both reports the total of its calls.
    total = {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1, attributes={"mlflow.chat.tokenUsage": total}))
    assert usage_of(api, trace_id)[0] == total


def test_numbers_that_are_none_are_left_out(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    odd = {
        "mlflow.chat.tokenUsage": {"input_tokens": "x", "output_tokens": 4, "total_tokens": True},
        "mlflow.llm.cost": "free",
    }
    log_spans(api, experiment_id, otel_span(otel_id, attributes=odd))
    assert usage_of(api, trace_id) == ({"output_tokens": 4}, None)


def test_spans_around_each_other_are_summed_up_without_end(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    spans = [otel_span(otel_id, 1, 2, attributes=METERED), otel_span(otel_id, 2, 1), otel_span(otel_id, 3, 3)]
    log_spans(api, experiment_id, *spans)
    assert len(get_spans(api, trace_id)) == 3


def test_what_the_client_says_of_its_trace_is_not_changed_by_spans(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    said = {"mlflow.trace.tokenUsage": json.dumps({"total_tokens": 100}), "mlflow.trace.session": "said"}
    start_trace(
        api,
        experiment_id,
        trace_id,
        start=3,
        execution_duration="1s",
        state="OK",
        request_preview="said",
        trace_metadata=said,
    )
    attributes = METERED | {"mlflow.spanInputs": "spoken", "session.id": "spoken"}
    log_spans(api, experiment_id, otel_span(otel_id, 1, start=0, end=9000, status=2, attributes=attributes))
    info = get_info(api, trace_id)
    assert (info["request_time"], info["execution_duration"]) == ("2023-11-14T22:13:20.003Z", "1s")
    assert (info["state"], info["request_preview"]) == ("OK", "said")
    assert info["trace_metadata"]["mlflow.trace.session"] == "said"
    # What the client has left open is taken from the spans.
    assert usage_of(api, trace_id) == ({"total_tokens": 100}, COST)


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
