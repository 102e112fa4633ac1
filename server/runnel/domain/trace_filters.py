"""What the search for traces can be filtered and ordered by, as in MLflow 3.17 (``SearchTraceUtils``).

Beyond MLflow: a trace that has no name of its own is found by that of its root span; ``trace_id`` and ``state`` are
other names of ``request_id`` and ``status``; ``name`` and ``run_id`` take lists; ``text`` needs no ``trace.`` before
it; a span's attribute can be compared with ``=`` and lists, and patterns are matched with its value, where MLflow
matches them with all that follows its name in the span's JSON; ``end_time`` can be ordered by. A tag or metadata whose
key happens to be ``name``, ``run_id``, ``text`` ... is that tag or metadata, where MLflow takes it for the attribute of
that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar, ValueType
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by
from runnel.domain.traces import (
    COST_METADATA,
    SESSION_METADATA,
    SOURCE_RUN_METADATA,
    TOKEN_USAGE_METADATA,
)

_EQUALITY = dict.fromkeys(("=", "!="), ValueType.STRING)
_TEXT = _EQUALITY | dict.fromkeys(("LIKE", "ILIKE", "RLIKE"), ValueType.STRING)
_LISTS = dict.fromkeys(("IN", "NOT IN"), ValueType.STRINGS)
_ABSENCE = dict.fromkeys(("IS NULL", "IS NOT NULL"), ValueType.NOTHING)
_ORDER = ("<", "<=", ">", ">=")

_NUMBER = Field(dict.fromkeys(("=", "!=", *_ORDER), ValueType.QUOTED_OR_NUMBER), orderable=True)
_TAG = Field(_TEXT | _ABSENCE, orderable=True)
_TOTALS = Field(_EQUALITY | _ABSENCE, orderable=True)  # MLflow keeps these as numbers, and refuses to order by them
_ASSESSMENT = Field(_TEXT | _ABSENCE | dict.fromkeys(_ORDER, ValueType.FLOAT))

TRACES = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "request_id": Field(_TEXT | _LISTS, orderable=True),
                "experiment_id": Field({}, orderable=True),
                "timestamp_ms": _NUMBER,
                "execution_time_ms": _NUMBER,
                "end_time_ms": _NUMBER,
                "status": Field(_TEXT | _LISTS, orderable=True),
                "client_request_id": Field(_TEXT | _LISTS),
                "name": Field(_TEXT | _LISTS | _ABSENCE, orderable=True),
                "run_id": Field(_TEXT | _LISTS | _ABSENCE, orderable=True),
                "prompt": Field({"=": ValueType.STRING}),
                "text": Field(dict.fromkeys(("LIKE", "ILIKE"), ValueType.STRING)),
            },
            aliases=frozenset({"attributes", "trace"}),
            key_aliases={
                "trace_id": "request_id",
                "timestamp": "timestamp_ms",
                "execution_time": "execution_time_ms",
                "end_time": "end_time_ms",
                "state": "status",
            },
        ),
        Entity("tag", {"*": _TAG}, aliases=frozenset({"tags"})),
        Entity(
            "request_metadata",
            {"*": _TAG, TOKEN_USAGE_METADATA: _TOTALS, COST_METADATA: _TOTALS},
            aliases=frozenset({"metadata"}),
        ),
        Entity(
            "span",
            {
                "name": Field(_TEXT | _LISTS),
                "type": Field(_TEXT | _LISTS),
                "status": Field(_TEXT | _LISTS),
                "content": Field(dict.fromkeys(("LIKE", "ILIKE"), ValueType.STRING)),
                "attributes.*": Field(_TEXT | _LISTS),
            },
            key_refusal=(
                "Invalid span attribute '{key}'. Supported attributes: name, status, type, attributes.<attribute_name>."
            ),
            comparator_refusal="span.{key} comparator",
        ),
        Entity("feedback", {"*": _ASSESSMENT}, comparator_refusal="assessment.{key} comparator"),
        Entity("expectation", {"*": _ASSESSMENT}, comparator_refusal="assessment.{key} comparator"),
        Entity(
            "issue",
            {"id": Field({"=": ValueType.STRING})},
            key_refusal="Invalid issue attribute '{key}'. Supported attributes: id",
            comparator_refusal="issue.{key} comparator",
        ),
    )
)

# What has two names, and the one by which the store knows it.
_SAME = {
    ("request_metadata", SOURCE_RUN_METADATA): ("attribute", "run_id"),
    ("request_metadata", SESSION_METADATA): ("attribute", "session_id"),
    ("attribute", "text"): ("span", "content"),
}


def parse_trace_filter(text: str | None) -> tuple[Comparison, ...]:
    """The comparisons of a filter for traces, each under the one name that the store knows its column by."""
    comparisons = []
    for comparison in parse_filter(text, TRACES):
        if comparison.key == "prompt" and comparison.entity == "attribute" and str(comparison.value).count("/") != 1:
            raise InvalidParameterValue(
                f"Invalid prompts filter value '{str(comparison.value)[:100]}'. "
                'Expected format: prompt = "name/version"'
            )
        entity, key = _SAME.get((comparison.entity, comparison.key), (comparison.entity, comparison.key))
        comparisons.append(replace(comparison, entity=entity, key=key))
    return tuple(comparisons)


def parse_trace_order_by(terms: Sequence[str]) -> tuple[Ordering, ...]:
    """The sort keys of a search for traces, under the names that the store knows."""
    orderings = []
    for ordering in parse_order_by(terms, TRACES):
        if ordering.entity == "request_metadata" and ordering.key in (TOKEN_USAGE_METADATA, COST_METADATA):
            raise InvalidParameterValue(
                f"Ordering by reserved metadata '{ordering.key}' is not supported because it is represented by "
                "multiple columns."
            )
        entity, key = _SAME.get((ordering.entity, ordering.key), (ordering.entity, ordering.key))
        orderings.append(replace(ordering, entity=entity, key=key))
    return tuple(orderings)
