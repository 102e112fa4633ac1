"""Traces as clients before 3.0 send and read them: started, ended, their spans a file among their artifacts."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, pairs, refusal
from tests.trace_requests import START_MS, locations, log_spans, new_otel_id, otel_span, start_trace

FILES = "/api/2.0/mlflow-artifacts/artifacts"
ARTIFACT = "/ajax-api/2.0/mlflow/get-trace-artifact"
SEARCH = "/api/3.0/mlflow/traces/search"


def start(api: Api, experiment_id: str, **fields: Any) -> dict[str, Any]:
    info: dict[str, Any] = api.post("traces", experiment_id=experiment_id, **fields)["trace_info"]
    return info


def end(api: Api, request_id: str, **fields: Any) -> Any:
    response = api.send("PATCH", f"traces/{request_id}", json={"request_id": request_id} | fields)
    assert response.status_code == 200, response.text
    return response.json()["trace_info"]


def by_key(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}


def test_a_trace_is_started_and_ended(api: Api, experiment_id: str) -> None:
    started = start(
        api,
        experiment_id,
        timestamp_ms=START_MS,
        request_metadata=pairs(a="b", **{"mlflow.trace.session": "s"}),
        tags=pairs(x="y", **{"mlflow.traceName": "chat"}),
    )
    request_id = started["request_id"]
    location = f"mlflow-artifacts:/{experiment_id}/traces/{request_id}/artifacts"
    assert started["experiment_id"] == experiment_id
    assert (started["timestamp_ms"], started["execution_time_ms"], started["status"]) == (START_MS, 0, "IN_PROGRESS")
    assert by_key(started["request_metadata"]) == {"a": "b", "mlflow.trace.session": "s"}
    tags = {"x": "y", "mlflow.traceName": "chat", "mlflow.artifactLocation": location}
    assert by_key(started["tags"]) == tags

    ended = end(
        api,
        request_id,
        timestamp_ms=START_MS + 1500,
        status="ERROR",
        request_metadata=pairs(a="c"),
        tags=pairs(z="1"),
    )
    assert (ended["timestamp_ms"], ended["execution_time_ms"], ended["status"]) == (START_MS, 1500, "ERROR")
    assert by_key(ended["request_metadata"]) == {"a": "c", "mlflow.trace.session": "s"}
    assert by_key(ended["tags"]) == tags | {"z": "1"}
    assert api.get(f"traces/{request_id}/info") == {"trace_info": ended}


def test_the_newer_api_knows_the_trace(api: Api, experiment_id: str, run_id: str) -> None:
    request_id = start(api, experiment_id, timestamp_ms=START_MS, tags=pairs(**{"mlflow.traceName": "chat"}))[
        "request_id"
    ]
    totals = {"mlflow.sourceRun": run_id, "mlflow.trace.session": "late"}
    end(api, request_id, timestamp_ms=START_MS + 20, status="OK", request_metadata=pairs(**totals))
    info = api.get(f"/api/3.0/mlflow/traces/{request_id}")["trace"]["trace_info"]
    assert (info["state"], info["execution_duration"]) == ("OK", "0.020s")
    for condition in (f"run_id = '{run_id}'", "name = 'chat'", "metadata.`mlflow.trace.session` = 'late'"):
        found = api.post(SEARCH, locations=locations(experiment_id), filter=condition)["traces"]
        assert [trace["trace_id"] for trace in found] == [request_id]


def test_a_status_may_come_as_a_number_and_a_time_as_text(api: Api, experiment_id: str) -> None:
    request_id = start(api, experiment_id, timestamp_ms=str(START_MS))["request_id"]
    ended = end(api, request_id, timestamp_ms=str(START_MS + 7), status=2)
    assert (ended["status"], ended["execution_time_ms"]) == ("ERROR", 7)


def test_a_newer_trace_is_shown_in_the_older_form_with_shorter_values(api: Api, experiment_id: str) -> None:
    fields = {"trace_metadata": {"long": "m" * 300}, "tags": {"long": "t" * 5000}, "execution_duration": "1.5s"}
    trace_id = start_trace(api, experiment_id, **fields)["trace_id"]
    info = api.get(f"traces/{trace_id}/info")["trace_info"]
    assert info["execution_time_ms"] == 1500
    assert by_key(info["request_metadata"])["long"] == "m" * 250
    assert by_key(info["tags"])["long"] == "t" * 4096


def test_what_is_wrong_is_refused_with_the_reason(api: Api, experiment_id: str) -> None:
    def end_refused(request_id: str, **fields: Any) -> Refusal:
        return refusal(api.send("PATCH", f"traces/{request_id}", json=fields))

    request_id = start(api, experiment_id)["request_id"]
    assert api.post_refused("traces") == missing("experiment_id")
    unknown = not_there("No Experiment with id=999999999 exists")
    assert api.post_refused("traces", experiment_id="999999999", timestamp_ms=5) == unknown
    assert end_refused(request_id, status="OK") == missing("timestamp_ms")
    assert end_refused(request_id, timestamp_ms=5) == missing("status")
    assert end_refused(request_id, timestamp_ms=5, status="DONE").message.startswith('Invalid value "DONE"')
    assert end_refused("nope", timestamp_ms=5, status="OK") == not_there("Trace with ID 'nope' not found.")
    assert api.get_refused("traces/nope/info") == not_there("Trace with ID 'nope' not found.")
    long_key = pairs(**{"k" * 251: "v"})
    expected = invalid("'tags key' exceeds the maximum length of 250 characters")
    assert api.post_refused("traces", experiment_id=experiment_id, tags=long_key) == expected


# Its files


def get_artifact(api: Api, **fields: str) -> httpx.Response:
    return api.send("GET", ARTIFACT, params=fields)


def test_spans_that_a_client_stored_as_a_file_are_read_back(api: Api, experiment_id: str) -> None:
    request_id = start(api, experiment_id)["request_id"]
    content = json.dumps({"spans": [{"name": "a"}], "request": "1", "response": "2"}).encode()
    folder = f"{FILES}/{experiment_id}/traces/{request_id}/artifacts"
    assert api.send("PUT", f"{folder}/traces.json", content=content).status_code == 200
    for path in (ARTIFACT, "/ajax-api/3.0/mlflow/get-trace-artifact", "/api/2.0/mlflow/get-trace-artifact"):
        response = api.send("GET", path, params={"request_id": request_id})
        assert (response.status_code, response.content) == (200, content)
        assert response.headers["content-disposition"] == "attachment; filename=traces.json"


def test_spans_in_the_database_are_read_as_a_file(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    attributes = {"mlflow.spanInputs": {"q": "é"}, "nan": float("nan")}
    child = otel_span(otel_id, 2, 1, name="child", start=1)
    log_spans(api, experiment_id, child, otel_span(otel_id, 1, name="root", attributes=attributes))
    response = get_artifact(api, request_id=f"tr-{otel_id}")
    root, child = response.json()["spans"]
    assert (root["name"], root["parent_span_id"], child["name"]) == ("root", None, "child")
    assert root["attributes"]["mlflow.spanInputs"] == '{"q": "é"}'
    assert root["attributes"]["nan"] == "NaN"
    assert response.headers["content-disposition"] == "attachment; filename=traces.json"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_file_is_json_that_a_browser_reads_whatever_an_event_holds(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    span = otel_span(otel_id)
    event = span.events.add(name="e")
    event.attributes.add(key="x").value.double_value = float("inf")
    log_spans(api, experiment_id, span)
    (read,) = get_artifact(api, request_id=f"tr-{otel_id}").json()["spans"]
    assert read["events"][0]["attributes"] == {"x": {"double_value": "Infinity"}}


def test_an_attachment_is_read_back(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    name = str(uuid.uuid4())
    path = f"{FILES}/{experiment_id}/traces/{trace_id}/artifacts/attachments/{name}"
    assert api.send("PUT", path, content=b"\x00picture").status_code == 200
    assert get_artifact(api, request_id=trace_id, path=name).content == b"\x00picture"


def test_a_client_cannot_have_other_files_served_by_a_tag(api: Api, experiment_id: str) -> None:
    victim = f"{experiment_id}/secret/artifacts"
    assert api.send("PUT", f"{FILES}/{victim}/traces.json", content=b"secret").status_code == 200
    places = [f"mlflow-artifacts:/{victim}", "file:///etc", "http://127.0.0.1:1/"]
    for place in places:
        tags = {"mlflow.artifactLocation": place}
        trace_id = start_trace(api, experiment_id, tags=tags)["trace_id"]
        response = api.send(
            "PATCH", f"/api/3.0/mlflow/traces/{trace_id}/tags", json={"key": "mlflow.artifactLocation", "value": place}
        )
        assert response.status_code == 200
        assert refusal(get_artifact(api, request_id=trace_id)) == not_there("Trace data not found for path=traces.json")


@pytest.mark.parametrize("path", ["foo.bin", "../traces.json", "..%2Ftraces.json", "/etc/passwd", "attachments"])
def test_only_attachments_are_served_by_path(api: Api, experiment_id: str, path: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    expected = invalid(f"Invalid attachment path: '{path}'. Attachment path must be a valid UUID.")
    assert refusal(get_artifact(api, request_id=trace_id, path=path)) == expected


def test_a_file_that_is_not_there_is_not_found(api: Api, experiment_id: str) -> None:
    request_id = start(api, experiment_id)["request_id"]
    assert refusal(get_artifact(api, request_id=request_id)) == not_there("Trace data not found for path=traces.json")
    assert refusal(get_artifact(api, request_id="nope")) == not_there("Trace with ID nope is not found.")
    unnamed = Refusal(400, "BAD_REQUEST", 'Request must include the "request_id" query parameter.')
    assert refusal(get_artifact(api)) == unnamed
    missing_file = refusal(get_artifact(api, request_id=request_id, path=str(uuid.uuid4())))
    assert (missing_file.status, missing_file.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")


# Prompts


def test_prompts_are_linked_once_however_often_they_are_named(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    versions = [{"name": "p", "version": "1"}, {"name": "p", "version": "1"}, {"name": "q", "version": "2"}]
    for _ in range(2):
        assert api.post("traces/link-prompts", trace_id=trace_id, prompt_versions=versions) == {}
    for name in ("p/1", "q/2"):
        found = api.post(SEARCH, locations=locations(experiment_id), filter=f"prompt = '{name}'")["traces"]
        assert [trace["trace_id"] for trace in found] == [trace_id]


def test_a_prompt_that_cannot_be_linked_is_refused(api: Api, experiment_id: str) -> None:
    link = "traces/link-prompts"
    version = {"name": "p", "version": "1"}
    assert api.post_refused(link, prompt_versions=[version]) == missing("trace_id")
    assert api.post_refused(link, trace_id="nope") == missing("prompt_versions")
    unknown = not_there("Trace with ID 'nope' not found.")
    assert api.post_refused(link, trace_id="nope", prompt_versions=[version]) == unknown
    trace_id = start_trace(api, experiment_id)["trace_id"]
    named = [{"name": "p", "version": "latest"}]
    refused = api.post_refused(link, trace_id=trace_id, prompt_versions=named)
    assert refused == invalid(
        "Invalid value 'latest' for parameter 'prompt_versions.version' supplied. It must be an integer"
    )
