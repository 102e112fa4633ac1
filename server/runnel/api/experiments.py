"""Endpoints of experiments."""

from __future__ import annotations

from functools import partial
from typing import NotRequired, TypedDict

from runnel.artifacts import locations
from runnel.config import Settings
from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import (
    ACTIVE,
    DELETED,
    Experiment,
    ExperimentTag,
    check_custom_view_count,
    check_experiment_name,
    check_experiment_tag,
    is_custom_view_tag,
)
from runnel.domain.runs import ViewType
from runnel.domain.validation import check_max_results, parse_experiment_id
from runnel.store import experiments
from runnel.store.statements import Transaction

STAGES: dict[str, tuple[str, ...]] = {"ACTIVE_ONLY": (ACTIVE,), "DELETED_ONLY": (DELETED,), "ALL": (ACTIVE, DELETED)}


# More of them on one page are read in their turn, as long searches are.
MANY_RESULTS = 1_000


class Empty(TypedDict):
    """An answer without fields."""


class ExperimentIdAnswer(TypedDict):
    experiment_id: str


class ExperimentAnswer(TypedDict):
    experiment: Experiment


class ExperimentsAnswer(TypedDict):
    experiments: list[Experiment]
    next_page_token: NotRequired[str]


def create_experiment(
    tx: Transaction,
    settings: Settings,
    name: str,
    artifact_location: str = "",
    tags: list[ExperimentTag] = [],  # noqa: B006 (a default of the wire, never changed)
) -> ExperimentIdAnswer:
    """Creates an experiment; its name must be new, also among deleted ones."""
    check_experiment_name(name)
    for tag in tags:
        check_experiment_tag(tag)
    check_custom_view_count(tag.key for tag in tags)
    if artifact_location:
        locations.validate_artifact_location(
            artifact_location, trusted_uris=(settings.default_artifact_root, settings.artifacts_destination)
        )
        artifact_location = locations.resolve_local_location(artifact_location)
    default_location = partial(_default_location, settings.default_artifact_root)
    experiment_id = experiments.create_experiment(tx, name, tags, artifact_location, default_location)
    return {"experiment_id": str(experiment_id)}


def _default_location(root: str, experiment_id: int) -> str:
    return locations.experiment_artifact_location(root, str(experiment_id))


def get_experiment(tx: Transaction, experiment_id: str) -> ExperimentAnswer:
    """The experiment, deleted or not."""
    return {"experiment": experiments.get_experiment(tx, parse_experiment_id(experiment_id))}


def get_experiment_by_name(tx: Transaction, experiment_name: str) -> ExperimentAnswer:
    """The experiment of that name, deleted or not."""
    return {"experiment": experiments.get_experiment_by_name(tx, experiment_name)}


def search_experiments(
    tx: Transaction,
    max_results: int = 0,
    page_token: str = "",
    filter: str = "",
    order_by: list[str] = [],  # noqa: B006
    view_type: ViewType = "ACTIVE_ONLY",
) -> ExperimentsAnswer:
    """A page of experiments; ``max_results`` must be given (1 to 50,000), as in MLflow."""
    check_max_results(max_results)
    found, next_page_token = experiments.search_experiments(
        tx, STAGES[view_type], filter, order_by, max_results, page_token
    )
    answer: ExperimentsAnswer = {"experiments": found}
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter: str, order_by: list[str], max_results: int, **_: object) -> bool:
    """Whether a search may have to look at every experiment, or at very many."""
    return bool(filter or order_by) or max_results > MANY_RESULTS


def update_experiment(tx: Transaction, experiment_id: str, new_name: str) -> Empty:
    """Renames an active experiment."""
    check_experiment_name(new_name)
    experiments.rename_experiment(tx, parse_experiment_id(experiment_id), new_name)
    return {}


def delete_experiment(tx: Transaction, experiment_id: str) -> Empty:
    """Marks an experiment and its runs as deleted."""
    experiments.delete_experiment(tx, parse_experiment_id(experiment_id))
    return {}


def restore_experiment(tx: Transaction, experiment_id: str) -> Empty:
    """Takes the mark off an experiment and its runs."""
    experiments.restore_experiment(tx, parse_experiment_id(experiment_id))
    return {}


def set_experiment_tag(tx: Transaction, experiment_id: str, key: str, value: str = "") -> Empty:
    """Sets or overwrites a tag of an active experiment."""
    tag = ExperimentTag(key, value)
    check_experiment_tag(tag)
    number = parse_experiment_id(experiment_id)
    experiment = experiments.get_active_experiment(tx, number)
    if is_custom_view_tag(key):
        check_custom_view_count({key} | {existing["key"] for existing in experiment.get("tags", [])})
    experiments.set_experiment_tag(tx, number, tag)
    return {}


def delete_experiment_tag(tx: Transaction, experiment_id: str, key: str) -> Empty:
    """Removes a tag of an active experiment."""
    number = parse_experiment_id(experiment_id)
    experiments.get_active_experiment(tx, number)
    experiments.delete_experiment_tag(tx, number, key)
    return {}


def parse_experiment_ids(experiment_ids: list[str]) -> list[int]:
    """The numbers of experiment ids; bounded, so that a search has an end."""
    if len(experiment_ids) > limits.MAX_SEARCH_EXPERIMENT_IDS:
        raise InvalidParameterValue(
            f"'experiment_ids' can contain at most {limits.MAX_SEARCH_EXPERIMENT_IDS} ids, got {len(experiment_ids)}"
        )
    return [parse_experiment_id(experiment_id) for experiment_id in experiment_ids]
