"""Traces found by what their spans have: also after spans were sent again, moved or deleted."""

from __future__ import annotations

import pytest

from tests.api_client import Api
from tests.trace_requests import locations, log_spans, new_otel_id, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/search"
LONG = "n" * 99


def found(api: Api, filter_string: str, *experiment_ids: str) -> list[str]:
    answer = api.post(PATH, locations=locations(*experiment_ids), filter=filter_string)
    return [trace["trace_id"] for trace in answer["traces"]]


def test_a_span_that_is_sent_again_is_found_by_what_it_has_now(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, name="old", status=2, attributes={"was": 1, "stays": 1}))
    log_spans(api, experiment_id, otel_span(otel_id, name="new", status=1, attributes={"is": 1, "stays": 1}))
    assert found(api, "span.name = 'new' AND span.status = 'OK'", experiment_id) == [trace_id]
    assert found(api, "span.attributes.is = '1' AND span.attributes.stays = '1'", experiment_id) == [trace_id]
    for gone in ("span.name = 'old'", "span.name LIKE 'ol_'", "span.status = 'ERROR'", "span.attributes.was = '1'"):
        assert found(api, gone, experiment_id) == []


def test_spans_that_came_for_another_experiment_are_found_where_their_trace_is(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    other = api.new_experiment()
    log_spans(api, other, otel_span(otel_id, name="moved", attributes={"key": "x"}))
    start_trace(api, experiment_id, trace_id)
    log_spans(api, other, otel_span(otel_id, 2, name="later"))
    for text in ("span.name = 'moved'", "span.name RLIKE '^mov'", "span.attributes.key = 'x'", "span.name = 'later'"):
        assert found(api, text, experiment_id) == [trace_id]
        assert found(api, text, other) == []


def test_a_deleted_trace_leaves_nothing_to_find(api: Api, experiment_id: str, otel_id: str, trace_id: str) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, name="gone"))
    api.post("traces/delete-traces", experiment_id=experiment_id, request_ids=[trace_id])
    assert found(api, "span.name = 'gone'", experiment_id) == []


@pytest.mark.parametrize(
    ("filter_string", "is_found"),
    [
        ("span.name LIKE '%long end'", True),
        ("span.name LIKE '%another end'", False),
        (f"span.name = '{LONG} and a long end'", True),
        (f"span.name = '{LONG} and'", False),
        (f"span.name IN ('x', '{LONG} and a long end')", True),
        (f"span.name != '{LONG} and a long end'", False),
        ("span.attributes.größe = 'groß'", True),
        ("span.attributes.größe ILIKE '%GRO%'", True),
        ("span.attributes.`a key_with%` = '1'", True),
        ("span.attributes.`a keyXwith%` = '1'", False),
        (f"span.attributes.{LONG}{LONG} = '1'", True),
        (f"span.attributes.{LONG}x = '1'", False),
    ],
)
def test_long_and_unusual_names_are_found(api: Api, filter_string: str, is_found: bool) -> None:
    experiment_id = api.new_experiment()
    values = {"größe": "groß", "a key_with%": 1, LONG + LONG: 1}
    otel_id = new_otel_id()
    log_spans(api, experiment_id, otel_span(otel_id, name=f"{LONG} and a long end", attributes=values))
    assert bool(found(api, filter_string, experiment_id)) == is_found


def test_a_span_of_very_many_attributes_is_found_by_each_of_them(
    api: Api, experiment_id: str, otel_id: str, trace_id: str
) -> None:
    log_spans(api, experiment_id, otel_span(otel_id, attributes={f"key {number}": number for number in range(150)}))
    assert found(api, "span.attributes.`key 149` = '149'", experiment_id) == [trace_id]
    assert found(api, "span.attributes.`key 7` = '8'", experiment_id) == []
    assert found(api, "span.attributes.`key 150` LIKE '%'", experiment_id) == []


def test_among_very_many_names_a_pattern_finds_all_that_match(api: Api) -> None:
    experiment_id = api.new_experiment()
    spans = [otel_span(new_otel_id(), name=f"name {number:03}", start=number) for number in range(320)]
    log_spans(api, experiment_id, *spans)
    assert len(found(api, "span.name LIKE 'name 31_'", experiment_id)) == 10
    assert len(found(api, "span.name RLIKE '[05]5$'", experiment_id)) == 64 // 10 + 1
