"""Endpoints of metrics."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import Empty
from runnel.api.wire import RunId
from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.metrics import Metric, MetricDict, check_metric
from runnel.store import metrics
from runnel.store.runs import get_active_run_ref
from runnel.store.statements import Transaction


class MetricsAnswer(TypedDict):
    metrics: list[MetricDict]
    next_page_token: NotRequired[str]


def log_metric(
    tx: Transaction,
    run_id: RunId,
    key: str,
    value: float,
    timestamp: int,
    step: int = 0,
    model_id: str = "",
    dataset_name: str = "",
    dataset_digest: str = "",
) -> Empty:
    """Adds a point to a series of an active run."""
    metric = Metric(key, value, timestamp, step, model_id, dataset_name, dataset_digest)
    check_metric(metric)
    ref = get_active_run_ref(tx, run_id)
    metrics.log_metrics(tx, ref.id, ref.experiment_id, [metric])
    return {}


def get_metric_history(
    tx: Transaction, run_id: RunId, metric_key: str, page_token: str = "", max_results: int | None = None
) -> MetricsAnswer:
    """A series in the order of timestamp, step and value; in pages of at most 25,000 points.

    MLflow answers a request without ``max_results`` with the whole series at once; here the page bounds the memory, and
    the token in the answer tells where to go on.
    """
    if max_results is not None and max_results <= 0:
        raise InvalidParameterValue(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    page_size = min(max_results or limits.MAX_METRIC_HISTORY_RESULTS, limits.MAX_METRIC_HISTORY_RESULTS)
    found, next_page_token = metrics.get_metric_history(tx, run_id, metric_key, page_size, page_token)
    answer: MetricsAnswer = {"metrics": found}
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def get_metric_history_bulk(
    tx: Transaction,
    run_id: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
    metric_key: str = "",
    max_results: int = limits.MAX_METRIC_HISTORY_RESULTS,
) -> MetricsAnswer:
    """The series of up to 100 runs one after another, up to 25,000 points in all."""
    limit = limits.MAX_RUNS_PER_METRIC_HISTORY
    if not run_id:
        raise InvalidParameterValue("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(run_id) > limit:
        raise InvalidParameterValue(
            f"GetMetricHistoryBulk request cannot specify more than {limit} run_ids. Received {len(run_id)} run_ids."
        )
    if not metric_key:
        raise InvalidParameterValue("GetMetricHistoryBulk request must specify a metric_key.")
    size = max(0, min(max_results, limits.MAX_METRIC_HISTORY_RESULTS))
    return {"metrics": metrics.get_metric_history_bulk(tx, run_id, metric_key, size)}


def get_metric_history_bulk_interval(
    tx: Transaction,
    run_ids: list[str],
    metric_key: str,
    start_step: int | None = None,
    end_step: int | None = None,
    max_results: int = limits.MAX_SAMPLED_POINTS_PER_RUN,
) -> MetricsAnswer:
    """A sample of the series of up to 100 runs: at most ``max_results`` points of each between two steps.

    There is one page only, as in MLflow: of many runs it has fewer points of each.
    """
    limit = limits.MAX_RUNS_PER_METRIC_HISTORY
    if len(run_ids) > limit:
        raise InvalidParameterValue(
            f"GetMetricHistoryBulkInterval request must specify at most {limit} run_ids. "
            f"Received {len(run_ids)} run_ids."
        )
    if not 1 <= max_results <= limits.MAX_SAMPLED_POINTS_PER_RUN:
        raise InvalidParameterValue(f"max_results must be between 1 and {limits.MAX_SAMPLED_POINTS_PER_RUN}.")
    if start_step is None and end_step is None:
        start_step, end_step = limits.INT64_MIN, limits.INT64_MAX
    if start_step is None or end_step is None:
        raise InvalidParameterValue("If either start step or end step are specified, both must be specified.")
    if start_step > end_step:
        raise InvalidParameterValue(
            f"end_step must be greater than start_step. Found start_step={start_step} and end_step={end_step}."
        )
    size = min(max_results, limits.MAX_SAMPLED_POINTS // max(1, len(run_ids)))
    return {"metrics": metrics.sample_metric_history(tx, run_ids, metric_key, start_step, end_step, size)}


def sampling_may_scan(**_: object) -> bool:
    """Every point between the two steps is looked at."""
    return True
