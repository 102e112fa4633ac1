"""Metrics: one value of a series, and the rules for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_key, check_length, invalid_value


@dataclass(frozen=True, slots=True)
class Metric:
    """A logged value; ``timestamp`` in milliseconds since the epoch. The value may be NaN or infinite."""

    key: str
    value: float
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class MetricDict(TypedDict):
    """A metric as clients see it; NaN is the text "NaN", as in protobuf's JSON."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: NotRequired[str]


def check_metric(metric: Metric, path: str = "") -> None:
    """Refuses a metric whose key MLflow refuses, or whose timestamp is negative."""
    prefix = f"{path}." if path else ""
    check_key(metric.key, f"{prefix}name", "Metric name")
    if metric.timestamp < 0:
        raise InvalidParameterValue(
            invalid_value(
                f"{prefix}timestamp",
                metric.timestamp,
                f"metric '{metric.key}' (value={metric.value}). Timestamp must be a nonnegative long (64-bit integer) ",
            )
        )
    if bool(metric.dataset_name) != bool(metric.dataset_digest):
        raise InvalidParameterValue("Both dataset_name and dataset_digest must be provided if one is provided")
    if metric.model_id:
        check_length(f"{prefix}model_id", metric.model_id, limits.MAX_MODEL_ID_LENGTH)
        check_length(f"{prefix}dataset_name", metric.dataset_name, limits.MAX_DATASET_NAME_LENGTH)
        check_length(f"{prefix}dataset_digest", metric.dataset_digest, limits.MAX_DATASET_DIGEST_LENGTH)
