"""Endpoints of assessments."""

from __future__ import annotations

import re
from typing import TypedDict

from runnel.api.experiments import Empty
from runnel.domain.assessments import Assessment, AssessmentDict, check_assessment, check_name
from runnel.domain.errors import InvalidParameterValue
from runnel.store import assessments
from runnel.store.statements import Transaction
from runnel.store.traces import get_trace_key


class AssessmentAnswer(TypedDict):
    assessment: AssessmentDict


_UPDATABLE = {"assessment_name", "expectation", "feedback", "rationale", "metadata", "valid"}


def create_assessment(tx: Transaction, trace_id: str, assessment: Assessment) -> AssessmentAnswer:
    """Adds feedback, an expectation or a reference to an issue to a trace or one of its spans."""
    check_assessment(assessment)
    key, experiment_id = get_trace_key(tx, trace_id)
    return {"assessment": assessments.create_assessment(tx, key, experiment_id, trace_id, assessment)}


def get_assessment(tx: Transaction, trace_id: str, assessment_id: str) -> AssessmentAnswer:
    """One assessment of a trace."""
    key, _ = get_trace_key(tx, trace_id)
    return {"assessment": assessments.get_assessment(tx, key, trace_id, assessment_id)}


def update_assessment(
    tx: Transaction, trace_id: str, assessment_id: str, assessment: Assessment, update_mask: str
) -> AssessmentAnswer:
    """Changes the fields that ``update_mask`` names (in protobuf's form: ``assessmentName,feedback``)."""
    changed = {re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", path.strip()) for path in update_mask.split(",")}
    if not changed <= _UPDATABLE:
        unknown = ", ".join(sorted(changed - _UPDATABLE))[:200]
        raise InvalidParameterValue(f"'update_mask' names fields that cannot be updated: {unknown}")
    if {"expectation", "feedback"} <= changed:
        raise InvalidParameterValue("Cannot specify both `expectation` and `feedback` parameters.")
    if "assessment_name" in changed:
        check_name(assessment.assessment_name)
    key, _ = get_trace_key(tx, trace_id)
    return {"assessment": assessments.update_assessment(tx, key, trace_id, assessment_id, assessment, changed)}


def delete_assessment(tx: Transaction, trace_id: str, assessment_id: str) -> Empty:
    """Removes an assessment; one that is not there is no error."""
    key, _ = get_trace_key(tx, trace_id)
    assessments.delete_assessment(tx, key, assessment_id)
    return {}
