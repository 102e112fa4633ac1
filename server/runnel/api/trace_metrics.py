"""The endpoint of figures about traces."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

from runnel.api.experiments import parse_experiment_ids
from runnel.api.services import Services
from runnel.domain import limits
from runnel.domain.trace_metrics import MetricAggregation, MetricDataPoint, ViewType, check_metric_query
from runnel.domain.validation import check_max_results
from runnel.store import trace_metrics


class DataPoints(TypedDict):
    data_points: list[MetricDataPoint]


async def query_trace_metrics(
    services: Services,
    experiment_ids: list[str],
    view_type: ViewType,
    metric_name: str,
    aggregations: list[MetricAggregation],
    dimensions: list[str] = [],  # noqa: B006
    filters: list[str] = [],  # noqa: B006
    time_interval_seconds: int | None = None,
    start_time_ms: int | None = None,
    end_time_ms: int | None = None,
    max_results: int = limits.DEFAULT_METRIC_DATA_POINTS,
) -> DataPoints:
    """Counts, sums, averages and percentiles over traces, spans or assessments, by time and other dimensions.

    There is one page only, as in MLflow: a longer list ends at ``max_results``.
    """
    check_max_results(max_results, limits.MAX_METRIC_DATA_POINTS)
    query = check_metric_query(
        parse_experiment_ids(experiment_ids),
        view_type,
        metric_name,
        aggregations,
        dimensions,
        filters,
        time_interval_seconds,
        start_time_ms,
        end_time_ms,
        max_results,
    )
    points = await services.database.read(partial(trace_metrics.query_trace_metrics, query=query), may_scan=True)
    return {"data_points": points}
