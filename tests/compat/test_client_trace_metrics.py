"""Figures about traces as the real client asks for them: traced calls, their cost, people's feedback."""

from __future__ import annotations

import math
import time
from typing import Any

import mlflow
import pytest
from mlflow import MlflowException
from mlflow.entities import AssessmentSource, SpanType
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.tracing.client import TracingClient
from mlflow.tracking._tracking_service.utils import _get_store

BACKENDS = ["sqlite", "postgresql"]


def traced_calls(questions: int) -> list[str]:
    """The ids of traces, each of a chain that calls a model; every other one is from production."""
    trace_ids = []
    for number in range(questions):
        with mlflow.start_span(f"answer {number % 2}", SpanType.CHAIN) as chain:
            mlflow.update_current_trace(tags={"env": "test" if number % 2 else "prod"})
            with mlflow.start_span("model", SpanType.CHAT_MODEL) as call:
                call.set_attribute("mlflow.llm.model", "gpt")
                call.set_attribute("mlflow.llm.cost", {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75})
                tokens = {"input_tokens": number, "output_tokens": 10, "total_tokens": number + 10}
                call.set_attribute("mlflow.chat.tokenUsage", tokens)
        trace_ids.append(chain.trace_id)
    mlflow.flush_trace_async_logging()
    return trace_ids


def ask(experiment_id: str, view: MetricViewType, metric: str, *figures: AggregationType | float, **more: Any) -> Any:
    """What the client's store answers, as pairs of dimensions and values."""
    aggregations = [
        MetricAggregation(AggregationType.PERCENTILE, each) if isinstance(each, float) else MetricAggregation(each)
        for each in figures
    ]
    store: Any = _get_store()
    found = store.query_trace_metrics([experiment_id], view, metric, aggregations, **more)
    assert found.token is None
    return [(point.dimensions, point.values) for point in found]


def test_the_figures_of_traced_calls(experiment_id: str) -> None:
    began = int(time.time() * 1000)
    trace_ids = traced_calls(4)
    traces, spans = MetricViewType.TRACES, MetricViewType.SPANS
    by_name = ask(experiment_id, traces, "trace_count", AggregationType.COUNT, dimensions=["trace_name"])
    assert by_name == [({"trace_name": "answer 0"}, {"COUNT": 2}), ({"trace_name": "answer 1"}, {"COUNT": 2})]
    assert ask(experiment_id, traces, "input_tokens", AggregationType.SUM, 50.0, 90.0) == [
        ({}, {"SUM": 6, "P50.0": 1.5, "P90.0": pytest.approx(2.7)})
    ]
    costs = ask(experiment_id, spans, "total_cost", AggregationType.SUM, dimensions=["span_model_name"])
    assert costs == [({"span_model_name": "gpt"}, {"SUM": 3})]
    production = ask(experiment_id, spans, "span_count", AggregationType.COUNT, filters=["trace.tag.env = 'prod'"])
    assert production == [({}, {"COUNT": 4})]
    bounds = {"start_time_ms": began - 1000, "end_time_ms": int(time.time() * 1000) + 1000}
    by_day = ask(experiment_id, traces, "latency", AggregationType.MAX, 99.9, time_interval_seconds=86_400, **bounds)
    assert all(set(values) == {"MAX", "P99.9"} and "T00:00:00+00:00" in name["time_bucket"] for name, values in by_day)
    human = AssessmentSource("HUMAN", "me")
    for trace_id, value in zip(trace_ids, (True, True, False, "yes"), strict=True):
        mlflow.log_feedback(trace_id=trace_id, name="good", value=value, source=human)
    mlflow.log_expectation(trace_id=trace_ids[0], name="score", value=4, source=human)
    assessed = ask(
        experiment_id,
        MetricViewType.ASSESSMENTS,
        "assessment_value",
        AggregationType.AVG,
        dimensions=["assessment_name"],
    )
    assert assessed == [({"assessment_name": "good"}, {"AVG": 0.75}), ({"assessment_name": "score"}, {"AVG": 4})]


def test_an_overridden_feedback_is_not_counted(experiment_id: str) -> None:
    (trace_id,) = traced_calls(1)
    first = mlflow.log_feedback(trace_id=trace_id, name="score", value=1)
    assert first.assessment_id is not None
    mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value=3)
    found = ask(experiment_id, MetricViewType.ASSESSMENTS, "assessment_value", AggregationType.AVG)
    assert found == [({}, {"AVG": 3})]


def test_how_two_filters_go_together(experiment_id: str) -> None:
    traced_calls(4)
    client = TracingClient()
    found = client.calculate_trace_filter_correlation([experiment_id], "tag.env = 'prod'", "trace.name = 'answer 0'")
    assert (found.npmi, found.joint_count, found.total_count) == (pytest.approx(1), 2, 4)
    assert found.npmi_smoothed is not None and 0 < found.npmi_smoothed < 1
    nothing = client.calculate_trace_filter_correlation(
        [experiment_id], "tag.env = 'prod'", "tag.env = 'test'", base_filter="trace.name = 'answer 5'"
    )
    assert math.isnan(nothing.npmi) and (nothing.filter1_count, nothing.total_count) == (0, 0)


def test_a_wrong_question_is_the_clients_error(experiment_id: str) -> None:
    with pytest.raises(MlflowException, match="metric_name must be one of") as caught:
        ask(experiment_id, MetricViewType.TRACES, "span_count", AggregationType.COUNT)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
