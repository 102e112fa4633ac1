"""Page tokens: where a list goes on, as the sort key of the last row that was sent.

A token also carries a digest of the query it belongs to, so that a damaged token, or one that is sent with another
filter or order, is a clear error rather than a wrong page. It is not a secret: its values are only ever compared.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue

Position = Sequence[str | int | float | None]

_DIGEST_BYTES = 9  # of SHA-256; keeps the base64 text free of padding
_MAX_TOKEN_LENGTH = 100_000  # a sort key may hold several tag values of 8,000 characters


def _digest(payload: bytes, query: object) -> bytes:
    return hashlib.sha256(payload + b"\0" + repr(query).encode()).digest()[:_DIGEST_BYTES]


def encode_page_token(position: Position, query: object) -> str:
    """The token for going on behind ``position`` in the list that ``query`` describes (anything with a stable repr)."""
    payload = json.dumps(list(position), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(payload, query) + payload).decode()


def decode_page_token(token: str, query: object, length: int) -> list[str | int | float | None]:
    """The position a token stands for: ``length`` values; a token of another query or a damaged one is an error."""
    try:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise ValueError
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if digest != _digest(payload, query):
            raise ValueError
        position = json.loads(payload)
        if not isinstance(position, list) or len(position) != length:
            raise ValueError
        for value in position:
            if isinstance(value, str):
                value.encode()  # half of a surrogate pair is a ValueError
            elif isinstance(value, int) and not limits.INT64_MIN <= value <= limits.INT64_MAX:
                raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidParameterValue(
            f"Invalid page token '{token[:100]}': it is damaged, or belongs to a request with another filter or order"
        ) from None
    return position
