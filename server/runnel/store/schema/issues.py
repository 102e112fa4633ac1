"""The table of issues."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, metadata

# The severity is its rank, from 0 for the lowest; -1 is none. The size, the characters of all texts, stands beside
# them: a page is known to be too large without reading it.
issues = sa.Table(
    "issues",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("issue_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("source_run_id", Text),
    sa.Column("created_timestamp", sa.BigInteger, nullable=False),
    sa.Column("last_updated_timestamp", sa.BigInteger, nullable=False),
    sa.Column("created_by", Text),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("description", Text, nullable=False),
    sa.Column("root_causes", Text),  # as JSON
    sa.Column("categories", Text),  # as JSON
    # Issues are listed the other way round: the most severe first, then the newest.
    sa.Index("ix_issues_listing", "experiment_id", "severity", "created_timestamp", "id"),
    sa.Index("ix_issues_everywhere", "severity", "created_timestamp", "id"),
    sa.Index("ix_issues_status", "experiment_id", "status", "severity", "created_timestamp", "id"),
    sa.Index(
        "ix_issues_source_run",
        "source_run_id",
        sqlite_where=sa.text("source_run_id IS NOT NULL"),
        postgresql_where=sa.text("source_run_id IS NOT NULL"),
    ),
)
