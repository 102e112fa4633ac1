"""Webhooks in SQL. There are at most 1,000: what is not found by its id is found by looking at all of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.webhooks import Status, Webhook, WebhookEvent
from runnel.store.experiments import now_in_milliseconds
from runnel.store.schema import webhooks
from runnel.store.statements import Statement, Transaction


class Receiver(NamedTuple):
    """What is needed to tell a webhook of something; the secret is encrypted."""

    webhook_id: str
    name: str
    url: str
    secret: str | None
    events: list[WebhookEvent]


class WebhookChanges(NamedTuple):
    """What is to change; None leaves a value as it is. The secret is encrypted; an empty text removes it."""

    name: str | None
    description: str | None
    url: str | None
    events: list[WebhookEvent] | None
    secret: str | None
    status: Status | None


_COLUMNS = (
    webhooks.c.webhook_id,
    webhooks.c.name,
    webhooks.c.description,
    webhooks.c.url,
    webhooks.c.events,
    webhooks.c.status,
    webhooks.c.creation_timestamp,
    webhooks.c.last_updated_timestamp,
)
_RECEIVER_COLUMNS = (
    webhooks.c.webhook_id,
    webhooks.c.name,
    webhooks.c.url,
    webhooks.c.secret,
    webhooks.c.events,
)
_IS_WEBHOOK = webhooks.c.webhook_id == sa.bindparam("webhook_id")
_CHANGEABLE = ("name", "description", "url", "events", "secret", "status")

COUNT_WEBHOOKS = Statement(lambda d: sa.select(sa.func.count()).select_from(webhooks))
INSERT_WEBHOOK = Statement(
    lambda d: d.insert(webhooks).values({c.name: sa.bindparam(c.name) for c in webhooks.c if c.name != "id"})
)
SELECT_WEBHOOK = Statement(lambda d: sa.select(*_COLUMNS).where(_IS_WEBHOOK))
SELECT_RECEIVER = Statement(lambda d: sa.select(*_RECEIVER_COLUMNS).where(_IS_WEBHOOK))
SELECT_ACTIVE_RECEIVERS = Statement(
    lambda d: sa.select(*_RECEIVER_COLUMNS).where(webhooks.c.status == "ACTIVE").order_by(webhooks.c.id)
)
LOCK_WEBHOOK = Statement(
    lambda d: sa.select(*[webhooks.c[name] for name in _CHANGEABLE]).where(_IS_WEBHOOK).with_for_update()
)
# The bound names differ from those of the columns, which an UPDATE would take for itself.
UPDATE_WEBHOOK = Statement(
    lambda d: (
        sa.update(webhooks)
        .where(webhooks.c.webhook_id == sa.bindparam("id_of_webhook"))
        .values({name: sa.bindparam(name) for name in (*_CHANGEABLE, "last_updated_timestamp")})
    )
)
DELETE_WEBHOOK = Statement(lambda d: sa.delete(webhooks).where(_IS_WEBHOOK))
SELECT_PAGE = Statement(
    lambda d: (
        sa.select(webhooks.c.id, *_COLUMNS)
        .where(webhooks.c.id < sa.bindparam("before"))
        .order_by(webhooks.c.id.desc())
        .limit(sa.bindparam("limit"))
    )
)


def create_webhook(
    tx: Transaction,
    name: str,
    description: str,
    url: str,
    events: Sequence[WebhookEvent],
    secret: str | None,
    status: Status,
) -> Webhook:
    """Adds a webhook; names may repeat."""
    counted = tx.row(COUNT_WEBHOOKS)
    if counted is not None and counted[0] >= limits.MAX_WEBHOOKS:
        raise InvalidParameterValue(f"There are {counted[0]} webhooks already; at most {limits.MAX_WEBHOOKS} may exist")
    webhook_id, now = str(uuid.uuid4()), now_in_milliseconds()
    tx.execute(
        INSERT_WEBHOOK,
        webhook_id=webhook_id,
        name=name,
        description=description or None,
        url=url,
        events=_to_text(events),
        status=status,
        secret=secret or None,
        creation_timestamp=now,
        last_updated_timestamp=now,
    )
    return get_webhook(tx, webhook_id)


def get_webhook(tx: Transaction, webhook_id: str) -> Webhook:
    """The webhook, without its secret."""
    row = tx.row(SELECT_WEBHOOK, webhook_id=webhook_id)
    if row is None:
        raise _not_found(webhook_id)
    return _to_webhook(row)


def list_webhooks(tx: Transaction, max_results: int, page_token: str) -> tuple[list[Webhook], str | None]:
    """A page of all webhooks, newest first, and the token of the next page."""
    before: Any = limits.INT64_MAX
    if page_token:
        (before,) = page_tokens.decode_page_token(page_token, "webhooks", 1)
        if not isinstance(before, int):
            raise InvalidParameterValue("Invalid page token: it holds no position in the list of webhooks")
    rows = tx.rows(SELECT_PAGE, before=before, limit=max_results + 1)
    next_token = None
    if len(rows) > max_results:
        rows = rows[:max_results]
        next_token = page_tokens.encode_page_token((rows[-1][0],), "webhooks")
    return [_to_webhook(row[1:]) for row in rows], next_token


def update_webhook(tx: Transaction, webhook_id: str, changes: WebhookChanges) -> Webhook:
    """Changes what is given of a webhook."""
    row = tx.row(LOCK_WEBHOOK, webhook_id=webhook_id)
    if row is None:
        raise _not_found(webhook_id)
    values = dict(zip(_CHANGEABLE, row, strict=True))
    values |= {name: value for name, value in changes._asdict().items() if value is not None}
    if changes.events is not None:
        values["events"] = _to_text(changes.events)
    for name in ("description", "secret"):
        values[name] = values[name] or None
    tx.execute(UPDATE_WEBHOOK, id_of_webhook=webhook_id, last_updated_timestamp=now_in_milliseconds(), **values)
    return get_webhook(tx, webhook_id)


def delete_webhook(tx: Transaction, webhook_id: str) -> None:
    """Removes a webhook for good, with its secret."""
    if tx.execute(DELETE_WEBHOOK, webhook_id=webhook_id).rowcount == 0:
        raise _not_found(webhook_id)


def get_receiver(tx: Transaction, webhook_id: str) -> Receiver:
    """What is needed to reach a webhook, active or not."""
    row = tx.row(SELECT_RECEIVER, webhook_id=webhook_id)
    if row is None:
        raise _not_found(webhook_id)
    return _to_receiver(row)


def active_receivers(tx: Transaction) -> list[Receiver]:
    """Where something that happens is to be told."""
    return [_to_receiver(row) for row in tx.rows(SELECT_ACTIVE_RECEIVERS)]


def _not_found(webhook_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Webhook with ID {webhook_id[:500]} not found.")


def _to_text(events: Sequence[WebhookEvent]) -> str:
    return json.dumps([[event.entity, event.action] for event in events], separators=(",", ":"))


def _to_events(text: str) -> list[WebhookEvent]:
    return [WebhookEvent(entity, action) for entity, action in json.loads(text)]


def _to_receiver(row: tuple[Any, ...]) -> Receiver:
    webhook_id, name, url, secret, events = row
    return Receiver(webhook_id, name, url, secret, _to_events(events))


def _to_webhook(row: tuple[Any, ...]) -> Webhook:
    webhook_id, name, description, url, events, status, created, updated = row
    webhook: Webhook = {
        "webhook_id": webhook_id,
        "name": name,
        "url": url,
        "events": _to_events(events),
        "status": status,
        "creation_timestamp": created,
        "last_updated_timestamp": updated,
    }
    if description:
        webhook["description"] = description
    return webhook
