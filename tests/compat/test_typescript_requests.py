"""The requests of MLflow's SDK for TypeScript (`mlflow-tracing` 0.1 of npm) lead to traces that the client reads.

The package itself cannot be installed where these tests must run; what it sends and reads is written down here.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import mlflow
import pytest

from tests.api_client import Api
from tests.server_process import ServerProcess
from tests.trace_requests import START_MS, new_otel_id

BACKENDS = ["sqlite"]

START_NS = START_MS * 1_000_000


def span(otel_id: str, number: int, parent: int | None, **fields: Any) -> dict[str, Any]:
    """A span of `traces.json`: ids in base64, attributes as they are, an empty parent for the root."""

    def in_base64(hexadecimal: str) -> str:
        return base64.b64encode(bytes.fromhex(hexadecimal)).decode()

    own = fields.pop("attributes")
    return {
        "trace_id": in_base64(otel_id),
        "span_id": in_base64(f"{number:016x}"),
        "parent_span_id": in_base64(f"{parent:016x}") if parent else "",
        "start_time_unix_nano": START_NS + number,
        "end_time_unix_nano": START_NS + 40_000_000,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": f"tr-{otel_id}", **own},
        "events": [],
        "links": [],
        **fields,
    }


@pytest.fixture
def api(server: ServerProcess) -> Any:
    with Api(server.url) as api:
        yield api


def test_a_trace_of_the_typescript_sdk_is_read_with_its_spans(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    info = {
        "trace_id": f"tr-{otel_id}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
        "request_preview": '{"city":"Oslo"}',
        "response_preview": '"sunny"',
        "request_time": "2023-11-14T22:13:20.000Z",
        "execution_duration": "0.04s",
        "state": "OK",
        "trace_metadata": {
            "mlflow.trace_schema.version": "3",
            "mlflow.trace.tokenUsage": '{"input_tokens":3,"output_tokens":2,"total_tokens":5}',
        },
        "tags": {},
        "assessments": [],
    }
    answer = api.post("/api/3.0/mlflow/traces", trace={"trace_info": info})["trace"]["trace_info"]
    assert answer["execution_duration"] == "0.040s" and answer["state"] == "OK"
    location = urlsplit(answer["tags"]["mlflow.artifactLocation"])
    assert location.scheme == "mlflow-artifacts"

    root = span(
        otel_id,
        1,
        None,
        name="getWeather",
        attributes={"mlflow.spanInputs": {"city": "Oslo"}, "mlflow.spanType": "TOOL"},
    )
    failed = span(
        otel_id,
        2,
        1,
        name="fetch",
        attributes={"mlflow.spanType": "LLM", "mlflow.chat.tokenUsage": {"input_tokens": 3, "output_tokens": 2}},
        status={"code": "STATUS_CODE_ERROR", "message": "Error: timeout"},
    )
    file = f"/api/2.0/mlflow-artifacts/artifacts{location.path}/traces.json"
    uploaded = api.send("PUT", file, json={"spans": [root, failed]})
    assert (uploaded.status_code, uploaded.json()) == (200, {}), "the SDK parses every answer"
    assert api.get(f"/api/3.0/mlflow/traces/tr-{otel_id}")["trace"]["trace_info"]["trace_id"] == f"tr-{otel_id}"
    assert api.send("GET", file).json() == {"spans": [root, failed]}

    (trace,) = mlflow.search_traces(locations=[experiment_id], return_type="list")
    assert trace.info.token_usage == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    top, inner = trace.data.spans
    assert (top.name, top.inputs, top.span_type) == ("getWeather", {"city": "Oslo"}, "TOOL")
    assert (inner.parent_id, inner.status.status_code.value) == (top.span_id, "ERROR")
