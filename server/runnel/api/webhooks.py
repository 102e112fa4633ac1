"""Endpoints of webhooks."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.webhooks import (
    Status,
    Webhook,
    WebhookEvent,
    WebhookTestResult,
    check_event,
    check_webhook_name,
    check_webhook_texts,
    parse_events,
)
from runnel.store import webhooks
from runnel.store.statements import Transaction


class WebhookAnswer(TypedDict):
    webhook: Webhook


class WebhooksAnswer(TypedDict):
    webhooks: NotRequired[list[Webhook]]
    next_page_token: NotRequired[str]


class TestAnswer(TypedDict):
    result: WebhookTestResult


async def create_webhook(
    services: Services,
    name: str,
    url: str,
    events: list[WebhookEvent],
    description: str = "",
    secret: str = "",
    status: Status = "ACTIVE",
) -> WebhookAnswer:
    """Adds a webhook, which is told of events from now on; its secret is kept encrypted and never shown."""
    check_webhook_name(name)
    check_webhook_texts(description, secret)
    if not events:
        raise InvalidParameterValue("Webhook events must be a non-empty list of WebhookEvent objects: [].")
    parsed = parse_events(events)
    encrypted = await services.webhooks.prepare(url, secret)

    def create(tx: Transaction) -> Webhook:
        return webhooks.create_webhook(tx, name, description, url, parsed, encrypted, status)

    return {"webhook": await services.database.write(create)}


def list_webhooks(
    tx: Transaction, max_results: int = limits.DEFAULT_WEBHOOK_RESULTS, page_token: str = ""
) -> WebhooksAnswer:
    """A page of all webhooks, newest first."""
    max_results = max_results or limits.DEFAULT_WEBHOOK_RESULTS
    if not 1 <= max_results <= limits.MAX_WEBHOOK_RESULTS:
        raise InvalidParameterValue(f"max_results must be between 1 and {limits.MAX_WEBHOOK_RESULTS}.")
    found, next_page_token = webhooks.list_webhooks(tx, max_results, page_token)
    answer: WebhooksAnswer = {}
    if found:
        answer["webhooks"] = found
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def get_webhook(tx: Transaction, webhook_id: str) -> WebhookAnswer:
    """The webhook, without its secret."""
    return {"webhook": webhooks.get_webhook(tx, webhook_id)}


async def update_webhook(
    services: Services,
    webhook_id: str,
    name: str = "",
    description: str | None = None,
    url: str = "",
    events: list[WebhookEvent] = [],  # noqa: B006 (a default of the wire, never changed)
    secret: str | None = None,
    status: Status | None = None,
) -> WebhookAnswer:
    """Changes what is given of a webhook; an empty ``secret`` or ``description`` removes it."""
    if name:
        check_webhook_name(name)
    check_webhook_texts(description or "", secret or "")
    parsed = parse_events(events)
    encrypted = await services.webhooks.prepare(url or None, secret)
    changes = webhooks.WebhookChanges(name or None, description, url or None, parsed or None, encrypted, status)
    return {"webhook": await services.database.write(lambda tx: webhooks.update_webhook(tx, webhook_id, changes))}


def delete_webhook(tx: Transaction, webhook_id: str) -> Empty:
    """Removes a webhook for good."""
    webhooks.delete_webhook(tx, webhook_id)
    return {}


async def test_webhook(services: Services, webhook_id: str, event: WebhookEvent | None = None) -> TestAnswer:
    """Sends an example of an event to a webhook, and says what it answered."""
    if event is not None:
        check_event(event)
    receiver = await services.database.read(lambda tx: webhooks.get_receiver(tx, webhook_id))
    return {"result": await services.webhooks.test(receiver, event)}
