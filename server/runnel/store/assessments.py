"""Assessments in SQL."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.assessments import (
    JSON_FORMAT,
    SOURCE_RUN_METADATA,
    Assessment,
    AssessmentDict,
    AssessmentError,
    Expectation,
    Feedback,
    with_doubles,
)
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.traces import parse_timestamp, render_timestamp
from runnel.store.experiments import now_in_milliseconds
from runnel.store.schema import assessments, traces
from runnel.store.statements import Statement, Transaction

_COLUMNS = tuple(column for column in assessments.c if column.name not in ("id", "experiment_id", "run_uuid"))

SELECT_OF_TRACES = Statement(
    lambda d: (
        sa.select(traces.c.request_id, *_COLUMNS)
        .join_from(assessments, traces, traces.c.id == assessments.c.trace_id)
        .where(d.is_in(assessments.c.trace_id, "trace_ids"))
        .order_by(assessments.c.trace_id, assessments.c.created_timestamp, assessments.c.id)
    )
)
SELECT_ONE = Statement(
    lambda d: sa.select(*_COLUMNS).where(
        assessments.c.trace_id == sa.bindparam("trace_key"), assessments.c.assessment_id == sa.bindparam("id")
    )
)
INSERT = Statement(
    lambda d: (
        d.insert(assessments)
        .values({column.name: sa.bindparam(column.name) for column in assessments.c if column.name != "id"})
        .on_conflict_do_nothing(index_elements=["assessment_id"])
    )
)
UPDATE = Statement(
    lambda d: (
        sa.update(assessments)
        .where(assessments.c.assessment_id == sa.bindparam("id"))
        .values(
            {
                name: sa.bindparam(f"new_{name}")
                for name in ("name", "value", "error", "last_updated_timestamp", "rationale", "metadata")
            }
        )
    )
)
SET_VALID = Statement(
    lambda d: (
        sa.update(assessments)
        .where(assessments.c.trace_id == sa.bindparam("trace_key"), assessments.c.assessment_id == sa.bindparam("id"))
        .values(valid=sa.bindparam("is_valid"))
    )
)
DELETE = Statement(lambda d: sa.delete(assessments).where(assessments.c.assessment_id == sa.bindparam("id")))


def create_assessment(
    tx: Transaction, trace_key: int, experiment_id: int, trace_id: str, assessment: Assessment
) -> AssessmentDict:
    """Inserts an assessment of a trace; one that it overrides is no longer valid."""
    if assessment.overrides:
        found = tx.execute(SET_VALID, trace_key=trace_key, id=assessment.overrides, is_valid=0)
        if found.rowcount == 0:
            raise _not_found(assessment.overrides, trace_id)
    now = now_in_milliseconds()
    source = assessment.source
    value, error = _value_and_error(assessment)
    fields: dict[str, Any] = {
        "assessment_id": assessment.assessment_id or f"a-{uuid.uuid4().hex}",
        "trace_id": trace_key,
        "experiment_id": experiment_id,
        "name": assessment.assessment_name,
        "assessment_type": _kind(assessment),
        "value": value,
        "error": error,
        "created_timestamp": parse_timestamp(assessment.create_time, "create_time") if assessment.create_time else now,
        "last_updated_timestamp": (
            parse_timestamp(assessment.last_update_time, "last_update_time") if assessment.last_update_time else now
        ),
        "source_type": "CODE" if source is None else source.source_type,
        "source_id": "default" if source is None else source.source_id,
        "run_uuid": assessment.metadata.get(SOURCE_RUN_METADATA),
        "span_id": assessment.span_id or None,
        "rationale": assessment.rationale,
        "overrides": assessment.overrides or None,
        "valid": int(assessment.valid),
        "metadata": json.dumps(assessment.metadata) if assessment.metadata else None,
    }
    if tx.execute(INSERT, **fields).rowcount == 0:
        raise InvalidParameterValue(f"An assessment with ID '{fields['assessment_id']}' exists already")
    return _to_assessment(trace_id, fields)


def _kind(assessment: Assessment) -> str:
    if assessment.expectation is not None:
        return "expectation"
    return "issue" if assessment.issue is not None else "feedback"


def _value_and_error(assessment: Assessment) -> tuple[str | None, str | None]:
    """The value and the error as JSON."""
    if assessment.expectation is not None:
        return _expected(assessment.expectation), None
    if assessment.issue is not None:
        return json.dumps(assessment.issue.issue_name), None
    feedback = assessment.feedback or Feedback()
    return json.dumps(with_doubles(feedback.value)), _error_json(feedback.error or assessment.error)


def _expected(expectation: Expectation) -> str:
    serialized = expectation.serialized_value
    if serialized is None:
        return json.dumps(with_doubles(expectation.value))
    try:
        json.loads(serialized.value)
    except ValueError:
        raise InvalidParameterValue("'expectation.serialized_value.value' is not valid JSON") from None
    return serialized.value


def _error_json(error: AssessmentError | None) -> str | None:
    if error is None:
        return None
    return json.dumps({name: text for name, text in dataclasses.asdict(error).items() if text})


def get_assessment(tx: Transaction, trace_key: int, trace_id: str, assessment_id: str) -> AssessmentDict:
    """One assessment of a trace."""
    return _to_assessment(trace_id, _fields(tx, trace_key, trace_id, assessment_id))


def _fields(tx: Transaction, trace_key: int, trace_id: str, assessment_id: str) -> dict[str, Any]:
    row = tx.row(SELECT_ONE, trace_key=trace_key, id=assessment_id)
    if row is None:
        raise _not_found(assessment_id, trace_id)
    return _named(row)


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((column.name for column in _COLUMNS), row, strict=True))


def _not_found(assessment_id: str, trace_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Assessment with ID '{assessment_id}' not found for trace '{trace_id}'")


def update_assessment(
    tx: Transaction, trace_key: int, trace_id: str, assessment_id: str, changes: Assessment, changed: set[str]
) -> AssessmentDict:
    """Takes the ``changed`` fields from ``changes``; metadata is merged, the kind of the value cannot change."""
    fields = _fields(tx, trace_key, trace_id, assessment_id)
    for kind, other in (("expectation", "Feedback"), ("feedback", "Expectation")):
        if kind in changed and fields["assessment_type"] != kind:
            raise InvalidParameterValue(
                f"Cannot update {kind} value on {'an' if other[0] == 'E' else 'a'} {other} assessment."
            )
    if "assessment_name" in changed:
        fields["name"] = changes.assessment_name
    if changed & {"expectation", "feedback"}:
        fields["value"], fields["error"] = _value_and_error(changes)
    if "rationale" in changed:
        fields["rationale"] = changes.rationale
    if "metadata" in changed:
        merged = json.loads(fields["metadata"] or "{}") | changes.metadata
        fields["metadata"] = json.dumps(merged) if merged else None
    fields["last_updated_timestamp"] = now_in_milliseconds()
    names = ("name", "value", "error", "last_updated_timestamp", "rationale", "metadata")
    tx.execute(UPDATE, id=assessment_id, **{f"new_{name}": fields[name] for name in names})
    return _to_assessment(trace_id, fields)


def delete_assessment(tx: Transaction, trace_key: int, assessment_id: str) -> None:
    """Removes an assessment, if there is one; what it overrode is valid again."""
    row = tx.row(SELECT_ONE, trace_key=trace_key, id=assessment_id)
    if row is None:
        return
    overridden = _named(row)["overrides"]
    if overridden is not None:
        tx.execute(SET_VALID, trace_key=trace_key, id=overridden, is_valid=1)
    tx.execute(DELETE, id=assessment_id)


def assessments_of_traces(tx: Transaction, trace_ids: list[int]) -> Iterator[tuple[int, AssessmentDict]]:
    """The assessments of traces in the order of their creation, each with the key of its trace."""
    for request_id, *row in tx.rows(SELECT_OF_TRACES, trace_ids=trace_ids):
        fields = _named(row)
        yield fields["trace_id"], _to_assessment(request_id, fields)


def _to_assessment(trace_id: str, fields: Mapping[str, Any]) -> AssessmentDict:
    """The columns of an assessment as clients see it."""
    shown: AssessmentDict = {
        "assessment_id": fields["assessment_id"],
        "assessment_name": fields["name"],
        "trace_id": trace_id,
        "source": {"source_type": fields["source_type"], "source_id": fields["source_id"]},
        "create_time": render_timestamp(fields["created_timestamp"]),
        "last_update_time": render_timestamp(fields["last_updated_timestamp"]),
        "valid": bool(fields["valid"]),
    }
    text = fields["value"]
    value = None if text is None else json.loads(text)
    match fields["assessment_type"]:
        case "feedback":
            shown["feedback"] = {"value": value}
            if fields["error"] is not None:
                shown["feedback"]["error"] = json.loads(fields["error"])
        case "expectation" if isinstance(value, list | dict):
            shown["expectation"] = {"serialized_value": {"serialization_format": JSON_FORMAT, "value": text}}
        case "expectation":
            shown["expectation"] = {"value": value}
        case _:
            shown["issue"] = {"issue_name": str(value)}
    for name in ("span_id", "rationale", "overrides"):
        if fields[name] is not None:
            shown[name] = fields[name]
    if fields["metadata"] is not None:
        shown["metadata"] = json.loads(fields["metadata"])
    return shown
