"""What a database is to the rest of the server: reads and writes, each one transaction, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from runnel.store.statements import Transaction

T = TypeVar("T")


class Database(Protocol):
    """A database that is open; the functions passed in run in a thread, never on the event loop."""

    async def read(self, query: Callable[[Transaction], T]) -> T:
        """Runs a query in a read transaction: it sees one state of the database, and cannot write."""

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Runs a command in a write transaction; when this returns, what it wrote is durable.

        A command may be run again after a conflict or when a neighbour in its group failed, so all that it does must
        be done through its transaction. Raises ``TemporarilyUnavailable`` when too many are waiting.
        """

    def start(self) -> None:
        """Connects and starts the threads."""

    def close(self) -> None:
        """Finishes what has been accepted, then disconnects."""
