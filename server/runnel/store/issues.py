"""Issues in SQL: writing them, and the search with its filter, order and pages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import ResourceDoesNotExist
from runnel.domain.filters import parse_filter
from runnel.domain.issues import ISSUES, NO_SEVERITY, SEVERITIES, Issue
from runnel.store.experiments import check_experiment_is_there, now_in_milliseconds
from runnel.store.filters import SortKey, behind_descending, matches
from runnel.store.runs import get_run_ref
from runnel.store.schema import assessments, is_issue_reference, issues
from runnel.store.statements import Statement, Transaction

_COLUMNS = tuple(column for column in issues.c if column.name not in ("id", "size"))
# What an issue takes in an answer beside its texts, in characters, at most.
_ISSUE_OVERHEAD = 1_000

INSERT = Statement(
    lambda d: d.insert(issues).values(
        {column.name: sa.bindparam(column.name) for column in issues.c if column.name != "id"}
    )
)
_SELECT = sa.select(*_COLUMNS).where(issues.c.issue_id == sa.bindparam("issue_id"))
SELECT_ONE = Statement(lambda d: _SELECT)
LOCK_ONE = Statement(lambda d: _SELECT.with_for_update())
SELECT_PAGE = Statement(lambda d: sa.select(issues.c.id, *_COLUMNS).where(d.is_in(issues.c.id, "ids")))
_CHANGED = ("name", "description", "status", "severity", "size", "last_updated_timestamp")
UPDATE = Statement(
    lambda d: (
        sa.update(issues)
        .where(issues.c.issue_id == sa.bindparam("id"))
        .values({name: sa.bindparam(f"new_{name}") for name in _CHANGED})
    )
)


def create_issue(
    tx: Transaction,
    experiment_id: int,
    *,
    name: str,
    description: str,
    status: str,
    severity: int,
    root_causes: str | None,
    categories: str | None,
    source_run_id: str | None,
    created_by: str | None,
) -> Issue:
    """Inserts an issue of an active experiment; the run that found it must exist. The lists come as JSON."""
    check_experiment_is_there(tx, experiment_id)
    if source_run_id is not None:
        get_run_ref(tx, source_run_id)
    now = now_in_milliseconds()
    fields: dict[str, Any] = {
        "issue_id": f"iss-{uuid.uuid4().hex}",
        "experiment_id": experiment_id,
        "name": name,
        "status": status,
        "severity": severity,
        "source_run_id": source_run_id,
        "created_timestamp": now,
        "last_updated_timestamp": now,
        "created_by": created_by,
        "description": description,
        "root_causes": root_causes,
        "categories": categories,
    }
    tx.execute(INSERT, **fields, size=_size(fields))
    return _to_issue(fields)


def _size(fields: dict[str, Any]) -> int:
    return sum(len(fields[name] or "") for name in ("name", "description", "root_causes", "categories"))


def get_issue(tx: Transaction, issue_id: str) -> Issue:
    """An issue, whatever the state of its experiment."""
    return _to_issue(_fields(tx, SELECT_ONE, issue_id))


def update_issue(
    tx: Transaction,
    issue_id: str,
    *,
    name: str | None,
    description: str | None,
    status: str | None,
    severity: int | None,
) -> Issue:
    """Changes what is not None."""
    fields = _fields(tx, LOCK_ONE, issue_id)
    changes = {"name": name, "description": description, "status": status, "severity": severity}
    fields |= {field: value for field, value in changes.items() if value is not None}
    fields["last_updated_timestamp"] = now_in_milliseconds()
    fields["size"] = _size(fields)
    tx.execute(UPDATE, id=issue_id, **{f"new_{field}": fields[field] for field in _CHANGED})
    return _to_issue(fields)


def _fields(tx: Transaction, statement: Statement, issue_id: str) -> dict[str, Any]:
    row = tx.row(statement, issue_id=issue_id)
    if row is None:
        raise ResourceDoesNotExist(f"Issue with ID '{issue_id}' not found")
    return _named(row)


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((column.name for column in _COLUMNS), row, strict=True))


def _to_issue(fields: dict[str, Any], trace_count: int | None = None) -> Issue:
    issue: Issue = {
        "issue_id": fields["issue_id"],
        "experiment_id": str(fields["experiment_id"]),
        "name": fields["name"],
        "description": fields["description"],
        "status": fields["status"],
        "created_timestamp": fields["created_timestamp"],
        "last_updated_timestamp": fields["last_updated_timestamp"],
    }
    if fields["severity"] != NO_SEVERITY:
        issue["severity"] = SEVERITIES[fields["severity"]]
    if fields["root_causes"] is not None:
        issue["root_causes"] = json.loads(fields["root_causes"])
    if fields["source_run_id"] is not None:
        issue["source_run_id"] = fields["source_run_id"]
    if fields["categories"] is not None:
        issue["categories"] = json.loads(fields["categories"])
    if fields["created_by"] is not None:
        issue["created_by"] = fields["created_by"]
    if trace_count is not None:
        issue["trace_count"] = trace_count
    return issue


# Searching

# The traces that refer to an issue: the name of such an assessment is the id of the issue.
_TRACE_COUNT = (
    sa.select(sa.func.count(sa.distinct(assessments.c.trace_id)))
    .where(is_issue_reference(), assessments.c.name == issues.c.issue_id)
    .correlate(issues)
    .scalar_subquery()
)


def search_issues(
    tx: Transaction,
    experiment_id: int | None,
    filter_string: str,
    max_results: int,
    page_token: str,
    include_trace_count: bool,
) -> tuple[list[Issue], str | None]:
    """A page of the issues that match, and the token of the next page; without an experiment, of all issues.

    The most severe come first, then (if they are counted) those of most traces, then the newest.
    """
    comparisons = parse_filter(filter_string, ISSUES)
    query = sa.select(issues.c.id, issues.c.severity, issues.c.created_timestamp, issues.c.size)
    if include_trace_count:
        query = query.add_columns(_TRACE_COUNT.label("trace_count"))
    query = query.where(*[matches(tx.dialect, issues.c[each.key], each) for each in comparisons])
    if experiment_id is not None:
        query = query.where(issues.c.experiment_id == experiment_id)
    names = ["severity", *(["trace_count"] if include_trace_count else []), "created_timestamp", "id"]
    if include_trace_count:
        counted = query.subquery("counted")
        query, columns = sa.select(counted), counted.c
    else:
        columns = issues.c
    keys = [SortKey(columns[name], ascending=False) for name in names]
    identity = ("issues", experiment_id, comparisons, include_trace_count)
    if page_token:
        position = page_tokens.decode_page_token(page_token, identity, len(keys))
        query = query.where(behind_descending(keys, position))
    size = min(max_results, limits.MAX_ISSUE_RESULTS)
    found = [
        dict(zip(query.selected_columns.keys(), row, strict=True))
        for row in tx.rows(query.order_by(*[key.order() for key in keys]).limit(size + 1))
    ]
    page = found[: _count_within_limits([row["size"] for row in found], size)]
    next_token = None
    if len(page) < len(found):
        next_token = page_tokens.encode_page_token([page[-1][name] for name in names], identity)
    fields = {row[0]: _named(row[1:]) for row in tx.rows(SELECT_PAGE, ids=[row["id"] for row in page])}
    return [_to_issue(fields[row["id"]], row.get("trace_count")) for row in page if row["id"] in fields], next_token


def _count_within_limits(sizes: Sequence[int], count: int) -> int:
    """How many of the first ``count`` issues one answer holds, by their sizes; one always fits."""
    total = 0
    for index, size in enumerate(sizes[:count]):
        total += size + _ISSUE_OVERHEAD
        if total > limits.MAX_ISSUES_LENGTH and index:
            return index
    return min(len(sizes), count)
