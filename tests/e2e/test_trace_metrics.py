"""Figures about traces, spans and assessments: counts, sums, percentiles, by time and other dimensions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid
from tests.trace_requests import START_MS, log_spans, new_otel_id, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/metrics"
TRACES = "/api/3.0/mlflow/traces"


def question(
    experiment_id: str, view: str, metric: str, figures: Sequence[str | float], **fields: Any
) -> dict[str, Any]:
    """A request; a number among the figures is a percentile."""
    aggregations = [
        {"aggregation_type": each}
        if isinstance(each, str)
        else {"aggregation_type": "PERCENTILE", "percentile_value": each}
        for each in figures
    ]
    asked = {"experiment_ids": [experiment_id], "view_type": view, "metric_name": metric, "aggregations": aggregations}
    return asked | fields


def points(api: Api, experiment_id: str, view: str, metric: str, *figures: str | float, **fields: Any) -> list[Any]:
    """The figures, each as its dimensions' values in their order, and then the values."""
    found = api.post(PATH, **question(experiment_id, view, metric, figures, **fields))["data_points"]
    assert all(point["metric_name"] == metric for point in found)
    return [(*point["dimensions"].values(), *point["values"].values()) for point in found]


def refused(api: Api, experiment_id: str, view: str, metric: str, *figures: str | float, **fields: Any) -> Refusal:
    return api.post_refused(PATH, **question(experiment_id, view, metric, figures, **fields))


def assess(api: Api, trace_id: str, name: str, value: Any, **fields: Any) -> str:
    source = {"source_type": "HUMAN", "source_id": "me"}
    assessment = {"assessment_name": name, "source": source, "feedback": {"value": value}} | fields
    answer = api.post(f"{TRACES}/{trace_id}/assessments", assessment=assessment)
    assessment_id: str = answer["assessment"]["assessment_id"]
    return assessment_id


def spans_of_trace(api: Api, experiment_id: str, *spans: dict[str, Any]) -> str:
    """A trace of one root span and those given below it; gives back its id."""
    otel_id = new_otel_id()
    root = otel_span(otel_id, 1, name="root", end=1000)
    rest = [otel_span(otel_id, number, 1, **span) for number, span in enumerate(spans, start=2)]
    log_spans(api, experiment_id, root, *rest)
    return f"tr-{otel_id}"


def test_percentiles_lie_between_the_values_around_them(api: Api, experiment_id: str) -> None:
    durations = [7, 10, 40, 41, 1000]
    for duration in durations:
        start_trace(api, experiment_id, execution_duration=f"{duration / 1000}s")
    start_trace(api, experiment_id)  # it has no duration
    (found,) = points(api, experiment_id, "TRACES", "latency", 0, 25, 33.3, 50, 90, 99.9, 100, "AVG", "MIN", "MAX")
    quarters = statistics.quantiles(durations, n=1000, method="inclusive")
    expected = [7, quarters[249], quarters[332], 40, quarters[899], quarters[998], 1000]
    assert found == pytest.approx((*expected, statistics.mean(durations), 7, 1000))


def test_percentiles_are_those_of_each_group(api: Api, experiment_id: str) -> None:
    for name, durations in (("a", (1, 2, 10)), ("b", (4,)), ("c", (5, 6))):
        for duration in durations:
            start_trace(api, experiment_id, execution_duration=f"0.{duration:03}s", tags={"mlflow.traceName": name})
    found = points(api, experiment_id, "TRACES", "latency", 50, 75, "MAX", dimensions=["trace_name"])
    assert found == [("a", 2.0, 6.0, 10.0), ("b", 4.0, 4.0, 4.0), ("c", 5.5, 5.75, 6.0)]


def test_traces_are_counted_in_intervals_of_time(api: Api, experiment_id: str) -> None:
    for start in (0, 999, 1000, 59_999, 100_000, 500_000):
        start_trace(api, experiment_id, start=start)
    found = points(
        api,
        experiment_id,
        "TRACES",
        "trace_count",
        "COUNT",
        time_interval_seconds=60,
        start_time_ms=START_MS,
        end_time_ms=START_MS + 100_000,
    )
    assert found == [
        ("2023-11-14T22:13:00+00:00", 3.0),
        ("2023-11-14T22:14:00+00:00", 1.0),
        ("2023-11-14T22:15:00+00:00", 1.0),
    ]


