"""The tracking core: experiments, runs with all that is theirs, and logged models.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Double, PrimaryKeyConstraint, SmallInteger, UniqueConstraint

revision = "0001"
down_revision = None

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_clustered_table(name: str, *items: Any) -> None:
    """A table that SQLite keeps in the order of its primary key."""
    op.create_table(name, *items, sqlite_with_rowid=False)


def upgrade() -> None:
    create_experiments()
    create_runs()
    create_metrics()
    create_params_and_tags()
    create_datasets()
    create_model_links()
    create_logged_models()


def create_experiments() -> None:
    op.create_table(
        "experiments",
        Column("experiment_id", Id, nullable=False),
        Column("name", Text, nullable=False),
        Column("artifact_location", Text, nullable=False),
        Column("lifecycle_stage", Text, nullable=False),
        Column("creation_time", BigInteger, nullable=False),
        Column("last_update_time", BigInteger, nullable=False),
        PrimaryKeyConstraint("experiment_id", name="pk_experiments"),
        UniqueConstraint("name", name="uq_experiments_name"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_experiments_stage_creation", "experiments", ["lifecycle_stage", "creation_time", "experiment_id"]
    )
    create_clustered_table(
        "experiment_tags",
        Column("experiment_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("experiment_id", "key", name="pk_experiment_tags"),
    )


def create_runs() -> None:
    op.create_table(
        "runs",
        Column("id", Id, nullable=False),
        Column("run_uuid", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("start_time", BigInteger, nullable=False),
        Column("end_time", BigInteger),
        Column("deleted_time", BigInteger),
        Column("lifecycle_stage", Text, nullable=False),
        Column("artifact_uri", Text, nullable=False),
        PrimaryKeyConstraint("id", name="pk_runs"),
        UniqueConstraint("run_uuid", name="uq_runs_run_uuid"),
    )
    op.create_index(
        "ix_runs_listing", "runs", ["experiment_id", "lifecycle_stage", sa.text("start_time DESC"), "run_uuid"]
    )


def create_metrics() -> None:
    op.create_table(
        "metrics",
        Column("id", Id, nullable=False),
        Column("run_id", BigInteger, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Double, nullable=False),
        Column("is_nan", SmallInteger, nullable=False),
        Column("step", BigInteger, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        PrimaryKeyConstraint("id", name="pk_metrics"),
        UniqueConstraint("run_id", "key", name="uq_metrics_run_id_key"),
    )
    op.create_index("ix_metrics_ranking", "metrics", ["experiment_id", "key", "is_nan", "value", "run_id"])
    create_clustered_table(
        "metric_points",
        Column("metric_id", BigInteger, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("step", BigInteger, nullable=False),
        Column("value", Double, nullable=False),
        Column("is_nan", SmallInteger, nullable=False),
        PrimaryKeyConstraint("metric_id", "timestamp", "step", "value", "is_nan", name="pk_metric_points"),
    )
    op.create_table(
        "recent_metric_points",
        Column("id", Id, nullable=False),
        Column("metric_id", BigInteger, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("step", BigInteger, nullable=False),
        Column("value", Double, nullable=False),
        Column("is_nan", SmallInteger, nullable=False),
        PrimaryKeyConstraint("id", name="pk_recent_metric_points"),
    )


def create_params_and_tags() -> None:
    for name in ("params", "tags"):
        create_key_values(name, owner="run_id")


def create_key_values(name: str, owner: str) -> None:
    create_clustered_table(
        name,
        Column(owner, BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint(owner, "key", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_search", name, ["experiment_id", "key", sa.text("substr(value, 1, 100)"), owner])


def create_datasets() -> None:
    op.create_table(
        "datasets",
        Column("id", Id, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("source_type", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("schema", Text, nullable=False),
        Column("profile", Text, nullable=False),
        PrimaryKeyConstraint("id", name="pk_datasets"),
        UniqueConstraint("experiment_id", "name", "digest", name="uq_datasets_experiment_id_name_digest"),
    )
    op.create_table(
        "dataset_inputs",
        Column("id", Id, nullable=False),
        Column("run_id", BigInteger, nullable=False),
        Column("dataset_id", BigInteger, nullable=False),
        PrimaryKeyConstraint("id", name="pk_dataset_inputs"),
        UniqueConstraint("run_id", "dataset_id", name="uq_dataset_inputs_run_id_dataset_id"),
    )
    op.create_index("ix_dataset_inputs_dataset", "dataset_inputs", ["dataset_id", "run_id"])
    create_clustered_table(
        "input_tags",
        Column("input_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("input_id", "key", name="pk_input_tags"),
    )


def create_model_links() -> None:
    create_clustered_table(
        "model_inputs",
        Column("run_id", BigInteger, nullable=False),
        Column("model_id", Text, nullable=False),
        PrimaryKeyConstraint("run_id", "model_id", name="pk_model_inputs"),
    )
    op.create_index("ix_model_inputs_model", "model_inputs", ["model_id", "run_id"])
    create_clustered_table(
        "model_outputs",
        Column("run_id", BigInteger, nullable=False),
        Column("model_id", Text, nullable=False),
        Column("step", BigInteger, nullable=False),
        PrimaryKeyConstraint("run_id", "model_id", "step", name="pk_model_outputs"),
    )
    op.create_index("ix_model_outputs_model", "model_outputs", ["model_id", "run_id"])


def create_logged_models() -> None:
    op.create_table(
        "logged_models",
        Column("id", Id, nullable=False),
        Column("model_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("model_type", Text, nullable=False),
        Column("source_run_id", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("lifecycle_stage", Text, nullable=False),
        Column("creation_timestamp_ms", BigInteger, nullable=False),
        Column("last_updated_timestamp_ms", BigInteger, nullable=False),
        Column("artifact_location", Text, nullable=False),
        PrimaryKeyConstraint("id", name="pk_logged_models"),
        UniqueConstraint("model_id", name="uq_logged_models_model_id"),
    )
    op.create_index(
        "ix_logged_models_listing",
        "logged_models",
        ["experiment_id", "lifecycle_stage", sa.text("creation_timestamp_ms DESC"), "model_id"],
    )
    op.create_index("ix_logged_models_name", "logged_models", ["name", "experiment_id"])
    op.create_index("ix_logged_models_source_run", "logged_models", ["source_run_id"])
    for name in ("logged_model_params", "logged_model_tags"):
        create_key_values(name, owner="model_id")
    create_logged_model_metrics()


def create_logged_model_metrics() -> None:
    op.create_table(
        "metric_datasets",
        Column("id", Id, nullable=False),
        Column("name", Text, nullable=False),
        Column("digest", Text, nullable=False),
        PrimaryKeyConstraint("id", name="pk_metric_datasets"),
        UniqueConstraint("name", "digest", name="uq_metric_datasets_name_digest"),
    )
    key = ("model_id", "key", "timestamp", "step", "run_id", "dataset_id", "value", "is_nan")
    create_clustered_table(
        "logged_model_metrics",
        Column("model_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("timestamp", BigInteger, nullable=False),
        Column("step", BigInteger, nullable=False),
        Column("run_id", BigInteger, nullable=False),
        Column("dataset_id", BigInteger, nullable=False),
        Column("value", Double, nullable=False),
        Column("is_nan", SmallInteger, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        PrimaryKeyConstraint(*key, name="pk_logged_model_metrics"),
    )
    op.create_index(
        "ix_logged_model_metrics_search",
        "logged_model_metrics",
        ["experiment_id", "key", "is_nan", "value", "model_id"],
    )
    op.create_index(
        "ix_logged_model_metrics_dataset", "logged_model_metrics", ["dataset_id", "experiment_id", "model_id"]
    )
