"""Issues: create, change, search; the traces that refer to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal
from tests.trace_requests import new_otel_id, start_trace

PATH = "/api/3.0/mlflow/issues"
SEVERITIES = "not_an_issue, low, medium, high"
STATUSES = "pending, rejected, resolved"


def create(api: Api, experiment_id: str, **fields: Any) -> Any:
    values = {"name": "slow", "description": "It takes long."} | fields
    return api.post(PATH, experiment_id=experiment_id, **values)["issue"]


def create_refused(api: Api, experiment_id: str, **fields: Any) -> Refusal:
    values = {"name": "slow", "description": "It takes long."} | fields
    return api.post_refused(PATH, experiment_id=experiment_id, **values)


def get(api: Api, issue_id: str) -> Any:
    return api.get(f"{PATH}/{issue_id}")["issue"]


def update(api: Api, issue_id: str, **fields: Any) -> Any:
    response = api.send("PATCH", f"{PATH}/{issue_id}", json={"issue_id": issue_id} | fields)
    assert response.status_code == 200, response.text
    return response.json()["issue"]


def update_refused(api: Api, issue_id: str, **fields: Any) -> Refusal:
    return refusal(api.send("PATCH", f"{PATH}/{issue_id}", json={"issue_id": issue_id} | fields))


def search(api: Api, experiment_id: str, **fields: Any) -> Any:
    return api.post(f"{PATH}/search", experiment_id=experiment_id, **fields)


def found(api: Api, experiment_id: str, filter_string: str = "", **fields: Any) -> list[str]:
    """The names of the issues that a search finds, in its order."""
    issues = search(api, experiment_id, filter_string=filter_string, **fields)["issues"]
    return [issue["name"] for issue in issues]


def counts(api: Api, experiment_id: str) -> dict[str, int]:
    """How many traces refer to each issue of an experiment, by the issue's name."""
    issues = search(api, experiment_id, include_trace_count=True)["issues"]
    return {issue["name"]: issue["trace_count"] for issue in issues}


def refer(api: Api, trace_id: str, issue: Any) -> str:
    """Adds a reference to an issue to a trace; the id of the assessment."""
    assessment = {
        "assessment_name": issue["issue_id"],
        "trace_id": trace_id,
        "source": {"source_type": "LLM_JUDGE", "source_id": "judge"},
        "issue": {"issue_name": issue["name"]},
    }
    answer = api.post(f"/api/3.0/mlflow/traces/{trace_id}/assessments", assessment=assessment)
    assessment_id: str = answer["assessment"]["assessment_id"]
    return assessment_id


def new_trace(api: Api, experiment_id: str) -> str:
    trace_id: str = start_trace(api, experiment_id)["trace_id"]
    return trace_id


def test_an_issue_keeps_what_it_was_created_with(api: Api, experiment_id: str, run_id: str) -> None:
    fields = {
        "name": "slow",
        "description": "It takes long.",
        "status": "rejected",
        "severity": "high",
        "root_causes": ["the model", ""],
        "source_run_id": run_id,
        "created_by": "ann",
        "categories": ["latency", "ü"],
    }
    issue = create(api, experiment_id, **fields)
    assert issue["issue_id"].startswith("iss-")
    assert issue["created_timestamp"] == issue["last_updated_timestamp"]
    assert issue == fields | {
        "issue_id": issue["issue_id"],
        "experiment_id": experiment_id,
        "created_timestamp": issue["created_timestamp"],
        "last_updated_timestamp": issue["last_updated_timestamp"],
    }
    assert get(api, issue["issue_id"]) == issue


def test_what_an_issue_lacks_is_left_out(api: Api, experiment_id: str) -> None:
    issue = create(api, experiment_id, root_causes=[], categories=[], source_run_id="", created_by="")
    assert set(issue) == {
        "issue_id",
        "experiment_id",
        "name",
        "description",
        "status",
        "created_timestamp",
        "last_updated_timestamp",
    }
    assert issue["status"] == "pending"


