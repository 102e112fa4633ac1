"""The tables of experiments, runs and what belongs to runs."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, key_value_table, metadata

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("experiment_id", Id, primary_key=True, autoincrement=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("artifact_location", Text, nullable=False),
    sa.Column("lifecycle_stage", Text, nullable=False),
    sa.Column("creation_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
    sa.Index("ix_experiments_stage_creation", "lifecycle_stage", "creation_time", "experiment_id"),
    # An id that was once handed out is never handed out again: artifacts of a removed experiment may still lie there.
    sqlite_autoincrement=True,
)

experiment_tags = clustered_table(
    "experiment_tags",
    sa.Column("experiment_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("run_uuid", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("user_id", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("start_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger),
    sa.Column("deleted_time", sa.BigInteger),
    sa.Column("lifecycle_stage", Text, nullable=False),
    sa.Column("artifact_uri", Text, nullable=False),
)
# The order in which runs are listed: newest first, the run id breaks ties.
sa.Index(
    "ix_runs_listing",
    runs.c.experiment_id,
    runs.c.lifecycle_stage,
    runs.c.start_time.desc(),
    runs.c.run_uuid,
)

# One row per series, with its latest value (the greatest step, timestamp, value). NaN is value 0 with is_nan = 1:
# SQLite has no NaN, and MLflow orders NaN as 0. The experiment stands in the row so that "runs of this experiment
# by this metric" is one index scan.
metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("is_nan", sa.SmallInteger, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("timestamp", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("run_id", "key"),
    sa.Index("ix_metrics_ranking", "experiment_id", "key", "is_nan", "value", "run_id"),
)

# The history of a series, clustered in the order in which MLflow lists it: a point costs tens of bytes, and a history
# is one range scan. But a batch of 100 metrics would write to 100 places of it. So points are appended to
# recent_metric_points first, which is one place, and moved in bulk, many of a series at a time, when there are enough.
# (On SQLite. A table of PostgreSQL is in no order: there the way through the other table costs more than it saves.)
metric_points = clustered_table(
    "metric_points",
    sa.Column("metric_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("timestamp", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Double, primary_key=True),
    sa.Column("is_nan", sa.SmallInteger, primary_key=True, autoincrement=False),
)

recent_metric_points = sa.Table(
    "recent_metric_points",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("metric_id", sa.BigInteger, nullable=False),
    sa.Column("timestamp", sa.BigInteger, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("is_nan", sa.SmallInteger, nullable=False),
)

params = key_value_table("params", "run_id")
tags = key_value_table("tags", "run_id")

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("digest", Text, nullable=False),
    sa.Column("source_type", Text, nullable=False),
    sa.Column("source", Text, nullable=False),
    sa.Column("schema", Text, nullable=False),
    sa.Column("profile", Text, nullable=False),
    sa.UniqueConstraint("experiment_id", "name", "digest"),
)

dataset_inputs = sa.Table(
    "dataset_inputs",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("dataset_id", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("run_id", "dataset_id"),
    sa.Index("ix_dataset_inputs_dataset", "dataset_id", "run_id"),
)

input_tags = clustered_table(
    "input_tags",
    sa.Column("input_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)

model_inputs = clustered_table(
    "model_inputs",
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_id", Text, primary_key=True),
    sa.Index("ix_model_inputs_model", "model_id", "run_id"),
)

model_outputs = clustered_table(
    "model_outputs",
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_id", Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_model_outputs_model", "model_id", "run_id"),
)
