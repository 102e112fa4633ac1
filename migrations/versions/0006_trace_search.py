"""What rare spans, slow traces and numbers of assessments are found by.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint

revision = "0006"
down_revision = "0005"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

UNINDEXED_ATTRIBUTES = (
    "mlflow.spanFunctionName",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "mlflow.spanType",
    "mlflow.traceRequestId",
)
NUMBER_ON_SQLITE = (
    "CASE WHEN json_valid(value) = 1 THEN "
    "CASE WHEN json_type(value) IN ('integer', 'real') THEN CAST(value AS DOUBLE) END END"
)
NUMBER_ON_POSTGRESQL = (
    r"(CASE WHEN length(value) <= 200 AND value ~ '^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$' "
    "THEN CAST(value AS DOUBLE PRECISION) END)"
)


def upgrade() -> None:
    op.create_index(
        "ix_traces_duration",
        "traces",
        ["experiment_id", "execution_time_ms", sa.text("timestamp_ms DESC"), "request_id"],
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = NUMBER_ON_SQLITE if is_sqlite else NUMBER_ON_POSTGRESQL
    op.create_index("ix_assessments_number", "assessments", ["experiment_id", "name", sa.text(number), "trace_id"])
    op.create_table(
        "span_terms",
        Column("trace_id", BigInteger, nullable=False),
        Column("kind", Text, nullable=False),
        Column("value", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        PrimaryKeyConstraint("trace_id", "kind", "value", name="pk_span_terms"),
        sqlite_with_rowid=False,
    )
    fill_span_terms()
    op.create_index("ix_span_terms_search", "span_terms", ["experiment_id", "kind", "value", "trace_id"])
    op.drop_index("ix_spans_name", table_name="spans")


def fill_span_terms() -> None:
    """The terms of the spans that are there."""
    for column in ("name", "type", "status"):
        op.execute(
            f"INSERT INTO span_terms (trace_id, kind, value, experiment_id) "
            f"SELECT DISTINCT spans.trace_id, '{column}', substr(spans.{column}, 1, 100), traces.experiment_id "
            f"FROM spans JOIN traces ON traces.id = spans.trace_id WHERE spans.{column} IS NOT NULL "
            f"ORDER BY spans.trace_id"
        )
    if op.get_bind().dialect.name == "sqlite":
        keys = "json_each(spans.content, '$.attributes') AS attribute"
    else:
        keys = "LATERAL json_object_keys(CAST(spans.content AS json) -> 'attributes') AS attribute (key)"
    unindexed = ", ".join(f"'{key}'" for key in UNINDEXED_ATTRIBUTES)
    op.execute(
        "INSERT INTO span_terms (trace_id, kind, value, experiment_id) "
        "SELECT DISTINCT spans.trace_id, 'attribute', substr(attribute.key, 1, 100), traces.experiment_id "
        f"FROM spans JOIN traces ON traces.id = spans.trace_id, {keys} "
        f"WHERE attribute.key NOT IN ({unindexed}) ORDER BY spans.trace_id"
    )
