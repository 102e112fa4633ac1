"""How the pages write numbers, times and sizes, and what a table makes of its cells."""

from __future__ import annotations

import math

import pytest

from runnel.viewer import formats
from runnel.viewer.links import query_string, quoted
from runnel.viewer.notes import first_line, rendered
from runnel.viewer.tables import BAR_STEPS, Cell, Column, Row, Table, bars_and_best


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.8333333333, "0.8333"),
        (0.00123456, "0.001235"),
        (1.5e-5, "1.5e−5"),
        (-2e-11, "−2e−11"),
        (12345.678, "12,346"),
        (999.96, "1,000"),
        (42.0, "42"),
        (1234567.0, "1,234,567"),
        (6.02e23, "6.02e23"),
        (0.0, "0"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (None, ""),
        ("text", "text"),
    ],
)
def test_numbers_have_four_significant_digits(value: object, shown: str) -> None:
    assert formats.number(value) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, ""),
        (0, "0 ms"),
        (340, "340 ms"),
        (2_410, "2.41 s"),
        (59_940, "59.9 s"),
        (59_960, "1 min"),
        (200_000, "3 min 20 s"),
        (18_720_000, "5 h 12 min"),
        (187_200_000, "2 d 4 h"),
        (-5, "−5 ms"),
        (10**15, "11,574,074 d 1 h"),
    ],
)
def test_durations_have_one_or_two_units(milliseconds: float | None, shown: str) -> None:
    assert formats.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "just now"), (180, "3 min ago"), (7_200, "2 h ago"), (172_800, "2 d ago"), (10**7, "2000-09-26")],
)
def test_ages_become_days_when_they_are_long(seconds: int, shown: str) -> None:
    now = 980_000_000
    assert formats.age((now - seconds) * 1_000, now) == shown


def test_times_that_no_calendar_has_are_shown_as_they_are() -> None:
    assert formats.timestamp(2**62) == str(2**62)
    assert formats.iso_time(-(2**62)) == ""
    assert formats.timestamp(1_700_000_000_123) == "2023-11-14 22:13:20.123 UTC"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1_500, "1.50 kB"), (23_400_000, "23.4 MB"), (999_900, "1.00 MB")],
)
def test_sizes_have_three_digits(octets: int | None, shown: str) -> None:
    assert formats.size(octets) == shown


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("accuracy", "highest"),
        ("answer_relevance/mean", "highest"),
        ("val_loss", "lowest"),
        ("latency_s", "lowest"),
        ("evalRmse", "lowest"),
        ("total_tokens", "lowest"),
        ("timeliness", "highest"),
        ("learning_rate", ""),
        ("epoch", ""),
    ],
)
def test_the_direction_of_a_metric_follows_from_its_name(name: str, best: str) -> None:
    assert formats.best_is(name) == best


def test_bars_begin_at_zero_or_at_the_least_negative_value() -> None:
    assert bars_and_best([1.0, 0.5, None, math.nan], "highest") == ([BAR_STEPS, BAR_STEPS // 2, None, None], {0})
    assert bars_and_best([-1.0, 1.0], "lowest") == ([0, BAR_STEPS], {0})
    assert bars_and_best([2.0, 2.0], "highest")[1] == set()
    assert bars_and_best([2.0, None], "highest") == ([None, None], set())
    assert bars_and_best([1e308, -1e308], "highest") == ([None, None], {0})


def test_a_spreadsheet_runs_nothing_of_a_table() -> None:
    table = Table(
        [Column("=name", "name"), Column("value", "value", "number")],
        [Row([Cell("=1+1"), Cell(-1.5)]), Row([Cell("-2"), Cell(None)]), Row([Cell("@x"), Cell(math.nan)])],
    )
    assert table.to_csv().splitlines() == ["'=name,value", "'=1+1,-1.5", "-2,", "'@x,nan"]
    assert table.to_json()[1:] == [{"=name": "-2"}, {"=name": "@x", "value": "NaN"}]


def test_notes_hold_no_html_no_scripts_and_no_images() -> None:
    note = '<b>x</b> [a](javascript:alert(1)) [b](data:text/html,x) ![i](https://example.org/"onerror=1) # ok'
    html = rendered(note)
    assert "<b>" not in html and "<img" not in html
    assert 'href="javascript' not in html and 'href="data' not in html
    assert 'href="https://example.org/%22onerror=1"' in html
    assert rendered("# One") == "<h3>One</h3>\n"
    assert first_line("\n## Heads\ntext") == "Heads"


def test_values_in_addresses_are_quoted() -> None:
    assert quoted("a/b?c#d") == "a%2Fb%3Fc%23d"
    assert quoted("..") == "%2E%2E"
    assert query_string([("a", "1"), ("b", "2"), ("a", "3")], a="x & y", b=None) == "?a=x+%26+y"
