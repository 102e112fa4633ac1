"""Assessments in SQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.assessments import SOURCE_RUN_METADATA, Assessment, AssessmentDict, check_assessment
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
        .order_by(assessments.c.trace_id, assessments.c.id)
    )
)
INSERT = Statement(
    lambda d: (
        d.insert(assessments)
        .values({column.name: sa.bindparam(column.name) for column in assessments.c if column.name != "id"})
        .on_conflict_do_nothing(index_elements=["assessment_id"])
    )
)


def new_assessment_id() -> str:
    """An id as MLflow gives them."""
    return f"a-{uuid.uuid4().hex}"


def create_assessment(
    tx: Transaction, trace_key: int, experiment_id: int, trace_id: str, assessment: Assessment
) -> AssessmentDict:
    """Inserts an assessment of a trace and gives it back as clients see it."""
    check_assessment(assessment)
    now = now_in_milliseconds()
    values = _values(assessment) | {
        "assessment_id": assessment.assessment_id or new_assessment_id(),
        "trace_id": trace_key,
        "experiment_id": experiment_id,
        "created_timestamp": parse_timestamp(assessment.create_time, "create_time") if assessment.create_time else now,
        "last_updated_timestamp": (
            parse_timestamp(assessment.last_update_time, "last_update_time") if assessment.last_update_time else now
        ),
    }
    tx.execute(INSERT, **values)
    return to_assessment(trace_id, tuple(values[column.name] for column in _COLUMNS))


def _values(assessment: Assessment) -> dict[str, Any]:
    kind, value, serialization, error = "feedback", None, None, None
    if assessment.feedback is not None:
        value = json.dumps(assessment.feedback.value)
        error = assessment.feedback.error or assessment.error
    elif assessment.expectation is not None:
        kind = "expectation"
        serialized = assessment.expectation.serialized_value
        value = json.dumps(assessment.expectation.value if serialized is None else serialized.value)
        serialization = None if serialized is None else serialized.serialization_format
    elif assessment.issue is not None:
        kind, value = "issue", json.dumps(assessment.issue.issue_name)
    source = assessment.source
    return {
        "name": assessment.assessment_name,
        "assessment_type": kind,
        "value": value,
        "serialization_format": serialization,
        "error": None
        if error is None
        else json.dumps(
            {name: text for name in ("error_code", "error_message", "stack_trace") if (text := getattr(error, name))}
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


def assessments_of_traces(
    tx: Transaction, trace_ids: list[int], names: Any = None
) -> Iterator[tuple[int, AssessmentDict]]:
    """The assessments of traces, each with the key of its trace; the trace's id is left for the caller to fill in."""
    for row in tx.rows(SELECT_OF_TRACES, trace_ids=trace_ids):
        yield row[1], to_assessment("", row)


def to_assessment(trace_id: str, row: Sequence[Any]) -> AssessmentDict:
    """A row as clients see it."""
    fields = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    shown: AssessmentDict = {
        "assessment_id": fields["assessment_id"],
        "assessment_name": fields["name"],
        "trace_id": trace_id,
        "source": {"source_type": fields["source_type"], "source_id": fields["source_id"]},
        "create_time": render_timestamp(fields["created_timestamp"]),
        "last_update_time": render_timestamp(fields["last_updated_timestamp"]),
        "valid": bool(fields["valid"]),
    }
    value = json.loads(fields["value"]) if fields["value"] is not None else None
    match fields["assessment_type"]:
        case "feedback":
            shown["feedback"] = {} if value is None else {"value": value}
            if fields["error"] is not None:
                shown["feedback"]["error"] = json.loads(fields["error"])
        case "expectation" if fields["serialization_format"] is not None:
            serialized = {"serialization_format": fields["serialization_format"], "value": value}
            shown["expectation"] = {"serialized_value": serialized}
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
