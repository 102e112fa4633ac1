"""The tables of registered models, their versions, and what belongs to both. (Prompts are registered models.)"""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, indexed_value, metadata

# The last number given to a version: numbers are never given twice, and who gives one has locked the row.
registered_models = sa.Table(
    "registered_models",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("name", Text, nullable=False, unique=True),
    sa.Column("is_prompt", sa.SmallInteger, nullable=False),  # by its tag
    sa.Column("last_version", sa.BigInteger, nullable=False),
    sa.Column("creation_time", sa.BigInteger, nullable=False),
    sa.Column("last_updated_time", sa.BigInteger, nullable=False),
    sa.Column("description", Text),
    sa.Index("ix_registered_models_listing", "is_prompt", "name"),
    sa.Index("ix_registered_models_updated", "is_prompt", "last_updated_time", "name"),
)

registered_model_tags = clustered_table(
    "registered_model_tags",
    sa.Column("owner", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)
sa.Index(
    "ix_registered_model_tags_search",
    registered_model_tags.c.key,
    indexed_value(registered_model_tags.c.value),
    registered_model_tags.c.owner,
)

registered_model_aliases = clustered_table(
    "registered_model_aliases",
    sa.Column("registered_model", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("alias", Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

# The name is the model's: lists of versions are in its order. Where the artifacts lie is the source, or what it led to.
model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("registered_model", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("is_prompt", sa.SmallInteger, nullable=False),  # by its tag
    sa.Column("current_stage", Text, nullable=False),
    sa.Column("creation_time", sa.BigInteger, nullable=False),
    sa.Column("last_updated_time", sa.BigInteger, nullable=False),
    sa.Column("description", Text),
    sa.Column("source", Text, nullable=False),
    sa.Column("storage_location", Text, nullable=False),
    sa.Column("run_id", Text, nullable=False),
    sa.Column("run_link", Text, nullable=False),
    sa.Column("model_id", Text),
    sa.UniqueConstraint("registered_model", "version"),
    # The latest of each stage is the last entry of its stage.
    sa.Index("ix_model_versions_stage", "registered_model", "current_stage", "version"),
    sa.Index("ix_model_versions_created", "is_prompt", "creation_time", "name", "version"),
    sa.Index("ix_model_versions_name", "name", "version"),
)
sa.Index(
    "ix_model_versions_listing",
    model_versions.c.is_prompt,
    model_versions.c.last_updated_time.desc(),
    model_versions.c.name,
    model_versions.c.version.desc(),
)
sa.Index(
    "ix_model_versions_by_name", model_versions.c.is_prompt, model_versions.c.name, model_versions.c.version.desc()
)
sa.Index(
    "ix_model_versions_of_name",
    model_versions.c.name,
    model_versions.c.last_updated_time.desc(),
    model_versions.c.version.desc(),
)
sa.Index("ix_model_versions_run", model_versions.c.run_id)
sa.Index("ix_model_versions_source", indexed_value(model_versions.c.source))

model_version_tags = clustered_table(
    "model_version_tags",
    sa.Column("owner", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)
sa.Index(
    "ix_model_version_tags_search",
    model_version_tags.c.key,
    indexed_value(model_version_tags.c.value),
    model_version_tags.c.owner,
)
