"""The search language: what a filter string and an order_by term mean, and how the invalid ones are refused."""

from __future__ import annotations

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import EXPERIMENTS, RUNS, FilterGrammar
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by


def only(text: str, grammar: FilterGrammar = RUNS) -> Comparison:
    (comparison,) = parse_filter(text, grammar)
    return comparison


def refusal(text: str, grammar: FilterGrammar = RUNS) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_filter(text, grammar)
    return caught.value.message


def order_refusal(*terms: str, grammar: FilterGrammar = RUNS) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_order_by(terms, grammar)
    return caught.value.message


class TestClauses:
    @pytest.mark.parametrize("text", [None, "", "  \n\t "])
    def test_a_blank_filter_has_no_comparisons(self, text: str | None) -> None:
        assert parse_filter(text, RUNS) == ()

    def test_comparisons_are_joined_by_and_in_any_case(self) -> None:
        assert parse_filter("metrics.acc > 0.9 AND params.lr = '0.1' and tags.team != \"x\"", RUNS) == (
            Comparison("metric", "acc", ">", 0.9),
            Comparison("parameter", "lr", "=", "0.1"),
            Comparison("tag", "team", "!=", "x"),
        )

    @pytest.mark.parametrize(
        "text",
        [
            "status = 'A' status = 'B'",
            "AND status = 'A' AND status = 'B'",
            "status = 'A' AND status = 'B' AND",
            "status = 'A' AND AND status = 'B'",
            "status='A'AND status='B'",
            "  status\n=\t'A'   AND   status = 'B'  ",
        ],
    )
    def test_it_does_not_matter_where_the_ands_and_the_blanks_stand(self, text: str) -> None:
        assert [comparison.value for comparison in parse_filter(text, RUNS)] == ["A", "B"]

    def test_or_is_refused_with_the_reason(self) -> None:
        message = refusal("status = 'A' or status = 'B'")
        assert message == "Invalid clause(s) in filter string: 'or' (comparisons can only be joined by AND)"

    @pytest.mark.parametrize(
        "text",
        [
            "params.a",
            "params.a =",
            "params.",
            "params.a b = 'x'",
            "params.a IS",
            "params.a IS 'x'",
            "params.a IS NOT",
            "params.a NOT NULL",
            "params.a BETWEEN 'a' AND 'b'",
            "params.a = 'x';",
            "params.a = 'x', params.b = 'y'",
            "(params.a = 'x')",
            "params.a = 'x' 'y'",
            "params.a = 'x' -- a comment",
            "params.a = 'x",
            "params.a = x'",
            "params.`a = 'x'",
            "'x' = params.a",
            "; DROP TABLE runs",
            "=",
        ],
    )
    def test_what_is_no_comparison_is_an_invalid_clause(self, text: str) -> None:
        message = refusal(text)
        assert message.startswith("Invalid clause(s) in filter string: '") or "is either not quoted" in message

    def test_a_refusal_quotes_the_clause_it_is_about(self) -> None:
        assert "'params.b x'" in refusal("params.a = 'ok' AND params.b x 'y'")


