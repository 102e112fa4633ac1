"""The grammars of the searches: what each can be filtered and ordered by, and what a grammar can express."""

from __future__ import annotations

import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import EXPERIMENTS, Entity, Field, FilterGrammar, ValueType
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by


def only(text: str, grammar: FilterGrammar) -> Comparison:
    (comparison,) = parse_filter(text, grammar)
    return comparison


def refusal(text: str, grammar: FilterGrammar) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_filter(text, grammar)
    return caught.value.message


def order_refusal(term: str, grammar: FilterGrammar) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        parse_order_by([term], grammar)
    return caught.value.message


# Keys below a prefix, a comparator with an operand of its own kind, keys for one purpose only.
TRACE_LIKE = FilterGrammar(
    entities=(
        Entity("attribute", {"timestamp": Field({}, orderable=True), "name": Field({"RLIKE": ValueType.STRING})}),
        Entity(
            "span",
            {
                "name": Field({"=": ValueType.STRING}),
                "attributes.*": Field({"RLIKE": ValueType.STRING}),
                "attributes.llm.*": Field({"IN": ValueType.STRINGS}),
            },
        ),
        Entity("feedback", {"*": Field({"=": ValueType.STRING, ">": ValueType.FLOAT})}),
    )
)


class TestExperiments:
    @pytest.mark.parametrize(
        ("text", "comparison"),
        [
            ("name LIKE 'a%'", Comparison("attribute", "name", "LIKE", "a%")),
            ("attribute.name ilike 'a%'", Comparison("attribute", "name", "ILIKE", "a%")),
            ("creation_time >= 5", Comparison("attribute", "creation_time", ">=", 5)),
            ("last_update_time < -5", Comparison("attribute", "last_update_time", "<", -5)),
            ("tags.team = 'x'", Comparison("tag", "team", "=", "x")),
            ("tag.`a b` IS NULL", Comparison("tag", "a b", "IS NULL", None)),
            ("experiment_id = '1'", Comparison("attribute", "experiment_id", "=", "1")),
            ("experiment_id != ' 007 '", Comparison("attribute", "experiment_id", "!=", "7")),
            ("experiment_id IN ('1', '02')", Comparison("attribute", "experiment_id", "IN", ("1", "2"))),
            ("experiment_id NOT IN ('1')", Comparison("attribute", "experiment_id", "NOT IN", ("1",))),
        ],
    )
    def test_an_experiment_is_found_by_its_attributes_and_tags(self, text: str, comparison: Comparison) -> None:
        assert only(text, EXPERIMENTS) == comparison

    @pytest.mark.parametrize("value", ["x", "", "1_0", "1.0", "٣", str(2**63), "9" * 5_000])
    def test_an_experiment_id_is_an_integer_of_64_bits(self, value: str) -> None:
        for text in (f"experiment_id = '{value}'", f"experiment_id IN ('1', '{value}')"):
            message = refusal(text, EXPERIMENTS)
            assert message.startswith("Invalid experiment ID '")
            assert message.endswith("Experiment ID must be a valid integer.")

    @pytest.mark.parametrize("operator", ["<", ">=", "LIKE", "ILIKE"])
    def test_an_experiment_id_has_no_order_and_no_pattern(self, operator: str) -> None:
        message = refusal(f"experiment_id {operator} '1'", EXPERIMENTS)
        assert message == f"Invalid comparator '{operator}' not one of '!=', '=', 'IN', 'NOT IN'"

    def test_a_time_is_an_integer(self) -> None:
        assert refusal("creation_time > 5.5", EXPERIMENTS).startswith(
            "Invalid value for numeric attribute 'creation_time': '5.5'"
        )

    @pytest.mark.parametrize("entity", ["metrics", "params", "attributes", "attr", "run", "datasets"])
    def test_an_experiment_has_no_other_entities(self, entity: str) -> None:
        message = refusal(f"{entity}.name = 'x'", EXPERIMENTS)
        assert message == f"Invalid entity type '{entity}'. Valid values are ['attribute', 'tag']"

    def test_a_name_cannot_be_compared_with_a_list(self) -> None:
        assert refusal("name IN ('a')", EXPERIMENTS).startswith("Only ['experiment_id'] attributes support")

    def test_only_tags_can_be_asked_to_be_absent(self) -> None:
        assert refusal("name IS NULL", EXPERIMENTS) == (
            "IS NULL / IS NOT NULL is only supported for tags, not for 'attribute' 'name'"
        )

    def test_experiments_are_ordered_by_attributes_only(self) -> None:
        terms = ["name", "attribute.experiment_id DESC", "creation_time ASC", "last_update_time desc"]
        assert parse_order_by(terms, EXPERIMENTS) == (
            Ordering("attribute", "name", True),
            Ordering("attribute", "experiment_id", False),
            Ordering("attribute", "creation_time", True),
            Ordering("attribute", "last_update_time", False),
        )
        assert order_refusal("tags.a", EXPERIMENTS) == "Invalid order_by entity: tag"


class TestGrammars:
    @pytest.mark.parametrize(
        ("text", "comparison"),
        [
            ("name rlike '^a.*'", Comparison("attribute", "name", "RLIKE", "^a.*")),
            ("span.name = 'x'", Comparison("span", "name", "=", "x")),
            ("span.attributes.x.y RLIKE 'a'", Comparison("span", "attributes.x.y", "RLIKE", "a")),
            ("span.attributes.`x y` RLIKE 'a'", Comparison("span", "attributes.x y", "RLIKE", "a")),
            ("span.attributes.llm.model IN ('a')", Comparison("span", "attributes.llm.model", "IN", ("a",))),
        ],
    )
    def test_a_key_with_a_star_stands_for_the_keys_that_begin_with_it(self, text: str, comparison: Comparison) -> None:
        assert only(text, TRACE_LIKE) == comparison

    def test_a_prefix_alone_is_no_key(self) -> None:
        assert refusal("span.attributes. RLIKE 'a'", TRACE_LIKE).startswith("Invalid span key 'attributes.' specified")
        assert refusal("span.foo = 'a'", TRACE_LIKE).startswith("Invalid span key 'foo' specified")

    def test_the_value_depends_on_the_comparator(self) -> None:
        assert only("feedback.score = '5'", TRACE_LIKE).value == "5"
        assert only("feedback.score > 5", TRACE_LIKE).value == 5.0
        assert refusal("feedback.score > '5'", TRACE_LIKE).startswith("Expected numeric value type for feedback.")
        assert refusal("feedback.score = 5", TRACE_LIKE).startswith("Expected a quoted string value for feedback")

    def test_a_key_may_be_for_ordering_only_or_for_filtering_only(self) -> None:
        assert parse_order_by(["timestamp DESC"], TRACE_LIKE) == (Ordering("attribute", "timestamp", False),)
        assert refusal("timestamp > 5", TRACE_LIKE) == (
            "Invalid attribute key 'timestamp' specified. Valid keys are 'name'"
        )
        assert order_refusal("name", TRACE_LIKE) == (
            "Invalid attribute key 'name' specified. Valid keys are 'timestamp'"
        )
