"""The threads in which artifact stores are called, apart from those of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from runnel.domain.errors import TemporarilyUnavailable

T = TypeVar("T")

THREADS = 8
# With a store that is away each call may take seconds; what waits behind them must not grow without end.
MAX_WAITING = 256


class ArtifactThreads:
    """A few threads; all methods but ``shutdown`` are called on the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "artifacts")
        self._calls = 0

    async def begin(self, function: Callable[..., T], *arguments: object) -> T:
        """The first call of a request; raises TemporarilyUnavailable when too many wait already."""
        if self._calls >= THREADS + MAX_WAITING:
            raise TemporarilyUnavailable("Too many requests wait for the artifact store")
        return await self.run(function, *arguments)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """A further call of a request that has begun: never refused."""
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments))
        finally:
            self._calls -= 1

    def shutdown(self) -> None:
        """Waits for the calls under way."""
        self._pool.shutdown()
