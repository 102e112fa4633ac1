"""Requests about issues, in the order in which they are sent, and the places that reviews are about too."""

from __future__ import annotations

from typing import Any

from tests.compat.exchange import Ask

_ISSUES = "/api/3.0/mlflow/issues"

# In the order of their ids, which breaks ties; "c" is in another experiment.
TRACES = {"a": f"tr-{'a' * 32}", "b": f"tr-{'b' * 32}", "c": f"tr-{'c' * 32}"}


def _trace(name: str, experiment: str) -> Ask:
    info = {
        "trace_id": TRACES[name],
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2024-01-01T00:00:00Z",
        "state": "OK",
    }
    return Ask(f"review: trace {name}", "POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})


PLACES = [
    Ask("review: experiment", "POST", "experiments/create", {"name": "reviewed"}, keep={"re": "experiment_id"}),
    Ask(
        "review: other experiment", "POST", "experiments/create", {"name": "not reviewed"}, keep={"ro": "experiment_id"}
    ),
    Ask("review: gone experiment", "POST", "experiments/create", {"name": "review gone"}, keep={"rg": "experiment_id"}),
    Ask("review: delete gone experiment", "POST", "experiments/delete", {"experiment_id": "$rg"}),
    Ask(
        "review: run",
        "POST",
        "runs/create",
        {"experiment_id": "$re", "run_name": "finder"},
        keep={"rr": "run.info.run_id"},
    ),
    _trace("a", "$re"),
    _trace("b", "$re"),
    _trace("c", "$ro"),
]


def _refer(what: str, name: str, issue: str) -> Ask:
    assessment = {
        "assessment_name": issue,
        "trace_id": TRACES[name],
        "source": {"source_type": "LLM_JUDGE", "source_id": "judge"},
        "issue": {"issue_name": "slow"},
    }
    path = f"/api/3.0/mlflow/traces/{TRACES[name]}/assessments"
    return Ask(
        what, "POST", path, {"assessment": assessment}, keep={f"reference_{what[-1]}": "assessment.assessment_id"}
    )


def _issue(what: str, keep: str = "", **fields: Any) -> Ask:
    body = {"experiment_id": "$re", "name": "slow", "description": "It takes long."} | fields
    return Ask(f"create issue {what}", "POST", _ISSUES, body, keep={keep: "issue.issue_id"} if keep else {})


def _update_issue(what: str, **fields: Any) -> Ask:
    return Ask(f"update issue {what}", "PATCH", f"{_ISSUES}/$plain", {"issue_id": "$plain"} | fields)


def _search(what: str, **fields: Any) -> Ask:
    return Ask(f"search issues {what}", "POST", f"{_ISSUES}/search", {"experiment_id": "$re"} | fields)


def _filtered(what: str, filter_string: str) -> Ask:
    return _search(f"by {what}", filter_string=filter_string)


ISSUES = [
    _issue("with what it needs", "plain"),
    _issue(
        "with all there is",
        "full",
        status="rejected",
        severity="low",
        root_causes=["a", ""],
        categories=["latency", "ü"],
        source_run_id="$rr",
        created_by="ann",
    ),
    _issue("of the highest severity", "high", severity="high"),
    _issue("with empty lists", "lists", root_causes=[], categories=[], source_run_id="", created_by=""),
    _issue("without a name", name=""),
    Ask("create issue without a description", "POST", _ISSUES, {"experiment_id": "$re", "name": "n"}),
    Ask("create issue without an experiment", "POST", _ISSUES, {"name": "n", "description": "d"}),
    _issue("of a status that is none", status="open"),
    _issue("of a severity that is none", severity="worst"),
    _issue("of a run not there", source_run_id="0" * 32),
    _issue("in an experiment not there", experiment_id="987"),
    _issue("in a deleted experiment", experiment_id="$rg"),
    _issue("in an experiment of a wrong id", experiment_id="x"),
    _issue("in an experiment of a number as id", experiment_id=5),
    Ask("get issue", "GET", f"{_ISSUES}/$full"),
    Ask("get issue not there", "GET", f"{_ISSUES}/iss-none"),
    _update_issue("by nothing"),
    _update_issue("by empty texts", name="", description=""),
    _update_issue("by a name", name="sluggish"),
    _update_issue("by all there is", name="late", description="Too late.", status="resolved", severity="medium"),
    _update_issue("by a status that is none", status="open"),
    _update_issue("by what cannot change", root_causes=["x"], created_by="bob"),
    Ask("update issue not there", "PATCH", f"{_ISSUES}/iss-none", {"issue_id": "iss-none", "name": "n"}),
    _refer("refer to issue, 1", "a", "$full"),
    _refer("refer to issue, 2", "a", "$full"),
    _refer("refer to issue, 3", "b", "$full"),
    _refer("refer to issue, 4", "c", "$lists"),
    _refer("refer to issue that is not there, 5", "c", "iss-none"),
    _search("of an experiment"),
    _search("with their traces", include_trace_count=True),
    _search("of an experiment not there", experiment_id="987"),
    _search("of a deleted experiment", experiment_id="$rg"),
    _search("of an experiment of a wrong id", experiment_id="x"),
    Ask("search issues everywhere", "POST", f"{_ISSUES}/search", {}),
    _filtered("status", "status = 'pending'"),
    _filtered("another status", "status != 'pending'"),
    _filtered("run", "source_run_id = '$rr'"),
    _filtered("another run", "source_run_id != 'x' AND status = \"rejected\""),
    _filtered("a number", "source_run_id = 5"),
    _filtered("a word without quotes", "status = pending"),
    _filtered("severity", "severity = 'high'"),
    _filtered("pattern", "status LIKE 'p%'"),
    _filtered("list", "status IN ('pending')"),
    _filtered("or", "status = 'a' OR status = 'b'"),
    _filtered("nonsense", "status ="),
    Ask(
        "search issues, first page",
        "POST",
        f"{_ISSUES}/search",
        {"experiment_id": "$re", "max_results": 2, "include_trace_count": True},
        keep={"issues_page": "next_page_token"},
    ),
    _search("of a second page", max_results=2, include_trace_count=True, page_token="$issues_page"),
    _search("of no page", max_results=0),
    _search("of too large a page", max_results=50_001),
    _search("by a false token", page_token="x"),
]

# What Runnel takes otherwise, sent when nothing is listed any more.
ISSUES_OTHERWISE = [
    _issue("with a name too long", name="n" * 251, experiment_id="$ro"),
    _update_issue("by a name too long", name="n" * 251),
    Ask("update issue without its id in the body", "PATCH", f"{_ISSUES}/$plain", {"name": "later"}),
]
