"""The tables.

Integer surrogate keys inside, MLflow's public ids at the border. Tables that belong to one parent are clustered by the
parent's key (``WITHOUT ROWID`` on SQLite), so that reading a run's params is one range scan. No foreign keys on the
hot tables: rows are only ever removed by the deletion of their run, which knows them all, and a check per logged point
costs more than the point.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

HEAD_REVISION = "0001"

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# Text compares and sorts by bytes on every database, as it does on SQLite.
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# SQLite makes an INTEGER PRIMARY KEY the row id itself; BIGINT would be a second index.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# How much of a param's or tag's value its index holds: enough to tell values apart, small enough for any database
# (PostgreSQL refuses index rows past 2,704 bytes).
INDEXED_VALUE_LENGTH = 100

# Exactly the table that alembic itself would create.
alembic_version = sa.Table(
    "alembic_version",
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def _clustered(name: str, *items: Any) -> sa.Table:
    return sa.Table(name, metadata, *items, sqlite_with_rowid=False)


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

experiment_tags = _clustered(
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
metric_points = _clustered(
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


def _key_value_table(name: str, owner: str) -> sa.Table:
    table = _clustered(
        name,
        sa.Column(owner, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", Text, primary_key=True),
        sa.Column("experiment_id", sa.BigInteger, nullable=False),
        sa.Column("value", Text, nullable=False),
    )
    sa.Index(
        f"ix_{name}_search",
        table.c.experiment_id,
        table.c.key,
        indexed_value(table.c.value),
        table.c[owner],
    )
    return table


def indexed_value(value: Any) -> sa.ColumnElement[str]:
    """The part of a param's or tag's value that its search index holds (the same expression in index and query)."""
    # The numbers must stand in the text: an expression index is only used for the very same expression.
    numbers = [sa.literal_column(str(number), sa.Integer()) for number in (1, INDEXED_VALUE_LENGTH)]
    return sa.func.substr(value, *numbers, type_=sa.Text())


params = _key_value_table("params", "run_id")
tags = _key_value_table("tags", "run_id")

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

input_tags = _clustered(
    "input_tags",
    sa.Column("input_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)

model_inputs = _clustered(
    "model_inputs",
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_id", Text, primary_key=True),
    sa.Index("ix_model_inputs_model", "model_id", "run_id"),
)

model_outputs = _clustered(
    "model_outputs",
    sa.Column("run_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model_id", Text, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_model_outputs_model", "model_id", "run_id"),
)

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

logged_model_params = _key_value_table("logged_model_params", "model_id")
logged_model_tags = _key_value_table("logged_model_tags", "model_id")

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
logged_model_metrics = _clustered(
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

traces = sa.Table(
    "traces",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("request_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
    sa.Column("execution_time_ms", sa.BigInteger),
    sa.Column("status", Text, nullable=False),
    sa.Column("client_request_id", Text),
    sa.Column("name", Text),
    sa.Column("request_preview", Text),
    sa.Column("response_preview", Text),
    sa.Column("session_id", Text),
    # Whether a client has sent the trace itself: then its times and totals are not worked out from its spans.
    sa.Column("is_finalized", sa.SmallInteger, nullable=False),
    # Totals over the spans; what was not reported is NULL.
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("total_tokens", sa.BigInteger),
    sa.Column("cache_read_input_tokens", sa.BigInteger),
    sa.Column("cache_creation_input_tokens", sa.BigInteger),
    sa.Column("input_cost", sa.Double),
    sa.Column("output_cost", sa.Double),
    sa.Column("total_cost", sa.Double),
)
# The order in which traces are listed: newest first, the id breaks ties.
sa.Index("ix_traces_listing", traces.c.experiment_id, traces.c.timestamp_ms.desc(), traces.c.request_id)
sa.Index("ix_traces_status", traces.c.experiment_id, traces.c.status, traces.c.timestamp_ms.desc(), traces.c.request_id)
sa.Index(
    "ix_traces_name",
    traces.c.experiment_id,
    indexed_value(traces.c.name),
    traces.c.timestamp_ms.desc(),
    traces.c.request_id,
)
# Few traces have these two.
sa.Index(
    "ix_traces_session",
    traces.c.experiment_id,
    traces.c.session_id,
    traces.c.timestamp_ms.desc(),
    sqlite_where=traces.c.session_id.is_not(None),
    postgresql_where=traces.c.session_id.is_not(None),
)
sa.Index(
    "ix_traces_client_request",
    traces.c.experiment_id,
    indexed_value(traces.c.client_request_id),
    sqlite_where=traces.c.client_request_id.is_not(None),
    postgresql_where=traces.c.client_request_id.is_not(None),
)

trace_tags = _clustered(
    "trace_tags",
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("value", Text, nullable=False),
)
sa.Index(
    "ix_trace_tags_search",
    trace_tags.c.experiment_id,
    trace_tags.c.key,
    indexed_value(trace_tags.c.value),
    trace_tags.c.trace_id,
)

trace_metadata = _clustered(
    "trace_metadata",
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)
# Every trace of a client has these, and nobody looks for them. Of the run there is a table of its own.
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


def has_indexed_metadata_key() -> sa.ColumnElement[bool]:
    """Whether the search index of trace metadata has a row: a query must hold this very condition to use it."""
    return trace_metadata.c.key.not_in([sa.literal_column(f"'{key}'") for key in UNINDEXED_TRACE_METADATA])


sa.Index(
    "ix_trace_metadata_search",
    trace_metadata.c.key,
    indexed_value(trace_metadata.c.value),
    trace_metadata.c.trace_id,
    sqlite_where=has_indexed_metadata_key(),
    postgresql_where=has_indexed_metadata_key(),
)

# The traces that belong to a run: those it made, and those that were linked to it later.
trace_runs = _clustered(
    "trace_runs",
    sa.Column("run_uuid", Text, primary_key=True),
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_trace_runs_trace", "trace_id"),
)

# The versions of prompts that traces used, as "name/version".
trace_prompts = _clustered(
    "trace_prompts",
    sa.Column("prompt_version", Text, primary_key=True),
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_trace_prompts_trace", "trace_id"),
)

# What is searched in columns; the whole span as MLflow keeps it (attributes as JSON in text) in content.
spans = _clustered(
    "spans",
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("span_id", Text, primary_key=True),
    sa.Column("parent_span_id", Text),
    sa.Column("name", Text, nullable=False),
    sa.Column("type", Text),
    sa.Column("status", Text, nullable=False),
    sa.Column("start_time_unix_nano", sa.BigInteger, nullable=False),
    sa.Column("end_time_unix_nano", sa.BigInteger),
    sa.Column("model_name", Text),
    sa.Column("model_provider", Text),
    sa.Column("input_cost", sa.Double),
    sa.Column("output_cost", sa.Double),
    sa.Column("total_cost", sa.Double),
    sa.Column("content", Text, nullable=False),
    sa.Index("ix_spans_name", "name", "trace_id"),
)

assessments = sa.Table(
    "assessments",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("assessment_id", Text, nullable=False, unique=True),
    sa.Column("trace_id", sa.BigInteger, nullable=False),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("assessment_type", Text, nullable=False),  # feedback, expectation or issue
    sa.Column("value", Text),  # as JSON; NULL where there is only an error
    sa.Column("error", Text),  # as JSON
    sa.Column("created_timestamp", sa.BigInteger, nullable=False),
    sa.Column("last_updated_timestamp", sa.BigInteger, nullable=False),
    sa.Column("source_type", Text, nullable=False),
    sa.Column("source_id", Text, nullable=False),
    sa.Column("run_uuid", Text),  # the evaluation run that made it
    sa.Column("span_id", Text),
    sa.Column("rationale", Text),
    sa.Column("overrides", Text),
    sa.Column("valid", sa.SmallInteger, nullable=False),
    sa.Column("metadata", Text),  # as JSON
    sa.Index("ix_assessments_trace", "trace_id", "id"),
    sa.Index("ix_assessments_run", "run_uuid"),
)
sa.Index(
    "ix_assessments_name",
    assessments.c.experiment_id,
    assessments.c.name,
    indexed_value(assessments.c.value),
    assessments.c.trace_id,
)

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

evaluation_dataset_tags = _clustered(
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

evaluation_dataset_experiments = _clustered(
    "evaluation_dataset_experiments",
    sa.Column("dataset_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("experiment_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("created_time", sa.BigInteger, nullable=False),
    sa.Index("ix_evaluation_dataset_experiments_experiment", "experiment_id", "dataset_id"),
)

# Records in the order in which they came. Their parts are JSON; the size, the characters of them all, stands before
# them: a page is cut to a bounded size without reading them. What tells a record from all others (dataset and hash of
# the inputs) is one column: PostgreSQL, before it has statistics, would not look for both of two in their index.
evaluation_dataset_records = _clustered(
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
