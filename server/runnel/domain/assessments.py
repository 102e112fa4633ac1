"""Assessments of traces and spans: feedback, expectations and references to issues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_length

JSON_FORMAT = "JSON_FORMAT"  # of an expected value that is a list or an object
SOURCE_RUN_METADATA = "mlflow.assessment.sourceRunId"

SourceType = Literal["HUMAN", "LLM_JUDGE", "CODE", "AI_JUDGE", "SOURCE_TYPE_UNSPECIFIED"]


@dataclass(frozen=True, slots=True)
class AssessmentSource:
    source_type: SourceType
    source_id: str = "default"


@dataclass(frozen=True, slots=True)
class AssessmentError:
    error_code: str = ""
    error_message: str = ""
    stack_trace: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    value: Any = None
    error: AssessmentError | None = None


@dataclass(frozen=True, slots=True)
class SerializedValue:
    serialization_format: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A value, or (for lists and objects, which the wire's value cannot hold) its JSON in text."""

    value: Any = None
    serialized_value: SerializedValue | None = None


@dataclass(frozen=True, slots=True)
class IssueReference:
    issue_name: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """An assessment as a client sends it."""

    assessment_name: str = ""
    assessment_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    source: AssessmentSource | None = None
    create_time: str = ""
    last_update_time: str = ""
    feedback: Feedback | None = None
    expectation: Expectation | None = None
    issue: IssueReference | None = None
    rationale: str | None = None
    error: AssessmentError | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    overrides: str = ""
    valid: bool = True


class AssessmentSourceDict(TypedDict):
    source_type: str
    source_id: str


class AssessmentDict(TypedDict):
    """An assessment as clients see it."""

    assessment_id: str
    assessment_name: str
    trace_id: str
    span_id: NotRequired[str]
    source: AssessmentSourceDict
    create_time: str
    last_update_time: str
    feedback: NotRequired[dict[str, Any]]
    expectation: NotRequired[dict[str, Any]]
    issue: NotRequired[dict[str, str]]
    rationale: NotRequired[str]
    metadata: NotRequired[dict[str, str]]
    overrides: NotRequired[str]
    valid: bool


def check_name(name: str) -> None:
    """Refuses an empty name and one of more than 250 characters."""
    if not name:
        raise InvalidParameterValue("Missing value for required parameter 'assessment.assessment_name'.")
    check_length("assessment_name", name, limits.MAX_ASSESSMENT_NAME_LENGTH)


def with_doubles(value: Any, depth: int = 0) -> Any:
    """A value whose numbers are doubles, as all are in the value that protobuf carries: 3 is kept and shown as 3.0.

    Refuses what protobuf cannot hold: numbers past a double, and more than 100 levels.
    """
    if depth > limits.MAX_ASSESSMENT_VALUE_DEPTH:
        raise InvalidParameterValue(
            "The value of an assessment is nested too deeply: "
            f"at most {limits.MAX_ASSESSMENT_VALUE_DEPTH} levels are allowed"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise InvalidParameterValue("A number in the value of an assessment is too large for a double") from None
    if isinstance(value, list):
        return [with_doubles(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: with_doubles(item, depth + 1) for key, item in value.items()}
    return value


def check_assessment(assessment: Assessment) -> None:
    """Refuses an assessment without a name or without exactly one kind of value."""
    check_name(assessment.assessment_name)
    kinds = [kind for kind in (assessment.feedback, assessment.expectation, assessment.issue) if kind is not None]
    if len(kinds) != 1:
        raise InvalidParameterValue("An assessment must have exactly one of 'feedback', 'expectation' and 'issue'.")
