"""Endpoints of issues: problems found in traces."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

from runnel.api.services import Services
from runnel.domain import limits
from runnel.domain.issues import PENDING, Issue, check_creator, check_issue_texts, check_status, severity_rank, to_json
from runnel.domain.validation import check_max_results, parse_experiment_id
from runnel.store import issues
from runnel.store.statements import Transaction


class IssueAnswer(TypedDict):
    issue: Issue


class IssuesAnswer(TypedDict):
    issues: list[Issue]
    next_page_token: str


def create_issue(
    tx: Transaction,
    experiment_id: str,
    name: str,
    description: str,
    status: str = PENDING,
    severity: str | None = None,
    root_causes: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
    source_run_id: str = "",
    created_by: str = "",
    categories: list[str] = [],  # noqa: B006
) -> IssueAnswer:
    """Creates an issue of an active experiment; traces refer to it by assessments that have its id as their name."""
    check_issue_texts(name, description)
    check_status(status)
    check_creator(created_by)
    issue = issues.create_issue(
        tx,
        parse_experiment_id(experiment_id),
        name=name,
        description=description,
        status=status,
        severity=severity_rank(severity),
        root_causes=to_json("root_causes", root_causes),
        categories=to_json("categories", categories),
        source_run_id=source_run_id or None,
        created_by=created_by or None,
    )
    return {"issue": issue}


def get_issue(tx: Transaction, issue_id: str) -> IssueAnswer:
    """An issue."""
    return {"issue": issues.get_issue(tx, issue_id)}


def update_issue(
    tx: Transaction,
    issue_id: str,
    name: str = "",
    description: str = "",
    status: str | None = None,
    severity: str | None = None,
) -> IssueAnswer:
    """Changes name, description, status or severity of an issue; an empty text changes nothing."""
    check_issue_texts(name, description)
    if status is not None:
        check_status(status)
    issue = issues.update_issue(
        tx,
        issue_id,
        name=name or None,
        description=description or None,
        status=status,
        severity=None if severity is None else severity_rank(severity),
    )
    return {"issue": issue}


async def search_issues(
    services: Services,
    experiment_id: str = "",
    filter_string: str = "",
    max_results: int = limits.DEFAULT_ISSUE_RESULTS,
    page_token: str = "",
    include_trace_count: bool = False,
) -> IssuesAnswer:
    """A page of the issues of an experiment (of all, without one) that match a filter, the most severe first.

    A page has at most 1,000 issues, whatever is asked for, and fewer where they are large.
    """
    check_max_results(max_results)
    query = partial(
        issues.search_issues,
        experiment_id=parse_experiment_id(experiment_id) if experiment_id else None,
        filter_string=filter_string,
        max_results=max_results,
        page_token=page_token,
        include_trace_count=include_trace_count,
    )
    # To sort by their number, the references to all issues are counted.
    found, token = await services.database.read(query, may_scan=include_trace_count or bool(filter_string))
    return {"issues": found, "next_page_token": token or ""}
