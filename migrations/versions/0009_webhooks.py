"""Webhooks.

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0009"
down_revision = "0008"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        Column("id", Id, nullable=False),
        Column("webhook_id", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text),
        Column("url", Text, nullable=False),
        Column("events", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("secret", Text),
        Column("creation_timestamp", BigInteger, nullable=False),
        Column("last_updated_timestamp", BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.UniqueConstraint("webhook_id", name="uq_webhooks_webhook_id"),
    )
