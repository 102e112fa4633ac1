"""How many long searches run at a time, and that short ones get past them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from runnel.domain.errors import TemporarilyUnavailable
from runnel.store.scan_slots import MAX_WAITING, QueryTookTooLong, ScanSlots

Query = Callable[[float | None], Awaitable[str]]


def long_query(release: asyncio.Event) -> Query:
    """A query that takes longer than any limit but the usual one."""

    async def run(limit: float | None) -> str:
        if limit is not None:
            raise QueryTookTooLong(limit)
        await release.wait()
        return "long"

    return run


async def short_query(limit: float | None) -> str:
    return "short" if limit is None else "short, in a trial"


async def start(slots: ScanSlots, queries: list[Query]) -> list[asyncio.Task[str]]:
    """Starts queries; when this returns, those that can run do so."""
    tasks = [asyncio.create_task(slots.run(query)) for query in queries]
    for _ in range(100):
        await asyncio.sleep(0)
    return tasks


def test_no_more_run_at_a_time_than_there_are_slots() -> None:
    running, most = 0, 0

    async def scan(limit: float | None) -> str:
        nonlocal running, most
        if limit is not None:
            raise QueryTookTooLong(limit)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return ""

    async def scan_often() -> None:
        slots = ScanSlots(2)
        await asyncio.gather(*[slots.run(scan) for _ in range(20)])

    asyncio.run(scan_often())
    assert most == 2


def test_a_short_query_does_not_wait_for_long_ones() -> None:
    async def scenario() -> None:
        slots, release = ScanSlots(2), asyncio.Event()
        long = await start(slots, [long_query(release)] * 5)
        async with asyncio.timeout(5):
            assert await slots.run(short_query) == "short, in a trial"
        assert not any(task.done() for task in long)
        release.set()
        assert await asyncio.gather(*long) == ["long"] * 5
        assert await slots.run(short_query) == "short"

    asyncio.run(scenario())


def test_trials_run_one_after_another() -> None:
    running, most = 0, 0

    async def trial(limit: float | None) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return ""

    async def scenario() -> None:
        slots, release = ScanSlots(1), asyncio.Event()
        long = await start(slots, [long_query(release)])
        await asyncio.gather(*[slots.run(trial) for _ in range(10)])
        release.set()
        await asyncio.gather(*long)

    asyncio.run(scenario())
    assert most == 1


def test_a_slot_is_free_again_after_a_failure() -> None:
    async def fail(limit: float | None) -> str:
        raise ValueError("broken")

    async def fail_and_go_on() -> str:
        slots = ScanSlots(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                await slots.run(fail)
        async with asyncio.timeout(5):
            return await slots.run(short_query)

    assert asyncio.run(fail_and_go_on()) == "short"


def test_who_comes_when_many_wait_is_told_to_come_back() -> None:
    async def crowd() -> None:
        slots, release = ScanSlots(1), asyncio.Event()
        tasks = await start(slots, [long_query(release)] * (1 + MAX_WAITING))
        with pytest.raises(TemporarilyUnavailable):
            await slots.run(short_query)
        release.set()
        await asyncio.gather(*tasks)

    asyncio.run(crowd())
