"""Webhooks: what one is, which events it may be told of, and what its name and URL may be.

Names, pairs and sentences are those of MLflow 3.17 (``mlflow/entities/webhook.py``, ``utils/validation.py``).
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_length

Entity = Literal[
    "REGISTERED_MODEL",
    "MODEL_VERSION",
    "MODEL_VERSION_TAG",
    "MODEL_VERSION_ALIAS",
    "PROMPT",
    "PROMPT_VERSION",
    "PROMPT_TAG",
    "PROMPT_VERSION_TAG",
    "PROMPT_ALIAS",
    "BUDGET_POLICY",
]
Action = Literal["CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED"]
Status = Literal["ACTIVE", "DISABLED"]

# Budgets are MLflow's gateway's: clients may name the event, but it never happens here.
_ACTIONS: dict[Entity, tuple[Action, ...]] = {
    "REGISTERED_MODEL": ("CREATED",),
    "MODEL_VERSION": ("CREATED",),
    "MODEL_VERSION_TAG": ("DELETED", "SET"),
    "MODEL_VERSION_ALIAS": ("CREATED", "DELETED"),
    "PROMPT": ("CREATED",),
    "PROMPT_VERSION": ("CREATED",),
    "PROMPT_TAG": ("DELETED", "SET"),
    "PROMPT_VERSION_TAG": ("DELETED", "SET"),
    "PROMPT_ALIAS": ("CREATED", "DELETED"),
    "BUDGET_POLICY": ("EXCEEDED",),
}

_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something that a webhook can be told of."""

    entity: Entity
    action: Action

    def __str__(self) -> str:
        return f"{self.entity}.{self.action}".lower()


class Webhook(TypedDict):
    """A webhook as clients see it: never with its secret. Times are in milliseconds since the epoch."""

    webhook_id: str
    name: str
    url: str
    events: list[WebhookEvent]
    status: Status
    creation_timestamp: int
    last_updated_timestamp: int
    description: NotRequired[str]


class WebhookTestResult(TypedDict):
    """What became of a test: what the receiver answered, or why nothing came back."""

    success: bool
    response_status: NotRequired[int]
    response_body: NotRequired[str]
    error_message: NotRequired[str]


def check_event(event: WebhookEvent) -> None:
    """Refuses an action that an entity does not have."""
    actions = _ACTIONS[event.entity]
    if event.action not in actions:
        raise InvalidParameterValue(
            f"Invalid action '{event.action.lower()}' for entity '{event.entity.lower()}'. "
            f"Valid actions are: {[action.lower() for action in actions]}"
        )


def parse_events(events: Sequence[WebhookEvent]) -> list[WebhookEvent]:
    """The events, each once, in the order of their names."""
    for event in events:
        check_event(event)
    return sorted(set(events), key=str)


def check_webhook_name(name: str) -> None:
    """Refuses a name that is not 1 to 63 letters, digits, dots, hyphens and underscores, between letters or digits."""
    if _NAME.fullmatch(name) is None:
        raise InvalidParameterValue(
            f"Webhook name {name[:500]!r} is invalid. It must start and end with a letter or digit, "
            "be less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), "
            "and hyphens (-)."
        )


def check_webhook_texts(description: str, secret: str) -> None:
    """Refuses a description or a secret that is too long."""
    check_length("description", description, limits.MAX_WEBHOOK_DESCRIPTION_LENGTH)
    check_length("secret", secret, limits.MAX_WEBHOOK_SECRET_LENGTH)


class WebhookAddress(TypedDict):
    """The parts of a webhook's URL that say where requests go."""

    scheme: str
    host: str
    port: int


def parse_webhook_url(url: str, schemes: Sequence[str]) -> WebhookAddress:
    """Where a webhook's URL leads; refuses other schemes, and what is no URL. (What a host is, is not looked up.)"""
    check_length("url", url, limits.MAX_WEBHOOK_URL_LENGTH)
    if not url.strip():
        raise InvalidParameterValue(f"Webhook URL cannot be empty or just whitespace: {url!r}")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameterValue(f"Invalid webhook URL {url!r}: {error!r}") from None
    if parts.scheme not in schemes:
        raise InvalidParameterValue(
            f"Invalid webhook URL scheme: {parts.scheme!r}. Allowed schemes are: {', '.join(schemes)}."
        )
    if not host:
        raise InvalidParameterValue(f"Webhook URL must include a hostname: {url!r}")
    if _UNPRINTABLE.search(url) or port == 0:
        raise InvalidParameterValue(f"Invalid webhook URL {url!r}: it holds a space, a control character, or port 0")
    return {"scheme": parts.scheme, "host": host, "port": port or (443 if parts.scheme == "https" else 80)}
