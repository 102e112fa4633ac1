"""How many values a JSON text may hold: each becomes an object of up to some hundred bytes, however short it is."""

from __future__ import annotations

import re

from runnel.domain.errors import RequestTooLarge

MAX_JSON_VALUES = 1_000_000
# A string is passed over in one step. One without an end is none of ours to complain of.
_STRING_OR_VALUE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,]', re.DOTALL)
_QUOTE = ord('"')


def check_json_size(body: bytes) -> None:
    """Refuses JSON of more lists, objects, items and members than a request may have. Raises RequestTooLarge."""
    if has_more_values(body, MAX_JSON_VALUES):
        raise RequestTooLarge(f"A request can contain at most {MAX_JSON_VALUES} JSON values")


def has_more_values(body: bytes, limit: int) -> bool:
    """Whether a JSON text has more lists, objects, items and members than ``limit``."""
    if len(body) <= limit or body.count(b",") + body.count(b"{") + body.count(b"[") <= limit:
        return False
    # What stands in strings does not count; there may be much of it, in prompts and sources.
    values = 0
    for match in _STRING_OR_VALUE.finditer(body):
        values += body[match.start()] != _QUOTE
        if values > limit:
            return True
    return False