class TestColumns:
    @pytest.mark.parametrize(
        ("spelling", "entity"),
        [
            *((alias, "metric") for alias in ("metric", "metrics")),
            *((alias, "parameter") for alias in ("parameter", "parameters", "param", "params")),
            *((alias, "tag") for alias in ("tag", "tags")),
            ("`params`", "parameter"),
        ],
    )
    def test_an_entity_has_aliases_and_may_stand_in_backticks(self, spelling: str, entity: str) -> None:
        assert parse_order_by([f"{spelling}.x"], RUNS) == (Ordering(entity, "x", True),)

    @pytest.mark.parametrize("prefix", ["", "attribute.", "attributes.", "attr.", "run.", "`attribute`."])
    def test_a_column_without_an_entity_is_an_attribute(self, prefix: str) -> None:
        assert only(f"{prefix}status = 'FAILED'") == Comparison("attribute", "status", "=", "FAILED")

    @pytest.mark.parametrize(
        ("written", "key"),
        [
            ("acc", "acc"),
            ("val.acc.top_5", "val.acc.top_5"),
            ("5", "5"),
            ("1e5", "1e5"),
            ("größe", "größe"),
            ("`val/acc top-5`", "val/acc top-5"),
            ('"val/acc top-5"', "val/acc top-5"),
            ("'val/acc top-5'", "val/acc top-5"),
            ("`a``b`", "a`b"),
            ('"a""b"', 'a"b'),
            ("`a'b\"c`", "a'b\"c"),
            ("group.`a b`", "group.a b"),
            ("and", "and"),
            ("in", "in"),
            ("select", "select"),
        ],
    )
    def test_a_key_is_bare_or_quoted(self, written: str, key: str) -> None:
        assert only(f"metrics.{written} > 1") == Comparison("metric", key, ">", 1.0)
        assert parse_order_by([f"metrics.{written} DESC"], RUNS) == (Ordering("metric", key, False),)

    @pytest.mark.parametrize("written", ["a-b", "a/b", "a:b", "a[0]", " a", "`a`b", "a`b`", "``", ""])
    def test_other_characters_need_quotes(self, written: str) -> None:
        assert refusal(f"metrics.{written} > 1").startswith("Invalid c")

    def test_a_quoted_column_with_a_dot_is_an_entity_and_a_key(self) -> None:
        assert only("`metrics.val acc` > 1") == Comparison("metric", "val acc", ">", 1.0)

    @pytest.mark.parametrize("alias", ["created", "Created", "attributes.created", "`Created`"])
    def test_created_is_the_start_time(self, alias: str) -> None:
        assert only(f"{alias} > 5").key == "start_time"
        assert parse_order_by([alias], RUNS)[0].key == "start_time"

    @pytest.mark.parametrize("alias", ["`run name`", '"Run name"', "attributes.`Run Name`", "run_name"])
    def test_run_name_may_be_written_as_two_words(self, alias: str) -> None:
        assert only(f"{alias} = 'x'") == Comparison("attribute", "run_name", "=", "x")

    def test_an_unknown_entity_is_refused_with_the_known_ones(self) -> None:
        assert refusal("foo.bar = 'x'") == (
            "Invalid entity type 'foo'. Valid values are "
            "['metric', 'parameter', 'tag', 'attribute', 'dataset', 'model']"
        )

    @pytest.mark.parametrize("entity", ["METRICS", "Metrics"])
    def test_entities_are_case_sensitive(self, entity: str) -> None:
        assert refusal(f"{entity}.acc > 1").startswith(f"Invalid entity type '{entity}'")

    def test_an_unknown_attribute_is_refused_with_the_known_ones_in_order(self) -> None:
        assert refusal("lifecycle_stage = 'active'") == (
            "Invalid attribute key 'lifecycle_stage' specified. Valid keys are "
            "'artifact_uri', 'end_time', 'run_id', 'run_name', 'start_time', 'status', 'user_id'"
        )

    def test_an_unknown_dataset_key_is_refused(self) -> None:
        assert refusal("dataset.foo = 'x'").startswith("Invalid dataset key 'foo' specified. Valid keys are 'context'")


class TestComparators:
    @pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
    def test_metrics_and_times_are_compared_as_numbers(self, operator: str) -> None:
        assert only(f"metrics.acc{operator}5").operator == operator
        assert only(f"start_time {operator} 5").operator == operator

    @pytest.mark.parametrize("column", ["params.a", "tags.a", "status", "datasets.name", "models.model_id"])
    @pytest.mark.parametrize("operator", ["=", "!=", "LIKE", "ILIKE", "like", "iLike"])
    def test_strings_are_compared_for_equality_and_by_pattern(self, column: str, operator: str) -> None:
        comparison = only(f"{column} {operator} 'a%'")
        assert (comparison.operator, comparison.value) == (operator.upper(), "a%")

    @pytest.mark.parametrize("column", ["params.a", "tags.`a b`"])
    @pytest.mark.parametrize("operator", ["IS NULL", "is not null", "IS\n NOT  NULL"])
    def test_params_and_tags_can_be_asked_to_be_absent_or_present(self, column: str, operator: str) -> None:
        comparison = only(f"{column} {operator}")
        assert (comparison.operator, comparison.value) == (" ".join(operator.upper().split()), None)

    @pytest.mark.parametrize("column", ["metrics.a", "status", "dataset.name", "start_time"])
    def test_nothing_else_can_be_asked_to_be_absent(self, column: str) -> None:
        message = refusal(f"{column} IS NULL")
        assert message.startswith("IS NULL / IS NOT NULL is only supported for parameters and tags, not for '")

    @pytest.mark.parametrize(
        "text",
        [
            "metrics.a == 1",
            "metrics.a <> 1",
            "metrics.a LIKE 'x'",
            "metrics.a IN ('x')",
            "params.a > 'x'",
            "params.a IN ('x')",
            "params.a RLIKE 'x'",
            "params.a NOT LIKE 'x'",
            "tags.a <= 'x'",
            "status >= 'x'",
            "dataset.name < 'x'",
            "start_time LIKE 'x'",
        ],
    )
    def test_a_comparator_the_column_does_not_have_is_refused(self, text: str) -> None:
        assert refusal(text).startswith(f"Invalid comparator '{' '.join(text.split()[1:-1])}' not one of '!='")

    def test_the_comparators_of_the_column_are_listed_in_order(self) -> None:
        assert refusal("status < 'x'") == "Invalid comparator '<' not one of '!=', '=', 'ILIKE', 'LIKE'"


