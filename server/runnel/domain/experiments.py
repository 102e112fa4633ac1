"""Experiments: what is in one, and the rules for its name and tags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_key, check_length

DEFAULT_EXPERIMENT_ID = 0
DEFAULT_EXPERIMENT_NAME = "Default"

ACTIVE = "active"
DELETED = "deleted"

_CUSTOM_VIEW_TAG_PREFIX = "mlflow.customView.view"


@dataclass(frozen=True, slots=True)
class ExperimentTag:
    key: str
    value: str = ""


class TagDict(TypedDict):
    key: str
    value: str


class Experiment(TypedDict, total=False):
    """An experiment as clients see it; times in milliseconds since the epoch."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    creation_time: int
    last_update_time: int
    tags: list[TagDict]


def check_experiment_name(name: str) -> None:
    """Refuses an empty name and one of more than 500 characters."""
    if not name:
        raise InvalidParameterValue(f"Invalid experiment name: '{name}'")
    check_length("name", name, limits.MAX_EXPERIMENT_NAME_LENGTH)


def check_experiment_tag(tag: ExperimentTag) -> None:
    """Refuses a tag whose key MLflow refuses, or whose value is past 20,000 characters."""
    check_key(tag.key, "key", "key", limits.MAX_EXPERIMENT_TAG_KEY_LENGTH)
    check_length("value", tag.value, limits.MAX_EXPERIMENT_TAG_VALUE_LENGTH)


def is_custom_view_tag(key: str) -> bool:
    """Whether a tag holds one of the saved table views of MLflow's UI, whose number is bounded."""
    return key.startswith(_CUSTOM_VIEW_TAG_PREFIX)


def check_custom_view_count(keys: Iterable[str]) -> None:
    """Refuses more than 50 saved views on one experiment."""
    if sum(map(is_custom_view_tag, keys)) > limits.MAX_CUSTOM_VIEWS_PER_EXPERIMENT:
        raise InvalidParameterValue(
            "Unable to create another custom view; the maximum number of custom views per experiment is "
            f"{limits.MAX_CUSTOM_VIEWS_PER_EXPERIMENT}. Delete an existing custom view before creating a new one."
        )
