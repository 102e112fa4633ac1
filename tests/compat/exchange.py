"""A request as data, and how it is played to a server: what one server answered is compared with what another did."""

from __future__ import annotations

from dataclasses import dataclass, field
from string import Template
from typing import Any

import httpx

TRACKING = "/api/2.0/mlflow/"
_FIELDS_WITH_EXPERIMENT_IDS = {
    "experiment_id",
    "artifact_location",
    "artifact_uri",
    "root_uri",
    "mlflow.artifactLocation",
}


@dataclass(frozen=True)
class Ask:
    """A request. `$name` in any text of it stands for a value that an earlier answer gave (see `keep`)."""

    what: str  # one of a kind: the test is named after it
    method: str
    path: str  # below /api/2.0/mlflow/, or whole when it begins with a slash
    body: Any = None  # sent as JSON; bytes are sent as they are
    query: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    keep: dict[str, str] = field(default_factory=dict)  # name -> the path of the value in the answer


@dataclass(frozen=True)
class Answer:
    """What a server answered, with the values it invented replaced by the names under which they were kept."""

    status: int
    content_type: str
    body: Any  # parsed where it is JSON, the text otherwise


def play(url: str, asks: list[Ask]) -> dict[str, Answer]:
    """Sends the requests one after another to the server at `url`; its answers by what was asked."""
    known: dict[str, str] = {}
    answers: dict[str, Answer] = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for ask in asks:
            response = client.send(_request(client, ask, known))
            content_type = response.headers.get("content-type", "").split(";")[0]
            body = response.json() if content_type == "application/json" and response.content else response.text
            for name, path in ask.keep.items():
                try:
                    known[name] = _at(body, path)
                except (LookupError, TypeError):
                    raise AssertionError(f"{ask.what}: {url} answered without {path}: {response.text[:500]}") from None
            answers[ask.what] = Answer(response.status_code, content_type, _with_names(body, known))
    return answers


def _request(client: httpx.Client, ask: Ask, known: dict[str, str]) -> httpx.Request:
    path = Template(ask.path if ask.path.startswith("/") else TRACKING + ask.path).substitute(known)
    query = _filled(ask.query, known)
    headers = _filled(ask.headers, known)
    if isinstance(ask.body, bytes):
        return client.build_request(ask.method, path, params=query, content=ask.body, headers=headers)
    return client.build_request(ask.method, path, params=query, json=_filled(ask.body, known), headers=headers)


def _filled(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str):
        return Template(value).substitute(known) if "$" in value else value
    if isinstance(value, dict):
        return {key: _filled(item, known) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, known) for item in value]
    return value


def _with_names(value: Any, known: dict[str, str], key: str = "") -> Any:
    if isinstance(value, str):
        for name, text in known.items():
            if len(text) > 8:
                value = value.replace(text, f"${name}")
            elif key in _FIELDS_WITH_EXPERIMENT_IDS:  # elsewhere a "1" is just a 1
                value = "/".join(f"${name}" if part == text else part for part in value.split("/"))
        return value
    if isinstance(value, dict):
        key = str(value.get("key", ""))  # of a tag in a list
        return {name: _with_names(item, known, key if name == "value" else name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_names(item, known, key) for item in value]
    return value


def _at(body: Any, path: str) -> str:
    for part in path.split("."):
        body = body[int(part)] if isinstance(body, list) else body[part]
    return str(body)
