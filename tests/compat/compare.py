"""Comparing two answers field by field, under the rules of `field_policy.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from tests.compat.exchange import Answer
from tests.compat.field_policy import ANY_ORDER, FIELDS, Rule

ABSENT = "(absent)"


def differences(theirs: Answer, ours: Answer) -> dict[str, str]:
    """What the two answers do not agree about: field -> a sentence. `status` and `content-type` are fields too."""
    found = {}
    if theirs.status != ours.status:
        found["status"] = f"{theirs.status} there, {ours.status} here"
    their_fields, our_fields = dict(_fields(theirs.body)), dict(_fields(ours.body))
    if theirs.content_type != ours.content_type and (their_fields or our_fields):
        found["content-type"] = f"{theirs.content_type!r} there, {ours.content_type!r} here"
    for field in sorted(their_fields.keys() | our_fields.keys()):
        there, here = their_fields.get(field, ABSENT), our_fields.get(field, ABSENT)
        if not _agree(_rule(field), there, here):
            found[field] = f"{_short(there)} there, {_short(here)} here"
    return found


def _rule(field: str) -> Rule:
    return next((rule for pattern, rule, _ in FIELDS if fnmatchcase(field, pattern)), Rule.MUST_MATCH)


def _agree(rule: Rule, there: Any, here: Any) -> bool:
    if rule is Rule.IGNORED:
        return True
    if rule is Rule.SAME_TYPE:
        return type(there) is type(here) and (there is ABSENT) == (here is ABSENT)
    return type(there) is type(here) and bool(there == here)


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of an answer by their paths, as `run.data.tags[].key`; empty lists, objects and texts have none.

    protobuf, which both ends of the API speak, does not tell an empty list or object from an absent one.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _fields(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if any(fnmatchcase(path, pattern) for pattern in ANY_ORDER):
            value = sorted(value, key=lambda item: json.dumps(item, sort_keys=True))
        for index, item in enumerate(value):
            yield from _fields(item, f"{path}[{index}]")
    elif path or value:
        yield path or "text", value


def _short(value: Any) -> str:
    shown = value if value is ABSENT else repr(value)
    return shown if len(shown) <= 300 else f"{shown[:300]}..."
