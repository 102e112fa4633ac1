"""What a trace takes from its spans: times, state, previews, tags, sessions, tokens and cost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api_client import Api
from tests.trace_requests import get_info, get_spans, locations, log_spans, new_otel_id, otel_span, start_trace

SEARCH = "/api/3.0/mlflow/traces/search"
USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
COST = {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}
METERED = {"mlflow.chat.tokenUsage": USAGE, "mlflow.llm.cost": COST}


def usage_of(api: Api, trace_id: str) -> tuple[Any, Any]:
    """Tokens and cost of a trace, as its metadata has them."""
    metadata = get_info(api, trace_id).get("trace_metadata", {})
    keys = ("mlflow.trace.tokenUsage", "mlflow.trace.cost")
    usage, cost = (json.loads(metadata[key]) if key in metadata else None for key in keys)
    return usage, cost


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


def test_a_span_that_comes_again_with_other_numbers_replaces_them(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    called = otel_span(otel_id, 2, 1, attributes=METERED)
    log_spans(api, experiment_id, called, otel_span(otel_id, 3, 1, attributes=METERED))
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1, attributes={"mlflow.chat.tokenUsage": {"input_tokens": 9}}))
    assert usage_of(api, trace_id) == ({"input_tokens": 10, "output_tokens": 2, "total_tokens": 3}, COST)
    # Or moves them below a span that reports.
    log_spans(api, experiment_id, otel_span(otel_id, 2, 3, attributes=METERED))
    assert usage_of(api, trace_id) == (USAGE, COST)


def test_a_span_between_that_comes_late_tells_that_another_above_has_counted_already(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, 1, attributes=METERED), otel_span(otel_id, 9, 1))
    log_spans(api, experiment_id, otel_span(otel_id, 4, 3, attributes=METERED))
    assert usage_of(api, trace_id)[0] == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    log_spans(api, experiment_id, otel_span(otel_id, 3, 2))
    assert usage_of(api, trace_id)[0] == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    log_spans(api, experiment_id, otel_span(otel_id, 2, 9))
    assert usage_of(api, trace_id) == (USAGE, COST)


def test_numbers_that_are_none_are_left_out(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    odd = {
        "mlflow.chat.tokenUsage": {"input_tokens": "x", "output_tokens": 4, "total_tokens": True},
        "mlflow.llm.cost": "free",
    }
    log_spans(api, experiment_id, otel_span(otel_id, attributes=odd))
    assert usage_of(api, trace_id) == ({"input_tokens": 0, "output_tokens": 4, "total_tokens": 0}, None)


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
