"""Deletion of traces: by id, or by time with a maximum."""

from __future__ import annotations

import pytest

from tests.api_client import Api, invalid, missing, not_there
from tests.trace_requests import (
    START_MS,
    get_info,
    get_spans,
    locations,
    log_spans,
    new_otel_id,
    otel_span,
    start_trace,
)

DELETE = "/api/3.0/mlflow/traces/delete-traces"
SEARCH = "/api/3.0/mlflow/traces/search"


@pytest.fixture
def trace_ids(api: Api, experiment_id: str) -> list[str]:
    """Traces one second after another, the oldest first."""
    return [start_trace(api, experiment_id, start=number * 1000)["trace_id"] for number in range(5)]


def left(api: Api, experiment_id: str) -> list[str]:
    """The traces that are there, the oldest first."""
    answer = api.post(SEARCH, locations=locations(experiment_id), order_by=["timestamp ASC"])
    return [trace["trace_id"] for trace in answer["traces"]]


@pytest.mark.parametrize("path", [DELETE, "traces/delete-traces"])
def test_named_traces_are_deleted(api: Api, experiment_id: str, trace_ids: list[str], path: str) -> None:
    named = [trace_ids[1], trace_ids[3], trace_ids[3], "tr-unknown"]
    assert api.post(path, experiment_id=experiment_id, request_ids=named) == {"traces_deleted": 2}
    assert left(api, experiment_id) == [trace_ids[0], trace_ids[2], trace_ids[4]]
    assert api.post(path, experiment_id=experiment_id, request_ids=named) == {"traces_deleted": 0}


def test_a_trace_of_another_experiment_stays(api: Api, experiment_id: str, trace_ids: list[str]) -> None:
    other = api.new_experiment()
    assert api.post(DELETE, experiment_id=other, request_ids=trace_ids) == {"traces_deleted": 0}
    assert api.post(DELETE, experiment_id="999999999", request_ids=trace_ids) == {"traces_deleted": 0}
    assert left(api, experiment_id) == trace_ids


def test_traces_that_began_at_a_time_or_before_are_deleted(api: Api, experiment_id: str, trace_ids: list[str]) -> None:
    fields = {"experiment_id": experiment_id, "max_timestamp_millis": START_MS + 2000}
    assert api.post(DELETE, **fields) == {"traces_deleted": 3}
    assert left(api, experiment_id) == trace_ids[3:]


def test_of_a_maximum_the_oldest_are_deleted(api: Api, experiment_id: str, trace_ids: list[str]) -> None:
    fields = {"experiment_id": experiment_id, "max_timestamp_millis": START_MS + 3500, "max_traces": 2}
    assert api.post(DELETE, **fields) == {"traces_deleted": 2}
    assert left(api, experiment_id) == trace_ids[2:]


def test_more_traces_than_one_transaction_takes_are_all_deleted(api: Api, experiment_id: str) -> None:
    spans = [otel_span(new_otel_id(), start=number) for number in range(1201)]
    log_spans(api, experiment_id, *spans)
    fields = {"experiment_id": experiment_id, "max_timestamp_millis": START_MS + 10_000}
    assert api.post(DELETE, **fields, max_traces=1200) == {"traces_deleted": 1200}
    assert left(api, experiment_id) == [f"tr-{spans[-1].trace_id.hex()}"]
    assert api.post(DELETE, **fields) == {"traces_deleted": 1}


def test_everything_goes_with_a_trace(api: Api, experiment_id: str, run_id: str) -> None:
    otel_id = new_otel_id()
    trace_id = f"tr-{otel_id}"
    source = {"source_type": "HUMAN", "source_id": "me"}
    feedback = {"assessment_name": "good", "source": source, "feedback": {"value": True}}
    fields = {"tags": {"a": "b"}, "trace_metadata": {"c": "d"}, "assessments": [feedback]}

    def make(**more: object) -> None:
        start_trace(api, experiment_id, trace_id, **more)
        log_spans(api, experiment_id, otel_span(otel_id, 1), otel_span(otel_id, 2, 1))

    make(**fields)
    api.post("traces/link-to-run", run_id=run_id, trace_ids=[trace_id])
    api.post("traces/link-prompts", trace_id=trace_id, prompt_versions=[{"name": "p", "version": "1"}])
    assert api.post(DELETE, experiment_id=experiment_id, request_ids=[trace_id]) == {"traces_deleted": 1}
    gone = api.get_refused(f"/api/3.0/mlflow/traces/{trace_id}")
    assert gone == not_there(f"Trace with ID '{trace_id}' not found.")

    # A new trace of the same id has nothing of the old one.
    start_trace(api, experiment_id, trace_id)
    info = get_info(api, trace_id)
    assert set(info["tags"]) == {"mlflow.artifactLocation"}
    assert set(info["trace_metadata"]) == {"mlflow.trace.infoFinalized"}
    assert "assessments" not in info
    log_spans(api, experiment_id, otel_span(otel_id, 3))
    assert len(get_spans(api, trace_id)) == 1
    for condition in (f"run_id = '{run_id}'", "prompt = 'p/1'", "feedback.good IS NOT NULL", "tags.a = 'b'"):
        assert api.post(SEARCH, locations=locations(experiment_id), filter=condition)["traces"] == []


def test_which_traces_must_be_said_in_one_way(api: Api, experiment_id: str) -> None:
    def refused(**fields: object) -> object:
        return api.post_refused(DELETE, experiment_id=experiment_id, **fields)

    neither = invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    assert refused() == neither
    assert refused(request_ids=[]) == neither
    both = invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
    assert refused(max_timestamp_millis=5, request_ids=["a"]) == both
    limited = invalid("`max_traces` can't be specified if `trace_ids` is specified.")
    assert refused(request_ids=["a"], max_traces=1) == limited
    for number in (0, -1):
        wrong = invalid(f"`max_traces` must be a positive integer, received {number}.")
        assert refused(max_timestamp_millis=5, max_traces=number) == wrong


def test_the_experiment_must_be_named(api: Api) -> None:
    assert api.post_refused(DELETE, request_ids=["a"]) == missing("experiment_id")
    expected = invalid("Invalid experiment ID 'x'. Experiment ID must be a valid integer.")
    assert api.post_refused(DELETE, experiment_id="x", request_ids=["a"]) == expected