def test_an_issue_needs_an_active_experiment_a_name_and_a_description(api: Api, experiment_id: str) -> None:
    assert create_refused(api, experiment_id, name="") == missing("name")
    assert create_refused(api, experiment_id, description="") == missing("description")
    assert create_refused(api, "987654321") == not_there("No Experiment with id=987654321 exists")
    deleted = api.new_experiment()
    api.post("experiments/delete", experiment_id=deleted)
    assert create_refused(api, deleted) == not_there(f"No Experiment with id={deleted} exists")
    no_run = "0" * 32
    assert create_refused(api, experiment_id, source_run_id=no_run) == not_there(f"Run with id={no_run} not found")
    assert found(api, experiment_id) == []


@pytest.mark.parametrize("value", ["worst", "", "1", "HIGH"])
def test_a_severity_that_does_not_exist_is_refused(api: Api, experiment_id: str, value: str) -> None:
    said = invalid(f"Invalid value \"{value}\" for parameter 'severity' supplied: It must be one of {SEVERITIES}.")
    assert create_refused(api, experiment_id, severity=value) == said
    issue = create(api, experiment_id)
    assert update_refused(api, issue["issue_id"], severity=value) == said
    assert get(api, issue["issue_id"]) == issue


@pytest.mark.parametrize("value", ["open", "", "1", "PENDING"])
def test_a_status_that_does_not_exist_is_refused(api: Api, experiment_id: str, value: str) -> None:
    said = invalid(f"Invalid value \"{value}\" for parameter 'status' supplied: It must be one of {STATUSES}.")
    assert create_refused(api, experiment_id, status=value) == said
    issue = create(api, experiment_id)
    assert update_refused(api, issue["issue_id"], status=value) == said
    assert get(api, issue["issue_id"]) == issue


def test_texts_are_taken_up_to_their_limits(api: Api, experiment_id: str) -> None:
    issue = create(api, experiment_id, name="n" * 250, description="d" * 65_535, created_by="c" * 255)
    assert (len(issue["name"]), len(issue["description"]), len(issue["created_by"])) == (250, 65_535, 255)
    for field, limit in (("name", 250), ("description", 65_535), ("created_by", 255)):
        said = invalid(f"'{field}' exceeds the maximum length of {limit} characters")
        assert create_refused(api, experiment_id, **{field: "x" * (limit + 1)}) == said
    for field in ("root_causes", "categories"):
        said = invalid(f"'{field}' exceeds the maximum length of 65535 characters")
        assert create_refused(api, experiment_id, **{field: ["x" * 65_535]}) == said


def test_an_update_changes_what_it_names_and_no_more(api: Api, experiment_id: str) -> None:
    issue = create(api, experiment_id, severity="low", root_causes=["a"])
    changed = update(api, issue["issue_id"], status="resolved", severity="high", name="late", root_causes=["b"])
    assert changed == issue | {
        "status": "resolved",
        "severity": "high",
        "name": "late",
        "last_updated_timestamp": changed["last_updated_timestamp"],
    }
    assert changed["last_updated_timestamp"] >= issue["last_updated_timestamp"]
    assert update(api, issue["issue_id"], name="", description="")["name"] == "late"
    assert update(api, issue["issue_id"], description="Too late.")["description"] == "Too late."
    assert get(api, issue["issue_id"])["description"] == "Too late."


def test_an_issue_that_is_not_there_is_an_error(api: Api) -> None:
    said = not_there("Issue with ID 'iss-none' not found")
    assert api.get_refused(f"{PATH}/iss-none") == said
    assert update_refused(api, "iss-none", name="x") == said


def test_updates_of_different_fields_at_once_are_all_kept(api: Api, experiment_id: str) -> None:
    issue_id = create(api, experiment_id)["issue_id"]
    changes = [{"name": "late"}, {"description": "Too late."}, {"status": "resolved"}, {"severity": "high"}] * 4
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda change: update(api, issue_id, **change), changes))
    issue = get(api, issue_id)
    assert {field: issue[field] for change in changes for field in change} == {
        "name": "late",
        "description": "Too late.",
        "status": "resolved",
        "severity": "high",
    }


