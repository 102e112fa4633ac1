"""What a database is to the rest of the server: reads and writes, each one transaction, all or nothing."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import sqlalchemy as sa

from runnel.store.commit_listener import Listen
from runnel.store.schema import alembic_version
from runnel.store.statements import Statement, Transaction

T = TypeVar("T")

SELECT_REVISION = Statement(lambda d: sa.select(alembic_version.c.version_num))


def probe(tx: Transaction) -> None:
    """The cheapest query that reaches the tables themselves; raises when the database does not answer it."""
    tx.row(SELECT_REVISION)


class Database(Protocol):
    """A database that is open; the functions passed in run in a thread, never on the event loop."""

    async def read(self, query: Callable[[Transaction], T], *, may_scan: bool = False) -> T:
        """Runs a query in a read transaction: it sees one state of the database, and cannot write.

        Of those that may scan, which is to look at every row of a large table, few run at a time.
        """

    async def write(self, command: Callable[[Transaction], T], order: str | None = None) -> T:
        """Runs a command in a write transaction; when this returns, what it wrote is durable.

        Short commands that come in numbers give an ``order`` (the run they write to): they may share a transaction, in
        which they run in that order, so that two servers never lock the same rows in opposite orders.

        A command may be run again after a conflict or when a neighbour in its group failed, so all that it does must
        be done through its transaction. Raises ``TemporarilyUnavailable`` when too many are waiting.
        """

    def listen(self, listen: Listen) -> None:
        """Names who hears of what commands gave to ``Transaction.after_commit``, once for each commit and behind it.

        It is called in a thread of the database, before the client has its answer, so it must be quick.
        """

    def start(self) -> None:
        """Connects and starts the threads."""

    def close(self) -> None:
        """Finishes what has been accepted, then disconnects."""


def is_sqlite(backend_store_uri: str) -> bool:
    """Whether the URI names a SQLite file; the other kind is a PostgreSQL database."""
    return backend_store_uri.startswith("sqlite:")


def sqlite_path(backend_store_uri: str) -> Path:
    """The file of a ``sqlite:///`` URI."""
    path = backend_store_uri.removeprefix("sqlite:///").split("?", 1)[0]
    return Path(urllib.parse.unquote(path))


def database_name(backend_store_uri: str) -> str:
    """What to call the database in a message: the file, or the URI without its password."""
    if is_sqlite(backend_store_uri):
        return str(sqlite_path(backend_store_uri).resolve())
    return re.sub(r"(?<=://)([^:@/]*):[^@/]*@", r"\1:***@", backend_store_uri)


def database_revision(backend_store_uri: str) -> str | None:
    """The schema revision of a database, None for an empty one. Raises SchemaError for one that cannot be used."""
    from runnel.store.migrations import schema_state, sqlite_revision

    if is_sqlite(backend_store_uri):
        revision, tables = sqlite_revision(sqlite_path(backend_store_uri))
    else:
        from runnel.store.postgresql_schema import postgresql_revision

        revision, tables = postgresql_revision(backend_store_uri)
    if revision is None:
        schema_state(revision, tables, name=database_name(backend_store_uri))
    return revision


def prepare_database(backend_store_uri: str, *, upgrade: bool) -> None:
    """Makes the schema current. An older SQLite file is copied and upgraded; an older PostgreSQL only with ``upgrade``.

    Raises SchemaError, with a sentence that says what to do, for a database that cannot be used.
    """
    if is_sqlite(backend_store_uri):
        from runnel.store.migrations import prepare_sqlite

        prepare_sqlite(sqlite_path(backend_store_uri))
    else:
        from runnel.store.postgresql_schema import prepare_postgresql

        prepare_postgresql(backend_store_uri, upgrade=upgrade)


def open_database(backend_store_uri: str, pool_size: int, replica_uri: str | None = None) -> Database:
    """The database of a URI, not started yet. Only the driver that is needed is imported."""
    if is_sqlite(backend_store_uri):
        from runnel.store.sqlite import SqliteDatabase

        return SqliteDatabase(sqlite_path(backend_store_uri))
    from runnel.store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(backend_store_uri, pool_size, replica_uri)