def test_an_interval_before_the_epoch_begins_before_the_time(api: Api, experiment_id: str) -> None:
    start_trace(api, experiment_id, request_time="1969-12-31T23:59:59.500Z")
    start_trace(api, experiment_id, request_time="0001-01-01T00:00:00Z")
    found = points(
        api,
        experiment_id,
        "TRACES",
        "trace_count",
        "COUNT",
        time_interval_seconds=7000,
        start_time_ms=-(2**63),
        end_time_ms=2**63 - 1,
    )
    assert found == [("0001-01-01T00:00:00+00:00", 1.0), ("1969-12-31T22:03:20+00:00", 1.0)]


def test_a_time_that_no_calendar_has_is_at_its_end(api: Api, experiment_id: str) -> None:
    for time in (-(2**63), 2**63 - 1, 253_402_300_800_000):
        api.post("traces", experiment_id=experiment_id, timestamp_ms=time)
    interval = {"time_interval_seconds": 3600, "start_time_ms": -(2**63), "end_time_ms": 2**63 - 1}
    found = points(api, experiment_id, "TRACES", "trace_count", "COUNT", **interval)
    assert found == [("0001-01-01T00:00:00+00:00", 1.0), ("9999-12-31T23:00:00+00:00", 2.0)]


def test_sums_of_tokens_do_not_overflow(api: Api, experiment_id: str) -> None:
    for _ in range(3):
        start_trace(api, experiment_id, trace_metadata={"mlflow.trace.tokenUsage": f'{{"input_tokens": {2**62}}}'})
    (found,) = points(api, experiment_id, "TRACES", "input_tokens", "SUM", "AVG", "MAX", 50)
    assert found == pytest.approx((3 * 2.0**62, 2.0**62, 2.0**62, 2.0**62))


def test_sessions_are_counted_once(api: Api, experiment_id: str) -> None:
    for session in ("a", "a", "b"):
        start_trace(api, experiment_id, trace_metadata={"mlflow.trace.session": session})
    start_trace(api, experiment_id)
    assert points(api, experiment_id, "TRACES", "session_count", "COUNT") == [(2.0,)]


def test_the_cost_of_spans_is_summed_by_model(api: Api, experiment_id: str) -> None:
    def call(model: str, cost: float, start: int) -> dict[str, Any]:
        attributes = {"mlflow.llm.model": model, "mlflow.llm.provider": "p", "mlflow.llm.cost": {"total_cost": cost}}
        return {"name": "call", "start": start, "end": start + 10, "attributes": attributes}

    spans_of_trace(api, experiment_id, call("m", 0.25, 0), call("m", 0.5, 500), call("n", 1.0, 900))
    by_model = points(api, experiment_id, "SPANS", "total_cost", "SUM", "MAX", dimensions=["span_model_name"])
    assert by_model == [("m", 0.75, 0.5), ("n", 1.0, 1.0)]
    # When a cost arises is the start of its span, not of the trace.
    later = points(
        api, experiment_id, "SPANS", "total_cost", "SUM", start_time_ms=START_MS + 500, end_time_ms=START_MS + 899
    )
    assert later == [(0.5,)]


def test_spans_are_counted_by_type_and_status(api: Api, experiment_id: str) -> None:
    spans_of_trace(
        api,
        experiment_id,
        {"status": 2, "attributes": {"mlflow.spanType": "TOOL"}},
        {"status": 2, "attributes": {"mlflow.spanType": "TOOL"}},
        {"status": 1, "attributes": {"mlflow.spanType": "LLM"}, "name": "ask"},
    )
    found = points(api, experiment_id, "SPANS", "span_count", "COUNT", dimensions=["span_status", "span_type"])
    assert found == [("ERROR", "TOOL", 2.0), ("OK", "LLM", 1.0)]  # the root has no type
    only = points(
        api, experiment_id, "SPANS", "span_count", "COUNT", filters=["span.name = 'ask'", "span.type = 'LLM'"]
    )
    assert only == [(1.0,)]


