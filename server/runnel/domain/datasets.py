"""Datasets that runs used as inputs: entities and rules. (Evaluation datasets are another entity.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import TagDict
from runnel.domain.validation import check_length

DATASET_CONTEXT_TAG = "mlflow.data.context"


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class InputTag:
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInput:
    dataset: Dataset
    tags: tuple[InputTag, ...] = ()


class DatasetDict(TypedDict):
    name: str
    digest: str
    source_type: str
    source: str
    schema: NotRequired[str]
    profile: NotRequired[str]


class DatasetInputDict(TypedDict):
    tags: NotRequired[list[TagDict]]
    dataset: DatasetDict


class DatasetSummary(TypedDict):
    experiment_id: str
    name: str
    digest: str
    context: NotRequired[str]


def check_dataset_inputs(inputs: Sequence[DatasetInput]) -> None:
    """Refuses datasets and tags past MLflow's limits on their parts, and more than 1,000 of them."""
    if len(inputs) > limits.MAX_DATASETS_PER_REQUEST:
        raise InvalidParameterValue(
            f"'datasets' can contain at most {limits.MAX_DATASETS_PER_REQUEST} datasets, got {len(inputs)}"
        )
    for item in inputs:
        dataset = item.dataset
        check_length("name", dataset.name, limits.MAX_DATASET_NAME_LENGTH)
        check_length("digest", dataset.digest, limits.MAX_DATASET_DIGEST_LENGTH)
        check_length("source", dataset.source, limits.MAX_DATASET_SOURCE_LENGTH)
        check_length("schema", dataset.schema, limits.MAX_DATASET_SCHEMA_LENGTH)
        check_length("profile", dataset.profile, limits.MAX_DATASET_PROFILE_LENGTH)
        for tag in item.tags:
            check_length("key", tag.key, limits.MAX_INPUT_TAG_KEY_LENGTH)
            check_length("value", tag.value, limits.MAX_INPUT_TAG_VALUE_LENGTH)
