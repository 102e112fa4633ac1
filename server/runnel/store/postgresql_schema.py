"""The schema of a PostgreSQL database: whether it is current, and how it becomes so."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import sqlalchemy as sa

from runnel.store.migrations import (
    SchemaError,
    SchemaState,
    creation_statements,
    reason_of,
    run_migrations,
    schema_state,
)
from runnel.store.postgresql import connect, connection_uri
from runnel.store.postgresql_dialect import POSTGRESQL
from runnel.store.schema import HEAD_REVISION

logger = logging.getLogger("runnel.store")

# Servers that start together take turns: the number is Runnel's own, any fixed one will do.
_LOCK_KEY = 0x52756E6E656C  # "Runnel"


def postgresql_revision(uri: str) -> tuple[str | None, set[str]]:
    """The revision of a database and the names of its tables; (None, empty) for an empty one."""
    with _connected(uri) as connection:
        return _revision(connection)


def prepare_postgresql(uri: str, *, upgrade: bool) -> None:
    """Makes a database current: an empty one is created, an older one upgraded only where that is asked for."""
    with _connected(uri) as connection:
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
                revision, tables = _revision(connection)
                state = schema_state(revision, tables, name="The database")
                if state is SchemaState.EMPTY:
                    for statement in creation_statements(POSTGRESQL.sqlalchemy_dialect):
                        connection.execute(statement.encode())
                    connection.execute("INSERT INTO alembic_version (version_num) VALUES (%s)", (HEAD_REVISION,))
        except psycopg.Error as error:
            raise SchemaError(f"The schema cannot be created in the database: {reason_of(error)}.") from error
    if state is SchemaState.OLDER and upgrade:
        _upgrade(uri, str(revision))
    elif state is SchemaState.OLDER:
        raise SchemaError(
            f"The database has the older schema revision {revision}. Make a backup, then run `runnel db upgrade` "
            "(or start the server with --upgrade-db)."
        )


def _connected(uri: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return connect(connection_uri(uri))
    except psycopg.Error as error:
        raise SchemaError(f"The database cannot be reached: {reason_of(error)}") from error


def _revision(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[str | None, set[str]]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    tables = {row[0] for row in rows}
    if "alembic_version" not in tables:
        return None, tables
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return (row[0] if row else None), tables


def _upgrade(uri: str, revision: str) -> None:
    """Runs the revisions in one transaction; on an error the database is as it was."""
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(connection_uri(uri)), poolclass=sa.NullPool
    )
    logger.warning("Upgrading the database from schema revision %s to %s", revision, HEAD_REVISION)
    try:
        with engine.begin() as connection:
            # Another server may upgrade it at this moment; then there is nothing left to do.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
            run_migrations(connection)
    except Exception as error:
        logger.exception("The upgrade of the database failed")
        raise SchemaError(
            f"The database could not be upgraded from schema revision {revision} to {HEAD_REVISION}: "
            f"{reason_of(error)}. It is as it was before."
        ) from error
