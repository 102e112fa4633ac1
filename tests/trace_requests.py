"""Traces and spans as clients send them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.api_client import Api

PROTOBUF = "application/x-protobuf"
START_MS = 1_700_000_000_000  # when the traces of the tests begin: 2023-11-14T22:13:20Z


def new_otel_id() -> str:
    """The id of a trace as OpenTelemetry has it: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def any_value(value: Any) -> AnyValue:
    """A value as OpenTelemetry's protocol holds it."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    raise TypeError(type(value).__name__)


def key_values(values: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as OpenTelemetry's protocol holds them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def otel_span(
    otel_id: str,
    number: int = 1,
    parent: int | None = None,
    *,
    name: str = "span",
    start: int = 0,
    end: int | None = 10,
    status: int = 0,
    message: str = "",
    attributes: Mapping[str, Any] | None = None,
    events: Iterable[Span.Event] = (),
    links: Iterable[Span.Link] = (),
) -> Span:
    """A span, its number as its id; times in milliseconds behind ``START_MS``."""
    span = Span(
        trace_id=bytes.fromhex(otel_id),
        span_id=number.to_bytes(8, "big"),
        name=name,
        start_time_unix_nano=(START_MS + start) * 1_000_000,
        end_time_unix_nano=0 if end is None else (START_MS + end) * 1_000_000,
        attributes=key_values(attributes or {}),
        events=events,
        links=links,
    )
    span.status.code = status  # type: ignore[assignment]
    span.status.message = message
    if parent is not None:
        span.parent_span_id = parent.to_bytes(8, "big")
    return span


def export_request(*spans: Span, resource: Mapping[str, Any] | None = None) -> ExportTraceServiceRequest:
    """The request that carries spans of one resource."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(key_values(resource or {}))
    resource_spans.scope_spans.add().spans.extend(spans)
    return request


def send_spans(
    api: Api, experiment_id: str | None, *spans: Span, resource: Mapping[str, Any] | None = None, **headers: str
) -> httpx.Response:
    """Sends spans to /v1/traces; the response, whatever it is."""
    return send_body(api, experiment_id, export_request(*spans, resource=resource).SerializeToString(), **headers)


def send_body(
    api: Api, experiment_id: str | None, body: bytes, content_type: str = PROTOBUF, **headers: str
) -> httpx.Response:
    """Sends bytes to /v1/traces; headers are named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": content_type}
    if experiment_id is not None:
        named["x-mlflow-experiment-id"] = experiment_id
    return api.send("POST", "/v1/traces", content=body, headers=named)


def log_spans(api: Api, experiment_id: str, *spans: Span, resource: Mapping[str, Any] | None = None) -> None:
    """Sends spans, which must succeed."""
    response = send_spans(api, experiment_id, *spans, resource=resource)
    assert response.status_code == 200, response.text


def trace_info(trace_id: str, experiment_id: str, *, start: int = 0, **fields: Any) -> dict[str, Any]:
    """A trace as its client sends it; ``start`` in milliseconds behind ``START_MS``."""
    time = datetime.fromtimestamp((START_MS + start) / 1000, UTC)
    return {
        "trace_id": trace_id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
        "request_time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "state": "OK",
    } | fields


def start_trace(api: Api, experiment_id: str, trace_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """Stores a trace as clients do; gives it back as the server answers it."""
    info = trace_info(trace_id or f"tr-{new_otel_id()}", experiment_id, **fields)
    answer: dict[str, Any] = api.post("/api/3.0/mlflow/traces", trace={"trace_info": info})["trace"]["trace_info"]
    return answer


def get_info(api: Api, trace_id: str) -> Any:
    """A trace without its spans."""
    return api.get(f"/api/3.0/mlflow/traces/{trace_id}")["trace"]["trace_info"]


def get_spans(api: Api, trace_id: str) -> list[Any]:
    """The spans of a trace as MLflow's API answers them, whether it has ended or not."""
    spans: list[Any] = api.get("/api/3.0/mlflow/traces/get", trace_id=trace_id, allow_partial="true")["trace"]["spans"]
    return spans


def attributes_of(span: Any) -> dict[str, Any]:
    """The attributes of a span in an answer, as the wire holds their values."""
    return {attribute["key"]: attribute.get("value") for attribute in span.get("attributes", [])}


def locations(*experiment_ids: str) -> list[dict[str, Any]]:
    """Where a search for traces looks."""
    return [
        {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
        for experiment_id in experiment_ids
    ]
