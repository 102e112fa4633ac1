"""What all tables are made of."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# Text compares and sorts by bytes on every database, as it does on SQLite.
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# SQLite makes an INTEGER PRIMARY KEY the row id itself; BIGINT would be a second index.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# How much of a param's or tag's value its index holds: enough to tell values apart, small enough for any database
# (PostgreSQL refuses index rows past 2,704 bytes).
INDEXED_VALUE_LENGTH = 100

# Exactly the table that alembic itself would create.
alembic_version = sa.Table(
    "alembic_version",
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def clustered_table(name: str, *items: Any) -> sa.Table:
    return sa.Table(name, metadata, *items, sqlite_with_rowid=False)


def key_value_table(name: str, owner: str) -> sa.Table:
    table = clustered_table(
        name,
        sa.Column(owner, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", Text, primary_key=True),
        sa.Column("experiment_id", sa.BigInteger, nullable=False),
        sa.Column("value", Text, nullable=False),
    )
    sa.Index(
        f"ix_{name}_search",
        table.c.experiment_id,
        table.c.key,
        indexed_value(table.c.value),
        table.c[owner],
    )
    return table


def indexed_value(value: Any) -> sa.ColumnElement[str]:
    """The part of a param's or tag's value that its search index holds (the same expression in index and query)."""
    # The numbers must stand in the text: an expression index is only used for the very same expression.
    numbers = [sa.literal_column(str(number), sa.Integer()) for number in (1, INDEXED_VALUE_LENGTH)]
    return sa.func.substr(value, *numbers, type_=sa.Text())
