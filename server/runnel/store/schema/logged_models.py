"""The tables of logged models."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, key_value_table, metadata

# The links above hold a model's public id, as clients may send one that this server does not know; here it must.
logged_models = sa.Table(
    "logged_models",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("model_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("model_type", Text, nullable=False),
    sa.Column("source_run_id", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("lifecycle_stage", Text, nullable=False),
    sa.Column("creation_timestamp_ms", sa.BigInteger, nullable=False),
    sa.Column("last_updated_timestamp_ms", sa.BigInteger, nullable=False),
    sa.Column("artifact_location", Text, nullable=False),
    # Clients look for a model of a file's name before every download from a run.
    sa.Index("ix_logged_models_name", "name", "experiment_id"),
    sa.Index("ix_logged_models_source_run", "source_run_id"),
)
sa.Index(
    "ix_logged_models_listing",
    logged_models.c.experiment_id,
    logged_models.c.lifecycle_stage,
    logged_models.c.creation_timestamp_ms.desc(),
    logged_models.c.model_id,
)

logged_model_params = key_value_table("logged_model_params", "model_id")
logged_model_tags = key_value_table("logged_model_tags", "model_id")

# What metrics of models were computed on: a name and a digest, which need not be a dataset that a run used.
metric_datasets = sa.Table(
    "metric_datasets",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("digest", Text, nullable=False),
    sa.UniqueConstraint("name", "digest"),
)

# Metrics that runs logged for a model, beside the runs' own series: every point is shown with the model, and found by.
# The dataset is 0 where there is none; the experiment is the model's.
logged_model_metrics = clustered_table(
    "logged_model_metrics",
    sa.Column("model_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("timestamp", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dataset_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Double, primary_key=True),
    sa.Column("is_nan", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Index("ix_logged_model_metrics_search", "experiment_id", "key", "is_nan", "value", "model_id"),
    sa.Index("ix_logged_model_metrics_dataset", "dataset_id", "experiment_id", "model_id"),
)
