"""Evaluation datasets in SQL: the dataset itself, its tags, its links to experiments.

(Its records and the search are in modules of their own.)
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.errors import ResourceDoesNotExist
from runnel.domain.evaluation_datasets import EvaluationDataset, dataset_digest
from runnel.store.experiments import now_in_milliseconds
from runnel.store.schema import (
    evaluation_dataset_experiments,
    evaluation_dataset_records,
    evaluation_dataset_tags,
    evaluation_datasets,
    experiments,
)
from runnel.store.statements import RowsStatement, Statement, Transaction


class DatasetRef(NamedTuple):
    """What a command needs to know of the dataset it writes to."""

    id: int
    name: str
    schema: str | None
    profile: str | None
    last_position: int


DATASET_COLUMNS = (
    evaluation_datasets.c.id,
    evaluation_datasets.c.dataset_id,
    evaluation_datasets.c.name,
    evaluation_datasets.c.digest,
    evaluation_datasets.c.created_time,
    evaluation_datasets.c.last_update_time,
    evaluation_datasets.c.schema,
    evaluation_datasets.c.profile,
    evaluation_datasets.c.created_by,
    evaluation_datasets.c.last_updated_by,
)

SELECT_DATASET = Statement(
    lambda d: sa.select(*DATASET_COLUMNS).where(evaluation_datasets.c.dataset_id == sa.bindparam("dataset_id"))
)
SELECT_KEY = Statement(
    lambda d: sa.select(evaluation_datasets.c.id).where(evaluation_datasets.c.dataset_id == sa.bindparam("dataset_id"))
)
LOCK_DATASET = Statement(
    lambda d: (
        sa.select(
            evaluation_datasets.c.id,
            evaluation_datasets.c.name,
            evaluation_datasets.c.schema,
            evaluation_datasets.c.profile,
            evaluation_datasets.c.last_position,
        )
        .where(evaluation_datasets.c.dataset_id == sa.bindparam("dataset_id"))
        .with_for_update()
    )
)
SELECT_TAGS = Statement(
    lambda d: (
        sa.select(evaluation_dataset_tags.c.dataset_id, evaluation_dataset_tags.c.key, evaluation_dataset_tags.c.value)
        .where(d.is_in(evaluation_dataset_tags.c.dataset_id, "ids"))
        .order_by(evaluation_dataset_tags.c.dataset_id, evaluation_dataset_tags.c.key)
    )
)
SELECT_EXPERIMENT_IDS = Statement(
    lambda d: (
        sa.select(evaluation_dataset_experiments.c.experiment_id)
        .where(evaluation_dataset_experiments.c.dataset_id == sa.bindparam("dataset"))
        .order_by(evaluation_dataset_experiments.c.created_time, evaluation_dataset_experiments.c.experiment_id)
    )
)
SELECT_EXISTING_EXPERIMENTS = Statement(
    lambda d: sa.select(experiments.c.experiment_id).where(d.is_in(experiments.c.experiment_id, "ids"))
)

INSERT_DATASET = Statement(
    lambda d: (
        d.insert(evaluation_datasets)
        .values(
            dataset_id=sa.bindparam("dataset_id"),
            name=sa.bindparam("name"),
            last_position=0,
            digest=sa.bindparam("digest"),
            created_time=sa.bindparam("now"),
            last_update_time=sa.bindparam("now"),
            created_by=sa.bindparam("user"),
            last_updated_by=sa.bindparam("user"),
        )
        .returning(evaluation_datasets.c.id)
    )
)
SET_LAST_UPDATE_TIME = Statement(
    lambda d: (
        sa.update(evaluation_datasets)
        .where(evaluation_datasets.c.id == sa.bindparam("dataset"))
        .values(last_update_time=sa.bindparam("now"))
    )
)
UPSERT_TAGS = RowsStatement(
    (("key", sa.Text()), ("value", sa.Text())),
    lambda d, rows: (
        (insert := d.insert(evaluation_dataset_tags))
        .from_select(
            ["dataset_id", "key", "value"],
            sa.select(sa.bindparam("dataset"), rows.c.key, rows.c.value).where(sa.true()),
        )
        .on_conflict_do_update(index_elements=["dataset_id", "key"], set_={"value": insert.excluded.value})
    ),
)
DELETE_TAGS = Statement(
    lambda d: sa.delete(evaluation_dataset_tags).where(
        evaluation_dataset_tags.c.dataset_id == sa.bindparam("dataset"), d.is_in(evaluation_dataset_tags.c.key, "keys")
    )
)
INSERT_EXPERIMENTS = RowsStatement(
    (("experiment_id", sa.BigInteger()),),
    lambda d, rows: (
        d.insert(evaluation_dataset_experiments)
        .from_select(
            ["dataset_id", "experiment_id", "created_time"],
            sa.select(sa.bindparam("dataset"), rows.c.experiment_id, sa.bindparam("now")).where(sa.true()),
        )
        .on_conflict_do_nothing()
    ),
)
DELETE_EXPERIMENTS = Statement(
    lambda d: sa.delete(evaluation_dataset_experiments).where(
        evaluation_dataset_experiments.c.dataset_id == sa.bindparam("dataset"),
        d.is_in(evaluation_dataset_experiments.c.experiment_id, "ids"),
    )
)
DELETE_DATASET = Statement(
    lambda d: sa.delete(evaluation_datasets).where(evaluation_datasets.c.id == sa.bindparam("dataset"))
)


def _delete_parts(table: sa.Table) -> Statement:
    return Statement(lambda d: sa.delete(table).where(table.c.dataset_id == sa.bindparam("dataset")))


DELETE_RECORDS = _delete_parts(evaluation_dataset_records)
DELETE_ALL_TAGS = _delete_parts(evaluation_dataset_tags)
DELETE_LINKS = _delete_parts(evaluation_dataset_experiments)


# The dataset itself


def get_dataset_key(tx: Transaction, dataset_id: str) -> int | None:
    """The key of a dataset, None if there is none."""
    row = tx.row(SELECT_KEY, dataset_id=dataset_id)
    return None if row is None else row[0]


def lock_dataset(tx: Transaction, dataset_id: str) -> DatasetRef | None:
    """The dataset, which no other transaction changes until this one ends; None if there is none."""
    row = tx.row(LOCK_DATASET, dataset_id=dataset_id)
    return None if row is None else DatasetRef(*row)


def not_found(dataset_id: str) -> ResourceDoesNotExist:
    """The error for a dataset that does not exist."""
    return ResourceDoesNotExist(f"Evaluation dataset with id '{dataset_id}' not found")


def create_dataset(
    tx: Transaction, name: str, tags: Mapping[str, str], user: str | None, experiment_ids: Sequence[int]
) -> EvaluationDataset:
    """Inserts a dataset; names need not be unique, the experiments must exist."""
    _check_experiments(tx, experiment_ids)
    dataset_id = f"d-{uuid.uuid4().hex}"
    now = now_in_milliseconds()
    row = tx.row(INSERT_DATASET, dataset_id=dataset_id, name=name, digest=dataset_digest(name, now), now=now, user=user)
    assert row is not None
    tx.write_rows(UPSERT_TAGS, list(tags.items()), dataset=row[0])
    tx.write_rows(INSERT_EXPERIMENTS, [(id_,) for id_ in experiment_ids], dataset=row[0], now=now)
    dataset = get_dataset(tx, dataset_id)
    if experiment_ids:
        dataset["experiment_ids"] = [str(id_) for id_ in experiment_ids]
    return dataset


def get_dataset(tx: Transaction, dataset_id: str) -> EvaluationDataset:
    """The dataset, without its experiments (which clients ask for by themselves)."""
    row = tx.row(SELECT_DATASET, dataset_id=dataset_id)
    if row is None:
        raise not_found(dataset_id)
    return to_datasets(tx, [row])[0]


def to_datasets(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[EvaluationDataset]:
    """Rows of ``DATASET_COLUMNS`` as clients see them, with their tags."""
    tags: dict[int, dict[str, str]] = {row[0]: {} for row in rows}
    for key, name, value in tx.rows(SELECT_TAGS, ids=list(tags)):
        tags[key][name] = value
    found = []
    for key, dataset_id, name, digest, created, updated, schema, profile, created_by, last_updated_by in rows:
        dataset: EvaluationDataset = {
            "dataset_id": dataset_id,
            "name": name,
            "tags": json.dumps(tags[key]),
            "digest": digest,
            "created_time": created,
            "last_update_time": updated,
        }
        if schema is not None:
            dataset["schema"] = schema
        if profile is not None:
            dataset["profile"] = profile
        if created_by is not None:
            dataset["created_by"] = created_by
        if last_updated_by is not None:
            dataset["last_updated_by"] = last_updated_by
        found.append(dataset)
    return found


def delete_dataset(tx: Transaction, dataset_id: str) -> None:
    """Removes a dataset with all that belongs to it for good; one that is not there is no error."""
    ref = lock_dataset(tx, dataset_id)
    if ref is None:
        return
    for statement in (DELETE_RECORDS, DELETE_ALL_TAGS, DELETE_LINKS, DELETE_DATASET):
        tx.execute(statement, dataset=ref.id)


# Tags


def set_dataset_tags(tx: Transaction, dataset_id: str, tags: Mapping[str, str | None]) -> None:
    """Sets or overwrites tags, and removes those that are None."""
    ref = lock_dataset(tx, dataset_id)
    if ref is None:
        raise ResourceDoesNotExist(f"Could not find evaluation dataset with ID {dataset_id}")
    tx.write_rows(UPSERT_TAGS, [item for item in tags.items() if item[1] is not None], dataset=ref.id)
    tx.execute(DELETE_TAGS, dataset=ref.id, keys=[key for key, value in tags.items() if value is None])


def delete_dataset_tag(tx: Transaction, dataset_id: str, key: str) -> None:
    """Removes a tag; neither the tag nor the dataset need exist."""
    dataset = get_dataset_key(tx, dataset_id)
    if dataset is not None:
        tx.execute(DELETE_TAGS, dataset=dataset, keys=[key])


# Experiments


def get_dataset_experiment_ids(tx: Transaction, dataset_id: str) -> list[str]:
    """The experiments a dataset is linked with, in the order of the links; none of a dataset that is not there."""
    dataset = get_dataset_key(tx, dataset_id)
    return [] if dataset is None else [str(row[0]) for row in tx.rows(SELECT_EXPERIMENT_IDS, dataset=dataset)]


def add_dataset_to_experiments(tx: Transaction, dataset_id: str, experiment_ids: Sequence[int]) -> EvaluationDataset:
    """Links a dataset with experiments, which must exist; a link that exists stays as it is."""
    ref = _lock_for_links(tx, dataset_id)
    _check_experiments(tx, experiment_ids)
    now = now_in_milliseconds()
    tx.write_rows(INSERT_EXPERIMENTS, [(id_,) for id_ in experiment_ids], dataset=ref.id, now=now)
    tx.execute(SET_LAST_UPDATE_TIME, dataset=ref.id, now=now)
    return get_dataset(tx, dataset_id)


def remove_dataset_from_experiments(
    tx: Transaction, dataset_id: str, experiment_ids: Sequence[int]
) -> EvaluationDataset:
    """Takes away links of a dataset with experiments; those that are not there are no error."""
    ref = _lock_for_links(tx, dataset_id)
    if tx.execute(DELETE_EXPERIMENTS, dataset=ref.id, ids=list(experiment_ids)).rowcount:
        tx.execute(SET_LAST_UPDATE_TIME, dataset=ref.id, now=now_in_milliseconds())
    return get_dataset(tx, dataset_id)


def _lock_for_links(tx: Transaction, dataset_id: str) -> DatasetRef:
    ref = lock_dataset(tx, dataset_id)
    if ref is None:
        raise ResourceDoesNotExist(f"Dataset '{dataset_id}' not found")
    return ref


def _check_experiments(tx: Transaction, experiment_ids: Sequence[int]) -> None:
    existing = {row[0] for row in tx.rows(SELECT_EXISTING_EXPERIMENTS, ids=list(experiment_ids))}
    for experiment_id in experiment_ids:
        if experiment_id not in existing:
            raise ResourceDoesNotExist(f"No Experiment with id={experiment_id}")
