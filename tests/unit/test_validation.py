"""Names, ids, lengths and page sizes, in MLflow's wording."""

from __future__ import annotations

import math
from typing import Any

import pytest

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.metrics import Metric, check_metric
from runnel.domain.runs import Param, RunTag, accepted_batch, accepted_first_tag, accepted_param, accepted_tag
from runnel.domain.validation import (
    BAD_CHARACTERS_MESSAGE,
    check_key,
    check_length,
    check_max_results,
    check_run_id,
    invalid_value,
    missing_value,
    parse_experiment_id,
)


def message(function: Any, *arguments: Any) -> str:
    with pytest.raises(InvalidParameterValue) as refused:
        function(*arguments)
    return refused.value.message


def test_the_sentences_are_mlflows() -> None:
    assert missing_value("a.b") == "Missing value for required parameter 'a.b'."
    assert invalid_value("a", {"b": None, "a": [1, "é"]}) == (
        'Invalid value {"a":[1,"\\u00e9"],"b":null} for parameter \'a\' supplied.'
    )
    assert invalid_value("a", "x", "it is odd") == "Invalid value \"x\" for parameter 'a' supplied: it is odd"


def test_a_long_value_is_cut_in_a_sentence() -> None:
    assert invalid_value("a", "x" * 498) == f"Invalid value \"{'x' * 498}\" for parameter 'a' supplied."
    assert invalid_value("a", "x" * 499) == f"Invalid value \"{'x' * 499}... for parameter 'a' supplied."
    assert len(invalid_value("a", list(range(10**5)))) < 600


def test_a_length_is_counted_in_characters() -> None:
    check_length("note", "é" * 10, 10)
    assert message(check_length, "note", "é" * 11, 10) == "'note' exceeds the maximum length of 10 characters"


@pytest.mark.parametrize("key", ["a", "a b", "a/b/c", "a.b", ".a", "a:b", "a-b_c", "Ünï日本", "a...b", "k" * 250, "0"])
def test_a_key_is_a_name_or_a_relative_path(key: str) -> None:
    check_key(key, "key", "key")


@pytest.mark.parametrize("key", ["a?", "a,b", "a\nb", "a\n", "a\0", "a\\b", "a@b", "🚀", "a=b", "(a)", "a'"])
def test_a_key_with_other_characters_is_refused(key: str) -> None:
    assert message(check_key, key, "metrics[3].name", "x").endswith(
        f" for parameter 'metrics[3].name' supplied: {BAD_CHARACTERS_MESSAGE}"
    )


@pytest.mark.parametrize(
    ("key", "resolved"),
    [("", "."), (".", "."), ("a/", "a"), ("a//b", "a/b"), ("./a", "a"), ("a/./b", "a/b")]
    + [
        ("/a", "/a"),
        ("//a", "//a"),
        ("..", ".."),
        ("../a", "../a"),
        ("a/..", "."),
        ("a/../../b", "../b"),
        ("..a", "..a"),
    ],
)
def test_a_key_that_means_another_path_is_refused(key: str, resolved: str) -> None:
    assert message(check_key, key, "key", "x").endswith(f"This name would resolve to {resolved!r}")


def test_a_key_that_is_too_long_is_refused() -> None:
    assert message(check_key, "k" * 251, "key", "Metric name") == (
        "'Metric name' exceeds the maximum length of 250 characters"
    )
    check_key("k" * 251, "key", "x", 251)


@pytest.mark.parametrize("run_id", ["a", "0" * 32, "A-b_c", "a" * 256])
def test_a_run_id_may_be_any_word(run_id: str) -> None:
    check_run_id(run_id)


@pytest.mark.parametrize("run_id", ["", "-a", "_a", "a b", "a/b", "a\n", "a" * 257, "../a"])
def test_what_cannot_be_a_run_id_is_refused(run_id: str) -> None:
    assert message(check_run_id, run_id).endswith("for parameter 'run_id' supplied.")


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("12", 12), ("-1", -1), (" 7 ", 7), (str(2**63 - 1), 2**63 - 1)]
)
def test_an_experiment_id_is_an_integer(text: str, number: int) -> None:
    assert parse_experiment_id(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.0", "0x1", "1e3", str(2**63), str(-(2**63) - 1), "9" * 5000])
def test_what_is_no_integer_of_64_bits_is_no_experiment_id(text: str) -> None:
    assert message(parse_experiment_id, text) == (
        f"Invalid experiment ID '{text[:100]}'. Experiment ID must be a valid integer."
    )


def test_a_page_size_is_positive_and_bounded() -> None:
    for size in (1, 50_000):
        check_max_results(size)
    assert message(check_max_results, 0).endswith("It must be a positive integer")
    assert message(check_max_results, -5).startswith("Invalid value -5 for parameter 'max_results'")
    assert message(check_max_results, 50_001).endswith("It must be at most 50000")
    assert message(check_max_results, 11, 10).endswith("It must be at most 10")


# Entities


def test_a_metric_has_a_key_and_a_time() -> None:
    check_metric(Metric("a", math.nan, 0))
    assert "Timestamp must be a nonnegative long" in message(check_metric, Metric("a", 1, -1))
    assert message(check_metric, Metric("a", 1, -1), "metrics[2]").startswith(
        "Invalid value -1 for parameter 'metrics[2].timestamp' supplied: metric 'a' (value=1)"
    )


def test_the_dataset_of_a_metric_has_a_name_and_a_digest() -> None:
    check_metric(Metric("a", 1, 1, dataset_name="d", dataset_digest="x"))
    for half in (Metric("a", 1, 1, dataset_name="d"), Metric("a", 1, 1, dataset_digest="x")):
        assert message(check_metric, half) == "Both dataset_name and dataset_digest must be provided if one is provided"


def test_values_that_are_too_long_are_cut() -> None:
    long = "é" * 10_000
    assert accepted_param(Param("a", long)) == Param("a", "é" * limits.MAX_PARAM_VALUE_LENGTH)
    assert accepted_tag(RunTag("a", long)) == RunTag("a", "é" * limits.MAX_TAG_VALUE_LENGTH)
    assert accepted_first_tag(RunTag("a?", long), "tags[0]") == RunTag("a?", "é" * limits.MAX_TAG_VALUE_LENGTH)


def test_values_that_fit_are_kept() -> None:
    param, tag = Param("a", "é" * limits.MAX_PARAM_VALUE_LENGTH), RunTag("a", "é" * limits.MAX_TAG_VALUE_LENGTH)
    assert (accepted_param(param), accepted_tag(tag)) == (param, tag)


def test_a_batch_gives_back_its_params_and_tags() -> None:
    params, tags = accepted_batch([Metric("m", 1, 1)], [Param("a", "1"), Param("b", "x" * 7000)], [RunTag("t", "2")])
    assert params == [Param("a", "1"), Param("b", "x" * 6000)]
    assert tags == [RunTag("t", "2")]


def test_a_batch_names_every_key_that_stands_in_it_twice() -> None:
    repeated = [Param("a"), Param("b"), Param("a"), Param("c"), Param("c"), Param("a")]
    assert message(accepted_batch, [], repeated, []).startswith(
        "Duplicate parameter keys have been submitted: ['a', 'c', 'a']."
    )