# Searching


def test_the_most_severe_issues_come_first_and_then_the_newest(api: Api, experiment_id: str) -> None:
    for name, severity in (
        ("1", "low"),
        ("2", None),
        ("3", "high"),
        ("4", "low"),
        ("5", "not_an_issue"),
        ("6", "medium"),
    ):
        create(api, experiment_id, name=name, **({"severity": severity} if severity else {}))
    assert found(api, experiment_id) == ["3", "6", "4", "1", "5", "2"]


def test_a_search_filters_by_status_and_run(api: Api, experiment_id: str, run_id: str) -> None:
    create(api, experiment_id, name="1", status="resolved", source_run_id=run_id)
    create(api, experiment_id, name="2", source_run_id=run_id)
    create(api, experiment_id, name="3", status="resolved")
    assert found(api, experiment_id, "status = 'resolved'") == ["3", "1"]
    assert found(api, experiment_id, "status != 'resolved'") == ["2"]
    assert found(api, experiment_id, f'source_run_id = "{run_id}"') == ["2", "1"]
    assert found(api, experiment_id, f"status = 'resolved' AND source_run_id = '{run_id}'") == ["1"]
    # Issues that no run has found are not those of another run: so it is in MLflow.
    assert found(api, experiment_id, "source_run_id != 'x'") == ["2", "1"]
    assert found(api, experiment_id, "status = 'no such status'") == []


def test_a_filter_by_anything_else_is_refused(api: Api, experiment_id: str) -> None:
    def refused(filter_string: str) -> Refusal:
        return api.post_refused(f"{PATH}/search", experiment_id=experiment_id, filter_string=filter_string)

    fields = "Supported fields: source_run_id, status"
    assert refused("severity = 'high'") == invalid(f"Invalid filter field 'severity'. {fields}")
    assert refused("status LIKE 'p%'") == invalid("Invalid comparator 'LIKE' not one of '!=', '='")
    assert refused("status = 'a' OR status = 'b'").status == 400


