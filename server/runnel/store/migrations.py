"""The age of a database's schema, and how it is brought up to date.

Alembic is imported only when there is something to upgrade: it costs memory and time that an ordinary start spares.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
import sqlite3
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from runnel.store.dialects import SQLITE
from runnel.store.schema import HEAD_REVISION, metadata

logger = logging.getLogger("runnel.store")


class SchemaError(Exception):
    """The database cannot be used as it is; the message says why and what to do."""


class SchemaState(Enum):
    """What a database is to this version of Runnel."""

    EMPTY = auto()
    CURRENT = auto()
    OLDER = auto()


def migrations_folder() -> Path:
    """Where the revisions are: inside the installed package, or beside the source root in a clone."""
    installed = Path(__file__).parent.parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "migrations"


def known_revisions() -> list[str]:
    """The revisions this version knows, oldest first; their files are named after them."""
    return sorted(path.name.split("_", 1)[0] for path in (migrations_folder() / "versions").glob("[0-9]*_*.py"))


def schema_state(revision: str | None, table_names: set[str], name: str) -> SchemaState:
    """Judges a database by its revision and its tables; ``name`` is what to call it in an error."""
    if not table_names:
        return SchemaState.EMPTY
    if revision is None:
        raise SchemaError(f"{name} is no Runnel database: it has tables, but no schema revision. Nothing was changed.")
    if revision == HEAD_REVISION:
        return SchemaState.CURRENT
    if revision in known_revisions():
        return SchemaState.OLDER
    if re.fullmatch(r"\d{4}", revision):
        raise SchemaError(
            f"{name} has schema revision {revision}, which is newer than this version of Runnel knows "
            f"({HEAD_REVISION}). Upgrade Runnel. Nothing was changed."
        )
    raise SchemaError(
        f"{name} has the unknown schema revision {revision}: it belongs to another program (MLflow's own database "
        "cannot be used by Runnel). Name another --backend-store-uri. Nothing was changed."
    )


def creation_statements(dialect: sa.Dialect) -> list[str]:
    """The statements that make an empty database current."""
    statements: list[Any] = []
    for table in metadata.sorted_tables:
        statements.append(CreateTable(table))
        statements += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return [str(statement.compile(dialect=dialect)) for statement in statements]


def run_migrations(connection: sa.Connection) -> None:
    """Runs the revisions that the database has not seen, in the transaction of the connection."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


# SQLite


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Keeps servers that start together on one file from upgrading it at the same time."""
    with open(path.with_name(f"{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sqlite_revision(path: Path) -> tuple[str | None, set[str]]:
    """The revision of a SQLite file and the names of its tables; (None, empty) for a file that is not there."""
    if not path.exists():
        return None, set()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            tables = {row[0] for row in rows}
            if "alembic_version" not in tables:
                return None, tables
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return (row[0] if row else None), tables
    except sqlite3.DatabaseError as error:
        raise SchemaError(f"{path} cannot be read as a SQLite database: {error}") from error


def prepare_sqlite(path: Path) -> None:
    """Makes a SQLite file current: creates it, or copies an older one beside itself and upgrades it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path):
            match schema_state(*sqlite_revision(path), name=str(path)):
                case SchemaState.EMPTY:
                    _create_sqlite(path)
                case SchemaState.OLDER:
                    upgrade_sqlite(path)
                case SchemaState.CURRENT:
                    pass
    except OSError as error:
        raise SchemaError(f"The folder of {path} cannot be written to: {error.strerror}") from error


def _create_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in creation_statements(SQLITE.sqlalchemy_dialect):
            connection.execute(statement)
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD_REVISION,))
        connection.execute("COMMIT")


def upgrade_sqlite(path: Path) -> None:
    """Copies a SQLite file beside itself, then upgrades it; on an error the file is as it was."""
    revision, _ = sqlite_revision(path)
    backup = path.with_name(f"{path.name}.{revision}.backup")
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(backup)) as target,
    ):
        source.backup(target)
    logger.warning("Upgrading %s from revision %s to %s; a copy is in %s", path, revision, HEAD_REVISION, backup)
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)

    @sa.event.listens_for(engine, "connect")
    def _begin_by_hand(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        run_migrations(connection)
