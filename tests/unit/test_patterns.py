"""The patterns of LIKE and the regular expressions of RLIKE."""

from __future__ import annotations

import time

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.store.patterns import (
    MAX_PATTERN_LENGTH,
    MAX_TEXT_LENGTH,
    check_like_pattern,
    check_pattern,
    matches_pattern,
)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^a.c$", "abc", True),
        ("(?i)ABC", "abc", True),
        ("[0-9]{2,}", "a12", True),
        ("é+", "caféé", True),
        (r"\d\s\w", "x 5 y", True),
        ("x|y", "z", False),
        ("", "", True),
    ],
)
def test_a_pattern_matches_anywhere_in_the_text(pattern: str, text: str, is_match: bool) -> None:
    check_pattern(pattern)
    assert matches_pattern(pattern, text) is is_match


def test_nothing_matches_nothing() -> None:
    assert matches_pattern("a", None) is None


@pytest.mark.parametrize("pattern", ["(", "a{2001}", r"(a)\1", "(?=a)", "[z-a]", "*", "((a{100}){100}){100}"])
def test_what_is_no_pattern_or_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameterValue, match="Invalid RLIKE pattern"):
        check_pattern(pattern)


def test_a_long_pattern_is_refused() -> None:
    check_pattern("a" * MAX_PATTERN_LENGTH)
    with pytest.raises(InvalidParameterValue, match="at most 1000 characters"):
        check_pattern("a" * (MAX_PATTERN_LENGTH + 1))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", ".*.*.*.*.*x", "(.*)*c"])
def test_no_pattern_takes_long(pattern: str) -> None:
    check_pattern(pattern)
    start = time.monotonic()
    assert matches_pattern(pattern, "a" * 100_000 + "!") is False
    assert time.monotonic() - start < 5


def test_of_a_very_long_text_the_beginning_is_looked_at() -> None:
    assert matches_pattern("b", "a" * (MAX_TEXT_LENGTH - 1) + "b") is True
    assert matches_pattern("b", "a" * MAX_TEXT_LENGTH + "b") is False


def test_a_like_pattern_has_a_greatest_length() -> None:
    check_like_pattern("é" * 500)
    with pytest.raises(InvalidParameterValue, match="A LIKE pattern can have at most 1000 bytes"):
        check_like_pattern("é" * 500 + "x")
