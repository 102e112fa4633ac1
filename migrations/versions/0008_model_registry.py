"""The model registry: registered models, their versions, tags and aliases. (Prompts are registered models.)

A revision is frozen once it has been released: it spells out every name and type, and imports nothing of the package.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, SmallInteger, UniqueConstraint

revision = "0008"
down_revision = "0007"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_clustered_table(name: str, *items: Any) -> None:
    """A table that SQLite keeps in the order of its primary key."""
    op.create_table(name, *items, sqlite_with_rowid=False)


def create_tags(name: str) -> None:
    create_clustered_table(
        name,
        Column("owner", BigInteger, nullable=False),
        Column("key", Text, nullable=False),
        Column("value", Text, nullable=False),
        PrimaryKeyConstraint("owner", "key", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_search", name, ["key", sa.text("substr(value, 1, 100)"), "owner"])


def upgrade() -> None:
    op.create_table(
        "registered_models",
        Column("id", Id, nullable=False),
        Column("name", Text, nullable=False),
        Column("is_prompt", SmallInteger, nullable=False),
        Column("last_version", BigInteger, nullable=False),
        Column("creation_time", BigInteger, nullable=False),
        Column("last_updated_time", BigInteger, nullable=False),
        Column("description", Text),
        PrimaryKeyConstraint("id", name="pk_registered_models"),
        UniqueConstraint("name", name="uq_registered_models_name"),
    )
    op.create_index("ix_registered_models_listing", "registered_models", ["is_prompt", "name"])
    op.create_index("ix_registered_models_updated", "registered_models", ["is_prompt", "last_updated_time", "name"])
    create_tags("registered_model_tags")
    create_clustered_table(
        "registered_model_aliases",
        Column("registered_model", BigInteger, nullable=False),
        Column("alias", Text, nullable=False),
        Column("version", BigInteger, nullable=False),
        PrimaryKeyConstraint("registered_model", "alias", name="pk_registered_model_aliases"),
    )
    create_model_versions()
    create_tags("model_version_tags")


def create_model_versions() -> None:
    op.create_table(
        "model_versions",
        Column("id", Id, nullable=False),
        Column("registered_model", BigInteger, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("name", Text, nullable=False),
        Column("is_prompt", SmallInteger, nullable=False),
        Column("current_stage", Text, nullable=False),
        Column("creation_time", BigInteger, nullable=False),
        Column("last_updated_time", BigInteger, nullable=False),
        Column("description", Text),
        Column("source", Text, nullable=False),
        Column("storage_location", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("run_link", Text, nullable=False),
        Column("model_id", Text),
        PrimaryKeyConstraint("id", name="pk_model_versions"),
        UniqueConstraint("registered_model", "version", name="uq_model_versions_registered_model_version"),
    )
    by_update = ["is_prompt", sa.text("last_updated_time DESC"), "name", sa.text("version DESC")]
    of_name = ["name", sa.text("last_updated_time DESC"), sa.text("version DESC")]
    op.create_index("ix_model_versions_listing", "model_versions", by_update)
    op.create_index("ix_model_versions_created", "model_versions", ["is_prompt", "creation_time", "name", "version"])
    op.create_index("ix_model_versions_by_name", "model_versions", ["is_prompt", "name", sa.text("version DESC")])
    op.create_index("ix_model_versions_of_name", "model_versions", of_name)
    op.create_index("ix_model_versions_name", "model_versions", ["name", "version"])
    op.create_index("ix_model_versions_stage", "model_versions", ["registered_model", "current_stage", "version"])
    op.create_index("ix_model_versions_run", "model_versions", ["run_id"])
    op.create_index("ix_model_versions_source", "model_versions", [sa.text("substr(source, 1, 100)")])
