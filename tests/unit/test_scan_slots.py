"""How many long searches run at a time."""

from __future__ import annotations

import asyncio

import pytest

from runnel.domain.errors import TemporarilyUnavailable
from runnel.store.scan_slots import MAX_WAITING, ScanSlots


def test_no_more_run_at_a_time_than_there_are_slots() -> None:
    running, most = 0, 0

    async def scan(slots: ScanSlots) -> None:
        nonlocal running, most
        async with slots.slot():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1

    async def scan_often() -> None:
        slots = ScanSlots(2)
        await asyncio.gather(*[scan(slots) for _ in range(20)])

    asyncio.run(scan_often())
    assert most == 2


def test_a_slot_is_free_again_after_a_failure() -> None:
    async def fail_and_go_on() -> bool:
        slots = ScanSlots(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                async with slots.slot():
                    raise ValueError("broken")
        async with asyncio.timeout(5), slots.slot():
            return True

    assert asyncio.run(fail_and_go_on())


def test_who_comes_when_many_wait_is_told_to_come_back() -> None:
    async def crowd() -> None:
        slots = ScanSlots(1)
        release = asyncio.Event()

        async def wait() -> None:
            async with slots.slot():
                await release.wait()

        tasks = [asyncio.create_task(wait()) for _ in range(1 + MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TemporarilyUnavailable):
            async with slots.slot():
                pass
        release.set()
        await asyncio.gather(*tasks)
        async with slots.slot():
            pass

    asyncio.run(crowd())
