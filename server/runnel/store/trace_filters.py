"""Filters for traces as SQL conditions on a row of ``traces``, and as lists of traces that an index finds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filters import Comparison
from runnel.domain.traces import SESSION_METADATA, SOURCE_RUN_METADATA
from runnel.store import span_terms
from runnel.store.dialects import Dialect
from runnel.store.filters import matches
from runnel.store.schema import (
    INDEXED_VALUE_LENGTH,
    UNINDEXED_TRACE_METADATA,
    assessments,
    has_indexed_metadata_key,
    indexed_value,
    json_number,
    spans,
    trace_metadata,
    trace_prompts,
    trace_runs,
    trace_tags,
    traces,
)
from runnel.store.statements import Transaction

Condition = sa.ColumnElement[bool]
# Rows of a select whose one column is the key of a trace.
TraceKeys = sa.Select[tuple[int]] | sa.CompoundSelect[tuple[int]]

ATTRIBUTES: dict[str, sa.ColumnElement[Any]] = {
    "request_id": traces.c.request_id,
    "experiment_id": traces.c.experiment_id,
    "timestamp_ms": traces.c.timestamp_ms,
    "execution_time_ms": traces.c.execution_time_ms,
    "end_time_ms": traces.c.timestamp_ms + sa.func.coalesce(traces.c.execution_time_ms, 0),
    "status": traces.c.status,
    "client_request_id": traces.c.client_request_id,
    "name": traces.c.name,
    "session_id": traces.c.session_id,
}
KEY_VALUE_TABLES = {"tag": trace_tags, "request_metadata": trace_metadata}
_SPAN_COLUMNS = {"name": spans.c.name, "type": spans.c.type, "status": spans.c.status, "content": spans.c.content}
_WHOLE_NUMBER = re.compile("-?(?:0|[1-9][0-9]{0,14})")
_PRESENCE = ("IS NULL", "IS NOT NULL")


def filter_conditions(
    dialect: Dialect, experiment_ids: Sequence[int], comparisons: Sequence[Comparison]
) -> list[Condition]:
    """The conditions that a trace of these experiments must meet; all that is said of spans must hold for one span."""
    conditions = [
        _condition(dialect, experiment_ids, comparison) for comparison in comparisons if comparison.entity != "span"
    ]
    of_spans = [_span_condition(dialect, comparison) for comparison in comparisons if comparison.entity == "span"]
    if of_spans:
        conditions.append(_exists(sa.select(spans.c.span_id).where(spans.c.trace_id == traces.c.id, *of_spans)))
    return conditions


def _exists(query: sa.Select[tuple[object]]) -> Condition:
    # Only `traces` comes from the query around it, even where that reads the same table.
    return sa.exists(query.correlate(traces))


def _condition(dialect: Dialect, experiment_ids: Sequence[int], comparison: Comparison) -> Condition:
    match comparison.entity, comparison.key:
        case "attribute", "run_id":
            return _run_condition(dialect, comparison)
        case "attribute", "prompt":
            linked = sa.select(trace_prompts.c.trace_id).where(trace_prompts.c.trace_id == traces.c.id)
            return _exists(linked.where(trace_prompts.c.prompt_version == comparison.value))
        case "attribute", key:
            if comparison.operator in _PRESENCE:
                absent = ATTRIBUTES[key].is_(None)
                return absent if comparison.operator == "IS NULL" else sa.not_(absent)
            if key == "name" and comparison.operator == "=":
                # The column not by itself: SQLite would put its value into the expression that the index has.
                return _starts_as(traces.c.name, comparison) & (traces.c.name.concat("") == comparison.value)
            return matches(dialect, ATTRIBUTES[key], comparison)
        case ("tag" | "request_metadata") as entity, key:
            table = KEY_VALUE_TABLES[entity]
            rows = sa.select(table.c.trace_id).where(table.c.trace_id == traces.c.id, table.c.key == key)
            return _present_or_matching(dialect, rows, table.c.value, comparison)
        case "issue", _:
            rows = sa.select(assessments.c.id).where(assessments.c.trace_id == traces.c.id)
            return _exists(rows.where(*_issue_conditions(comparison)))
        case _:
            return _assessment_condition(dialect, experiment_ids, comparison)


def _present_or_matching(
    dialect: Dialect, rows: sa.Select[tuple[int]], value: sa.ColumnElement[str], comparison: Comparison
) -> Condition:
    if comparison.operator in _PRESENCE:
        return sa.not_(_exists(rows)) if comparison.operator == "IS NULL" else _exists(rows)
    return _exists(rows.where(matches(dialect, value, comparison)))


def _run_condition(dialect: Dialect, comparison: Comparison) -> Condition:
    """``=`` and ``IN`` find the traces that belong to a run, others compare the run that a trace was made in."""
    if comparison.operator in ("=", "IN"):
        rows = sa.select(trace_runs.c.trace_id).where(trace_runs.c.trace_id == traces.c.id)
        return _exists(rows.where(matches(dialect, trace_runs.c.run_uuid, comparison)))
    rows = sa.select(trace_metadata.c.trace_id).where(
        trace_metadata.c.trace_id == traces.c.id, trace_metadata.c.key == SOURCE_RUN_METADATA
    )
    return _present_or_matching(dialect, rows, trace_metadata.c.value, comparison)


# Spans


def _span_condition(dialect: Dialect, comparison: Comparison) -> Condition:
    """The comparison as a condition on a row of ``spans``."""
    column = _SPAN_COLUMNS.get(comparison.key)
    if column is not None:
        return matches(dialect, column, comparison)
    name = comparison.key.removeprefix("attributes.")
    if '"' in name or "\\" in name:
        raise InvalidParameterValue(f"Invalid span attribute '{name[:100]}': quotes and backslashes cannot be searched")
    value = dialect.decoded_json(dialect.json_member(spans.c.content, "attributes", name))
    # Most spans do not have the attribute, and finding that out is much cheaper than taking their JSON apart.
    may_match: Condition = dialect.contains(spans.c.content, f'"{name}": ')
    if comparison.operator == "=":
        texts = [f'"{name}": {form}' for text in _json_forms(str(comparison.value)) for form in _json_forms(text)[1:]]
        may_match &= sa.or_(*[dialect.contains(spans.c.content, text) for text in dict.fromkeys(texts)])
    return sa.case((may_match, matches(dialect, value, comparison)), else_=sa.false())


# Assessments


def _issue_conditions(comparison: Comparison) -> list[Condition]:
    return [assessments.c.assessment_type == "issue", assessments.c.name == comparison.value]


def _assessment_conditions(dialect: Dialect, comparison: Comparison) -> list[Condition]:
    """The conditions on a row of ``assessments``."""
    conditions = [
        assessments.c.assessment_type == comparison.entity,
        assessments.c.name == comparison.key,
        assessments.c.valid == 1,
    ]
    value = assessments.c.value
    match comparison.operator:
        case "IS NULL" | "IS NOT NULL":
            pass
        case "=" | "!=":
            # The value is kept as JSON: 'true' finds the boolean and the string.
            is_equal = dialect.is_in(value, _assessed_forms(str(comparison.value)))
            conditions.append(is_equal if comparison.operator == "=" else sa.not_(is_equal))
        case "LIKE" | "ILIKE" | "RLIKE":
            conditions.append(matches(dialect, value, comparison))
        case _:
            conditions.append(matches(dialect, json_number(value), comparison))
    return conditions


def _json_forms(text: str) -> list[str]:
    """The text itself (for what is no string), and the JSON strings that stand for it."""
    return [text, json.dumps(text), json.dumps(text, ensure_ascii=False)]


def _assessed_forms(text: str) -> list[str]:
    """The same, and the double that is kept of a whole number."""
    return [*_json_forms(text), *([f"{text}.0"] if _WHOLE_NUMBER.fullmatch(text) else [])]


def _assessment_condition(dialect: Dialect, experiment_ids: Sequence[int], comparison: Comparison) -> Condition:
    """Whether the trace has the assessment, or its session has: an assessment of a session counts for all of it."""
    conditions = _assessment_conditions(dialect, comparison)
    own = sa.select(assessments.c.id).where(assessments.c.trace_id == traces.c.id, *conditions)
    siblings = traces.alias("siblings")
    of_session = (
        sa.select(assessments.c.id)
        .join_from(siblings, assessments, assessments.c.trace_id == siblings.c.id)
        .where(
            dialect.is_in(siblings.c.experiment_id, experiment_ids),
            siblings.c.session_id == traces.c.session_id,
            *conditions,
            _is_of_session(dialect),
        )
    )
    # Of an OR, PostgreSQL would rather list all assessments that there are than look at the few of each trace.
    own, of_session = dialect.row_by_row(own), dialect.row_by_row(of_session)
    is_met = sa.or_(_exists(own), sa.and_(traces.c.session_id.is_not(None), _exists(of_session)))
    return sa.not_(is_met) if comparison.operator == "IS NULL" else is_met


def _is_of_session(dialect: Dialect) -> Condition:
    return dialect.contains(assessments.c.metadata, f'"{SESSION_METADATA}":')


# Through indexes


def indexed_rows(tx: Transaction, experiment_ids: Sequence[int], comparison: Comparison) -> TraceKeys | None:
    """The traces that may meet a comparison, as its index finds them; None where no index can.

    Some may belong to other experiments.
    """
    dialect = tx.dialect
    match comparison.entity, comparison.key, comparison.operator:
        case "attribute", "request_id", "=" | "IN":
            return sa.select(traces.c.id).where(matches(dialect, traces.c.request_id, comparison))
        case "attribute", "client_request_id", "=":
            return sa.select(traces.c.id).where(
                dialect.is_in(traces.c.experiment_id, experiment_ids),
                _starts_as(traces.c.client_request_id, comparison),
                traces.c.client_request_id.is_not(None),
            )
        case "attribute", "run_id", "=" | "IN":
            return sa.select(trace_runs.c.trace_id).where(matches(dialect, trace_runs.c.run_uuid, comparison))
        case "attribute", "prompt", _:
            return sa.select(trace_prompts.c.trace_id).where(trace_prompts.c.prompt_version == comparison.value)
        case "tag", key, "=":
            return sa.select(trace_tags.c.trace_id).where(
                dialect.is_in(trace_tags.c.experiment_id, experiment_ids),
                trace_tags.c.key == key,
                _starts_as(trace_tags.c.value, comparison),
            )
        case "tag", key, operator if operator != "IS NULL":  # few traces may have the tag at all
            return sa.select(trace_tags.c.trace_id).where(
                dialect.is_in(trace_tags.c.experiment_id, experiment_ids), trace_tags.c.key == key
            )
        case "request_metadata", key, "=" if key not in UNINDEXED_TRACE_METADATA:
            return sa.select(trace_metadata.c.trace_id).where(
                trace_metadata.c.key == key,
                _starts_as(trace_metadata.c.value, comparison),
                has_indexed_metadata_key(),
            )
        case "request_metadata", key, operator if operator != "IS NULL" and key not in UNINDEXED_TRACE_METADATA:
            return sa.select(trace_metadata.c.trace_id).where(trace_metadata.c.key == key, has_indexed_metadata_key())
        case "attribute", "execution_time_ms", operator if operator != "!=":
            return sa.select(traces.c.id).where(
                dialect.is_in(traces.c.experiment_id, experiment_ids),
                matches(dialect, traces.c.execution_time_ms, comparison),
            )
        case "span", _, _:
            return span_terms.traces_with(tx, experiment_ids, comparison)
        case "issue", _, _:
            return sa.select(assessments.c.trace_id).where(
                dialect.is_in(assessments.c.experiment_id, experiment_ids), *_issue_conditions(comparison)
            )
        case "feedback" | "expectation", _, operator if operator != "IS NULL":
            return _assessed_rows(dialect, experiment_ids, comparison)
    return None


def _starts_as(column: sa.ColumnElement[str], comparison: Comparison) -> Condition:
    # Not the whole value: it is compared anyway, and SQLite would put it into the expression that the index has.
    return indexed_value(column) == str(comparison.value)[:INDEXED_VALUE_LENGTH]


def _assessed_rows(dialect: Dialect, experiment_ids: Sequence[int], comparison: Comparison) -> TraceKeys:
    found = sa.select(assessments.c.trace_id).where(
        dialect.is_in(assessments.c.experiment_id, experiment_ids), *_assessment_conditions(dialect, comparison)
    )
    if comparison.operator == "=":
        forms = [form[:INDEXED_VALUE_LENGTH] for form in _assessed_forms(str(comparison.value))]
        found = found.where(dialect.is_in(indexed_value(assessments.c.value), forms))
    assessed = traces.alias("assessed")
    sessions = sa.select(assessed.c.session_id).where(
        assessed.c.id.in_(found.where(_is_of_session(dialect))), assessed.c.session_id.is_not(None)
    )
    siblings = sa.select(traces.c.id).where(
        dialect.is_in(traces.c.experiment_id, experiment_ids), traces.c.session_id.in_(sessions)
    )
    return sa.union_all(found, siblings)
