"""Deliveries that wait, and the threads that make them.

What waits is bounded, in number and in bytes, and by the half for one webhook; one that is away takes at most half of
the threads. So a receiver that does not answer keeps nobody from hearing of anything.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field

from runnel.store.webhooks import Receiver
from runnel.webhooks.encryption import SecretKey, UndecryptableSecret
from runnel.webhooks.requests import RETRY_STATUSES, NotDelivered, ReceiverAnswer, post

logger = logging.getLogger("runnel.webhooks")

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
FIRST_PAUSE_SECONDS = 1.0  # twice as long each time
MAX_PAUSE_SECONDS = 60.0
JITTER_SECONDS = 1.0
CLOSE_SECONDS = 5.0


@dataclass(slots=True)
class Delivery:
    """Something that one receiver is to be told."""

    receiver: Receiver
    event: str
    body: str
    delivery_id: str
    attempts: int = 0
    due: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How requests are sent, and how often they are tried again."""

    timeout: float
    max_retries: int
    allow_private: bool
    secret_key: SecretKey

    def send(self, receiver: Receiver, body: str, delivery_id: str, *, wants_body: bool = False) -> ReceiverAnswer:
        """One request. Raises NotDelivered."""
        try:
            secret = self.secret_key.decrypt(receiver.secret) if receiver.secret else None
        except UndecryptableSecret:
            reason = "its secret was encrypted with another key than MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY is now"
            raise NotDelivered(reason, may_retry=False) from None
        return post(
            receiver.url,
            body,
            delivery_id,
            secret,
            timeout=self.timeout,
            allow_private=self.allow_private,
            wants_body=wants_body,
        )


class DeliveryQueue:
    """Deliveries in the order in which they are due, and threads, started as they are needed."""

    def __init__(self, rules: DeliveryRules, max_threads: int) -> None:
        self._rules = rules
        self._max_threads = max_threads
        self._changed = threading.Condition()
        self._waiting: list[Delivery] = []
        self._waiting_bytes = 0
        self._under_way: list[Delivery] = []
        self._threads = 0
        self._idle_threads = 0
        self._is_closed = False

    def add(self, delivery: Delivery) -> None:
        """Takes a delivery; one that does not fit any more is a line in the log."""
        with self._changed:
            of_this = sum(other.receiver.webhook_id == delivery.receiver.webhook_id for other in self._waiting)
            fits = (
                len(self._waiting) < MAX_WAITING
                and of_this < MAX_WAITING // 2
                and self._waiting_bytes + len(delivery.body) <= MAX_WAITING_BYTES
            )
            if fits and not self._is_closed:
                self._put(delivery)
                return
        _log_failure(delivery, "the server is stopping" if fits else "too many deliveries wait")

    def close(self) -> None:
        """Makes the deliveries that wait, for some seconds and without another try; the rest are lines in the log."""
        deadline = time.monotonic() + CLOSE_SECONDS
        with self._changed:
            self._is_closed = True
            for delivery in self._waiting:
                delivery.due = 0.0
            self._changed.notify_all()
            while (self._waiting or self._under_way) and time.monotonic() < deadline:
                self._changed.wait(deadline - time.monotonic())
            lost, self._waiting = [*self._under_way, *self._waiting], []
        for delivery in lost:
            _log_failure(delivery, "the server stopped before it was done")

    def _put(self, delivery: Delivery) -> None:
        insort(self._waiting, delivery, key=lambda waiting: waiting.due)
        self._waiting_bytes += len(delivery.body)
        if len(self._waiting) > self._idle_threads and self._threads < self._max_threads:
            self._threads += 1
            threading.Thread(target=self._run_forever, name="webhook", daemon=True).start()
        self._changed.notify()

    def _run_forever(self) -> None:
        while True:
            delivery = self._next()
            pause = self._attempt(delivery)
            with self._changed:
                self._under_way.remove(delivery)
                if pause is not None and self._is_closed:
                    _log_failure(delivery, "the server is stopping")
                elif pause is not None:
                    delivery.due = time.monotonic() + pause
                    self._put(delivery)
                self._changed.notify_all()

    def _next(self) -> Delivery:
        """Waits for the next delivery that is due, of a webhook that does not have its share of the threads."""
        with self._changed:
            while True:
                busy = Counter(delivery.receiver.webhook_id for delivery in self._under_way)
                now, next_due = time.monotonic(), None
                for index, delivery in enumerate(self._waiting):
                    if delivery.due > now:
                        next_due = delivery.due
                        break
                    if busy[delivery.receiver.webhook_id] < max(1, self._max_threads // 2):
                        del self._waiting[index]
                        self._waiting_bytes -= len(delivery.body)
                        self._under_way.append(delivery)
                        return delivery
                self._idle_threads += 1
                self._changed.wait(None if next_due is None else next_due - now)
                self._idle_threads -= 1

    def _attempt(self, delivery: Delivery) -> float | None:
        """Sends a delivery; the seconds until it is to be sent again, or None when it is done, well or not."""
        delivery.attempts += 1
        asked_pause: float | None = None
        try:
            answer = self._rules.send(delivery.receiver, delivery.body, delivery.delivery_id)
            if 200 <= answer.status < 300:
                return None
            reason, may_retry = f"the receiver answered {answer.status}", answer.status in RETRY_STATUSES
            asked_pause = answer.retry_after
        except NotDelivered as error:
            reason, may_retry = str(error), error.may_retry
        except Exception:
            logger.exception("A delivery of webhook '%s' failed", delivery.receiver.name)
            return None
        if not may_retry or delivery.attempts > self._rules.max_retries:
            _log_failure(delivery, reason)
            return None
        pause = FIRST_PAUSE_SECONDS * 2 ** (delivery.attempts - 1) if asked_pause is None else asked_pause
        return min(pause, MAX_PAUSE_SECONDS) + random.uniform(0, JITTER_SECONDS)


def _log_failure(delivery: Delivery, reason: str) -> None:
    # Without the URL: the paths of many are secrets.
    logger.warning(
        "Webhook '%s' (%s) was not told of %s (delivery %s, attempts: %d): %s",
        delivery.receiver.name,
        delivery.receiver.webhook_id,
        delivery.event,
        delivery.delivery_id,
        delivery.attempts,
        reason,
    )
