"""SQLite: one writer thread with group commit, and reader threads that never wait for it.

Commands of all clients share commits (see ``group_commit``), so none ever sees "database is locked". With
``synchronous=FULL`` what was answered has reached the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from runnel.domain.errors import InvalidParameterValue, MlflowError, TemporarilyUnavailable
from runnel.store.dialects import SQLITE
from runnel.store.group_commit import Command, Failure, GroupCommit, run_together
from runnel.store.statements import Transaction

T = TypeVar("T")

logger = logging.getLogger("runnel.store")

BUSY_TIMEOUT_SECONDS = 30.0  # how long another process may hold the file's write lock
MAX_WAITING_QUERIES = 4_096  # before new ones are answered 503
READER_THREADS = 4
READ_TIMEOUT_SECONDS = 30.0
_PROGRESS_INTERVAL = 100_000  # virtual-machine steps between two looks at the clock, about 5 ms


def connect(path: str) -> sqlite3.Connection:
    """A connection with the settings every part of the server relies on; transactions are begun by hand."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA case_sensitive_like=ON")  # LIKE distinguishes case, as in MLflow and PostgreSQL
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    # A LIKE pattern is matched inside one step of SQLite's machine, where no time limit can reach it.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 10_000)
    return connection


class SqliteDatabase:
    """The database in one file, opened by one process (several processes may share the file)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting_queries = 0
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, "reader", self._open_reader)
        self._writer = GroupCommit("writer", self._commit_group)

    def start(self) -> None:
        self._connection = connect(str(self.path))
        self._connection.execute("PRAGMA cache_size=-16000")
        self._transaction = Transaction(self._connection, SQLITE)
        self._writer.start()

    def close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        for connection in self._reader_connections:
            connection.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    # Reading

    async def read(self, query: Callable[[Transaction], T]) -> T:
        if self._waiting_queries >= MAX_WAITING_QUERIES:
            raise TemporarilyUnavailable("The server has too many queries waiting; try again shortly")
        self._waiting_queries += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._run_query, query)
        finally:
            self._waiting_queries -= 1

    def _open_reader(self) -> None:
        connection = connect(str(self.path))
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cache_size=-8000")
        connection.set_progress_handler(self._is_overdue, _PROGRESS_INTERVAL)
        self._local.transaction = Transaction(connection, SQLITE)
        self._reader_connections.append(connection)

    def _is_overdue(self) -> bool:
        return bool(time.monotonic() > self._local.deadline)

    def _run_query(self, query: Callable[[Transaction], T]) -> T:
        transaction: Transaction = self._local.transaction
        self._local.deadline = time.monotonic() + READ_TIMEOUT_SECONDS
        transaction.connection.execute("BEGIN")
        try:
            return query(transaction)
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise InvalidParameterValue(
                    f"The query took longer than {READ_TIMEOUT_SECONDS:.0f} seconds; narrow its filter"
                ) from None
            if "LIKE or GLOB pattern too complex" in str(error):
                raise InvalidParameterValue("A LIKE pattern can have at most 10,000 bytes") from None
            raise
        finally:
            self._local.deadline = float("inf")
            transaction.connection.execute("ROLLBACK")

    # Writing

    async def write(self, command: Callable[[Transaction], T], order: str | None = None) -> T:
        return await self._writer.submit(command)

    def _commit_group(self, group: Sequence[Command]) -> list[Any]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = run_together(group, self._transaction)
            if outcomes is None:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                outcomes = [self._run_in_savepoint(command) for command in group]
            connection.execute("COMMIT")
            return outcomes
        except BaseException as error:  # whatever it was, every command of the group must hear of it
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                logger.warning("A commit failed: %s", error)
                failure = TemporarilyUnavailable(f"The database could not take the write: {error}")
                return [Failure(failure)] * len(group)
            logger.exception("A commit failed")
            return [Failure(error)] * len(group)

    def _run_in_savepoint(self, command: Command) -> Any:
        self._connection.execute("SAVEPOINT command")
        try:
            outcome = command.run(self._transaction)
        except Exception as error:
            if not isinstance(error, MlflowError):
                logger.warning("A command failed and was rolled back: %r", error)
            outcome = Failure(error)
            self._connection.execute("ROLLBACK TO command")
        self._connection.execute("RELEASE command")
        return outcome
