"""How two filters for traces go together."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.api_client import Api, invalid, missing
from tests.trace_requests import START_MS, log_spans, new_otel_id, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/calculate-filter-correlation"


def correlate(api: Api, experiment_id: str, first: str, second: str, **fields: Any) -> Any:
    asked = {"experiment_ids": [experiment_id], "filter_string1": first, "filter_string2": second}
    return api.post(PATH, **(asked | fields))


def counts(answer: Any) -> tuple[int, int, int, int]:
    names = ("total_count", "filter1_count", "filter2_count", "joint_count")
    total, first, second, joint = (answer[name] for name in names)
    return total, first, second, joint


@pytest.fixture
def ten_traces(api: Api, experiment_id: str) -> str:
    """Ten traces: 4 in the tag ``a``, 5 in ``b``, 3 in both."""
    for number in range(10):
        tags = {"n": str(number)} | ({"a": "1"} if number < 4 else {}) | ({"b": "1"} if 1 <= number < 6 else {})
        start_trace(api, experiment_id, start=number, tags=tags)
    return experiment_id


def test_the_measure_follows_from_the_counts(api: Api, ten_traces: str) -> None:
    answer = correlate(api, ten_traces, "tag.a = '1'", "tag.b = '1'")
    assert counts(answer) == (10, 4, 5, 3)
    assert answer["npmi"] == pytest.approx(math.log((3 / 10) / (0.4 * 0.5)) / -math.log(3 / 10))
    # Half a trace more in each of the four cells.
    assert answer["npmi_smoothed"] == pytest.approx(math.log((3.5 / 12) / ((5 / 12) * (6 / 12))) / -math.log(3.5 / 12))


def test_filters_that_never_meet_are_at_minus_one(api: Api, ten_traces: str) -> None:
    answer = correlate(api, ten_traces, "tag.a = '1'", "tag.n = '9'")
    assert (counts(answer), answer["npmi"]) == ((10, 4, 1, 0), -1.0)
    assert -1 < answer["npmi_smoothed"] < 0


def test_filters_that_every_trace_meets_are_at_one(api: Api, ten_traces: str) -> None:
    answer = correlate(api, ten_traces, "status = 'OK'", "timestamp_ms > 0")
    assert (counts(answer), answer["npmi"]) == ((10, 10, 10, 10), 1.0)


def test_a_filter_that_nothing_meets_has_no_measure(api: Api, ten_traces: str) -> None:
    answer = correlate(api, ten_traces, "tag.a = '2'", "tag.b = '1'")
    assert answer == {"total_count": 10, "filter1_count": 0, "filter2_count": 5, "joint_count": 0}


def test_a_base_filter_says_which_traces_there_are(api: Api, ten_traces: str) -> None:
    base = f"timestamp_ms >= {START_MS + 2} AND timestamp_ms < {START_MS + 7}"
    assert counts(correlate(api, ten_traces, "tag.a = '1'", "tag.b = '1'", base_filter=base)) == (5, 2, 4, 2)


def test_a_base_and_a_filter_about_spans_are_about_one_span(api: Api, experiment_id: str) -> None:
    for status in (1, 2):
        otel_id = new_otel_id()
        child = otel_span(otel_id, 2, 1, name="call", status=status)
        log_spans(api, experiment_id, otel_span(otel_id, 1, name="root", status=2), child)
    answer = correlate(api, experiment_id, "span.status = 'ERROR'", "span.name = 'root'")
    assert counts(answer) == (2, 2, 2, 2)
    answer = correlate(
        api, experiment_id, "span.status = 'ERROR'", "span.name = 'root'", base_filter="span.name = 'call'"
    )
    assert counts(answer) == (2, 1, 0, 0)


def test_traces_of_other_experiments_do_not_count(api: Api, ten_traces: str) -> None:
    start_trace(api, api.new_experiment(), tags={"a": "1", "b": "1"})
    assert counts(correlate(api, ten_traces, "tag.a = '1'", "tag.b = '1'")) == (10, 4, 5, 3)
    nowhere = correlate(api, ten_traces, "tag.a = '1'", "tag.b = '1'", experiment_ids=[])
    assert counts(nowhere) == (0, 0, 0, 0)


def test_both_filters_are_needed(api: Api, experiment_id: str) -> None:
    fields = {"experiment_ids": [experiment_id], "filter_string1": "tag.a = '1'"}
    assert api.post_refused(PATH, **fields) == missing("filter_string2")
    answer = api.post_refused(PATH, **fields, filter_string2="tag.a > '1'")
    assert answer == invalid(
        "Invalid comparator '>' not one of '!=', '=', 'ILIKE', 'IS NOT NULL', 'IS NULL', 'LIKE', 'RLIKE'"
    )
