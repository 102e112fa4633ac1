"""The tables of scorers."""

from __future__ import annotations

import sqlalchemy as sa

from runnel.store.schema.base import Id, Text, clustered_table, metadata

scorers = sa.Table(
    "scorers",
    metadata,
    sa.Column("id", Id, primary_key=True, autoincrement=True),
    sa.Column("scorer_id", Text, nullable=False, unique=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("scorer_name", Text, nullable=False),
    sa.UniqueConstraint("experiment_id", "scorer_name"),
)

# The size, the characters of the definition, stands before it: an answer is known to be too large without reading it.
scorer_versions = clustered_table(
    "scorer_versions",
    sa.Column("scorer", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("scorer_version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("creation_time", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("serialized_scorer", Text, nullable=False),
)

# At most one for each scorer, whatever its versions.
online_scoring_configs = clustered_table(
    "online_scoring_configs",
    sa.Column("scorer", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("online_scoring_config_id", Text, nullable=False),
    sa.Column("sample_rate", sa.Double, nullable=False),
    sa.Column("filter_string", Text),
)
