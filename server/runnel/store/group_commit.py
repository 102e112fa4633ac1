"""Group commit: one thread that takes all commands waiting, runs them in one transaction and answers them together.

Many clients share one commit, which is what a write mostly waits for.

A command that fails after it has written spoils the transaction of its neighbours: then everything is rolled back and
each command of the group is run again by itself. Failures almost always come before the first write (a wrong run id, an
invalid value), so what keeps commands apart, two more statements for each, is paid for only then.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from runnel.domain.errors import MlflowError, TemporarilyUnavailable
from runnel.store.statements import Transaction

T = TypeVar("T")

MAX_GROUP_SIZE = 128  # commands that share one commit
MAX_WAITING = 4_096  # commands that may wait before new ones are answered 503


class Command(NamedTuple):
    """A command that waits, and the future that its client waits for.

    ``order``: its place among the commands of a group; None for one that may read what those before it write later.
    """

    run: Callable[[Transaction], Any]
    order: str | None
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Failure(NamedTuple):
    """The outcome of a command that raised."""

    error: BaseException


# One outcome per command: what it returned, or a Failure.
CommitGroup = Callable[[Sequence[Command]], list[Any]]


class GroupCommit:
    """The queue and the thread."""

    def __init__(self, name: str, commit_group: CommitGroup) -> None:
        """``commit_group`` runs commands and makes them durable; it never raises."""
        self._commit_group = commit_group
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = False
        # A daemon: a server that is told twice to stop does not wait for it.
        self._thread = threading.Thread(target=self._run_forever, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Finishes the commands that wait, then stops."""
        if not self._closed:
            self._closed = True
            self._commands.put(None)
            self._thread.join()

    async def submit(self, command: Callable[[Transaction], T], order: str | None) -> T:
        """Runs a command with those that wait."""
        if self._closed:
            raise TemporarilyUnavailable("The server is shutting down")
        if self._waiting >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many writes waiting; try again shortly")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[T] = loop.create_future()
            self._commands.put(Command(command, order, future, loop))
            return await future
        finally:
            self._waiting -= 1

    def _run_forever(self) -> None:
        stopped = False
        while not stopped:
            group: list[Command] = []
            command = self._commands.get()
            with contextlib.suppress(queue.Empty):
                while command is not None:
                    group.append(command)
                    if len(group) == MAX_GROUP_SIZE:
                        break
                    command = self._commands.get_nowait()
            stopped = command is None
            if group:
                outcomes = self._commit_group(group)
                # One wake-up of the event loop for the whole group.
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    group[0].loop.call_soon_threadsafe(_answer, group, outcomes)


def _answer(group: Sequence[Command], outcomes: Sequence[Any]) -> None:
    for command, outcome in zip(group, outcomes, strict=True):
        if command.future.done():
            continue
        if isinstance(outcome, Failure):
            command.future.set_exception(outcome.error)
        else:
            command.future.set_result(outcome)


def run_together(group: Sequence[Command], transaction: Transaction) -> list[Any] | None:
    """The outcomes of all commands, or None when one has spoilt the transaction: it failed after it had written, or
    with something else than an error for its client (PostgreSQL goes on after no error of its own)."""
    outcomes: list[Any] = []
    transaction.begin_group()
    try:
        for command in group:
            if command.order is None:
                transaction.write_kept_rows()
            written = transaction.write_count
            kept = transaction.kept_counts()
            notices = transaction.notice_count
            try:
                outcomes.append(command.run(transaction))
            except MlflowError as error:
                if transaction.write_count != written:
                    return None
                transaction.forget_rows_behind(kept)
                transaction.forget_notices_behind(notices)
                outcomes.append(Failure(error))
        transaction.end_group()
    except Exception:
        return None
    finally:
        transaction.abandon_group()
    return outcomes
