"""Traces with their spans and assessments, evaluation datasets, and scorers.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Double, PrimaryKeyConstraint, SmallInteger, UniqueConstraint

revision = "0002"
down_revision = "0001"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

UNINDEXED_TRACE_METADATA = (
    "mlflow.source.git.branch",
    "mlflow.source.git.commit",
    "mlflow.source.git.repoURL",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.sourceRun",
    "mlflow.trace.cost",
    "mlflow.trace.infoFinalized",
    "mlflow.trace.session",
    "mlflow.trace.sizeBytes",
    "mlflow.trace.sizeStats",
    "mlflow.trace.tokenUsage",
    "mlflow.traceInputs",
    "mlflow.traceOutputs",
    "mlflow.trace_schema.version",
    "mlflow.user",
)


def create_clustered_table(name: str, *items: Any) -> None:
    """A table that SQLite keeps in the order of its primary key."""
    op.create_table(name, *items, sqlite_with_rowid=False)


def create_partial_index(name: str, table: str, columns: list[Any], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    create_traces()
    create_trace_properties()
    create_trace_links()
    create_spans()
    create_assessments()
    create_evaluation_datasets()
    create_evaluation_dataset_records()
    create_scorers()


def create_traces() -> None:
    op.create_table(
        "traces",
        Column("id", Id, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("timestamp_ms", BigInteger, nullable=False),
        Column("execution_time_ms", BigInteger),
        Column("status", Text, nullable=False),
        Column("client_request_id", Text),
        Column("name", Text),
        Column("request_preview", Text),
        Column("response_preview", Text),
        Column("session_id", Text),
        Column("is_finalized", SmallInteger, nullable=False),
        Column("input_tokens", BigInteger),
        Column("output_tokens", BigInteger),
        Column("total_tokens", BigInteger),
        Column("cache_read_input_tokens", BigInteger),
        Column("cache_creation_input_tokens", BigInteger),
        Column("input_cost", Double),
        Column("output_cost", Double),
        Column("total_cost", Double),
        PrimaryKeyConstraint("id", name="pk_traces"),
        UniqueConstraint("request_id", name="uq_traces_request_id"),
    )
    op.create_index("ix_traces_listing", "traces", ["experiment_id", sa.text("timestamp_ms DESC"), "request_id"])
    op.create_index(
        "ix_traces_status", "traces", ["experiment_id", "status", sa.text("timestamp_ms DESC"), "request_id"]
    )
    create_trace_search_indexes()


def create_trace_search_indexes() -> None:
    op.create_index(
        "ix_traces_name",
        "traces",
        ["experiment_id", sa.text("substr(name, 1, 100)"), sa.text("timestamp_ms DESC"), "request_id"],
    )
    create_partial_index(
        "ix_traces_session",
        "traces",
        ["experiment_id", "session_id", sa.text("timestamp_ms DESC"), "request_id"],
        "session_id IS NOT NULL",
    )
    create_partial_index(
        "ix_traces_client_request",
        "traces",
        ["experiment_id", sa.text("substr(client_request_id, 1, 100)")],
        "client_request_id IS NOT NULL",
    )


def create_trace_properties() -> None:
    create_clustered_table(
        "trace_tags",
        Column("trace_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("trace_id", "key", name="pk_trace_tags"),
    )
    op.create_index(
        "ix_trace_tags_search", "trace_tags", ["experiment_id", "key", sa.text("substr(value, 1, 100)"), "trace_id"]
    )
    create_clustered_table(
        "trace_metadata",
        Column("trace_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("trace_id", "key", name="pk_trace_metadata"),
    )
    keys = ", ".join(f"'{key}'" for key in UNINDEXED_TRACE_METADATA)
    create_partial_index(
        "ix_trace_metadata_search",
        "trace_metadata",
        ["key", sa.text("substr(value, 1, 100)"), "trace_id"],
        f"(key NOT IN ({keys}))",
    )


def create_trace_links() -> None:
    create_clustered_table(
        "trace_runs",
        Column("run_uuid", Text, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        PrimaryKeyConstraint("run_uuid", "trace_id", name="pk_trace_runs"),
    )
    op.create_index("ix_trace_runs_trace", "trace_runs", ["trace_id"])
    create_clustered_table(
        "trace_prompts",
        Column("prompt_version", Text, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        PrimaryKeyConstraint("prompt_version", "trace_id", name="pk_trace_prompts"),
    )
    op.create_index("ix_trace_prompts_trace", "trace_prompts", ["trace_id"])


def create_spans() -> None:
    op.create_table(
        "spans",
        Column("trace_id", BigInteger, nullable=False),
        Column("span_id", Text, nullable=False),
        Column("parent_span_id", Text),
        Column("name", Text, nullable=False),
        Column("type", Text),
        Column("status", Text, nullable=False),
        Column("start_time_unix_nano", BigInteger, nullable=False),
        Column("end_time_unix_nano", BigInteger),
        Column("model_name", Text),
        Column("model_provider", Text),
        Column("input_cost", Double),
        Column("output_cost", Double),
        Column("total_cost", Double),
        Column("content", Text, nullable=False),
        PrimaryKeyConstraint("trace_id", "span_id", name="pk_spans"),
    )
    op.create_index("ix_spans_name", "spans", ["name", "trace_id"])


def create_assessments() -> None:
    op.create_table(
        "assessments",
        Column("id", Id, nullable=False),
        Column("assessment_id", Text, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("assessment_type", Text, nullable=False),
        Column("value", Text),
        Column("error", Text),
        Column("created_timestamp", BigInteger, nullable=False),
        Column("last_updated_timestamp", BigInteger, nullable=False),
        Column("source_type", Text, nullable=False),
        Column("source_id", Text, nullable=False),
        Column("run_uuid", Text),
        Column("span_id", Text),
        Column("rationale", Text),
        Column("overrides", Text),
        Column("valid", SmallInteger, nullable=False),
        Column("metadata", Text),
        PrimaryKeyConstraint("id", name="pk_assessments"),
        UniqueConstraint("assessment_id", name="uq_assessments_assessment_id"),
    )
    op.create_index("ix_assessments_trace", "assessments", ["trace_id", "id"])
    op.create_index(
        "ix_assessments_name",
        "assessments",
        ["experiment_id", "name", sa.text("substr(value, 1, 100)"), "trace_id"],
    )
    op.create_index("ix_assessments_run", "assessments", ["run_uuid"])


def create_evaluation_datasets() -> None:
    op.create_table(
        "evaluation_datasets",
        Column("id", Id, nullable=False),
        Column("dataset_id", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("schema", Text),
        Column("profile", Text),
        Column("last_position", BigInteger, nullable=False),
        Column("digest", Text, nullable=False),
        Column("created_time", BigInteger, nullable=False),
        Column("last_update_time", BigInteger, nullable=False),
        Column("created_by", Text),
        Column("last_updated_by", Text),
        PrimaryKeyConstraint("id", name="pk_evaluation_datasets"),
        UniqueConstraint("dataset_id", name="uq_evaluation_datasets_dataset_id"),
    )
    op.create_index("ix_evaluation_datasets_created", "evaluation_datasets", ["created_time", "id"])
    op.create_index("ix_evaluation_datasets_updated", "evaluation_datasets", ["last_update_time", "id"])
    op.create_index("ix_evaluation_datasets_name", "evaluation_datasets", ["name", "id"])
    create_clustered_table(
        "evaluation_dataset_tags",
        Column("dataset_id", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("dataset_id", "key", name="pk_evaluation_dataset_tags"),
    )
    op.create_index(
        "ix_evaluation_dataset_tags_search",
        "evaluation_dataset_tags",
        ["key", sa.text("substr(value, 1, 100)"), "dataset_id"],
    )
    create_clustered_table(
        "evaluation_dataset_experiments",
        Column("dataset_id", BigInteger, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("created_time", BigInteger, nullable=False),
        PrimaryKeyConstraint("dataset_id", "experiment_id", name="pk_evaluation_dataset_experiments"),
    )
    op.create_index(
        "ix_evaluation_dataset_experiments_experiment",
        "evaluation_dataset_experiments",
        ["experiment_id", "dataset_id"],
    )


def create_evaluation_dataset_records() -> None:
    create_clustered_table(
        "evaluation_dataset_records",
        Column("dataset_id", BigInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("dataset_record_id", Text, nullable=False),
        Column("input_key", Text, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("created_time", BigInteger, nullable=False),
        Column("last_update_time", BigInteger, nullable=False),
        Column("created_by", Text),
        Column("last_updated_by", Text),
        Column("inputs", Text, nullable=False),
        Column("outputs", Text),
        Column("expectations", Text),
        Column("tags", Text, nullable=False),
        Column("source", Text),
        PrimaryKeyConstraint("dataset_id", "position", name="pk_evaluation_dataset_records"),
        UniqueConstraint("dataset_record_id", name="uq_evaluation_dataset_records_dataset_record_id"),
        UniqueConstraint("input_key", name="uq_evaluation_dataset_records_input_key"),
    )


def create_scorers() -> None:
    op.create_table(
        "scorers",
        Column("id", Id, nullable=False),
        Column("scorer_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("scorer_name", Text, nullable=False),
        PrimaryKeyConstraint("id", name="pk_scorers"),
        UniqueConstraint("scorer_id", name="uq_scorers_scorer_id"),
        UniqueConstraint("experiment_id", "scorer_name", name="uq_scorers_experiment_id_scorer_name"),
    )
    create_clustered_table(
        "scorer_versions",
        Column("scorer", BigInteger, nullable=False),
        Column("scorer_version", BigInteger, nullable=False),
        Column("creation_time", BigInteger, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("serialized_scorer", Text, nullable=False),
        PrimaryKeyConstraint("scorer", "scorer_version", name="pk_scorer_versions"),
    )
    create_clustered_table(
        "online_scoring_configs",
        Column("scorer", BigInteger, autoincrement=False, nullable=False),
        Column("online_scoring_config_id", Text, nullable=False),
        Column("sample_rate", sa.Double, nullable=False),
        Column("filter_string", Text),
        PrimaryKeyConstraint("scorer", name="pk_online_scoring_configs"),
    )
