"""Datasets as inputs of runs, in SQL."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.datasets import DATASET_CONTEXT_TAG, DatasetInput, DatasetSummary
from runnel.store.schema import dataset_inputs, datasets, input_tags
from runnel.store.statements import Statement, Transaction

# The first description of a dataset (same name and digest) stays.
INSERT_DATASET = Statement(
    lambda d: (
        d.insert(datasets)
        .values({column.name: sa.bindparam(column.name) for column in datasets.c if column.name != "id"})
        .on_conflict_do_nothing(index_elements=["experiment_id", "name", "digest"])
    )
)
SELECT_DATASET_ID = Statement(
    lambda d: sa.select(datasets.c.id).where(
        datasets.c.experiment_id == sa.bindparam("experiment_id"),
        datasets.c.name == sa.bindparam("name"),
        datasets.c.digest == sa.bindparam("digest"),
    )
)
INSERT_INPUT = Statement(
    lambda d: (
        d.insert(dataset_inputs)
        .values(run_id=sa.bindparam("run_id"), dataset_id=sa.bindparam("dataset_id"))
        .on_conflict_do_nothing(index_elements=["run_id", "dataset_id"])
        .returning(dataset_inputs.c.id)
    )
)
INSERT_INPUT_TAG = Statement(
    lambda d: (
        d.insert(input_tags)
        .values(input_id=sa.bindparam("input_id"), key=sa.bindparam("key"), value=sa.bindparam("value"))
        .on_conflict_do_nothing(index_elements=["input_id", "key"])
    )
)
SELECT_SUMMARIES = Statement(
    lambda d: (
        sa.select(datasets.c.experiment_id, datasets.c.name, datasets.c.digest, input_tags.c.value)
        .distinct()
        .join_from(datasets, dataset_inputs, dataset_inputs.c.dataset_id == datasets.c.id)
        .outerjoin(
            input_tags,
            sa.and_(input_tags.c.input_id == dataset_inputs.c.id, input_tags.c.key == DATASET_CONTEXT_TAG),
        )
        .where(d.is_in(datasets.c.experiment_id, "experiment_ids"))
        .order_by(datasets.c.experiment_id, datasets.c.name, datasets.c.digest, input_tags.c.value)
        .limit(limits.MAX_DATASET_SUMMARIES)
    )
)


def log_dataset_inputs(tx: Transaction, run_id: int, experiment_id: int, inputs: Sequence[DatasetInput]) -> None:
    """Links datasets to a run; of a dataset that the run already has, nothing changes."""
    for item in inputs:
        dataset = item.dataset
        tx.execute(
            INSERT_DATASET,
            experiment_id=experiment_id,
            name=dataset.name,
            digest=dataset.digest,
            source_type=dataset.source_type,
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        )
        found = tx.row(SELECT_DATASET_ID, experiment_id=experiment_id, name=dataset.name, digest=dataset.digest)
        assert found is not None
        created = tx.row(INSERT_INPUT, run_id=run_id, dataset_id=found[0])
        if created is not None:
            for tag in item.tags:
                tx.execute(INSERT_INPUT_TAG, input_id=created[0], key=tag.key, value=tag.value)


def search_datasets(tx: Transaction, experiment_ids: Sequence[int]) -> list[DatasetSummary]:
    """The datasets that runs of the experiments used, once per context, at most 1,000."""
    summaries: list[DatasetSummary] = []
    for experiment_id, name, digest, context in tx.rows(SELECT_SUMMARIES, experiment_ids=list(experiment_ids)):
        summary: DatasetSummary = {"experiment_id": str(experiment_id), "name": name, "digest": digest}
        if context is not None:
            summary["context"] = context
        summaries.append(summary)
    return summaries
