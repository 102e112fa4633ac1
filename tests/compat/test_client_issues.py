"""Issues are recorded, found and linked with traces by the mlflow client, as its tools that look for problems do."""

from __future__ import annotations

from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient, MlflowException
from mlflow.entities import AssessmentSource, IssueReference
from mlflow.entities.issue import Issue, IssueSeverity, IssueStatus
from mlflow.exceptions import RestException
from mlflow.tracing.client import TracingClient

BACKENDS = ["sqlite"]


@pytest.fixture
def store(client: MlflowClient) -> Any:
    """What the client's tools talk to: it speaks to the server."""
    return TracingClient().store


def new_issue(store: Any, experiment_id: str, name: str = "slow", **fields: Any) -> Issue:
    issue: Issue = store.create_issue(experiment_id=experiment_id, name=name, description="It takes long.", **fields)
    return issue


def new_trace() -> str:
    with mlflow.start_span("answer") as span:
        span.set_outputs("no idea")
    mlflow.flush_trace_async_logging()
    return span.trace_id


def test_an_issue_is_found_again_as_it_was_recorded(store: Any, experiment_id: str) -> None:
    with mlflow.start_run() as run:
        issue = new_issue(
            store,
            experiment_id,
            status=IssueStatus.REJECTED,
            severity=IssueSeverity.HIGH,
            root_causes=["the model"],
            source_run_id=run.info.run_id,
            categories=["latency"],
            created_by="ann",
        )
    assert (issue.status, issue.severity) == (IssueStatus.REJECTED, IssueSeverity.HIGH)
    assert (issue.root_causes, issue.categories, issue.created_by) == (["the model"], ["latency"], "ann")
    assert issue.source_run_id == run.info.run_id
    assert TracingClient()._get_issue(issue.issue_id) == issue
    bare = new_issue(store, experiment_id)
    assert (bare.status, bare.severity, bare.root_causes) == (IssueStatus.PENDING, None, None)
    assert (bare.categories, bare.source_run_id, bare.created_by, bare.trace_count) == (None, None, None, None)


def test_an_issue_is_changed(store: Any, experiment_id: str) -> None:
    issue = new_issue(store, experiment_id)
    changed = store.update_issue(issue.issue_id, status=IssueStatus.RESOLVED, severity=IssueSeverity.LOW, name="late")
    assert (changed.name, changed.status, changed.severity) == ("late", IssueStatus.RESOLVED, IssueSeverity.LOW)
    assert changed.description == issue.description
    assert store.get_issue(issue.issue_id) == changed


def test_issues_are_searched_in_pages(store: Any, experiment_id: str) -> None:
    for name, severity in (("1", IssueSeverity.LOW), ("2", IssueSeverity.HIGH), ("3", None)):
        new_issue(store, experiment_id, name, severity=severity)
    first = store.search_issues(experiment_id, max_results=2)
    assert [issue.name for issue in first] == ["2", "1"]
    second = store.search_issues(experiment_id, max_results=2, page_token=first.token)
    assert ([issue.name for issue in second], second.token) == (["3"], None)
    assert list(store.search_issues(experiment_id, filter_string="status != 'pending'")) == []


def test_traces_are_linked_with_an_issue_and_counted(store: Any, experiment_id: str) -> None:
    issue = new_issue(store, experiment_id)
    traces = [new_trace() for _ in range(3)]
    source = AssessmentSource(source_type="LLM_JUDGE", source_id="judge")
    for trace_id in traces[:2]:
        mlflow.log_issue(trace_id=trace_id, issue_id=issue.issue_id, source=source, rationale="over 2 seconds")
    found = mlflow.search_traces(
        locations=[experiment_id], filter_string=f"issue.id = '{issue.issue_id}'", return_type="list"
    )
    assert {trace.info.trace_id for trace in found} == set(traces[:2])
    (reference,) = mlflow.get_trace(traces[0]).info.assessments
    assert isinstance(reference, IssueReference)
    assert (reference.issue_id, reference.issue_name) == (issue.issue_id, "slow")
    assert reference.rationale == "over 2 seconds"
    (counted,) = store.search_issues(experiment_id, include_trace_count=True)
    assert counted.trace_count == 2
    mlflow.delete_assessment(trace_id=traces[0], assessment_id=reference.assessment_id)
    (counted,) = store.search_issues(experiment_id, include_trace_count=True)
    assert counted.trace_count == 1


def test_an_issue_that_is_not_there_is_not_linked(store: Any, experiment_id: str) -> None:
    trace_id = new_trace()
    with pytest.raises(RestException, match="Issue with ID 'iss-none' not found") as caught:
        mlflow.log_issue(trace_id=trace_id, issue_id="iss-none")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    issue = new_issue(store, experiment_id)
    with pytest.raises(MlflowException, match="does not match the issue name"):
        mlflow.log_issue(trace_id=trace_id, issue_id=issue.issue_id, issue_name="another")
    assert mlflow.get_trace(trace_id).info.assessments == []
