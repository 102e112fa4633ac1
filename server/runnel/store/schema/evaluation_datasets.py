"""The tables of evaluation datasets."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, indexed_value, metadata

# Evaluation datasets stand beside the experiments, with any number of which they are linked.
evaluation_datasets = sa.Table(
    "evaluation_datasets",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("dataset_id", Text, nullable=False, unique=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("schema", Text),  # as JSON; NULL until there are records
    sa.Column("profile", Text),  # as JSON: the number of records
    sa.Column("last_position", sa.BigInteger, nullable=False),  # of a record that is or was there
    sa.Column("digest", Text, nullable=False),
    sa.Column("created_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text),
    sa.Column("last_updated_by", Text),
    sa.Index("ix_evaluation_datasets_created", "created_time", "id"),
    sa.Index("ix_evaluation_datasets_updated", "last_update_time", "id"),
    sa.Index("ix_evaluation_datasets_name", "name", "id"),
)

evaluation_dataset_tags = clustered_table(
    "evaluation_dataset_tags",
    sa.Column("dataset_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)
sa.Index(
    "ix_evaluation_dataset_tags_search",
    evaluation_dataset_tags.c.key,
    indexed_value(evaluation_dataset_tags.c.value),
    evaluation_dataset_tags.c.dataset_id,
)

evaluation_dataset_experiments = clustered_table(
    "evaluation_dataset_experiments",
    sa.Column("dataset_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("experiment_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("created_time", sa.BigInteger, nullable=False),
    sa.Index("ix_evaluation_dataset_experiments_experiment", "experiment_id", "dataset_id"),
)

# Records in the order in which they came. Their parts are JSON; the size, the characters of them all, stands before
# them: a page is cut to a bounded size without reading them. What tells a record from all others (dataset and hash of
# the inputs) is one column: PostgreSQL, before it has statistics, would not look for both of two in their index.
evaluation_dataset_records = clustered_table(
    "evaluation_dataset_records",
    sa.Column("dataset_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dataset_record_id", Text, nullable=False, unique=True),
    sa.Column("input_key", Text, nullable=False, unique=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text),
    sa.Column("last_updated_by", Text),
    sa.Column("inputs", Text, nullable=False),
    sa.Column("outputs", Text),
    sa.Column("expectations", Text),
    sa.Column("tags", Text, nullable=False),
    sa.Column("source", Text),
)
