"""A database, and the part of a server that tells webhooks of what is committed to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from runnel.config import Settings
from runnel.domain.webhook_notices import WebhookNotice, created
from runnel.domain.webhooks import Status, WebhookEvent
from runnel.store import webhooks as store
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import SqliteDatabase
from runnel.webhooks.service import Webhooks
from tests.webhook_receiver import Handler, WebhookReceiver

KEY = Fernet.generate_key().decode()
MODEL_CREATED = WebhookEvent("REGISTERED_MODEL", "CREATED")
TAG_DELETED = WebhookEvent("PROMPT_TAG", "DELETED")


class Site:
    """A database, and webhooks that are told of what is committed to it."""

    def __init__(self, database: SqliteDatabase, webhooks: Webhooks) -> None:
        self.database = database
        self.webhooks = webhooks

    async def add(
        self, url: str, event: WebhookEvent = MODEL_CREATED, secret: str | None = None, status: Status = "ACTIVE"
    ) -> str:
        """Adds a webhook; its id."""
        encrypted = await self.webhooks.prepare(url, secret)
        added = await self.database.write(
            lambda tx: store.create_webhook(tx, "hook", "", url, [event], encrypted, status)
        )
        return added["webhook_id"]

    async def tell(self, notice: WebhookNotice | None = None) -> None:
        """Commits something; what would keep it up is an error."""
        started = time.monotonic()
        await self.database.write(lambda tx: tx.after_commit(notice or model_created("m")))
        assert time.monotonic() - started < 5


def model_created(name: str) -> WebhookNotice:
    return created(name, {"k": "v"}, "d", is_prompt=False)


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    path = folder / "webhooks.db"
    prepare_sqlite(path)
    database = SqliteDatabase(path)
    chosen: dict[str, Any] = {
        "webhook_allowed_schemes": ("http", "https"),
        "webhook_allow_private_ips": True,
        "webhook_secret_encryption_key": KEY,
    }
    webhooks = Webhooks(Settings(**chosen | settings), database)
    database.start()
    webhooks.start()
    try:
        yield Site(database, webhooks)
        await webhooks.drain()
        await asyncio.to_thread(webhooks.close)
    finally:
        await asyncio.to_thread(database.close)


async def received(receiver: WebhookReceiver, count: int) -> list[Any]:
    return await asyncio.to_thread(receiver.wait_for, count)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of deliveries that failed."""
    records = [record for record in caplog.records if record.name == "runnel.webhooks"]
    assert all(record.levelno == logging.WARNING for record in records), [record.getMessage() for record in records]
    return [record.getMessage() for record in records]


def hang(handler: Handler) -> None:
    """Does not answer for longer than a test takes."""
    time.sleep(60)


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
