"""Logged models (MLflow 3's ``LoggedModel``): entities and rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import TagDict
from runnel.domain.filter_grammars import LOGGED_MODELS
from runnel.domain.validation import check_length

PENDING = "LOGGED_MODEL_PENDING"
# In the order of their numbers, which count from 1. The number 0, LOGGED_MODEL_STATUS_UNSPECIFIED, is no state a model
# can be brought into.
LoggedModelStatus = Literal["LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"]
# What a filter may call a status beside its name: MLflow's Python client has shorter names, its server numbers.
STATUS_SPELLINGS = {
    "PENDING": "LOGGED_MODEL_PENDING",
    "READY": "LOGGED_MODEL_READY",
    "FAILED": "LOGGED_MODEL_UPLOAD_FAILED",
    "1": "LOGGED_MODEL_PENDING",
    "2": "LOGGED_MODEL_READY",
    "3": "LOGGED_MODEL_UPLOAD_FAILED",
}

# Which versions of registered models are of a logged model, as a JSON list of names and numbers.
MODEL_VERSIONS_TAG = "mlflow.modelVersions"

_FORBIDDEN_IN_NAMES = ("/", ":", ".", "%", '"', "'")


@dataclass(frozen=True, slots=True)
class ModelInput:
    model_id: str


@dataclass(frozen=True, slots=True)
class ModelOutput:
    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class LoggedModelParameter:
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class LoggedModelTag:
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """Metrics of this dataset; without a digest, of every version of it."""

    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class OrderBy:
    """A sort key; a metric may be that of one dataset."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class ModelOrdering:
    """A sort key whose field exists; entity and key are those of the grammar ``LOGGED_MODELS``."""

    entity: str
    key: str
    ascending: bool
    dataset: DatasetFilter = DatasetFilter()


class ModelInputDict(TypedDict):
    model_id: str


class ModelOutputDict(TypedDict):
    model_id: str
    step: int


class LoggedModelMetricDict(TypedDict):
    """A value that was logged for a model; NaN is the text "NaN"."""

    key: str
    value: float | str
    timestamp: int
    step: int
    model_id: str
    run_id: str
    dataset_name: NotRequired[str]
    dataset_digest: NotRequired[str]


class LoggedModelInfo(TypedDict):
    """A model's own fields; times in milliseconds since the epoch."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str
    source_run_id: str
    tags: NotRequired[list[TagDict]]


class LoggedModelData(TypedDict, total=False):
    params: list[TagDict]
    metrics: list[LoggedModelMetricDict]


class LoggedModel(TypedDict):
    info: LoggedModelInfo
    data: LoggedModelData


def check_new_model(name: str, model_type: str, source_run_id: str) -> None:
    """Refuses a name MLflow refuses (an empty one stands for none), and what is past the limits."""
    if any(character in name for character in _FORBIDDEN_IN_NAMES):
        raise InvalidParameterValue(
            f"Invalid model name ({name[:500]!r}) provided. Model name must be a non-empty string "
            f"and cannot contain the following characters: {_FORBIDDEN_IN_NAMES}"
        )
    check_length("name", name, limits.MAX_LOGGED_MODEL_NAME_LENGTH)
    check_length("model_type", model_type, limits.MAX_LOGGED_MODEL_TYPE_LENGTH)
    check_length("source_run_id", source_run_id, limits.MAX_RUN_ID_LENGTH)


def check_key_values(what: str, items: Sequence[LoggedModelParameter | LoggedModelTag]) -> None:
    """Refuses params or tags past the limits; ``what`` is the name of the field that holds them."""
    for index, item in enumerate(items):
        check_length(f"{what}[{index}].key", item.key, limits.MAX_LOGGED_MODEL_KEY_LENGTH)
        check_length(f"{what}[{index}].value", item.value, limits.MAX_LOGGED_MODEL_VALUE_LENGTH)


def check_no_duplicates(what: str, items: Sequence[LoggedModelParameter | LoggedModelTag]) -> None:
    """Refuses a key that is given twice."""
    seen: set[str] = set()
    for item in items:
        if item.key in seen:
            raise InvalidParameterValue(f"The key '{item.key}' stands in '{what}' more than once")
        seen.add(item.key)


def model_versions_in_tag(value: str) -> list[object]:
    """What the tag ``mlflow.modelVersions`` lists; nothing where a client has put something else there."""
    try:
        versions = json.loads(value)
    except (ValueError, RecursionError):
        return []
    return versions if isinstance(versions, list) else []


def check_dataset_filters(datasets: Sequence[DatasetFilter]) -> None:
    """Refuses a dataset without a name, and more datasets than a search can take."""
    if len(datasets) > limits.MAX_LOGGED_MODEL_DATASET_FILTERS:
        raise InvalidParameterValue(
            f"'datasets' can contain at most {limits.MAX_LOGGED_MODEL_DATASET_FILTERS} datasets, got {len(datasets)}"
        )
    if not all(dataset.dataset_name for dataset in datasets):
        raise InvalidParameterValue("`dataset_name` in the `datasets` clause must be specified.")


def parse_model_orderings(order_by: Sequence[OrderBy]) -> tuple[ModelOrdering, ...]:
    """The sort keys of a search, the most significant first: fields of the model and ``metrics.<key>``."""
    if len(order_by) > limits.MAX_LOGGED_MODEL_ORDER_BY_TERMS:
        raise InvalidParameterValue(
            f"'order_by' can contain at most {limits.MAX_LOGGED_MODEL_ORDER_BY_TERMS} fields, got {len(order_by)}"
        )
    return tuple(_parse_model_ordering(term) for term in order_by)


def _parse_model_ordering(term: OrderBy) -> ModelOrdering:
    spelling, dot, metric = term.field_name.partition(".")
    if dot and spelling != "metrics":
        raise InvalidParameterValue(
            f"Invalid order by field name: {term.field_name[:500]}. Only metrics are supported."
        )
    if dot:
        return ModelOrdering("metric", metric, term.ascending, DatasetFilter(term.dataset_name, term.dataset_digest))
    attributes = LOGGED_MODELS.entity_of("attribute")
    assert attributes is not None
    key = attributes.key_aliases.get(spelling, spelling)
    field = attributes.field_of(key)
    if field is None or not field.orderable:
        raise InvalidParameterValue(f"Invalid order by field name: {spelling[:500]}")
    return ModelOrdering("attribute", key, term.ascending)
