"""Endpoints of scorers (``mlflow.genai.scorers``)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import Empty, parse_experiment_ids
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.scorers import (
    OnlineScoringConfig,
    Scorer,
    check_definition,
    check_online_scoring,
    check_scorer_name,
)
from runnel.domain.validation import parse_experiment_id
from runnel.store import scorers
from runnel.store.statements import Transaction


class RegisteredAnswer(TypedDict):
    version: int
    scorer_id: str
    experiment_id: str
    name: str
    serialized_scorer: str
    creation_time: int


class ScorerAnswer(TypedDict):
    scorer: Scorer


class ScorersAnswer(TypedDict):
    scorers: NotRequired[list[Scorer]]


class ConfigAnswer(TypedDict):
    config: OnlineScoringConfig


class ConfigsAnswer(TypedDict):
    configs: list[OnlineScoringConfig]


def register_scorer(tx: Transaction, experiment_id: str, name: str, serialized_scorer: str) -> RegisteredAnswer:
    """Adds a version to a scorer of an active experiment; ``serialized_scorer`` is its definition, JSON in text."""
    check_definition(serialized_scorer)
    check_scorer_name(name)
    scorer = scorers.register_scorer(tx, parse_experiment_id(experiment_id), name, serialized_scorer)
    return {
        "version": scorer["scorer_version"],
        "scorer_id": scorer["scorer_id"],
        "experiment_id": str(scorer["experiment_id"]),
        "name": name,
        "serialized_scorer": serialized_scorer,
        "creation_time": scorer["creation_time"],
    }


def list_scorers(
    tx: Transaction,
    experiment_id: str = "",
    experiment_ids: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
) -> ScorersAnswer:
    """The latest versions of the scorers of one experiment or of several; of all active ones, if none is named."""
    if experiment_id and experiment_ids:
        raise InvalidParameterValue(
            "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to "
            "multiple experiments, or 'experiment_id' to scope it to a single experiment."
        )
    if experiment_id:
        found = scorers.list_scorers(tx, parse_experiment_id(experiment_id))
    else:
        found = scorers.list_scorers_of_experiments(tx, parse_experiment_ids(experiment_ids))
    return {"scorers": found} if found else {}


def list_scorer_versions(tx: Transaction, experiment_id: str, name: str) -> ScorersAnswer:
    """All versions of a scorer, the first one first."""
    return {"scorers": scorers.list_scorer_versions(tx, parse_experiment_id(experiment_id), name)}


def get_scorer(tx: Transaction, experiment_id: str, name: str, version: int | None = None) -> ScorerAnswer:
    """A version of a scorer, the latest if none is named."""
    return {"scorer": scorers.get_scorer(tx, parse_experiment_id(experiment_id), name, version)}


def delete_scorer(tx: Transaction, experiment_id: str, name: str, version: int | None = None) -> Empty:
    """Removes a version of a scorer for good, or the scorer with all of its versions if none is named."""
    scorers.delete_scorer(tx, parse_experiment_id(experiment_id), name, version)
    return {}


def get_online_scoring_configs(tx: Transaction, scorer_ids: list[str]) -> ConfigsAnswer:
    """How scorers score online; those that do not are left out."""
    return {"configs": scorers.get_online_scoring_configs(tx, scorer_ids)}


def upsert_online_scoring_config(
    tx: Transaction, experiment_id: str, name: str, sample_rate: float, filter_string: str | None = None
) -> ConfigAnswer:
    """Sets how a scorer scores online. (It is kept for those who run it; this server does not run scorers.)"""
    check_online_scoring(sample_rate, filter_string)
    config = scorers.upsert_online_scoring_config(
        tx, parse_experiment_id(experiment_id), name, sample_rate, filter_string
    )
    return {"config": config}
