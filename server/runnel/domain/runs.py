"""Runs, their params and tags: entities and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.datasets import DatasetInputDict
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import TagDict
from runnel.domain.logged_models import ModelInputDict, ModelOutputDict
from runnel.domain.metrics import Metric, MetricDict, check_metric
from runnel.domain.validation import check_key, check_length

RUN_NAME_TAG = "mlflow.runName"
PARENT_RUN_TAG = "mlflow.parentRunId"
LOGGED_MODELS_TAG = "mlflow.log-model.history"

RUNNING = "RUNNING"
RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]


@dataclass(frozen=True, slots=True)
class Param:
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class RunTag:
    key: str
    value: str = ""


class RunInfo(TypedDict):
    """A run's own fields; times in milliseconds since the epoch. ``run_uuid`` is the old name of ``run_id``."""

    run_id: str
    run_uuid: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    end_time: NotRequired[int]
    artifact_uri: str
    lifecycle_stage: str


class RunData(TypedDict, total=False):
    metrics: list[MetricDict]
    params: list[TagDict]
    tags: list[TagDict]


class RunInputs(TypedDict, total=False):
    dataset_inputs: list[DatasetInputDict]
    model_inputs: list[ModelInputDict]


class RunOutputs(TypedDict, total=False):
    model_outputs: list[ModelOutputDict]


class RunEntries(TypedDict):
    """What belongs to a run. (The store gives each list as the JSON that the database wrote.)"""

    data: RunData
    inputs: RunInputs
    outputs: RunOutputs


class Run(RunEntries):
    info: RunInfo


# A value that is too long is cut, not refused: what MLflow does unless MLFLOW_TRUNCATE_LONG_VALUES says otherwise. A
# training script must not fail for the length of a prompt it logs.


def accepted_param(param: Param, path: str = "") -> Param:
    """The param as it is kept: a value past 6,000 characters is cut there. A key that MLflow refuses is an error."""
    check_key(param.key, f"{path}.key" if path else "key", "Param key")
    if len(param.value) <= limits.MAX_PARAM_VALUE_LENGTH:
        return param
    return Param(param.key, param.value[: limits.MAX_PARAM_VALUE_LENGTH])


def accepted_tag(tag: RunTag, path: str = "") -> RunTag:
    """The tag as it is kept: a value past 8,000 characters is cut there. A key that MLflow refuses is an error."""
    prefix = f"{path}." if path else ""
    check_key(tag.key, f"{prefix}key", f"{prefix}key")
    return _cut(tag)


def accepted_first_tag(tag: RunTag, path: str) -> RunTag:
    """The same for a tag that a run is created with, whose key may hold any characters, as in MLflow."""
    check_length(f"{path}.key", tag.key, limits.MAX_ENTITY_KEY_LENGTH)
    return _cut(tag)


def _cut(tag: RunTag) -> RunTag:
    if len(tag.value) <= limits.MAX_TAG_VALUE_LENGTH:
        return tag
    return RunTag(tag.key, tag.value[: limits.MAX_TAG_VALUE_LENGTH])


def _check_batch_size(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidParameterValue(
            f"A batch logging request can contain at most {limit} {what}. Got {count} {what}. "
            f"Please split up {what} across multiple requests and try again."
        )


def accepted_batch(
    metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
) -> tuple[list[Param], list[RunTag]]:
    """The params and tags of a batch as they are kept.

    A batch past MLflow's limits, an invalid member, and a param key that stands in it twice are errors.
    """
    for index, metric in enumerate(metrics):
        check_metric(metric, f"metrics[{index}]")
    params = [accepted_param(param, f"params[{index}]") for index, param in enumerate(params)]
    tags = [accepted_tag(tag, f"tags[{index}]") for index, tag in enumerate(tags)]
    _check_batch_size("metrics", len(metrics), limits.MAX_METRICS_PER_BATCH)
    _check_batch_size("params", len(params), limits.MAX_PARAMS_PER_BATCH)
    _check_batch_size("tags", len(tags), limits.MAX_TAGS_PER_BATCH)
    _check_batch_size(
        "metrics, params, and tags", len(metrics) + len(params) + len(tags), limits.MAX_ENTITIES_PER_BATCH
    )
    seen: set[str] = set()
    duplicates = [param.key for param in params if param.key in seen or seen.add(param.key)]  # type: ignore[func-returns-value]
    if duplicates:
        raise InvalidParameterValue(
            f"Duplicate parameter keys have been submitted: {duplicates}. Please ensure the request contains only one "
            "param value per param key."
        )
    return params, tags


def choose_run_name(run_name: str, tags: Sequence[RunTag]) -> str:
    """The name of a new run: the argument or the tag ``mlflow.runName`` (which must agree), or ''."""
    tag_name = next((tag.value for tag in tags if tag.key == RUN_NAME_TAG), "")
    if run_name and tag_name and run_name != tag_name:
        raise InvalidParameterValue(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{run_name}', mlflow.runName='{tag_name}')."
        )
    return run_name or tag_name
