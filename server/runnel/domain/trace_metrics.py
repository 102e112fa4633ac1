"""What can be asked of traces, spans and assessments as figures, as in MLflow 3.17 (``query_trace_metrics``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.trace_metric_filters import MetricFilter, parse_metric_filter
from runnel.domain.validation import missing_value

ViewType = Literal["TRACES", "SPANS", "ASSESSMENTS"]
AggregationType = Literal["COUNT", "SUM", "AVG", "PERCENTILE", "MIN", "MAX"]

TIME_BUCKET = "time_bucket"  # beside the dimensions that were asked for
TOKEN_METRICS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
COST_METRICS = ("input_cost", "output_cost", "total_cost")

# Milliseconds since the epoch of the years 1 to 9999: no other time can be written.
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class MetricAggregation:
    """One figure; ``percentile_value`` is between 0 and 100."""

    aggregation_type: AggregationType = "COUNT"
    percentile_value: float | None = None

    @property
    def label(self) -> str:
        """The name of the figure in an answer: ``AVG``, ``P99.9``."""
        return f"P{self.percentile_value}" if self.aggregation_type == "PERCENTILE" else self.aggregation_type


class MetricDataPoint(TypedDict):
    """The figures of the rows that share the values of all dimensions."""

    metric_name: str
    dimensions: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """A request for figures that has been found to make sense. Times in milliseconds since the epoch, both included."""

    experiment_ids: Sequence[int]
    view_type: ViewType
    metric_name: str
    aggregations: Sequence[MetricAggregation]
    dimensions: Sequence[str]
    filters: Sequence[MetricFilter]
    time_interval_seconds: int | None
    start_time_ms: int | None
    end_time_ms: int | None
    max_results: int


@dataclass(frozen=True, slots=True)
class _Metric:
    aggregations: frozenset[str]
    dimensions: frozenset[str]


_COUNTED = frozenset({"COUNT"})
_MEASURED = frozenset({"AVG", "MIN", "MAX", "PERCENTILE"})
_SUMMED = _MEASURED | {"SUM"}
_NAME = frozenset({"trace_name"})
_MODEL = frozenset({"span_model_name", "span_model_provider"})

METRICS: dict[ViewType, dict[str, _Metric]] = {
    "TRACES": {
        "trace_count": _Metric(_COUNTED, _NAME | {"trace_status"}),
        "session_count": _Metric(_COUNTED, frozenset()),
        "latency": _Metric(_MEASURED, _NAME),
        **{name: _Metric(_SUMMED, _NAME) for name in TOKEN_METRICS},
    },
    "SPANS": {
        "span_count": _Metric(_COUNTED, _MODEL | {"span_name", "span_type", "span_status"}),
        "latency": _Metric(_MEASURED, frozenset({"span_name", "span_status"})),
        **{name: _Metric(_SUMMED, _MODEL) for name in COST_METRICS},
    },
    "ASSESSMENTS": {
        "assessment_count": _Metric(_COUNTED, frozenset({"assessment_name", "assessment_value"})),
        "assessment_value": _Metric(_MEASURED, frozenset({"assessment_name"})),
    },
}


def check_metric_query(
    experiment_ids: Sequence[int],
    view_type: ViewType,
    metric_name: str,
    aggregations: Sequence[MetricAggregation],
    dimensions: Sequence[str],
    filters: Sequence[str],
    time_interval_seconds: int | None,
    start_time_ms: int | None,
    end_time_ms: int | None,
    max_results: int,
) -> MetricQuery:
    """The query, or the first thing that is wrong with it; an interval of 0 is none."""
    if not aggregations:
        raise InvalidParameterValue(missing_value("aggregations"))
    for aggregation in aggregations:
        _check_percentile(aggregation)
    metric = METRICS[view_type].get(metric_name)
    if metric is None:
        names = list(METRICS[view_type])
        raise InvalidParameterValue(f"metric_name must be one of {names}, got '{metric_name[:100]}'")
    wrong_types = {aggregation.aggregation_type for aggregation in aggregations} - metric.aggregations
    if wrong_types:
        raise InvalidParameterValue(
            f"Found invalid aggregation_type(s): {sorted(wrong_types)}. "
            f"Supported aggregation types: {sorted(metric.aggregations)}"
        )
    wrong_dimensions = set(dimensions) - metric.dimensions
    if wrong_dimensions:
        shown = [dimension[:100] for dimension in sorted(wrong_dimensions)[:10]]
        raise InvalidParameterValue(
            f"Found invalid dimension(s): {shown}. Supported dimensions: {sorted(metric.dimensions)}"
        )
    by_label = {aggregation.label: aggregation for aggregation in aggregations}
    if len(by_label) > limits.MAX_METRIC_AGGREGATIONS:
        raise InvalidParameterValue(f"'aggregations' can contain at most {limits.MAX_METRIC_AGGREGATIONS} figures")
    if len(filters) > limits.MAX_METRIC_FILTERS:
        raise InvalidParameterValue(f"'filters' can contain at most {limits.MAX_METRIC_FILTERS} filters")
    _check_interval(time_interval_seconds, start_time_ms, end_time_ms)
    return MetricQuery(
        sorted(set(experiment_ids)),
        view_type,
        metric_name,
        list(by_label.values()),
        list(dict.fromkeys(dimensions)),
        [parse_metric_filter(text, view_type) for text in filters],
        time_interval_seconds or None,
        start_time_ms,
        end_time_ms,
        max_results,
    )


def _check_percentile(aggregation: MetricAggregation) -> None:
    percentile = aggregation.percentile_value
    if aggregation.aggregation_type != "PERCENTILE":
        if percentile is not None:
            raise InvalidParameterValue(
                f"Percentile value is only allowed for PERCENTILE aggregation type, got {aggregation.aggregation_type}"
            )
    elif percentile is None:
        raise InvalidParameterValue("Percentile value is required for PERCENTILE aggregation")
    elif not 0 <= percentile <= 100:
        raise InvalidParameterValue(f"Percentile value must be between 0 and 100, got {percentile}")


def _check_interval(interval: int | None, start_time_ms: int | None, end_time_ms: int | None) -> None:
    if not interval:
        return
    if start_time_ms is None or end_time_ms is None:
        raise InvalidParameterValue("start_time_ms and end_time_ms are required if time_interval_seconds is set")
    if not 0 < interval <= limits.MAX_METRIC_INTERVAL_SECONDS:
        raise InvalidParameterValue(
            f"Invalid value {interval} for parameter 'time_interval_seconds' supplied. "
            f"It must be at least 1 and at most {limits.MAX_METRIC_INTERVAL_SECONDS}"
        )


def render_time_bucket(start_ms: int) -> str:
    """When a bucket begins, as MLflow writes it; the first one of the calendar may begin before it."""
    return datetime.fromtimestamp(max(start_ms, FIRST_MS) // 1000, UTC).isoformat()
