"""How many queries that may look at every row run at a time, so that the others find a thread free.

That a query may scan does not mean that it does: most such searches are done in milliseconds. So while all slots are
taken, one after another is tried for a short time outside of them, and waits for a slot only when that is not enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from runnel.domain.errors import InvalidParameterValue, TemporarilyUnavailable

T = TypeVar("T")

# What to do about a query that takes too long: what no index finds is looked for in one row after the other.
HOW_TO_NARROW = (
    "narrow its filter: by time (timestamp_ms or start_time > ...), by a tag, a name or a run, or to fewer experiments"
)
MAX_WAITING = 32  # before new ones are answered 503: each may take as long as the time limit of a query
TRIAL_SECONDS = 0.25


class QueryTookTooLong(InvalidParameterValue):
    """A query reached its time limit."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The query took longer than {seconds:g} seconds; {HOW_TO_NARROW}")


class ScanSlots:
    """A number of slots; used on one event loop."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._trials = asyncio.Semaphore(1)
        self._waiting = 0

    async def run(self, query: Callable[[float | None], Awaitable[T]]) -> T:
        """The result of a query, which is given the seconds that it may take; None stands for the usual limit.

        Raises TemporarilyUnavailable when too many wait already.
        """
        if self._slots.locked():
            async with self._turn(self._trials):
                if self._slots.locked():
                    try:
                        return await query(TRIAL_SECONDS)
                    except QueryTookTooLong:
                        pass
        async with self._turn(self._slots):
            return await query(None)

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many long searches waiting; try again shortly")
        self._waiting += 1
        try:
            await turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            turns.release()