class TestStrings:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("'x'", "x"),
            ('"x"', "x"),
            ("''", ""),
            ("'it''s'", "it's"),
            ("''''", "'"),
            ('"say ""hi"""', 'say "hi"'),
            ('"it\'s"', "it's"),
            ("'say \"hi\"'", 'say "hi"'),
            ("'a AND b = `c`; --'", "a AND b = `c`; --"),
            ("'C:\\'", "C:\\"),
            ("'zwölf\n'", "zwölf\n"),
        ],
    )
    def test_a_string_stands_in_single_or_double_quotes(self, written: str, value: str) -> None:
        assert only(f"params.a = {written}").value == value

    @pytest.mark.parametrize("written", ["x", "`x`", "NULL", "true", "a.b"])
    def test_a_string_without_quotes_is_refused(self, written: str) -> None:
        assert refusal(f"params.a = {written}") == (
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{written}. Use either single or double quotes."
        )

    @pytest.mark.parametrize(
        ("column", "subject"),
        [
            ("params.a", "parameter (e.g. 'my-value')"),
            ("tags.a", "tag (e.g. 'my-value')"),
            ("status", "attributes"),
        ],
    )
    def test_a_number_is_no_string(self, column: str, subject: str) -> None:
        assert refusal(f"{column} = 5") == f"Expected a quoted string value for {subject}. Got value 5"


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "value"),
        [("5", 5.0), ("-5", -5.0), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("-1.5e-3", -0.0015), ("1E+5", 1e5)],
    )
    def test_a_metric_is_compared_with_a_float(self, written: str, value: float) -> None:
        for text in (f"metrics.a > {written}", f"metrics.a>{written}"):
            assert only(text).value == value
            assert isinstance(only(text).value, float)

    def test_a_metric_may_be_compared_with_a_number_of_any_size(self) -> None:
        assert only(f"metrics.a < {10**23}").value == 1e23

    @pytest.mark.parametrize("written", ["'5'", "inf", "nan", "0x10", "1_000", "+5", "- 5", "1e", "1.5.2", "5and", "٥"])
    def test_what_is_no_number_is_refused(self, written: str) -> None:
        found = written.split()[0]
        assert refusal(f"metrics.a > {written}") == f"Expected numeric value type for metric. Found {found}"

    def test_a_time_is_compared_with_an_integer_or_a_fraction(self) -> None:
        assert only("start_time > 1700000000000").value == 1700000000000
        assert isinstance(only("start_time > 5").value, int)
        assert only("end_time <= 1700000000000.5").value == 1700000000000.5

    def test_a_time_is_never_a_string(self) -> None:
        message = refusal("start_time > '5'")
        assert message == "Expected numeric value type for numeric attribute: start_time. Found '5'"

    @pytest.mark.parametrize("grammar_and_column", [(RUNS, "start_time"), (EXPERIMENTS, "creation_time")])
    def test_an_integer_fits_64_bits(self, grammar_and_column: tuple[FilterGrammar, str]) -> None:
        grammar, column = grammar_and_column
        assert only(f"{column} = {2**63 - 1}", grammar).value == 2**63 - 1
        assert only(f"{column} = {-(2**63)}", grammar).value == -(2**63)
        assert only(f"{column} = 0000000000000000000000001", grammar).value == 1
        for number in (str(2**63), str(-(2**63) - 1), "9" * 10_000):
            assert refusal(f"{column} = {number}", grammar).endswith("It must be an integer of 64 bits.")


