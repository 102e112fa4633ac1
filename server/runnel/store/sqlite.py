"""SQLite: one writer thread with group commit, and reader threads that never wait for it.

Commands queue up; the writer opens one transaction, runs every waiting command in it, commits once and then answers
them all, so many clients share one fsync and none ever sees "database is locked". With ``synchronous=FULL`` what was
answered has reached the disk.

A command that fails after it has written spoils the transaction of its neighbours: then everything is rolled back and
each command of the group is run again in a savepoint of its own. Failures almost always come before the first write
(a wrong run id, an invalid value), so the savepoints, two more statements per command, are paid for only then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from runnel.domain.errors import InvalidParameterValue, MlflowError, TemporarilyUnavailable
from runnel.store.dialects import SQLITE
from runnel.store.statements import Transaction

T = TypeVar("T")

logger = logging.getLogger("runnel.store")

BUSY_TIMEOUT_SECONDS = 30.0  # how long another process may hold the file's write lock
MAX_GROUP_SIZE = 128  # commands that share one commit
MAX_WAITING = 4_096  # requests that may wait, in either direction, before new ones are answered 503
READER_THREADS = 4
READ_TIMEOUT_SECONDS = 30.0
_PROGRESS_INTERVAL = 100_000  # virtual-machine steps between two looks at the clock, about 5 ms


class _Command(NamedTuple):
    run: Callable[[Transaction], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class _Failure(NamedTuple):
    error: BaseException


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
        self._commands: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._waiting_writes = 0
        self._waiting_reads = 0
        self._local = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, "reader", self._open_reader)
        self._writer = threading.Thread(target=self._write_forever, name="writer")
        self._closed = False

    def start(self) -> None:
        self._connection = connect(str(self.path))
        self._connection.execute("PRAGMA cache_size=-16000")
        self._transaction = Transaction(self._connection, SQLITE)
        self._writer.start()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._commands.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._reader_connections:
            connection.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    # Reading

    async def read(self, query: Callable[[Transaction], T]) -> T:
        if self._waiting_reads >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many queries waiting; try again shortly")
        self._waiting_reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._run_query, query)
        finally:
            self._waiting_reads -= 1

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

    async def write(self, command: Callable[[Transaction], T]) -> T:
        if self._closed:
            raise TemporarilyUnavailable("The server is shutting down")
        if self._waiting_writes >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many writes waiting; try again shortly")
        self._waiting_writes += 1
        try:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[T] = loop.create_future()
            self._commands.put(_Command(command, future, loop))
            return await future
        finally:
            self._waiting_writes -= 1

    def _write_forever(self) -> None:
        while (command := self._commands.get()) is not None:
            group = [command]
            stop = False
            with contextlib.suppress(queue.Empty):
                while len(group) < MAX_GROUP_SIZE:
                    following = self._commands.get_nowait()
                    if following is None:
                        stop = True
                        break
                    group.append(following)
            outcomes = self._commit_group(group)
            # One wake-up of the event loop for the whole group.
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                group[0].loop.call_soon_threadsafe(_answer, group, outcomes)
            if stop:
                break

    def _commit_group(self, group: list[_Command]) -> list[Any]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = self._run_together(group)
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
                return [_Failure(failure)] * len(group)
            logger.exception("A commit failed")
            return [_Failure(error)] * len(group)

    def _run_together(self, group: list[_Command]) -> list[Any] | None:
        """The outcomes of all commands, or None when one of them failed after it had written something."""
        outcomes: list[Any] = []
        for command in group:
            changes = self._connection.total_changes
            try:
                outcomes.append(command.run(self._transaction))
            except Exception as error:
                if self._connection.total_changes != changes:
                    return None
                outcomes.append(_Failure(error))
        return outcomes

    def _run_in_savepoint(self, command: _Command) -> Any:
        self._connection.execute("SAVEPOINT command")
        try:
            outcome = command.run(self._transaction)
        except Exception as error:
            if not isinstance(error, MlflowError):
                logger.warning("A command failed and was rolled back: %r", error)
            outcome = _Failure(error)
            self._connection.execute("ROLLBACK TO command")
        self._connection.execute("RELEASE command")
        return outcome


def _answer(group: list[_Command], outcomes: list[Any]) -> None:
    for command, outcome in zip(group, outcomes, strict=True):
        if command.future.done():
            continue
        if isinstance(outcome, _Failure):
            command.future.set_exception(outcome.error)
        else:
            command.future.set_result(outcome)
