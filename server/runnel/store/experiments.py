"""Experiments in SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.errors import (
    InvalidParameterValue,
    InvalidState,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from runnel.domain.experiments import (
    ACTIVE,
    DEFAULT_EXPERIMENT_ID,
    DEFAULT_EXPERIMENT_NAME,
    DELETED,
    Experiment,
    ExperimentTag,
)
from runnel.domain.filter_grammars import EXPERIMENTS
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind, matches
from runnel.store.page_sizes import gather_page, rows_of_page
from runnel.store.schema import experiment_tags, experiments, runs
from runnel.store.statements import Statement, Transaction

_COLUMNS = (
    experiments.c.experiment_id,
    experiments.c.name,
    experiments.c.artifact_location,
    experiments.c.lifecycle_stage,
    experiments.c.creation_time,
    experiments.c.last_update_time,
)

# The id of an experiment that is not marked as deleted is needed by almost every command.
SELECT_BY_ID = Statement(lambda d: sa.select(*_COLUMNS).where(experiments.c.experiment_id == sa.bindparam("id")))
SELECT_BY_NAME = Statement(lambda d: sa.select(*_COLUMNS).where(experiments.c.name == sa.bindparam("name")))
SELECT_TAGS = Statement(
    lambda d: sa.select(experiment_tags.c.experiment_id, experiment_tags.c.key, experiment_tags.c.value).where(
        d.is_in(experiment_tags.c.experiment_id, "ids")
    )
)
INSERT = Statement(
    lambda d: (
        d.insert(experiments)
        .values(
            name=sa.bindparam("name"),
            artifact_location=sa.bindparam("artifact_location"),
            lifecycle_stage=ACTIVE,
            creation_time=sa.bindparam("now"),
            last_update_time=sa.bindparam("now"),
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(experiments.c.experiment_id)
    )
)
SET_ARTIFACT_LOCATION = Statement(
    lambda d: (
        sa.update(experiments)
        .where(experiments.c.experiment_id == sa.bindparam("id"))
        .values(artifact_location=sa.bindparam("location"))
    )
)
SET_NAME = Statement(
    lambda d: (
        sa.update(experiments)
        .where(experiments.c.experiment_id == sa.bindparam("id"))
        .values(name=sa.bindparam("new_name"), last_update_time=sa.bindparam("now"))
    )
)
SET_LIFECYCLE_STAGE = Statement(
    lambda d: (
        sa.update(experiments)
        .where(experiments.c.experiment_id == sa.bindparam("id"))
        .values(lifecycle_stage=sa.bindparam("stage"), last_update_time=sa.bindparam("now"))
    )
)
SET_LIFECYCLE_STAGE_OF_RUNS = Statement(
    lambda d: (
        sa.update(runs)
        .where(runs.c.experiment_id == sa.bindparam("id"))
        .values(lifecycle_stage=sa.bindparam("stage"), deleted_time=sa.bindparam("deleted_time"))
    )
)
INSERT_DEFAULT = Statement(
    lambda d: (
        d.insert(experiments)
        .values(
            experiment_id=DEFAULT_EXPERIMENT_ID,
            name=DEFAULT_EXPERIMENT_NAME,
            artifact_location=sa.bindparam("artifact_location"),
            lifecycle_stage=ACTIVE,
            creation_time=sa.bindparam("now"),
            last_update_time=sa.bindparam("now"),
        )
        .on_conflict_do_nothing()
    )
)
UPSERT_TAG = Statement(
    lambda d: (
        (insert := d.insert(experiment_tags))
        .values(experiment_id=sa.bindparam("id"), key=sa.bindparam("key"), value=sa.bindparam("value"))
        .on_conflict_do_update(index_elements=["experiment_id", "key"], set_={"value": insert.excluded.value})
    )
)
DELETE_TAG = Statement(
    lambda d: sa.delete(experiment_tags).where(
        experiment_tags.c.experiment_id == sa.bindparam("id"), experiment_tags.c.key == sa.bindparam("key")
    )
)


def now_in_milliseconds() -> int:
    """The time as MLflow counts it: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def create_default_experiment(tx: Transaction, artifact_location: str) -> None:
    """Makes sure that there is an experiment with the id 0 (or that a user has given its name to another)."""
    tx.execute(INSERT_DEFAULT, artifact_location=artifact_location, now=now_in_milliseconds())


