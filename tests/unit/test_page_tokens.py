"""Page tokens: where a list goes on."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.page_tokens import decode_page_token, encode_page_token

QUERY = ("runs", (1, 2), ("active",), "filter")


@pytest.mark.parametrize(
    "position",
    [
        [],
        [0],
        [2**63 - 1, -(2**63)],
        [0.1, -0.0, 5e-324, 1.7976931348623157e308],
        [math.inf, -math.inf],
        ["", "text", "日本 🚀", 'quotes " and \\', "x" * 8000],
        [None, 1, "a", 0.5],
    ],
)
def test_a_position_comes_back_as_it_was(position: list[Any]) -> None:
    token = encode_page_token(position, QUERY)
    decoded = decode_page_token(token, QUERY, len(position))
    assert decoded == position
    assert [type(value) for value in decoded] == [type(value) for value in position]


def test_a_token_is_plain_text_for_urls() -> None:
    token = encode_page_token(["ü/+?&=", 2**40, 0.3], QUERY)
    assert set(token.rstrip("=")) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_the_same_position_has_the_same_token() -> None:
    assert encode_page_token([1, "a"], QUERY) == encode_page_token((1, "a"), QUERY)


def refused(token: str, query: object = QUERY, length: int = 2) -> None:
    with pytest.raises(InvalidParameterValue) as error:
        decode_page_token(token, query, length)
    assert error.value.message == (
        f"Invalid page token '{token[:100]}': it is damaged, or belongs to a request with another filter or order"
    )


def test_a_token_of_another_query_is_refused() -> None:
    token = encode_page_token([1, "a"], QUERY)
    for other in (("runs", (1,), ("active",), "filter"), ("experiments", *QUERY[1:]), None, "", QUERY[:-1]):
        refused(token, other)


def test_a_token_of_another_order_is_refused() -> None:
    refused(encode_page_token([1], QUERY))
    refused(encode_page_token([1, "a", 2], QUERY))


def test_a_token_with_any_character_changed_is_refused() -> None:
    token = encode_page_token([123_456, "abc"], QUERY)
    for index, character in enumerate(token):
        if character != "=":
            refused(token[:index] + ("A" if character != "A" else "B") + token[index + 1 :])


@pytest.mark.parametrize("token", ["x", "é", "====", "A" * 11, " ", "\n", "a b", "%00", "A" * 100_001, "\udc00"])
def test_text_that_is_no_token_is_refused(token: str) -> None:
    refused(token)


def test_a_token_that_is_cut_or_longer_is_refused() -> None:
    token = encode_page_token([123_456, "abc"], QUERY)
    for end in range(len(token)):
        if token[:end].rstrip("=") != token.rstrip("="):
            refused(token[:end] or "=")
    refused(token + "AAAA")


def forged(payload: str) -> str:
    """A token whose digest is right: who reads this file can make one, so its values are checked too."""
    import hashlib

    digest = hashlib.sha256(payload.encode() + b"\0" + repr(QUERY).encode()).digest()[:9]
    return base64.urlsafe_b64encode(digest + payload.encode()).decode()


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "5",
        '"ab"',
        '{"a": 1}',
        "[1]",
        "[" * 5000,
        json.dumps([2**63, 1]),
        json.dumps([1, -(2**63) - 1]),
        '["\\udc00", 1]',
    ],
)
def test_a_forged_position_that_no_database_takes_is_refused(payload: str) -> None:
    refused(forged(payload))


def test_a_forged_position_is_no_more_than_a_position() -> None:
    assert decode_page_token(forged('[7, "b"]'), QUERY, 2) == [7, "b"]
