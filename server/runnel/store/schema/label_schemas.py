"""The table of label schemas."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, metadata

label_schemas = sa.Table(
    "label_schemas",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("schema_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("type", Text, nullable=False),  # feedback or expectation
    sa.Column("instruction", Text),
    sa.Column("enable_comment", sa.SmallInteger, nullable=False),
    sa.Column("input_type", Text, nullable=False),  # pass_fail, categorical, numeric or text
    sa.Column("input_config", Text, nullable=False),  # as JSON
    sa.Column("created_by", Text),
    sa.Column("created_time", sa.BigInteger, nullable=False),
    sa.Column("last_update_time", sa.BigInteger, nullable=False),
    sa.Column("is_default", sa.SmallInteger, nullable=False),
    sa.UniqueConstraint("experiment_id", "name"),
    sa.Index("ix_label_schemas_listing", "experiment_id", "created_time", "id"),
)