def create_experiment(
    tx: Transaction,
    name: str,
    tags: Sequence[ExperimentTag],
    artifact_location: str,
    default_location: Callable[[int], str],
) -> int:
    """Inserts an experiment and its tags; without a location, ``default_location`` makes one from the new id."""
    row = tx.row(INSERT, name=name, artifact_location=artifact_location, now=now_in_milliseconds())
    if row is None:
        raise ResourceAlreadyExists(f"Experiment(name={name}) already exists.")
    experiment_id: int = row[0]
    if not artifact_location:
        tx.execute(SET_ARTIFACT_LOCATION, id=experiment_id, location=default_location(experiment_id))
    for tag in tags:
        tx.execute(UPSERT_TAG, id=experiment_id, key=tag.key, value=tag.value)
    return experiment_id


def _to_experiments(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[Experiment]:
    found: dict[int, Experiment] = {
        row[0]: {
            "experiment_id": str(row[0]),
            "name": row[1],
            "artifact_location": row[2],
            "lifecycle_stage": row[3],
            "creation_time": row[4],
            "last_update_time": row[5],
        }
        for row in rows
    }
    for experiment_id, key, value in tx.rows(SELECT_TAGS, ids=list(found)):
        found[experiment_id].setdefault("tags", []).append({"key": key, "value": value})
    return list(found.values())


def get_experiment(tx: Transaction, experiment_id: int) -> Experiment:
    """The experiment in whatever lifecycle stage."""
    row = tx.row(SELECT_BY_ID, id=experiment_id)
    if row is None:
        raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")
    return _to_experiments(tx, [row])[0]


def get_experiment_by_name(tx: Transaction, name: str) -> Experiment:
    """The experiment of that name in whatever lifecycle stage."""
    row = tx.row(SELECT_BY_NAME, name=name)
    if row is None:
        raise ResourceDoesNotExist(f"Could not find experiment with name '{name}'")
    return _to_experiments(tx, [row])[0]


def get_active_experiment(tx: Transaction, experiment_id: int) -> Experiment:
    """The experiment, which must not be marked as deleted."""
    experiment = get_experiment(tx, experiment_id)
    _check_active(experiment_id, experiment["lifecycle_stage"])
    return experiment


def check_experiment_is_there(tx: Transaction, experiment_id: int) -> None:
    """Refuses an experiment that does not exist, or is marked as deleted: MLflow says the same of both here."""
    row = tx.row(SELECT_BY_ID, id=experiment_id)
    if row is None or row[3] != ACTIVE:
        raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")


def get_artifact_location(tx: Transaction, experiment_id: int) -> str:
    """Where an experiment, which must not be marked as deleted, has its artifacts."""
    row = tx.row(SELECT_BY_ID, id=experiment_id)
    if row is None:
        raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")
    _check_active(experiment_id, row[3])
    return str(row[2])


def _check_active(experiment_id: int, stage: str) -> None:
    if stage != ACTIVE:
        raise InvalidParameterValue(
            f"The experiment {experiment_id} must be in the 'active' state. Current state is {stage}."
        )


def rename_experiment(tx: Transaction, experiment_id: int, new_name: str) -> None:
    """Gives an active experiment another name, which no other experiment has."""
    if get_experiment(tx, experiment_id)["lifecycle_stage"] != ACTIVE:
        raise InvalidState("Cannot rename a non-active experiment.")
    holder = tx.row(SELECT_BY_NAME, name=new_name)
    if holder is not None and holder[0] != experiment_id:
        raise ResourceAlreadyExists(f"Experiment(name={new_name}) already exists.")
    tx.execute(SET_NAME, id=experiment_id, new_name=new_name, now=now_in_milliseconds())


def _move_to_stage(tx: Transaction, experiment_id: int, current: str, stage: str) -> None:
    row = tx.row(SELECT_BY_ID, id=experiment_id)
    if row is None or row[3] != current:
        raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")
    now = now_in_milliseconds()
    tx.execute(SET_LIFECYCLE_STAGE, id=experiment_id, stage=stage, now=now)
    deleted_time = now if stage == DELETED else None
    tx.execute(SET_LIFECYCLE_STAGE_OF_RUNS, id=experiment_id, stage=stage, deleted_time=deleted_time)


def delete_experiment(tx: Transaction, experiment_id: int) -> None:
    """Marks an active experiment and all its runs as deleted."""
    _move_to_stage(tx, experiment_id, ACTIVE, DELETED)


def restore_experiment(tx: Transaction, experiment_id: int) -> None:
    """Takes the mark off a deleted experiment and all its runs."""
    _move_to_stage(tx, experiment_id, DELETED, ACTIVE)


def set_experiment_tag(tx: Transaction, experiment_id: int, tag: ExperimentTag) -> None:
    """Sets or overwrites a tag."""
    tx.execute(UPSERT_TAG, id=experiment_id, key=tag.key, value=tag.value)


def delete_experiment_tag(tx: Transaction, experiment_id: int, key: str) -> None:
    """Removes a tag, which must exist."""
    if tx.execute(DELETE_TAG, id=experiment_id, key=key).rowcount == 0:
        raise ResourceDoesNotExist(f"No tag with name: {key} in experiment with id {experiment_id}")


_DEFAULT_ORDER = (Ordering("attribute", "creation_time", False), Ordering("attribute", "experiment_id", True))


def search_experiments(
    tx: Transaction,
    stages: Sequence[str],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[list[Experiment], str | None]:
    """A page of the experiments that match, and the token of the next page."""
    comparisons = parse_filter(filter_string, EXPERIMENTS)
    ordering = list(parse_order_by(order_by, EXPERIMENTS) or _DEFAULT_ORDER)
    if all(term.key != "experiment_id" for term in ordering):
        ordering.append(Ordering("attribute", "experiment_id", False))
    keys = [SortKey(experiments.c[term.key], term.ascending) for term in ordering]
    stage = experiments.c.lifecycle_stage
    query = sa.select(*_COLUMNS, *[key.expression.label(f"key_{i}") for i, key in enumerate(keys)]).where(
        # Within one stage, the index is in the default order.
        stage == stages[0] if len(stages) == 1 else tx.dialect.is_in(stage, stages),
        *[_condition(tx.dialect, comparison) for comparison in comparisons],
    )
    identity = ("experiments", tuple(stages), comparisons, tuple(ordering))
    if page_token:
        query = query.where(behind(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    query = query.order_by(*[key.order() for key in keys]).limit(max_results + 1)
    rows = rows_of_page(tx, query, max_results + 1)
    found, last = gather_page(rows, max_results, partial(_to_experiments, tx))
    return found, page_tokens.encode_page_token(last[len(_COLUMNS) :], identity) if last else None


def _condition(dialect: Dialect, comparison: Comparison) -> sa.ColumnElement[bool]:
    if comparison.entity == "attribute":
        if comparison.key == "experiment_id":
            ids = comparison.value if isinstance(comparison.value, tuple) else (comparison.value,)
            is_one = dialect.is_in(experiments.c.experiment_id, [int(str(value)) for value in ids])
            return sa.not_(is_one) if comparison.operator in ("!=", "NOT IN") else is_one
        return matches(dialect, experiments.c[comparison.key], comparison)
    tag = sa.select(sa.literal(1)).where(
        experiment_tags.c.experiment_id == experiments.c.experiment_id, experiment_tags.c.key == comparison.key
    )
    if comparison.operator == "IS NULL":
        return sa.not_(sa.exists(tag))
    if comparison.operator != "IS NOT NULL":
        tag = tag.where(matches(dialect, experiment_tags.c.value, comparison))
    return sa.exists(tag)