class TestLists:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("('a')", ("a",)),
            ("('a',)", ("a",)),
            ("( 'a' , \"b\" )", ("a", "b")),
            ("('it''s', '')", ("it's", "")),
        ],
    )
    @pytest.mark.parametrize(
        "column", ["run_id", "dataset.name", "dataset.digest", "dataset.context", "model.model_id"]
    )
    def test_ids_and_datasets_can_be_compared_with_a_list(
        self, column: str, written: str, value: tuple[str, ...]
    ) -> None:
        assert only(f"{column} IN {written}").value == value
        assert only(f"{column} not  in{written}") == Comparison(
            only(f"{column} = 'x'").entity, column.split(".")[-1], "NOT IN", value
        )

    def test_a_tuple_of_python_is_a_list(self) -> None:
        for run_ids in (("a",), ("a", "b")):
            assert only(f"run_id IN {run_ids!r}").value == run_ids

    @pytest.mark.parametrize("written", ["IN ('a')", "NOT IN ('a')"])
    def test_an_attribute_without_lists_is_refused_with_those_that_have_them(self, written: str) -> None:
        assert refusal(f"status {written}") == (
            "Only ['run_id'] attributes support comparison with a list of quoted string values."
        )

    def test_an_empty_list_is_refused(self) -> None:
        assert refusal("run_id IN ()").endswith("expected a non-empty list of string values, but got empty list.")

    @pytest.mark.parametrize(
        "written", ["('a'", "('a', 2)", "(a)", "(`a`)", "('a' 'b')", "('a',,'b')", "(('a'))", "'a'", "'a')", "a", "(,"]
    )
    def test_an_ill_formed_list_is_refused(self, written: str) -> None:
        assert "expected a non-empty list of string values, but got ill-formed list" in refusal(f"run_id IN {written}")

    def test_a_list_needs_in(self) -> None:
        assert refusal("run_id = ('a')").startswith("Expected a quoted string value for attributes.")


class TestOrderBy:
    @pytest.mark.parametrize(
        ("term", "ascending"),
        [
            ("metrics.acc", True),
            ("metrics.acc ASC", True),
            ("metrics.acc desc", False),
            ("metric.`acc`\tDesc", False),
            ("  metrics.acc   DESC  ", False),
            ('"metrics.acc" DESC', False),
        ],
    )
    def test_ascending_is_the_default_direction(self, term: str, ascending: bool) -> None:
        assert parse_order_by([term], RUNS) == (Ordering("metric", "acc", ascending),)

    def test_the_order_of_the_terms_is_kept(self) -> None:
        assert parse_order_by(["params.`a b` DESC", "start_time", "tags.t"], RUNS) == (
            Ordering("parameter", "a b", False),
            Ordering("attribute", "start_time", True),
            Ordering("tag", "t", True),
        )

    def test_no_terms_are_no_ordering(self) -> None:
        assert parse_order_by([], RUNS) == ()

    @pytest.mark.parametrize(
        "term",
        [
            "",
            " ",
            "metrics.",
            "metrics.a ASC DESC",
            "metrics.a, metrics.b",
            "metrics.a; DROP TABLE runs",
            "metrics.a-b",
            "metrics.`a",
            "(metrics.a)",
            "'metrics.a'",
            "params.a = 'x'",
        ],
    )
    def test_what_is_no_column_with_a_direction_is_refused(self, term: str) -> None:
        assert order_refusal(term) == f"Invalid order_by clause '{term.strip()}'. Could not be parsed."

    @pytest.mark.parametrize("term", ["metrics.a up", "run name", "start_time ASCENDING"])
    def test_a_direction_is_asc_or_desc(self, term: str) -> None:
        assert order_refusal(term) == f"Invalid ordering key in order_by clause '{term}'."

    def test_an_unknown_column_is_refused(self) -> None:
        assert order_refusal("foo").startswith("Invalid attribute key 'foo' specified. Valid keys are 'artifact_uri'")
        assert order_refusal("foo.bar").startswith("Invalid entity type 'foo'")

    @pytest.mark.parametrize("entity", ["dataset", "model"])
    def test_runs_are_not_ordered_by_what_they_have_many_of(self, entity: str) -> None:
        assert order_refusal(f"{entity}.name") == f"Invalid order_by entity: {entity}"

    @pytest.mark.parametrize("terms", [("metrics.a", "metric.`a` DESC"), ("created", "start_time")])
    def test_a_key_may_come_only_once(self, terms: tuple[str, ...]) -> None:
        assert order_refusal(*terms) == f"`order_by` contains duplicate fields: {list(terms)}"

    def test_the_same_key_of_two_entities_is_no_duplicate(self) -> None:
        assert len(parse_order_by(["metrics.a", "params.a"], RUNS)) == 2
