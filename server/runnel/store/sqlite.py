"""SQLite: one writer thread with group commit, and reader threads that never wait for it.

Commands of all clients share commits (see ``group_commit``), so none ever sees "database is locked". With
``synchronous=FULL`` what was answered has reached the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from runnel.domain.errors import TemporarilyUnavailable
from runnel.store.commit_listener import CommitListener, Listen
from runnel.store.dialects import SQLITE
from runnel.store.group_commit import Command, Failure, GroupCommit, run_together
from runnel.store.metric_values import shown_json
from runnel.store.patterns import matches_pattern
from runnel.store.scan_slots import QueryTookTooLong, ScanSlots
from runnel.store.statements import Transaction

T = TypeVar("T")

logger = logging.getLogger("runnel.store")

BUSY_TIMEOUT_SECONDS = 30.0  # how long another process may hold the file's write lock
MAX_WAITING_QUERIES = 4_096  # before new ones are answered 503
READER_THREADS = 4
# Of SQL that is made for one search: a prepared statement takes several times the memory of its text, and hundreds are
# kept. A reader that has seen more begins anew.
MAX_ONE_OFF_CHARACTERS = 1_000_000
READ_TIMEOUT_SECONDS = 30.0
# A write-ahead log that is longer is emptied, for which no query may run: one that has begun may then take this long.
MAX_WAL_BYTES = 128 * 1024 * 1024
URGENT_TIMEOUT_SECONDS = 5.0
_CODES_OF_DEFECTS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY)
_WATCH_SECONDS = 0.2  # between two looks at the queries' time and the log's length
_BETWEEN_ATTEMPTS_SECONDS = 0.1  # to empty the log


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
    connection.create_function("json_double", 2, shown_json, deterministic=True)
    return connection


class _Reader:
    """The connection of one reader thread, and since when its query runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connect()
        self.started: float | None = None
        self._limit = 0.0  # seconds, of the query that runs
        self._lock = threading.Lock()  # an interrupt must never hit the query after the one it is meant for

    def _connect(self) -> None:
        self.connection = connect(self._path)
        self.connection.execute("PRAGMA query_only=ON")
        self.connection.execute("PRAGMA cache_size=-8000")
        self.connection.create_function("regexp", 2, matches_pattern, deterministic=True)
        self._transaction = Transaction(self.connection, SQLITE, self.connection.cursor)

    def run(self, query: Callable[[Transaction], T], limit: float) -> T:
        """Runs a query in a read transaction; it is interrupted after so many seconds."""
        self._limit = limit
        self.started = time.monotonic()
        try:
            self.connection.execute("BEGIN")
            return query(self._transaction)
        finally:
            with self._lock:
                self.started = None
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if self._transaction.one_off_characters > MAX_ONE_OFF_CHARACTERS:
                self.connection.close()
                self._connect()

    def interrupt_after(self, seconds: float) -> None:
        """Stops the query at its next row if it has run for so long, or for its limit; called from another thread."""
        with self._lock:
            if self.started is not None and time.monotonic() - self.started > min(seconds, self._limit):
                self.connection.interrupt()


