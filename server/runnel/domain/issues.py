"""Issues: problems found in traces, which refer to them by assessments; what a search for them can say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar, ValueType
from runnel.domain.validation import check_length, invalid_value

PENDING = "pending"
STATUSES = (PENDING, "rejected", "resolved")
SEVERITIES = ("not_an_issue", "low", "medium", "high")  # their ranks are their places
NO_SEVERITY = -1

_TEXT = Field(dict.fromkeys(("=", "!="), ValueType.STRING_OR_NUMBER))

# Keys and comparators are those of MLflow 3.17 (`SearchIssuesUtils`).
ISSUES = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {"status": _TEXT, "source_run_id": _TEXT},
            key_refusal="Invalid filter field '{key}'. Supported fields: source_run_id, status",
        ),
    )
)


class Issue(TypedDict):
    """An issue as clients see it; times in milliseconds since the epoch."""

    issue_id: str
    experiment_id: str
    name: str
    description: str
    status: str
    severity: NotRequired[str]
    root_causes: NotRequired[list[str]]
    source_run_id: NotRequired[str]
    created_timestamp: int
    last_updated_timestamp: int
    created_by: NotRequired[str]
    categories: NotRequired[list[str]]
    trace_count: NotRequired[int]


def check_issue_texts(name: str, description: str) -> None:
    """Refuses a name of more than 250 characters, and a description of more than 65,535."""
    check_length("name", name, limits.MAX_ISSUE_NAME_LENGTH)
    check_length("description", description, limits.MAX_ISSUE_TEXT_LENGTH)


def check_creator(created_by: str) -> None:
    """Refuses a name of who created something of more than 255 characters."""
    check_length("created_by", created_by, limits.MAX_CREATED_BY_LENGTH)


def check_status(status: str) -> None:
    """Refuses a status that does not exist."""
    if status not in STATUSES:
        raise InvalidParameterValue(invalid_value("status", status, f"It must be one of {', '.join(STATUSES)}."))


def severity_rank(severity: str | None) -> int:
    """The rank of a severity, that of none below all others; refuses one that does not exist."""
    if severity is None:
        return NO_SEVERITY
    if severity not in SEVERITIES:
        raise InvalidParameterValue(invalid_value("severity", severity, f"It must be one of {', '.join(SEVERITIES)}."))
    return SEVERITIES.index(severity)


def to_json(field: str, texts: Sequence[str]) -> str | None:
    """A list of texts as JSON, which has at most 65,535 characters; None for an empty one."""
    if not texts:
        return None
    text = json.dumps(list(texts), ensure_ascii=False)
    check_length(field, text, limits.MAX_ISSUE_TEXT_LENGTH)
    return text
