"""The part of the running server that webhooks need: it hears what was committed, and sees to it that receivers do.

What sends requests, and its threads, are there from the first delivery on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from runnel.config import Settings
from runnel.domain.errors import InvalidParameterValue, MlflowError, TemporarilyUnavailable
from runnel.domain.webhook_notices import WebhookNotice, example
from runnel.domain.webhooks import WebhookEvent, WebhookTestResult, parse_webhook_url
from runnel.store.database import Database
from runnel.store.webhooks import Receiver, active_receivers
from runnel.webhooks.encryption import SecretKey

if TYPE_CHECKING:
    from runnel.webhooks.delivery import DeliveryQueue, DeliveryRules

T = TypeVar("T")

logger = logging.getLogger("runnel.webhooks")

MAX_PENDING = 2_000  # notices whose receivers have not been looked up yet
MAX_CALLS = 8  # requests that look up a host or test a webhook at the same time
LOOK_UP_SECONDS = 10


class Webhooks:
    """All methods but ``hear`` and ``close`` are called on the event loop."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._secret_key = SecretKey(settings.webhook_secret_encryption_key)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: list[WebhookNotice] = []
        self._dispatcher: asyncio.Task[None] | None = None
        self._queue: DeliveryQueue | None = None
        self._calls = 0

    def start(self) -> None:
        """Listens to the database."""
        self._loop = asyncio.get_running_loop()
        self._database.listen(self.hear)

    # What happened

    def hear(self, notices: Sequence[WebhookNotice]) -> None:
        """Takes what was committed; called in the database's threads, returns at once."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the server has stopped
                self._loop.call_soon_threadsafe(self._add, notices)

    def _add(self, notices: Sequence[WebhookNotice]) -> None:
        room = MAX_PENDING - len(self._pending)
        if len(notices) > room:
            logger.warning("%d events were not told to webhooks: too many wait", len(notices) - room)
        self._pending.extend(notices[:room])
        if self._dispatcher is None or self._dispatcher.done():
            self._dispatcher = asyncio.create_task(self._dispatch())

    async def _dispatch(self) -> None:
        while self._pending:
            notices, self._pending = self._pending, []
            try:
                receivers = await self._database.read(active_receivers)
                concerned = {event for receiver in receivers for event in receiver.events}
                told = [notice for notice in notices if notice.event in concerned]
                if told:
                    await asyncio.to_thread(self._deliver, told, receivers)
            except MlflowError as error:
                logger.warning("%d events were not told to webhooks: %s", len(notices), error)
            except Exception:
                logger.exception("%d events were not told to webhooks", len(notices))

    def _deliver(self, notices: Sequence[WebhookNotice], receivers: Sequence[Receiver]) -> None:
        from runnel.webhooks.delivery import Delivery, DeliveryQueue

        if self._queue is None:
            self._queue = DeliveryQueue(self._rules(), self._settings.webhook_delivery_max_workers)
        for notice in notices:
            body = _body(notice)
            for receiver in receivers:
                if notice.event in receiver.events:
                    self._queue.add(Delivery(receiver, str(notice.event), body, str(uuid.uuid4())))

    async def drain(self) -> None:
        """Waits until what has been heard of waits for its delivery."""
        await asyncio.sleep(0)  # what a thread has handed to the loop
        if self._dispatcher is not None:
            await self._dispatcher

    def close(self) -> None:
        """Finishes deliveries, for some seconds."""
        if self._queue is not None:
            self._queue.close()

    # What requests ask for

    async def prepare(self, url: str | None, secret: str | None) -> str | None:
        """Checks the URL of a webhook, also where it leads, and encrypts its secret. None: there is none to check."""
        if secret:
            self._secret_key.check()
        if url is not None:
            address = parse_webhook_url(url, self._settings.webhook_allowed_schemes)
            if not self._settings.webhook_allow_private_ips:
                await self._apart(LOOK_UP_SECONDS, _check_host, address["host"], address["port"])
        return await self._apart(LOOK_UP_SECONDS, self._secret_key.encrypt, secret) if secret else secret

    async def test(self, receiver: Receiver, event: WebhookEvent | None) -> WebhookTestResult:
        """Sends an example of an event, the webhook's first one unless another is named, once."""
        notice = example(event or receiver.events[0])
        # The time to look up its host comes on top.
        seconds = self._settings.webhook_request_timeout + LOOK_UP_SECONDS
        try:
            return await self._apart(seconds, self._test, receiver, notice)
        except InvalidParameterValue as error:
            return {"success": False, "error_message": f"Failed to test webhook: {error.message}"}

    def _test(self, receiver: Receiver, notice: WebhookNotice) -> WebhookTestResult:
        from runnel.webhooks.requests import NotDelivered

        try:
            answer = self._rules().send(receiver, _body(notice), str(uuid.uuid4()), wants_body=True)
        except NotDelivered as error:
            return {"success": False, "error_message": f"Failed to test webhook: {error}"}
        result: WebhookTestResult = {"success": 200 <= answer.status < 300, "response_status": answer.status}
        if answer.body:
            result["response_body"] = answer.body
        return result

    def _rules(self) -> DeliveryRules:
        from runnel.webhooks.delivery import DeliveryRules

        return DeliveryRules(
            timeout=self._settings.webhook_request_timeout,
            max_retries=self._settings.webhook_request_max_retries,
            allow_private=self._settings.webhook_allow_private_ips,
            secret_key=self._secret_key,
        )

    async def _apart(self, seconds: float, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function that may hang in a thread of its own, which the end of the server does not wait for."""
        if self._calls >= MAX_CALLS:
            raise TemporarilyUnavailable("Too many requests wait for the hosts of webhooks; try again shortly")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls += 1

        def answer(result: T | None, error: Exception | None) -> None:
            self._calls -= 1
            if not future.done():
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(result)  # type: ignore[arg-type]

        def call() -> None:
            result, failure = None, None
            try:
                result = function(*arguments)
            except Exception as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(answer, result, failure)

        threading.Thread(target=call, name="webhook request", daemon=True).start()
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise InvalidParameterValue(f"The host of the webhook did not answer within {seconds} seconds") from None


def _check_host(host: str, port: int) -> None:
    from runnel.webhooks.addresses import look_up

    try:
        look_up(host, port, allow_private=False)
    except OSError as error:
        raise InvalidParameterValue(f"Cannot resolve Webhook URL hostname {host!r}: {error}") from None


def _body(notice: WebhookNotice) -> str:
    return json.dumps(
        {
            "entity": notice.event.entity.lower(),
            "action": notice.event.action.lower(),
            "timestamp": datetime.now(UTC).isoformat(),
            "data": notice.data,
        }
    )
