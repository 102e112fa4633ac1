"""What webhooks tell of events in the registry: the data of each, in MLflow's shape (``mlflow/webhooks/types.py``).

A prompt is a registered model with a tag, so most events have two names: one of a model, one of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from runnel.domain.prompts import IS_PROMPT_TAG, PROMPT_TEXT_TAG
from runnel.domain.webhooks import WebhookEvent

_PROMPT_TYPE_TAG = "_mlflow_prompt_type"


class WebhookNotice(NamedTuple):
    """That something happened, and what."""

    event: WebhookEvent
    data: dict[str, Any]


def created(name: str, tags: Mapping[str, str], description: str, *, is_prompt: bool) -> WebhookNotice:
    """A registered model or a prompt was created."""
    if is_prompt:
        tags = _without(tags, IS_PROMPT_TAG, _PROMPT_TYPE_TAG)
    event = WebhookEvent("PROMPT" if is_prompt else "REGISTERED_MODEL", "CREATED")
    return WebhookNotice(event, {"name": name, "tags": dict(tags), "description": description})


def model_version_created(
    name: str, version: str, source: str, run_id: str, tags: Mapping[str, str], description: str
) -> WebhookNotice:
    """A version of a registered model was created."""
    data = {
        "name": name,
        "version": version,
        "source": source,
        "run_id": run_id or None,
        "tags": dict(tags),
        "description": description or None,
    }
    return WebhookNotice(WebhookEvent("MODEL_VERSION", "CREATED"), data)


def prompt_version_created(name: str, version: str, tags: Mapping[str, str], description: str) -> WebhookNotice:
    """A version of a prompt was created; its template is one of the tags."""
    data = {
        "name": name,
        "version": version,
        "template": tags.get(PROMPT_TEXT_TAG),
        "tags": _without(tags, PROMPT_TEXT_TAG, IS_PROMPT_TAG, _PROMPT_TYPE_TAG),
        "description": description or None,
    }
    return WebhookNotice(WebhookEvent("PROMPT_VERSION", "CREATED"), data)


def prompt_tag_set(name: str, key: str, value: str) -> WebhookNotice:
    """A tag of a prompt was set. (Of a tag of a model itself nobody is told.)"""
    return WebhookNotice(WebhookEvent("PROMPT_TAG", "SET"), {"name": name, "key": key, "value": value})


def prompt_tag_deleted(name: str, key: str) -> WebhookNotice:
    """A tag of a prompt was removed."""
    return WebhookNotice(WebhookEvent("PROMPT_TAG", "DELETED"), {"name": name, "key": key})


def version_tag_set(name: str, version: str, key: str, value: str, *, is_prompt: bool) -> WebhookNotice:
    """A tag of a version was set."""
    event = WebhookEvent("PROMPT_VERSION_TAG" if is_prompt else "MODEL_VERSION_TAG", "SET")
    return WebhookNotice(event, {"name": name, "version": version, "key": key, "value": value})


def version_tag_deleted(name: str, version: str, key: str, *, is_prompt: bool) -> WebhookNotice:
    """A tag of a version was removed."""
    event = WebhookEvent("PROMPT_VERSION_TAG" if is_prompt else "MODEL_VERSION_TAG", "DELETED")
    return WebhookNotice(event, {"name": name, "version": version, "key": key})


def alias_created(name: str, alias: str, version: str, *, is_prompt: bool) -> WebhookNotice:
    """An alias was given to a version, or moved to it."""
    event = WebhookEvent("PROMPT_ALIAS" if is_prompt else "MODEL_VERSION_ALIAS", "CREATED")
    return WebhookNotice(event, {"name": name, "alias": alias, "version": version})


def alias_deleted(name: str, alias: str, *, is_prompt: bool) -> WebhookNotice:
    """An alias was removed."""
    event = WebhookEvent("PROMPT_ALIAS" if is_prompt else "MODEL_VERSION_ALIAS", "DELETED")
    return WebhookNotice(event, {"name": name, "alias": alias})


def example(event: WebhookEvent) -> WebhookNotice:
    """What a test of a webhook sends: an event that did not happen."""
    return next(notice for notice in _examples() if notice.event == event)


def _examples() -> list[WebhookNotice]:
    tags = {"example_key": "example_value"}
    key, value, alias = "example_key", "example_value", "example_alias"
    notices = [
        created("example_model", tags, "An example registered model", is_prompt=False),
        created("example_prompt", tags, "An example prompt", is_prompt=True),
        model_version_created(
            "example_model", "1", "models:/123", "abcd1234abcd5678", tags, "An example model version"
        ),
        prompt_version_created(
            "example_prompt", "1", {**tags, PROMPT_TEXT_TAG: "Hello {{name}}!"}, "An example prompt version"
        ),
        prompt_tag_set("example_prompt", key, value),
        prompt_tag_deleted("example_prompt", key),
        WebhookNotice(WebhookEvent("BUDGET_POLICY", "EXCEEDED"), _EXCEEDED_BUDGET),
    ]
    for name, is_prompt in (("example_model", False), ("example_prompt", True)):
        notices += [
            version_tag_set(name, "1", key, value, is_prompt=is_prompt),
            version_tag_deleted(name, "1", key, is_prompt=is_prompt),
            alias_created(name, alias, "1", is_prompt=is_prompt),
            alias_deleted(name, alias, is_prompt=is_prompt),
        ]
    return notices


_EXCEEDED_BUDGET = {
    "budget_policy_id": "bp-abc123",
    "budget_unit": "USD",
    "budget_amount": 100.0,
    "current_spend": 105.5,
    "duration_unit": "MONTHS",
    "duration_value": 1,
    "target_scope": "ENDPOINT",
    "workspace": "default",
    "target_value": "ep-abc123",
    "window_start": 1704067200000,
}


def _without(tags: Mapping[str, str], *keys: str) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in keys}
