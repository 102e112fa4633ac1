"""The age of a database's schema, and how it is brought up to date.

Alembic is imported only when there is something to upgrade: it costs memory and time that an ordinary start spares.
"""

from __future__ import annotations

import contextlib
import filecmp
import logging
import os
import re
import shutil
import sqlite3
import time
from enum import Enum, auto
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from runnel.store.dialects import SQLITE
from runnel.store.schema import HEAD_REVISION, metadata

logger = logging.getLogger("runnel.store")

# Tables of every revision. A number like 0001 does not tell Runnel's database from another program's: many count so.
_LASTING_TABLES = frozenset({"experiments", "runs", "metric_points"})


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
    if not re.fullmatch(r"\d{4}", revision) or not table_names >= _LASTING_TABLES:
        raise SchemaError(
            f"{name} belongs to another program, as its schema revision {revision} and its tables show (MLflow's own "
            "database cannot be used by Runnel). Name another --backend-store-uri. Nothing was changed."
        )
    if revision == HEAD_REVISION:
        if missing := sorted(metadata.tables.keys() - table_names):
            raise SchemaError(
                f"{name} is damaged: it has schema revision {revision}, but no table {missing[0]}. Restore a copy of "
                "it. Nothing was changed."
            )
        return SchemaState.CURRENT
    if revision in known_revisions():
        return SchemaState.OLDER
    raise SchemaError(
        f"{name} has schema revision {revision}, and this version of Runnel knows none after {HEAD_REVISION}. "
        "Upgrade Runnel. Nothing was changed."
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
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def reason_of(error: Exception) -> str:
    """The driver's own words, to which SQLAlchemy adds others, in one line."""
    own = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return " ".join(str(own).split())


# SQLite

LOCK_TIMEOUT_SECONDS = 600.0  # how long a start waits for another one that upgrades the same file
SILENT_WAIT_SECONDS = 2.0  # how long it says nothing about that

_SQLITE_HEADER = b"SQLite format 3\0"


def sqlite_revision(path: Path) -> tuple[str | None, set[str]]:
    """The revision of a SQLite file and the names of its tables; (None, empty) for a file that is missing or empty.

    Changes nothing, and leaves no files of SQLite's that were not there.
    """
    path = path.resolve()
    try:
        if not path.exists():
            return None, set()
        if not path.is_file():
            raise SchemaError(f"{path} is not a file. Name another --backend-store-uri.")
        with path.open("rb") as file:
            header = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise SchemaError(f"{path} cannot be read: {error.strerror}.") from error
    if not header:
        return None, set()
    if header != _SQLITE_HEADER:  # SQLite itself takes a file of one byte for an empty database
        raise SchemaError(f"{path} is not a SQLite database. Name another --backend-store-uri. Nothing was changed.")
    if path.with_name(f"{path.name}-wal").exists():
        # A connection that may write would bring into the file what a killed server has left in the -wal.
        access = "mode=ro"
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        access = "mode=rw"  # one that may not would leave the -wal and -shm that it makes for itself
    else:
        access = "immutable=1"  # makes none: there is nobody who writes
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{access}", uri=True)) as connection:
            return _read_revision(connection)
    except sqlite3.Error as error:
        raise SchemaError(f"{path} cannot be read: {error}.") from error


def _read_revision(connection: sqlite3.Connection) -> tuple[str | None, set[str]]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'")
    tables = {name for (name,) in names}
    if "alembic_version" not in tables:
        return None, tables
    (revision,) = connection.execute("SELECT CAST(max(version_num) AS TEXT) FROM alembic_version").fetchone()
    return revision, tables


def prepare_sqlite(path: Path) -> None:
    """Makes a SQLite file current: creates it, or copies an older one beside itself and upgrades it.

    Processes that start together on one file do this one after the other. SchemaError says what stands in the way.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SchemaError(f"The folder {path.parent} cannot be created: {error.strerror}.") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SchemaError(f"The folder {path.parent} cannot be written to, and SQLite keeps files beside the database.")
    if path.exists() and not os.access(path, os.W_OK):
        raise SchemaError(f"{path} cannot be written to.")
    if schema_state(*sqlite_revision(path), name=str(path)) is SchemaState.CURRENT:
        return
    # The file's own lock: one of another file would be left behind, and would not keep a running server from writing.
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=sa.NullPool,
        connect_args={"isolation_level": None, "timeout": 1.0},
    )
    try:
        with engine.connect() as connection:
            _take_write_lock(connection, path)
            revision, tables = _read_revision(_driver_connection(connection))
            match schema_state(revision, tables, name=str(path)):
                case SchemaState.EMPTY:
                    _create_sqlite(connection)
                case SchemaState.OLDER:
                    _upgrade_sqlite(connection, path, str(revision))
                case SchemaState.CURRENT:  # another process was faster
                    pass
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise SchemaError(f"{path} cannot be opened or created: {reason_of(error)}.") from error


def _driver_connection(connection: sa.Connection) -> sqlite3.Connection:
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, sqlite3.Connection)
    return driver_connection


def _take_write_lock(connection: sa.Connection, path: Path) -> None:
    """Begins a transaction that no other process can write in; waits for one that does."""
    start = time.monotonic()
    mentioned = False
    while True:
        try:
            # With a write-ahead log, a transaction that is cut off leaves the file itself untouched.
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        waited = time.monotonic() - start
        if waited > SILENT_WAIT_SECONDS and not mentioned:
            logger.warning("Waiting for another process, which has locked %s (an upgrade, perhaps)", path)
            mentioned = True
        if waited > LOCK_TIMEOUT_SECONDS:
            raise SchemaError(f"{path} is locked by another process, for more than {LOCK_TIMEOUT_SECONDS:g} seconds.")
        time.sleep(0.05)  # the change of the journal mode fails without waiting


def _create_sqlite(connection: sa.Connection) -> None:
    for statement in creation_statements(SQLITE.sqlalchemy_dialect):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD_REVISION,))
    connection.commit()


def _upgrade_sqlite(connection: sa.Connection, path: Path, revision: str) -> None:
    try:
        backup = _copy(path, revision)
    except (OSError, sqlite3.Error) as error:
        raise SchemaError(
            f"{path} must be upgraded from schema revision {revision} to {HEAD_REVISION}, but cannot be copied first: "
            f"{error}. Nothing was changed."
        ) from error
    logger.warning("Upgrading %s from schema revision %s to %s; a copy is in %s", path, revision, HEAD_REVISION, backup)
    try:
        run_migrations(connection)
        connection.commit()
    except Exception as error:
        logger.exception("The upgrade of %s failed", path)
        raise SchemaError(
            f"{path} could not be upgraded from schema revision {revision} to {HEAD_REVISION}: {reason_of(error)}. It "
            f"is as it was before, and a copy of it is in {backup}."
        ) from error


def _copy(path: Path, revision: str) -> Path:
    """Copies a database, with what is in its -wal, to a new file beside it that is on the disk when this returns.

    A copy that is there already and has the same content is used: a server that is started again and again must not
    fill the disk.
    """
    incomplete = path.with_name(f"{path.name}.{revision}.backup.incomplete")
    try:
        incomplete.unlink(missing_ok=True)
        incomplete.touch(mode=0o600)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(incomplete)) as target,
        ):
            source.backup(target)
        shutil.copymode(path, incomplete)
        _sync(incomplete)
        for number in count(1):
            suffix = "" if number == 1 else f"-{number}"
            backup = path.with_name(f"{path.name}.{revision}.backup{suffix}")
            if not backup.exists():
                break
            if filecmp.cmp(incomplete, backup, shallow=False):
                return backup
        incomplete.rename(backup)
        _sync(path.parent)
        return backup
    finally:
        incomplete.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Brings a file or folder to the disk. Not for the database: closing it would end this process's locks on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
