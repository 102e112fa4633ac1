"""How many values a JSON text may hold."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from runnel.api.json_sizes import MAX_JSON_VALUES, check_json_size, has_more_values
from runnel.domain.errors import RequestTooLarge


@pytest.mark.parametrize(
    ("value", "count"),
    [([1, 2, 3], 3), ({"a": 1, "b": [{}]}, 4), ([], 1), ("{[,", 0), (['"[', "\\", "\\\\,"], 3), ({'a,"{': '\\",'}, 1)],
)
def test_values_are_counted_and_not_what_stands_in_strings(value: Any, count: int) -> None:
    body = json.dumps(value).encode() + b" " * 10
    assert has_more_values(body, count - 1) or count == 0
    assert not has_more_values(body, count)


def test_a_text_of_many_values_is_refused_and_a_long_one_of_few_is_not() -> None:
    check_json_size(json.dumps(['a, [b], {c}, \\"d\\"' * 200_000, 1]).encode())
    check_json_size(b"[" + b"1," * (MAX_JSON_VALUES - 2) + b"1]")
    with pytest.raises(RequestTooLarge, match="at most 1000000 JSON values"):
        check_json_size(b"[" + b"1," * MAX_JSON_VALUES + b"1]")


@pytest.mark.parametrize(
    "body", [b'"' + b'\\"' * 5_000_000, b'"' * 9_999_999, b"\\" * 10_000_000, b'"' + b"\\,[" * 3_000_000]
)
def test_a_text_that_is_no_json_is_counted_as_quickly(body: bytes) -> None:
    started = time.process_time()
    has_more_values(body + b"," * (MAX_JSON_VALUES + 1), MAX_JSON_VALUES)
    assert time.process_time() - started < 5
