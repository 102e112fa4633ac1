"""PostgreSQL: a bounded number of threads, each with a connection of its own.

Every request is one transaction on one connection. Nothing is kept in the process between requests, so that any number
of servers may share a database, and nothing in the session, so that PgBouncer may hand connections from transaction to
transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg import errors

from runnel.domain.errors import InvalidParameterValue, TemporarilyUnavailable
from runnel.store.commit_listener import CommitListener, Listen
from runnel.store.group_commit import Command, Failure, GroupCommit, run_together
from runnel.store.postgresql_dialect import POSTGRESQL
from runnel.store.scan_slots import QueryTookTooLong, ScanSlots
from runnel.store.statements import Transaction

T = TypeVar("T")

logger = logging.getLogger("runnel.store")

MAX_WAITING = 4_096  # requests that may wait for a connection before new ones are answered 503
STATEMENT_TIMEOUT_SECONDS = 30
MAX_PREPARED_CHARACTERS = 10_000
CONNECT_TIMEOUT_SECONDS = 5
MAX_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 0.2

# What another transaction caused and another try can cure: it came first with a row that must be unique, or both
# waited for each other.
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)

# Every query is written for an index. As it comes, PostgreSQL takes a look-up for four times as dear as it is on disks
# of today, and would rather read a table of thousands of runs from end to end; and to compile a query that is done in
# milliseconds takes it longer than that. Within the transaction, as a pooler may hand the session on.
_BEGIN_READ = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '{:.0f}ms';"
    "SET LOCAL random_page_cost = 1.1; SET LOCAL jit = off"
)
_BEGIN_WRITE = f"BEGIN; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"


def connection_uri(backend_store_uri: str) -> str:
    """A URI as MLflow deployments have it (``postgres://``, ``postgresql+psycopg2://``) as the driver takes it."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", backend_store_uri)


def connect(uri: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection on which transactions are begun by hand. Raises psycopg.OperationalError."""
    connection = psycopg.connect(
        uri,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="runnel",
        client_encoding="utf8",
        prepare_threshold=2,
    )
    # A pooler such as PgBouncer hands out process ids of its own. In transaction mode a statement that was prepared in
    # one transaction may not be there in the next.
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        connection.prepare_threshold = None
    return connection


class _Cursor(psycopg.Cursor[tuple[Any, ...]]):
    """Leaves long statements unprepared: they are made for one search, and a hundred are kept of each connection."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        if len(query) > MAX_PREPARED_CHARACTERS:
            options["prepare"] = False
        return super().execute(query, params, **options)


class _Connections:
    """Threads with a connection each, all to one server."""

    def __init__(self, uri: str, size: int, name: str, listener: CommitListener) -> None:
        self._uri = uri
        self._listener = listener
        self._threads = ThreadPoolExecutor(size, name)
        self._local = threading.local()
        self._open: set[psycopg.Connection[tuple[Any, ...]]] = set()
        self._waiting = 0

    async def run(self, work: Callable[[Transaction], T], begin: str, limit: float = STATEMENT_TIMEOUT_SECONDS) -> T:
        if self._waiting >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many requests waiting; try again shortly")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.run_here, work, begin, limit)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._open:
            connection.close()

    def run_here(self, work: Callable[[Transaction], T], begin: str, limit: float = STATEMENT_TIMEOUT_SECONDS) -> T:
        """Runs work in a transaction on the connection of this thread; ``begin`` sets the limit of seconds."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            transaction = self._transaction()
            connection: psycopg.Connection[tuple[Any, ...]] = self._local.connection
            has_begun = False
            transaction.take_notices()  # those of an attempt that came to nothing
            try:
                transaction.connection.execute(begin)
                has_begun = True
                result = work(transaction)
                transaction.connection.execute("COMMIT")
                self._listener.committed(transaction)
                return result
            except _CONFLICTS as conflict:
                self._roll_back(connection)
                if attempt == MAX_ATTEMPTS:
                    raise TemporarilyUnavailable(
                        f"Other requests kept changing the same rows ({type(conflict).__name__}); try again"
                    ) from conflict
                time.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.005 * 2**attempt)))
            except errors.QueryCanceled:
                self._roll_back(connection)
                raise QueryTookTooLong(limit) from None
            except errors.InvalidRegularExpression as error:
                self._roll_back(connection)
                raise InvalidParameterValue(f"Invalid RLIKE pattern: {error.diag.message_primary}") from None
            except psycopg.OperationalError as error:
                self._forget(connection)
                if has_begun or attempt > 1:
                    raise _unavailable(error) from error
                # An idle connection broke (the database was restarted, a pooler closed it): nothing has been done yet.
            except BaseException:
                self._roll_back(connection)
                raise
        raise AssertionError("unreachable: every attempt returns, continues or raises")

    def _transaction(self) -> Transaction:
        transaction: Transaction | None = getattr(self._local, "transaction", None)
        if transaction is None:
            try:
                connection = connect(self._uri)
            except psycopg.OperationalError as error:
                raise _unavailable(error) from error
            self._open.add(connection)
            # One cursor for all statements: making one costs as much as sending a short statement.
            open_stream = partial(connection.cursor, "rows")  # a cursor of the database's
            transaction = self._local.transaction = Transaction(_Cursor(connection), POSTGRESQL, open_stream)
            self._local.connection = connection
        return transaction

    def _roll_back(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._forget(connection)

    def _forget(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._open.discard(connection)
        self._local.transaction = None
        with contextlib.suppress(psycopg.Error):
            connection.close()


def _unavailable(error: psycopg.OperationalError) -> TemporarilyUnavailable:
    logger.warning("The database is away: %s", str(error).strip())
    return TemporarilyUnavailable("The database is away; try again shortly")


class PostgresqlDatabase:
    """A PostgreSQL database, with a replica for queries if there is one."""

    def __init__(self, uri: str, pool_size: int, replica_uri: str | None = None) -> None:
        self._listener = CommitListener()
        self._primary = _Connections(connection_uri(uri), pool_size, "postgresql", self._listener)
        self._queries = (
            _Connections(connection_uri(replica_uri), pool_size, "replica", self._listener)
            if replica_uri
            else self._primary
        )
        self._scans = ScanSlots(max(1, pool_size // 2))
        self._grouped = _Connections(connection_uri(uri), 1, "grouped", self._listener)
        self._writer = GroupCommit("writer", self._commit_group)

    def start(self) -> None:
        """Starts the thread that groups; connections are opened when they are first needed."""
        self._writer.start()

    def close(self) -> None:
        self._writer.close()
        for connections in {self._primary, self._queries, self._grouped}:
            connections.close()

    async def read(self, query: Callable[[Transaction], T], *, may_scan: bool = False) -> T:
        if may_scan:
            return await self._scans.run(partial(self._read, query))
        return await self._read(query)

    async def _read(self, query: Callable[[Transaction], T], limit: float | None = None) -> T:
        limit = limit or STATEMENT_TIMEOUT_SECONDS
        return await self._queries.run(query, _BEGIN_READ.format(limit * 1000), limit)

    def listen(self, listen: Listen) -> None:
        self._listener.listen = listen

    async def write(self, command: Callable[[Transaction], T], order: str | None = None) -> T:
        if order is not None:
            return await self._writer.submit(command, order)
        return await self._primary.run(command, _BEGIN_WRITE)

    def _commit_group(self, group: Sequence[Command]) -> list[Any]:
        positions = sorted(range(len(group)), key=lambda position: group[position].order or "")
        ordered = [group[position] for position in positions]
        outcomes: list[Any] | None = None
        if len(group) > 1:
            try:
                outcomes = self._grouped.run_here(partial(_run_unspoilt, ordered), _BEGIN_WRITE)
            except (_Spoilt, InvalidParameterValue):  # the latter: together they took longer than a statement may
                outcomes = None
            except Exception as error:
                return [Failure(error)] * len(group)
        if outcomes is None:
            outcomes = [self._run_alone(command) for command in ordered]
        return [outcome for _, outcome in sorted(zip(positions, outcomes, strict=True), key=lambda pair: pair[0])]

    def _run_alone(self, command: Command) -> Any:
        try:
            return self._grouped.run_here(command.run, _BEGIN_WRITE)
        except Exception as error:
            return Failure(error)


class _Spoilt(Exception):
    """A command of a group failed in a way that undoes the others."""


def _run_unspoilt(group: Sequence[Command], transaction: Transaction) -> list[Any]:
    outcomes = run_together(group, transaction)
    if outcomes is None:
        raise _Spoilt
    return outcomes