def test_a_search_is_confined_to_its_experiment_unless_it_names_none(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    here, there = create(api, experiment_id, severity="high"), create(api, other, severity="high")
    assert [issue["issue_id"] for issue in search(api, experiment_id)["issues"]] == [here["issue_id"]]
    everywhere = [issue["issue_id"] for page in api.pages("POST", f"{PATH}/search") for issue in page["issues"]]
    assert {here["issue_id"], there["issue_id"]} <= set(everywhere)
    assert len(everywhere) == len(set(everywhere))
    assert search(api, "987654321") == {"issues": [], "next_page_token": ""}


@pytest.mark.parametrize("with_traces", [False, True])
def test_pages_give_every_issue_once_in_order(api: Api, experiment_id: str, with_traces: bool) -> None:
    for number in range(7):
        severity = {"severity": "low"} if number % 2 else {}
        issue = create(api, experiment_id, name=str(number), **severity)
        for _ in range(number % 3):
            refer(api, new_trace(api, experiment_id), issue)
    fields = {"experiment_id": experiment_id, "include_trace_count": with_traces}
    whole = [issue["name"] for issue in api.post(f"{PATH}/search", **fields)["issues"]]
    pages = [
        [issue["name"] for issue in page["issues"]]
        for page in api.pages("POST", f"{PATH}/search", max_results=2, **fields)
    ]
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert [name for page in pages for name in page] == whole
    assert whole == (["5", "1", "3", "2", "4", "6", "0"] if with_traces else ["5", "3", "1", "6", "4", "2", "0"])


def test_a_page_of_large_issues_ends_early(api: Api, experiment_id: str) -> None:
    large = {"description": "d" * 65_000, "root_causes": ["r" * 60_000], "categories": ["c" * 60_000]}
    for number in range(30):
        create(api, experiment_id, name=str(number), **large)
    pages = list(api.pages("POST", f"{PATH}/search", experiment_id=experiment_id))
    names = [issue["name"] for page in pages for issue in page["issues"]]
    assert names == [str(number) for number in range(29, -1, -1)]
    assert len(pages) == 2


def test_a_page_token_of_another_search_is_refused(api: Api, experiment_id: str) -> None:
    for _ in range(2):
        create(api, experiment_id)
    token = search(api, experiment_id, max_results=1)["next_page_token"]
    for fields in ({"include_trace_count": True}, {"filter_string": "status = 'pending'"}, {"page_token": f"{token}A"}):
        said = api.post_refused(f"{PATH}/search", **{"experiment_id": experiment_id, "page_token": token} | fields)
        assert (said.status, said.message[:19]) == (400, "Invalid page token ")


@pytest.mark.parametrize(("size", "said"), [(0, "It must be a positive integer"), (50_001, "It must be at most 50000")])
def test_the_size_of_a_page_has_limits(api: Api, experiment_id: str, size: int, said: str) -> None:
    refused = api.post_refused(f"{PATH}/search", experiment_id=experiment_id, max_results=size)
    assert refused == invalid(f"Invalid value {size} for parameter 'max_results' supplied. {said}")


# The traces of an issue


def test_traces_that_refer_to_an_issue_are_counted_once_each(api: Api, experiment_id: str) -> None:
    elsewhere = api.new_experiment()
    rare, often = create(api, experiment_id, name="rare"), create(api, experiment_id, name="often")
    traces = [new_trace(api, experiment_id), new_trace(api, experiment_id), new_trace(api, elsewhere)]
    references = [refer(api, trace_id, often) for trace_id in [*traces, traces[0]]]
    refer(api, traces[0], rare)
    feedback = {
        "assessment_name": rare["issue_id"],
        "trace_id": traces[1],
        "source": {"source_type": "HUMAN", "source_id": "ann"},
        "feedback": {"value": True},
    }
    api.post(f"/api/3.0/mlflow/traces/{traces[1]}/assessments", assessment=feedback)
    assert counts(api, experiment_id) == {"often": 3, "rare": 1}
    assert found(api, experiment_id, include_trace_count=True) == ["often", "rare"]
    assert "trace_count" not in get(api, often["issue_id"])
    for reference in (references[0], references[1]):
        trace_id = traces[references.index(reference)]
        api.send("DELETE", f"/api/3.0/mlflow/traces/{trace_id}/assessments/{reference}")
    assert counts(api, experiment_id) == {"often": 2, "rare": 1}


def test_the_traces_of_an_issue_are_found_and_no_longer_count_when_they_are_deleted(
    api: Api, experiment_id: str
) -> None:
    issue = create(api, experiment_id)
    traces = [new_trace(api, experiment_id) for _ in range(3)]
    for trace_id in traces[:2]:
        refer(api, trace_id, issue)
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    query = {"locations": [location], "filter": f"issue.id = '{issue['issue_id']}'"}
    referring = api.post("/api/3.0/mlflow/traces/search", **query)["traces"]
    assert {trace["trace_id"] for trace in referring} == set(traces[:2])
    api.post("/api/3.0/mlflow/traces/delete-traces", experiment_id=experiment_id, request_ids=traces[:1])
    assert counts(api, experiment_id) == {"slow": 1}


def test_a_reference_may_name_an_issue_that_is_not_there(api: Api, experiment_id: str) -> None:
    trace_id = f"tr-{new_otel_id()}"
    start_trace(api, experiment_id, trace_id)
    refer(api, trace_id, {"issue_id": "iss-none", "name": "gone"})
    info = api.get(f"/api/3.0/mlflow/traces/{trace_id}")["trace"]["trace_info"]
    assert [each["issue"] for each in info["assessments"]] == [{"issue_name": "gone"}]


def test_issues_of_a_deleted_experiment_are_still_there(api: Api, experiment_id: str) -> None:
    issue = create(api, experiment_id)
    api.post("experiments/delete", experiment_id=experiment_id)
    assert get(api, issue["issue_id"]) == issue
    assert update(api, issue["issue_id"], status="resolved")["status"] == "resolved"
    assert found(api, experiment_id) == ["slow"]