class SqliteDatabase:
    """The database in one file, opened by one process (several processes may share the file)."""

    def __init__(self, path: Path, read_timeout: float = READ_TIMEOUT_SECONDS) -> None:
        self.path = path
        self._read_timeout = read_timeout
        self._waiting_queries = 0
        self._scans = ScanSlots(READER_THREADS // 2)
        self._local = threading.local()
        self._open_readers: list[_Reader] = []
        self._readers = ThreadPoolExecutor(READER_THREADS, "reader")
        self._queries_may_begin = threading.Event()
        self._queries_may_begin.set()
        self._writes_may_begin = threading.Event()
        self._writes_may_begin.set()
        self._readers_are_done = threading.Event()
        self._writer = GroupCommit("writer", self._commit_group)
        self._listener = CommitListener()
        self._wal_limit = MAX_WAL_BYTES

    def start(self) -> None:
        self._connection = connect(str(self.path))
        self._connection.execute("PRAGMA cache_size=-16000")
        self._transaction = Transaction(self._connection, SQLITE)
        self._writer.start()
        own_connection = connect(str(self.path))
        self._watch = threading.Thread(target=self._watch_forever, args=(own_connection,), name="watch", daemon=True)
        self._watch.start()

    def close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self._readers_are_done.set()
        self._watch.join()
        for reader in self._open_readers:
            reader.connection.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    # Reading

    async def read(self, query: Callable[[Transaction], T], *, may_scan: bool = False) -> T:
        if may_scan:
            return await self._scans.run(partial(self._read, query))
        return await self._read(query)

    async def _read(self, query: Callable[[Transaction], T], limit: float | None = None) -> T:
        if self._waiting_queries >= MAX_WAITING_QUERIES:
            raise TemporarilyUnavailable("The server has too many queries waiting; try again shortly")
        self._waiting_queries += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._readers, self._run_query, query, min(limit or self._read_timeout, self._read_timeout)
            )
        finally:
            self._waiting_queries -= 1

    def _run_query(self, query: Callable[[Transaction], T], limit: float) -> T:
        self._queries_may_begin.wait()
        started = time.monotonic()
        try:
            return self._reader().run(query, limit)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                was_urgent = time.monotonic() - started < limit
                raise QueryTookTooLong(URGENT_TIMEOUT_SECONDS if was_urgent else limit) from None
            raise _told(error) from error

    def _reader(self) -> _Reader:
        """The reader of this thread."""
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = _Reader(str(self.path))
            self._open_readers.append(reader)
        return reader

    def _watch_forever(self, connection: sqlite3.Connection) -> None:
        with contextlib.closing(connection):
            while not self._readers_are_done.wait(_WATCH_SECONDS):
                self._interrupt_queries_after(self._read_timeout)
                size = self._wal_bytes()
                if size <= MAX_WAL_BYTES:
                    self._wal_limit = MAX_WAL_BYTES
                elif size > self._wal_limit:
                    self._empty_wal(connection)

    def _interrupt_queries_after(self, seconds: float) -> None:
        for reader in self._open_readers:
            reader.interrupt_after(seconds)

    def _wal_bytes(self) -> int:
        with contextlib.suppress(FileNotFoundError):  # it comes with the first transaction
            return os.stat(f"{self.path}-wal").st_size
        return 0

    def _empty_wal(self, connection: sqlite3.Connection) -> None:
        """Starts the write-ahead log anew.

        SQLite does so at a commit during which nobody reads from the log; queries that take turns leave no such moment,
        and the log would grow until the disk is full. So new queries wait until the running ones have ended, in every
        process that has the file open: each sees the length of the log, and one of them comes to empty it.
        """
        deadline = time.monotonic() + 2 * URGENT_TIMEOUT_SECONDS
        self._queries_may_begin.clear()
        try:
            while (size := self._wal_bytes()) > MAX_WAL_BYTES and time.monotonic() < deadline:
                self._interrupt_queries_after(min(URGENT_TIMEOUT_SECONDS, self._read_timeout))
                if not any(reader.started for reader in self._open_readers):
                    self._truncate_wal(connection)
                if self._readers_are_done.wait(_BETWEEN_ATTEMPTS_SECONDS):
                    break
        finally:
            self._queries_may_begin.set()
        # Another program that reads for long may be in the way: then this is tried again when the log has doubled.
        self._wal_limit = 2 * size

    def _truncate_wal(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of the work, while writes go on
            self._writes_may_begin.clear()
            connection.execute("PRAGMA busy_timeout=200")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            logger.warning("The write-ahead log could not be emptied: %s", error)
        finally:
            self._writes_may_begin.set()

    # Writing

    def listen(self, listen: Listen) -> None:
        self._listener.listen = listen

    async def write(self, command: Callable[[Transaction], T], order: str | None = None) -> T:
        return await self._writer.submit(command, order)

    def _commit_group(self, group: Sequence[Command]) -> list[Any]:
        self._writes_may_begin.wait()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = run_together(group, self._transaction)
            if outcomes is None:
                if connection.in_transaction:  # SQLite ends one by itself when the disk is full
                    connection.execute("ROLLBACK")
                self._transaction.take_notices()
                connection.execute("BEGIN IMMEDIATE")
                outcomes = [self._run_in_savepoint(command) for command in group]
            connection.execute("COMMIT")
            self._listener.committed(self._transaction)
            return outcomes
        except BaseException as error:  # whatever it was, every command of the group must hear of it
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            self._transaction.take_notices()
            return [Failure(_told(error))] * len(group)

    def _run_in_savepoint(self, command: Command) -> Any:
        self._connection.execute("SAVEPOINT command")
        notices = self._transaction.notice_count
        try:
            outcome = command.run(self._transaction)
        except Exception as error:
            # With the transaction gone, what came next would be written command by command, and stay although the whole
            # group is answered with an error.
            if not self._connection.in_transaction:
                raise
            outcome = Failure(_told(error))
            self._connection.execute("ROLLBACK TO command")
            self._transaction.forget_notices_behind(notices)
        self._connection.execute("RELEASE command")
        return outcome


def _told(error: BaseException) -> BaseException:
    """What a client hears of an error: where SQLite complains of its surroundings (a full disk, a lock that lasts), not
    of the statement, the client may try again."""
    is_defect = not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode in _CODES_OF_DEFECTS
    if is_defect:
        return error
    logger.warning("The database failed: %s", error)
    return TemporarilyUnavailable(f"The database cannot be used now: {error}")
