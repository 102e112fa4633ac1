"""Issues, label schemas and review queues.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, SmallInteger, UniqueConstraint

revision = "0003"
down_revision = "0002"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_clustered_table(name: str, *items: Any) -> None:
    """A table that SQLite keeps in the order of its primary key."""
    op.create_table(name, *items, sqlite_with_rowid=False)


def create_partial_index(name: str, table: str, columns: list[Any], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    create_issues()
    create_label_schemas()
    create_review_queues()
    create_review_queue_items()


def create_issues() -> None:
    op.create_table(
        "issues",
        Column("id", Id, nullable=False),
        Column("issue_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("severity", SmallInteger, nullable=False),
        Column("source_run_id", Text),
        Column("created_timestamp", BigInteger, nullable=False),
        Column("last_updated_timestamp", BigInteger, nullable=False),
        Column("created_by", Text),
        Column("size", BigInteger, nullable=False),
        Column("description", Text, nullable=False),
        Column("root_causes", Text),
        Column("categories", Text),
        PrimaryKeyConstraint("id", name="pk_issues"),
        UniqueConstraint("issue_id", name="uq_issues_issue_id"),
    )
    op.create_index("ix_issues_listing", "issues", ["experiment_id", "severity", "created_timestamp", "id"])
    op.create_index("ix_issues_everywhere", "issues", ["severity", "created_timestamp", "id"])
    op.create_index("ix_issues_status", "issues", ["experiment_id", "status", "severity", "created_timestamp", "id"])
    create_partial_index("ix_issues_source_run", "issues", ["source_run_id"], "source_run_id IS NOT NULL")
    create_partial_index(
        "ix_assessments_issue", "assessments", ["name", "trace_id", "assessment_type"], "assessment_type = 'issue'"
    )


def create_label_schemas() -> None:
    op.create_table(
        "label_schemas",
        Column("id", Id, nullable=False),
        Column("schema_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("instruction", Text),
        Column("enable_comment", SmallInteger, nullable=False),
        Column("input_type", Text, nullable=False),
        Column("input_config", Text, nullable=False),
        Column("created_by", Text),
        Column("created_time", BigInteger, nullable=False),
        Column("last_update_time", BigInteger, nullable=False),
        Column("is_default", SmallInteger, nullable=False),
        PrimaryKeyConstraint("id", name="pk_label_schemas"),
        UniqueConstraint("schema_id", name="uq_label_schemas_schema_id"),
        UniqueConstraint("experiment_id", "name", name="uq_label_schemas_experiment_id_name"),
    )
    op.create_index("ix_label_schemas_listing", "label_schemas", ["experiment_id", "created_time", "id"])


def create_review_queues() -> None:
    op.create_table(
        "review_queues",
        Column("id", Id, nullable=False),
        Column("queue_id", Text, nullable=False),
        Column("experiment_id", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("name_key", Text, nullable=False),
        Column("queue_type", Text, nullable=False),
        Column("created_by", Text),
        Column("creation_time_ms", BigInteger, nullable=False),
        Column("last_update_time_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("id", name="pk_review_queues"),
        UniqueConstraint("queue_id", name="uq_review_queues_queue_id"),
        UniqueConstraint("experiment_id", "name_key", name="uq_review_queues_experiment_id_name_key"),
    )
    op.create_index("ix_review_queues_listing", "review_queues", ["experiment_id", "creation_time_ms", "id"])
    create_clustered_table(
        "review_queue_users",
        Column("queue", BigInteger, nullable=False),
        Column("user_id", Text, nullable=False),
        PrimaryKeyConstraint("queue", "user_id", name="pk_review_queue_users"),
    )
    op.create_index("ix_review_queue_users_user", "review_queue_users", ["user_id", "queue"])
    create_clustered_table(
        "review_queue_label_schemas",
        Column("queue", BigInteger, nullable=False),
        Column("schema_id", Text, nullable=False),
        PrimaryKeyConstraint("queue", "schema_id", name="pk_review_queue_label_schemas"),
    )


def create_review_queue_items() -> None:
    create_clustered_table(
        "review_queue_items",
        Column("queue", BigInteger, nullable=False),
        Column("item_id", Text, nullable=False),
        Column("item_type", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("completed_by", Text),
        Column("completed_time_ms", BigInteger),
        Column("creation_time_ms", BigInteger, nullable=False),
        Column("last_update_time_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("queue", "item_id", name="pk_review_queue_items"),
    )
    op.create_index(
        "ix_review_queue_items_listing",
        "review_queue_items",
        ["queue", sa.text("creation_time_ms DESC"), "item_id"],
    )
    op.create_index(
        "ix_review_queue_items_status",
        "review_queue_items",
        ["queue", "status", sa.text("creation_time_ms DESC"), "item_id"],
    )
    op.create_index("ix_review_queue_items_item", "review_queue_items", ["item_id"])
