"""Spans as they go to /v1/traces, the same bytes each time: the requests of the comparison are data."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.compat.exchange import Ask
from tests.trace_requests import PROTOBUF, START_MS, export_request, key_values, otel_span

__all__ = ["PROTOBUF", "event", "export", "span"]


def span(otel_id: str, number: int = 1, parent: int | None = None, **fields: Any) -> Span:
    """A span of the trace with this id; times in milliseconds behind the start of the tests' traces."""
    return otel_span(otel_id, number, parent, **fields)


def event(name: str, time: int, attributes: dict[str, Any]) -> Span.Event:
    """An event of a span; ``time`` as that of a span."""
    return Span.Event(name=name, time_unix_nano=(START_MS + time) * 1_000_000, attributes=key_values(attributes))


def export(what: str, experiment: str, *spans: Span, resource: dict[str, Any] | None = None, **headers: str) -> Ask:
    """The request that brings spans to an experiment, which `$name` may stand for."""
    request: ExportTraceServiceRequest = export_request(*spans, resource=resource)
    named = {"content-type": PROTOBUF, "x-mlflow-experiment-id": experiment, **headers}
    return Ask(what, "POST", "/v1/traces", request.SerializeToString(deterministic=True), headers=named)
