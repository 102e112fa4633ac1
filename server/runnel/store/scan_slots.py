"""How many queries that may look at every row run at a time, so that the others find a thread free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runnel.domain.errors import TemporarilyUnavailable

# What to do about a query that takes too long: what no index finds is looked for in one row after the other.
HOW_TO_NARROW = (
    "narrow its filter: by time (timestamp_ms or start_time > ...), by a tag, a name or a run, or to fewer experiments"
)
MAX_WAITING = 32  # before new ones are answered 503: each may take as long as the time limit of a query


class ScanSlots:
    """A number of slots; used on one event loop."""

    def __init__(self, slots: int) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a slot; raises TemporarilyUnavailable when too many wait already."""
        if self._waiting >= MAX_WAITING:
            raise TemporarilyUnavailable("The server has too many long searches waiting; try again shortly")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()
