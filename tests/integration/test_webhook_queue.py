"""What waits to be told is bounded, and no receiver keeps requests or other receivers waiting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.webhook_notices import created, prompt_tag_deleted
from runnel.store import webhooks as store
from runnel.store.statements import Transaction
from runnel.webhooks import delivery
from tests.webhook_receiver import WebhookReceiver
from tests.webhook_site import (
    MODEL_CREATED,
    TAG_DELETED,
    failures,
    hang,
    model_created,
    opened,
    received,
)


def test_receivers_that_hang_keep_neither_requests_nor_other_receivers_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 0.1)

    async def scenario() -> None:
        with WebhookReceiver(*[hang] * 50) as slow, WebhookReceiver() as quick_one:
            async with opened(tmp_path) as site:
                await site.add(slow.url())
                await site.add(quick_one.url())
                for number in range(40):
                    await site.tell(model_created(f"m{number}"))
                requests = await received(quick_one, 40)
                assert {request.payload["data"]["name"] for request in requests} == {f"m{n}" for n in range(40)}
                assert len(slow.received) <= 5  # half of the threads

    asyncio.run(scenario())
    lines = failures(caplog)  # when the server stopped
    assert len(lines) == 40
    assert all("the server stopped before it was done" in line for line in lines)


def test_a_receiver_that_hangs_leaves_the_other_threads_to_others_whatever_was_idle_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 0.1)

    async def scenario() -> None:
        with WebhookReceiver(200, *[hang] * 9) as slow, WebhookReceiver() as quick_one:
            async with opened(tmp_path) as site:
                await site.add(slow.url())
                await site.tell()
                await received(slow, 1)
                await asyncio.sleep(0.1)  # its thread is idle now
                await site.add(quick_one.url())
                await site.tell()
                await received(quick_one, 1)

    asyncio.run(scenario())


def test_a_server_without_webhooks_has_nothing_of_them_in_memory() -> None:
    heavy = ("cryptography", "runnel.webhooks.delivery", "runnel.webhooks.requests")
    script = f"import sys, runnel.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_what_waits_is_bounded_and_what_does_not_fit_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "MAX_WAITING", 10)

    async def scenario() -> None:
        with WebhookReceiver(*[hang] * 50) as slow, WebhookReceiver() as quick_one:
            async with opened(tmp_path, webhook_delivery_max_workers=2) as site:
                await site.add(slow.url())
                await site.tell()
                await received(slow, 1)
                for _ in range(9):
                    await site.tell()
                await site.webhooks.drain()
                assert len(failures(caplog)) == 4  # one is under way and five wait, which is its half
                await site.add(quick_one.url(), event=TAG_DELETED)
                await site.tell(prompt_tag_deleted("p", "k"))
                await received(quick_one, 1)

    asyncio.run(scenario())
    lines = failures(caplog)
    assert sum("too many deliveries wait" in line for line in lines) == 4
    assert len(lines) == 10


def test_the_bytes_that_wait_are_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "MAX_WAITING_BYTES", 250_000)

    async def scenario() -> None:
        with WebhookReceiver(*[hang] * 50) as slow:
            async with opened(tmp_path, webhook_delivery_max_workers=1) as site:
                await site.add(slow.url())
                for number in range(6):
                    await site.tell(created("m", {"k": "v" * 100_000}, "", is_prompt=False))
                    await received(slow, min(number + 1, 1))
                await site.webhooks.drain()
                assert len(failures(caplog)) == 3  # one is under way, two wait

    asyncio.run(scenario())


def test_what_waits_when_the_server_stops_is_delivered(tmp_path: Path) -> None:
    async def scenario() -> None:
        with WebhookReceiver() as receiver:
            async with opened(tmp_path) as site:
                await site.add(receiver.url())
                for number in range(100):
                    await site.tell(model_created(f"m{number}"))
            assert len(receiver.received) == 100

    asyncio.run(scenario())


def test_there_are_at_most_1000_webhooks(tmp_path: Path) -> None:
    def create(tx: Transaction) -> str:
        return store.create_webhook(tx, "hook", "", "https://1.1.1.1/", [MODEL_CREATED], None, "DISABLED")["webhook_id"]

    async def scenario() -> None:
        async with opened(tmp_path) as site:
            ids = await site.database.write(lambda tx: [create(tx) for _ in range(1_000)])
            with pytest.raises(InvalidParameterValue, match="There are 1000 webhooks already; at most 1000 may exist"):
                await site.database.write(create)
            await site.database.write(lambda tx: store.delete_webhook(tx, ids[500]))
            await site.database.write(create)

    asyncio.run(scenario())
