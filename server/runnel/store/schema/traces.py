"""The tables of traces, spans and assessments."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, indexed_value, metadata
from runnel.store.schema.json_number import json_number

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
sa.Index(
    "ix_traces_duration",
    traces.c.experiment_id,
    traces.c.execution_time_ms,
    traces.c.timestamp_ms.desc(),
    traces.c.request_id,
)
# Few traces have these two.
sa.Index(
    "ix_traces_session",
    traces.c.experiment_id,
    traces.c.session_id,
    traces.c.timestamp_ms.desc(),
    traces.c.request_id,
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

trace_tags = clustered_table(
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

trace_metadata = clustered_table(
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
trace_runs = clustered_table(
    "trace_runs",
    sa.Column("run_uuid", Text, primary_key=True),
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_trace_runs_trace", "trace_id"),
)

# The versions of prompts that traces used, as "name/version".
trace_prompts = clustered_table(
    "trace_prompts",
    sa.Column("prompt_version", Text, primary_key=True),
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Index("ix_trace_prompts_trace", "trace_id"),
)

# What is searched in columns; the whole span as MLflow keeps it (attributes as JSON in text) in content. Not clustered:
# of a row in the order of a key, SQLite moves what is past a quarter of a page to a page of its own, and most are.
spans = sa.Table(
    "spans",
    metadata,
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
)

# By what its spans can be found, each value once per trace: the names, types and states of its spans, and the keys of
# their attributes (see ``store.span_terms``). Of a long value only the beginning.
span_terms = clustered_table(
    "span_terms",
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", Text, primary_key=True),
    sa.Column("value", Text, primary_key=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Index("ix_span_terms_search", "experiment_id", "kind", "value", "trace_id"),
)


def has_cost() -> sa.ColumnElement[bool]:
    """Whether the index of what spans cost has a row: a query must hold this very condition to use it."""
    costs = (spans.c.input_cost, spans.c.output_cost, spans.c.total_cost)
    return sa.or_(*[cost.is_not(None) for cost in costs])


sa.Index(
    "ix_spans_cost",
    spans.c.start_time_unix_nano,
    spans.c.trace_id,
    sqlite_where=has_cost(),
    postgresql_where=has_cost(),
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


def is_issue_reference() -> sa.ColumnElement[bool]:
    """Whether an assessment refers to an issue: a query must hold this very condition to use the index of these."""
    return assessments.c.assessment_type == sa.literal_column("'issue'")


sa.Index(
    "ix_assessments_name",
    assessments.c.experiment_id,
    assessments.c.name,
    indexed_value(assessments.c.value),
    assessments.c.trace_id,
)
# Few assessments refer to an issue, whose id is then their name: the traces of an issue are counted along this. The
# type is there for SQLite, which does not see that the condition tells it.
sa.Index(
    "ix_assessments_issue",
    assessments.c.name,
    assessments.c.trace_id,
    assessments.c.assessment_type,
    sqlite_where=is_issue_reference(),
    postgresql_where=is_issue_reference(),
)
sa.Index(
    "ix_assessments_number",
    assessments.c.experiment_id,
    assessments.c.name,
    json_number(assessments.c.value),
    assessments.c.trace_id,
)

# What is needed to add up tokens and cost while spans come in (see domain/trace_usage.py).
trace_usage = clustered_table(
    "trace_usage",
    sa.Column("trace_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("anchor", Text, primary_key=True),
    sa.Column("numbers", Text, nullable=False),  # as JSON
)
