"""Whatever is sent as a filter or an order: reading it ends soon, and a wrong one is refused, never a crash."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import EXPERIMENTS, RUNS, FilterGrammar
from runnel.domain.filters import (
    MAX_COMPARISONS,
    MAX_FILTER_LENGTH,
    MAX_LIST_ELEMENTS,
    MAX_ORDERING_LENGTH,
    MAX_ORDERINGS,
    parse_filter,
    parse_order_by,
)


def refusal(text: str) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_filter(text, RUNS)
    return caught.value.message


def order_refusal(*terms: str) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_order_by(terms, RUNS)
    return caught.value.message


def test_a_filter_has_a_greatest_length() -> None:
    longest = "params.a = '" + "x" * (MAX_FILTER_LENGTH - 13) + "'"
    assert len(longest) == MAX_FILTER_LENGTH
    assert len(parse_filter(longest, RUNS)) == 1
    assert str(MAX_FILTER_LENGTH) in refusal(longest + " ")


def test_a_filter_has_a_greatest_number_of_comparisons() -> None:
    most = ["params.a = 'x'"] * MAX_COMPARISONS
    assert len(parse_filter(" AND ".join(most), RUNS)) == MAX_COMPARISONS
    assert str(MAX_COMPARISONS) in refusal(" AND ".join([*most, "params.b = 'x'"]))


def test_a_list_has_a_greatest_number_of_elements() -> None:
    most = ["'0123456789abcdef0123456789abcdef'"] * MAX_LIST_ELEMENTS
    (comparison,) = parse_filter(f"run_id IN ({', '.join(most)})", RUNS)
    assert comparison.value == ("0123456789abcdef" * 2,) * MAX_LIST_ELEMENTS
    assert str(MAX_LIST_ELEMENTS) in refusal(f"run_id IN ({','.join([*most, most[0]])})")


def test_an_order_has_a_greatest_number_and_length_of_terms() -> None:
    most = [f"metrics.m{number}" for number in range(MAX_ORDERINGS)]
    assert len(parse_order_by(most, RUNS)) == MAX_ORDERINGS
    assert str(MAX_ORDERINGS) in order_refusal(*most, "start_time")
    assert str(MAX_ORDERING_LENGTH) in order_refusal("metrics." + "x" * MAX_ORDERING_LENGTH)


@pytest.mark.parametrize("character", ["\0", "\ud800", "\udfff"])
def test_characters_no_database_stores_are_refused(character: str) -> None:
    assert "NUL character or a lone surrogate" in refusal(f"params.a = 'x{character}'")
    assert "NUL character or a lone surrogate" in order_refusal(f"params.`x{character}`")


def test_a_refusal_never_repeats_a_long_filter() -> None:
    for text in ("x" * 10_000, f"{'x' * 10_000}.a = 'x'", f"params.a = {'x' * 10_000}", f"? {'x' * 10_000}"):
        assert len(refusal(text)) < 500


@pytest.mark.parametrize(
    "unit",
    ["a", "1", "'", '"', "`", "''", "``", ".", "a.", "(", " ", "<", "-1", "not ", "is ", "AND ", "1e", "'',"],
)
@pytest.mark.parametrize("start", ["", "metrics.a > ", "run_id IN (", "params.`", "params.a ", "params.a = '"])
def test_reading_takes_linear_time(start: str, unit: str) -> None:
    text = (start + unit * MAX_FILTER_LENGTH)[:MAX_FILTER_LENGTH]
    begun = time.perf_counter()
    with contextlib.suppress(InvalidParameterValue):
        parse_filter(text, RUNS)
    # It takes milliseconds; anything worse than linear would take minutes at this length.
    assert time.perf_counter() - begun < 2


RUN_CLAUSES = (
    *("metrics.acc > -1.5e3", "params.`a b` LIKE 'x%'", 'tags."t" is not null', "status = 'it''s'", "start_time < 5"),
    *("attributes.run_id IN ('1', \"2\")", "dataset.name NOT IN ('a',)", "`metrics.acc` = .5", "created != 1e9"),
)
EXPERIMENT_CLAUSES = (
    *("name ilike 'x'", "experiment_id = '1'", "experiment_id NOT IN ('1', '2')", "creation_time >= -5"),
    *("tags.`a b` IS NULL", 'tag.t != ""', "attribute.last_update_time = 99999999999999999"),
)
NOISE = (*"'\"`(),.;-\\ \n\0\u2028é🙂5", "AND", "or", "NOT", "IN", "")


@pytest.mark.parametrize(
    ("grammar", "clauses"),
    [(RUNS, RUN_CLAUSES), (EXPERIMENTS, EXPERIMENT_CLAUSES)],
    ids=["runs", "experiments"],
)
def test_a_damaged_filter_is_parsed_or_refused_and_nothing_else(
    grammar: FilterGrammar, clauses: tuple[str, ...]
) -> None:
    chance = random.Random(20_240_601)

    def damaged(text: str) -> str:
        for _ in range(chance.randint(0, 6)):
            position = chance.randint(0, len(text))
            text = text[:position] + chance.choice(NOISE) + text[position + chance.randint(0, 2) :]
        return text

    accepted = refused = 0
    for _ in range(20_000):
        chosen = chance.choices(clauses, k=chance.randint(1, 3))
        # Any exception but InvalidParameterValue fails the test.
        try:
            comparisons = parse_filter(damaged(" AND ".join(chosen)), grammar)
        except InvalidParameterValue:
            refused += 1
        else:
            accepted += 1
            for comparison in comparisons:
                assert comparison.key
                assert isinstance(comparison.value, tuple) == (comparison.operator in ("IN", "NOT IN"))
                assert (comparison.value is None) == (comparison.operator in ("IS NULL", "IS NOT NULL"))
        with contextlib.suppress(InvalidParameterValue):
            parse_order_by([damaged(f"{clause.split()[0]} DESC") for clause in chosen], grammar)
    assert accepted > 1_000
    assert refused > 1_000
