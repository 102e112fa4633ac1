"""The table of webhooks."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, metadata

# There are few. The events are a JSON list of pairs; the secret is encrypted.
webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("webhook_id", Text, nullable=False, unique=True),
    sa.Column("name", Text, nullable=False),
    sa.Column("description", Text),
    sa.Column("url", Text, nullable=False),
    sa.Column("events", Text, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("secret", Text),
    sa.Column("creation_timestamp", sa.BigInteger, nullable=False),
    sa.Column("last_updated_timestamp", sa.BigInteger, nullable=False),
)
