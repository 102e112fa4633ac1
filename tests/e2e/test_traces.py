"""Traces as clients of MLflow 3 send and read them: start, get, batches, tags, runs."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.api_client import Api, invalid, missing, not_there, refusal
from tests.trace_requests import (
    START_MS,
    get_info,
    get_spans,
    locations,
    log_spans,
    new_otel_id,
    otel_span,
    start_trace,
    trace_info,
)

TRACES = "/api/3.0/mlflow/traces"
BOTH_TAG_PATHS = ["/api/3.0/mlflow/traces/{}/tags", "/api/2.0/mlflow/traces/{}/tags"]


def set_tag(api: Api, trace_id: str, path: str = BOTH_TAG_PATHS[0], **fields: str) -> httpx.Response:
    return api.send("PATCH", path.format(trace_id), json=fields)


def delete_tag(api: Api, trace_id: str, path: str = BOTH_TAG_PATHS[0], **fields: str) -> httpx.Response:
    return api.send("DELETE", path.format(trace_id), json=fields)


def start_refused(api: Api, experiment_id: str, **fields: Any) -> Any:
    info = trace_info(f"tr-{new_otel_id()}", experiment_id) | fields
    return api.post_refused(TRACES, trace={"trace_info": info})


# Starting


def test_a_trace_is_read_back_as_it_was_sent(api: Api, experiment_id: str) -> None:
    trace_id = f"tr-{new_otel_id()}"
    sent = trace_info(
        trace_id,
        experiment_id,
        start=7,
        state="ERROR",
        execution_duration="1.250s",
        client_request_id="req-1",
        request_preview='{"q": "é"}',
        response_preview="out",
        trace_metadata={"mlflow.trace.session": "s", "mlflow.trace.tokenUsage": '{"input_tokens": 3}', "own": "x"},
        tags={"mlflow.traceName": "chat", "a": "b"},
    )
    answer = api.post(TRACES, trace={"trace_info": sent})["trace"]["trace_info"]
    location = f"mlflow-artifacts:/{experiment_id}/traces/{trace_id}/artifacts"
    assert answer == sent | {
        "request_time": "2023-11-14T22:13:20.007Z",
        "execution_duration": "1.250s",
        "trace_metadata": sent["trace_metadata"] | {"mlflow.trace.infoFinalized": "true"},
        "tags": sent["tags"] | {"mlflow.artifactLocation": location},
    }
    assert get_info(api, trace_id) == answer
    assert api.get(f"/ajax-api/3.0/mlflow/traces/{trace_id}") == {"trace": {"trace_info": answer}}


def test_a_trace_needs_no_more_than_an_id_and_an_experiment(api: Api, experiment_id: str) -> None:
    trace_id = f"tr-{new_otel_id()}"
    before = time.time()
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    api.post(TRACES, trace={"trace_info": {"trace_id": trace_id, "trace_location": place}})
    info = get_info(api, trace_id)
    assert info["state"] == "STATE_UNSPECIFIED"
    assert before - 1 <= _seconds(info["request_time"]) <= time.time() + 1
    assert "execution_duration" not in info


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"),
        ("2023-11-14T22:13:20.5Z", "2023-11-14T22:13:20.500Z"),
        ("2023-11-14T22:13:20.123456789Z", "2023-11-14T22:13:20.123Z"),
        ("2023-11-15T00:13:20+02:00", "2023-11-14T22:13:20Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_kept_to_the_millisecond(api: Api, experiment_id: str, sent: str, read: str) -> None:
    assert start_trace(api, experiment_id, request_time=sent)["request_time"] == read


def test_a_trace_that_is_sent_again_counts_as_it_was_sent_last(api: Api, experiment_id: str) -> None:
    first = {"tags": {"a": "1", "b": "1"}, "trace_metadata": {"m": "1"}, "request_preview": "first"}
    trace_id = start_trace(api, experiment_id, start=5, **first)["trace_id"]
    second = {"tags": {"a": "2"}, "trace_metadata": {"n": "2"}, "state": "ERROR", "execution_duration": "3s"}
    info = start_trace(api, experiment_id, trace_id, start=1, **second)
    assert (info["state"], info["execution_duration"], info["request_preview"]) == ("ERROR", "3s", "first")
    assert info["request_time"] == "2023-11-14T22:13:20.001Z"
    tags = {key: value for key, value in info["tags"].items() if not key.startswith("mlflow.")}
    assert tags == {"a": "2", "b": "1"}
    assert info["trace_metadata"] == {"m": "1", "n": "2", "mlflow.trace.infoFinalized": "true"}


def test_the_client_has_the_last_word_on_a_trace_whose_spans_came_first(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    span = otel_span(otel_id, name="root", status=2, attributes={"mlflow.spanInputs": "from the span"})
    log_spans(api, experiment_id, span, resource={"service.name": "shop"})
    info = start_trace(api, experiment_id, f"tr-{otel_id}", start=500, execution_duration="1s", tags={"a": "b"})
    assert (info["state"], info["execution_duration"]) == ("OK", "1s")
    assert info["request_preview"] == '"from the span"'
    assert info["tags"]["service.name"] == "shop"
    assert len(get_spans(api, f"tr-{otel_id}")) == 1


def test_a_trace_moves_to_the_experiment_that_its_client_names(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    elsewhere = api.new_experiment()
    log_spans(api, elsewhere, otel_span(otel_id), resource={"service.name": "shop"})
    start_trace(api, experiment_id, f"tr-{otel_id}")
    search = {"filter": "tags.service.name = 'shop' AND span.name = 'span'"}
    assert api.post(f"{TRACES}/search", locations=locations(elsewhere), **search)["traces"] == []
    found = api.post(f"{TRACES}/search", locations=locations(experiment_id), **search)["traces"]
    assert [trace["trace_id"] for trace in found] == [f"tr-{otel_id}"]


def test_assessments_come_with_a_trace(api: Api, experiment_id: str) -> None:
    source = {"source_type": "HUMAN", "source_id": "me"}
    sent = {"assessment_name": "good", "source": source, "feedback": {"value": True}, "rationale": "why not"}
    trace_id = start_trace(api, experiment_id, assessments=[sent])["trace_id"]
    (assessment,) = get_info(api, trace_id)["assessments"]
    assert {key: assessment[key] for key in sent} == sent
    assert assessment["trace_id"] == trace_id
    assert assessment["valid"] is True


def test_long_values_are_cut_rather_than_lose_the_trace(api: Api, experiment_id: str) -> None:
    long = "v" * 9000
    info = start_trace(
        api, experiment_id, tags={"a": long}, trace_metadata={"b": long}, request_preview=long, response_preview=long
    )
    assert (info["tags"]["a"], info["trace_metadata"]["b"]) == (long[:8000], long[:8000])
    assert (info["request_preview"], info["response_preview"]) == (long[:8000], long[:8000])


def test_where_its_files_are_is_the_servers_to_say(api: Api, experiment_id: str) -> None:
    info = start_trace(api, experiment_id, tags={"mlflow.artifactLocation": "file:///etc"})
    expected = f"mlflow-artifacts:/{experiment_id}/traces/{info['trace_id']}/artifacts"
    assert info["tags"]["mlflow.artifactLocation"] == expected


def test_a_trace_that_cannot_be_is_refused_with_the_reason(api: Api, experiment_id: str) -> None:
    assert api.post_refused(TRACES) == missing("trace")
    assert api.post_refused(TRACES, trace={"trace_info": {}}) == missing("trace.trace_info.trace_id")
    too_long = invalid("'trace_id' exceeds the maximum length of 50 characters")
    assert start_refused(api, experiment_id, trace_id="t" * 51) == too_long
    unknown = not_there("No Experiment with id=999999999 exists")
    assert start_refused(api, "999999999") == unknown
    assert start_refused(api, "abc") == invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer.")
    name = {"mlflow.traceName": "n" * 4097}
    assert start_refused(api, experiment_id, tags=name) == invalid(
        "'Trace name' exceeds the maximum length of 4096 characters"
    )
    session = {"mlflow.trace.session": "s" * 251}
    assert start_refused(api, experiment_id, trace_metadata=session) == invalid(
        "'Session ID' exceeds the maximum length of 250 characters"
    )
    key = {"k" * 251: "v"}
    assert start_refused(api, experiment_id, tags=key) == invalid(
        "'tags key' exceeds the maximum length of 250 characters"
    )
    many = {f"k{number}": "v" for number in range(1001)}
    assert start_refused(api, experiment_id, trace_metadata=many) == invalid(
        "'trace_metadata' can have at most 1000 entries"
    )
    for field, value in (("request_time", "yesterday"), ("execution_duration", "1 hour"), ("state", "DONE")):
        refused = start_refused(api, experiment_id, **{field: value})
        assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
        assert field in refused.message


# Reading


def test_a_trace_that_is_not_there_is_not_found(api: Api) -> None:
    assert api.get_refused(f"{TRACES}/tr-nope") == not_there("Trace with ID 'tr-nope' not found.")
    assert api.get_refused(f"{TRACES}/get", trace_id="tr-nope") == not_there("Trace with ID tr-nope is not found.")
    assert api.get_refused(f"{TRACES}/get") == missing("trace_id")


def test_a_trace_comes_with_its_spans(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    stats = {"mlflow.trace.sizeStats": json.dumps({"num_spans": 2})}
    log_spans(api, experiment_id, otel_span(otel_id, 1), otel_span(otel_id, 2, 1))
    start_trace(api, experiment_id, f"tr-{otel_id}", trace_metadata=stats)
    trace = api.get(f"{TRACES}/get", trace_id=f"tr-{otel_id}")["trace"]
    assert trace["trace_info"] == get_info(api, f"tr-{otel_id}")
    assert len(trace["spans"]) == 2


def test_spans_that_are_on_their_way_are_waited_for(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    stats = {"mlflow.trace.sizeStats": json.dumps({"num_spans": 3})}
    log_spans(api, experiment_id, otel_span(otel_id, 1))
    start_trace(api, experiment_id, f"tr-{otel_id}", trace_metadata=stats)
    assert len(get_spans(api, f"tr-{otel_id}")) == 1  # a part of it is there for who asks for it
    begin = time.monotonic()
    late = api.get_refused(f"{TRACES}/get", trace_id=f"tr-{otel_id}")
    reason = f"Trace with ID tr-{otel_id} is not fully exported yet, please try again later."
    assert late == not_there(reason)
    assert 2 < time.monotonic() - begin < 10
    assert api.get(f"{TRACES}/batchGet", trace_ids=[f"tr-{otel_id}"]) == {"traces": []}
    log_spans(api, experiment_id, otel_span(otel_id, 2, 1), otel_span(otel_id, 3, 1))
    assert len(api.get(f"{TRACES}/get", trace_id=f"tr-{otel_id}")["trace"]["spans"]) == 3
    assert len(api.get(f"{TRACES}/batchGet", trace_ids=[f"tr-{otel_id}"])["traces"]) == 1


def test_a_trace_whose_spans_are_a_file_has_none_to_give(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    refused = api.get_refused(f"{TRACES}/get", trace_id=trace_id)
    assert refused == not_there("Trace data not stored in tracking store")


def test_traces_are_read_in_batches_in_the_order_asked_for(api: Api, experiment_id: str) -> None:
    ids = [new_otel_id() for _ in range(25)]
    log_spans(api, experiment_id, *[otel_span(otel_id) for otel_id in ids])
    named = [f"tr-{otel_id}" for otel_id in ids]
    asked = [named[3], "tr-unknown", named[1], named[3], *named[4:]]
    expected = [named[3], named[1], *named[4:]]
    traces = api.get(f"{TRACES}/batchGet", trace_ids=asked)["traces"]
    assert [trace["trace_info"]["trace_id"] for trace in traces] == expected
    assert all(len(trace["spans"]) == 1 for trace in traces)
    infos = api.post(f"{TRACES}/batchGetInfos", trace_ids=asked)["trace_infos"]
    assert infos == [trace["trace_info"] for trace in traces]


def test_a_batch_can_be_narrowed_to_experiments(api: Api, experiment_id: str) -> None:
    here, there = new_otel_id(), new_otel_id()
    other = api.new_experiment()
    log_spans(api, experiment_id, otel_span(here))
    log_spans(api, other, otel_span(there))
    asked = {"trace_ids": [f"tr-{here}", f"tr-{there}"], "experiment_ids": [other]}
    (info,) = api.post(f"{TRACES}/batchGetInfos", **asked)["trace_infos"]
    (trace,) = api.get(f"{TRACES}/batchGet", **asked)["traces"]
    assert info["trace_id"] == trace["trace_info"]["trace_id"] == f"tr-{there}"


def test_a_batch_has_its_limit(api: Api) -> None:
    ids = [f"tr-{number}" for number in range(1001)]
    expected = invalid("'trace_ids' can contain at most 1000 ids, got 1001")
    assert api.post_refused(f"{TRACES}/batchGetInfos", trace_ids=ids) == expected
    assert api.get_refused(f"{TRACES}/batchGet", trace_ids=ids) == expected
    assert api.get_refused(f"{TRACES}/batchGet") == missing("trace_ids")


def test_a_trace_of_thousands_of_spans_is_read_back_whole(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    count = 10_000
    for first in range(1, count + 1, 2500):
        spans = [otel_span(otel_id, n, None if n == 1 else 1, start=n) for n in range(first, first + 2500)]
        log_spans(api, experiment_id, *spans)
    spans = api.get(f"{TRACES}/get", trace_id=f"tr-{otel_id}")["trace"]["spans"]
    starts = [int(span["start_time_unix_nano"]) // 1_000_000 - START_MS for span in spans]
    assert starts == list(range(1, count + 1))


# Tags


@pytest.mark.parametrize("path", BOTH_TAG_PATHS)
def test_a_tag_is_set_overwritten_and_deleted(api: Api, experiment_id: str, path: str) -> None:
    trace_id = start_trace(api, experiment_id, tags={"a": "1"})["trace_id"]
    for key, value in (("a", "2"), ("b", ""), ("mlflow.traceName", "named")):
        assert set_tag(api, trace_id, path, key=key, value=value).json() == {}
    tags = get_info(api, trace_id)["tags"]
    assert (tags["a"], tags["b"], tags["mlflow.traceName"]) == ("2", "", "named")
    assert delete_tag(api, trace_id, path, key="a").json() == {}
    assert "a" not in get_info(api, trace_id)["tags"]
    again = refusal(delete_tag(api, trace_id, path, key="a"))
    assert again == not_there(f"No trace tag with key 'a' for trace with ID '{trace_id}'")


def test_the_name_of_a_trace_is_a_tag_and_found_by(api: Api, experiment_id: str) -> None:
    def found(name: str) -> int:
        condition = f"name = '{name}'"
        return len(api.post(f"{TRACES}/search", locations=locations(experiment_id), filter=condition)["traces"])

    trace_id = start_trace(api, experiment_id, tags={"mlflow.traceName": "old"})["trace_id"]
    set_tag(api, trace_id, key="mlflow.traceName", value="new")
    assert (found("old"), found("new")) == (0, 1)
    delete_tag(api, trace_id, key="mlflow.traceName")
    assert found("new") == 0


def test_a_tag_that_cannot_be_is_refused_with_the_reason(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    assert refusal(set_tag(api, trace_id, value="v")) == missing("key")
    assert refusal(delete_tag(api, trace_id)) == missing("key")
    too_long = invalid("'key' exceeds the maximum length of 250 characters")
    assert refusal(set_tag(api, trace_id, key="k" * 251, value="v")) == too_long
    assert refusal(set_tag(api, trace_id, key="../a", value="v")).status == 400
    name = refusal(set_tag(api, trace_id, key="mlflow.traceName", value="n" * 4097))
    assert name == invalid("'Trace name' exceeds the maximum length of 4096 characters")
    unknown = not_there("Trace with ID 'tr-nope' not found.")
    assert refusal(set_tag(api, "tr-nope", key="a", value="b")) == unknown
    assert refusal(delete_tag(api, "tr-nope", key="a")) == unknown
    set_tag(api, trace_id, key="long", value="v" * 9000)
    assert get_info(api, trace_id)["tags"]["long"] == "v" * 8000


@pytest.mark.parametrize("path", BOTH_TAG_PATHS)
def test_where_the_spans_are_is_the_servers_to_say(api: Api, experiment_id: str, path: str) -> None:
    otel_id = new_otel_id()
    log_spans(api, experiment_id, otel_span(otel_id))
    key = "mlflow.trace.spansLocation"
    setting = refusal(set_tag(api, f"tr-{otel_id}", path, key=key, value="x"))
    assert setting == invalid(f"Tag '{key}' is immutable and cannot be set on a trace.")
    deleting = refusal(delete_tag(api, f"tr-{otel_id}", path, key=key))
    assert deleting == invalid(f"Tag '{key}' is immutable and cannot be deleted on a trace.")


# Runs


def test_traces_are_linked_to_a_run(api: Api, experiment_id: str, run_id: str) -> None:
    ids = [start_trace(api, experiment_id, start=number)["trace_id"] for number in range(3)]
    for _ in range(2):  # a repetition changes nothing
        assert api.post("traces/link-to-run", run_id=run_id, trace_ids=[ids[0], ids[2], "tr-unknown"]) == {}
    found = api.post(f"{TRACES}/search", locations=locations(experiment_id), filter=f"run_id = '{run_id}'")["traces"]
    assert [trace["trace_id"] for trace in found] == [ids[2], ids[0]]


def test_a_link_has_its_limit(api: Api, run_id: str) -> None:
    assert api.post_refused("traces/link-to-run", trace_ids=["x"]) == missing("run_id")
    assert api.post_refused("traces/link-to-run", run_id=run_id) == missing("trace_ids")
    refused = api.post_refused("traces/link-to-run", run_id=run_id, trace_ids=["x"] * 101)
    assert refused == invalid("Cannot link more than 100 traces to a run in a single request. Provided 101 traces.")