def test_a_span_that_has_not_ended_has_no_latency(api: Api, experiment_id: str) -> None:
    spans_of_trace(api, experiment_id, {"name": "open", "end": None}, {"name": "done", "end": 30})
    found = points(api, experiment_id, "SPANS", "latency", "AVG", 50, dimensions=["span_name"])
    assert found == [("done", 30.0, 30.0), ("root", 1000.0, 1000.0)]


def test_what_counts_as_a_number_in_an_assessment(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    for value in (True, "yes", " YES\n", False, "no", "maybe", '"', "", None, [1], 0.5):
        assess(api, trace_id, "mixed", value)
    assess(api, trace_id, "whole", 3)
    assess(api, trace_id, "whole", -1)
    found = points(
        api, experiment_id, "ASSESSMENTS", "assessment_value", "AVG", "MIN", 50, dimensions=["assessment_name"]
    )
    assert found == [("mixed", pytest.approx(3.5 / 6), 0.0, 0.75), ("whole", 1.0, -1.0, 1.0)]


def test_an_overridden_assessment_does_not_count(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    first = assess(api, trace_id, "score", 1)
    assess(api, trace_id, "score", 5, overrides=first)
    assert points(api, experiment_id, "ASSESSMENTS", "assessment_value", "MIN") == [(5.0,)]
    assert points(api, experiment_id, "ASSESSMENTS", "assessment_count", "COUNT") == [(1.0,)]


def test_assessments_are_counted_by_value(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id, tags={"env": "prod"})["trace_id"]
    for value in (True, True, "good", 2):
        assess(api, trace_id, "verdict", value)
    dimensions = ["assessment_name", "assessment_value"]
    found = points(api, experiment_id, "ASSESSMENTS", "assessment_count", "COUNT", dimensions=dimensions)
    assert found == [("verdict", '"good"', 1.0), ("verdict", "2.0", 1.0), ("verdict", "true", 2.0)]
    in_range = {"start_time_ms": START_MS, "end_time_ms": START_MS, "filters": ["trace.tag.env = 'prod'"]}
    assert points(api, experiment_id, "ASSESSMENTS", "assessment_count", "COUNT", **in_range) == [(4.0,)]
    assert points(api, experiment_id, "ASSESSMENTS", "assessment_count", "COUNT", start_time_ms=START_MS + 1) == [
        (0.0,)
    ]


def test_the_list_ends_at_max_results(api: Api, experiment_id: str) -> None:
    for name in "dbca":
        start_trace(api, experiment_id, tags={"mlflow.traceName": name})
    found = points(api, experiment_id, "TRACES", "trace_count", "COUNT", dimensions=["trace_name"], max_results=3)
    assert found == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_experiments_are_added_up_and_counted_once(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    for owner in (experiment_id, other, other):
        start_trace(api, owner)
    ids = [experiment_id, other, other]
    assert points(api, experiment_id, "TRACES", "trace_count", "COUNT", experiment_ids=ids) == [(3.0,)]


@pytest.mark.parametrize(
    ("filter_", "matching"),
    [
        ("trace.status = 'ERROR'", 1),
        ("trace.tag.env = 'prod'", 2),
        ("trace.tag.`it's` = 'it''s'", 1),
        ('trace.metadata.k = "v"', 1),
        ("  trace.tag.mlflow.traceName='chat'  ", 1),
        ("`trace`.metadata.mlflow.trace.session = 's'", 1),
        ("trace.tag.env = 'prod' ", 2),
        ("trace.tag.env = 'Prod'", 0),
    ],
)
def test_a_filter_leaves_the_traces_that_meet_it(api: Api, experiment_id: str, filter_: str, matching: int) -> None:
    start_trace(api, experiment_id, state="ERROR", tags={"env": "prod", "it's": "it's", "mlflow.traceName": "chat"})
    start_trace(api, experiment_id, tags={"env": "prod"}, trace_metadata={"k": "v", "mlflow.trace.session": "s"})
    start_trace(api, experiment_id)
    assert points(api, experiment_id, "TRACES", "trace_count", "COUNT", filters=[filter_]) == [(float(matching),)]


def test_a_run_has_the_traces_that_it_made_and_those_linked_to_it(api: Api, experiment_id: str, run_id: str) -> None:
    start_trace(api, experiment_id, trace_metadata={"mlflow.sourceRun": run_id})
    linked = start_trace(api, experiment_id)["trace_id"]
    start_trace(api, experiment_id)
    api.post("traces/link-to-run", run_id=run_id, trace_ids=[linked])
    of_run = [f"trace.metadata.mlflow.sourceRun = '{run_id}'"]
    assert points(api, experiment_id, "TRACES", "trace_count", "COUNT", filters=of_run) == [(2.0,)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_results": 10_001}, "Invalid value 10001 for parameter 'max_results' supplied. It must be at most 10000"),
        ({"filters": ["trace.status = 'OK'"] * 101}, "'filters' can contain at most 100 filters"),
        ({"filters": ["x" * 20_001]}, "A filter can have at most 20000 characters"),
        ({"filters": ["trace.tag.a = 'b'; DROP TABLE traces"]}, "Invalid clause(s) in filter string: ;"),
        ({"filters": ["trace.tag.a = '"]}, "Invalid clause(s) in filter string: '"),
        ({"filters": ["="]}, "Invalid clause(s) in filter string: ="),
        (
            {"dimensions": ["trace_status"]},
            "Found invalid dimension(s): ['trace_status']. Supported dimensions: ['trace_name']",
        ),
    ],
)
def test_what_a_question_cannot_be(api: Api, experiment_id: str, fields: dict[str, Any], message: str) -> None:
    assert refused(api, experiment_id, "TRACES", "latency", "AVG", **fields) == invalid(message)


def test_more_figures_than_fifty_are_refused(api: Api, experiment_id: str) -> None:
    figures = [number / 10 for number in range(51)]
    assert refused(api, experiment_id, "TRACES", "latency", *figures) == invalid(
        "'aggregations' can contain at most 50 figures"
    )
    start_trace(api, experiment_id, execution_duration="1s")
    assert points(api, experiment_id, "TRACES", "latency", *figures[:50]) == [(1000.0,) * 50]


def test_a_percentile_of_nan_is_refused(api: Api, experiment_id: str) -> None:
    aggregations = [{"aggregation_type": "PERCENTILE", "percentile_value": "NaN"}]
    answer = refused(api, experiment_id, "TRACES", "latency", aggregations=aggregations)
    assert answer == invalid("Percentile value must be between 0 and 100, got nan")


def test_a_long_filter_that_is_none_is_refused_at_once(api: Api, experiment_id: str) -> None:
    for nonsense in (
        "a" * 20_000,
        "a." * 10_000,
        "trace.tag." + "`" * 19_000,
        "trace.tag." + "'" * 19_001,
        " " * 19_000 + "a",
    ):
        assert refused(api, experiment_id, "TRACES", "latency", "AVG", filters=[nonsense]).status == 400


def test_spans_of_times_that_no_clock_shows_are_counted_without_a_latency(api: Api, experiment_id: str) -> None:
    span = {"traceId": new_otel_id(), "spanId": "00" * 7 + "01", "name": "odd"}
    times = {"startTimeUnixNano": str(-(2**63)), "endTimeUnixNano": str(2**63 - 1)}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span | times]}]}]}
    sent = api.send("POST", "/v1/traces", json=body, headers={"x-mlflow-experiment-id": experiment_id})
    everything = {"time_interval_seconds": 3600, "start_time_ms": -(2**63), "end_time_ms": 2**63 - 1}
    count = points(api, experiment_id, "SPANS", "span_count", "COUNT")
    assert count == [(1.0 if sent.status_code == 200 else 0.0,)]
    assert points(api, experiment_id, "SPANS", "latency", "AVG", 50) == []
    assert points(api, experiment_id, "SPANS", "total_cost", "SUM", **everything) == []
