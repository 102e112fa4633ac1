"""The schema of a PostgreSQL database: whether it is current, and how it becomes so."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa

from runnel.store.migrations import SchemaError, SchemaState, creation_statements, run_migrations, schema_state
from runnel.store.postgresql import connect, connection_uri
from runnel.store.postgresql_dialect import POSTGRESQL
from runnel.store.schema import HEAD_REVISION

# Servers that start together take turns: the number is Runnel's own, any fixed one will do.
_LOCK_KEY = 0x52756E6E656C  # "Runnel"


def postgresql_revision(uri: str) -> tuple[str | None, set[str]]:
    """The revision of a database and the names of its tables; (None, empty) for an empty one."""
    with _connected(uri) as connection:
        return _revision(connection)


def prepare_postgresql(uri: str, *, upgrade: bool) -> None:
    """Makes a database current: an empty one is created, an older one upgraded only where that is asked for."""
    with _connected(uri) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
        state = schema_state(*_revision(connection), name="The database")
        if state is SchemaState.EMPTY:
            for statement in creation_statements(POSTGRESQL.sqlalchemy_dialect):
                connection.execute(statement.encode())
            connection.execute("INSERT INTO alembic_version (version_num) VALUES (%s)", (HEAD_REVISION,))
        elif state is SchemaState.OLDER and upgrade:
            _upgrade(connection)
        elif state is SchemaState.OLDER:
            raise SchemaError(
                "The database has an older schema. Make a backup, then run `runnel db upgrade` "
                "(or start the server with --upgrade-db)."
            )


def _connected(uri: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return connect(connection_uri(uri))
    except psycopg.Error as error:
        raise SchemaError(f"The database cannot be reached: {str(error).strip()}") from error


def _revision(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[str | None, set[str]]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    tables = {row[0] for row in rows}
    if "alembic_version" not in tables:
        return None, tables
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return (row[0] if row else None), tables


def _upgrade(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Runs the revisions on the connection that holds the lock, in its transaction."""
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sa.pool.StaticPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as borrowed:
        run_migrations(borrowed)
