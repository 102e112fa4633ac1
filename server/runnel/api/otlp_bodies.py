"""The bodies of requests to /v1/traces: export requests of OpenTelemetry's protocol, in protobuf or JSON.

protobuf and opentelemetry-proto are imported when the first request comes: they cost memory that a server without
traces spares.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from runnel.api import otlp_wire
from runnel.api.json_sizes import check_json_size
from runnel.api.otlp import ValueCount, span_content, values_of
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.model_prices import ModelPrices
from runnel.domain.spans import SpanContent

if TYPE_CHECKING:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MAX_SPANS_PER_REQUEST = 50_000
_MAX_DEPTH = 100  # of JSON, as of protobuf


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says JSON; the other form is protobuf."""
    return _media_type(content_type) == JSON


def _media_type(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


class ResourceSpans(NamedTuple):
    """A resource and the spans that come from it, each made when it is asked for."""

    resource: Resource
    spans: Iterator[Span]


def parse_export_request(body: bytes, content_type: str, prices: ModelPrices) -> list[SpanContent]:
    """The spans of an export request in protobuf or JSON.

    Raises InvalidParameterValue that says what is wrong, RequestTooLarge that names the limit. Of messages only one
    span is there at a time.
    """
    from google.protobuf.json_format import ParseError
    from google.protobuf.message import DecodeError

    media_type = _media_type(content_type)
    if media_type not in (PROTOBUF, JSON):
        raise InvalidParameterValue(f"Invalid Content-Type: {content_type[:100]}. Expected: {PROTOBUF} or {JSON}")
    contents: list[SpanContent] = []
    count = ValueCount()
    has_resources = False
    try:
        for resource_spans in _in_json(body) if media_type == JSON else _in_protobuf(body):
            has_resources = True
            resource = values_of(resource_spans.resource.attributes, count)
            for span in resource_spans.spans:
                if len(contents) == MAX_SPANS_PER_REQUEST:
                    raise InvalidParameterValue(f"A request can contain at most {MAX_SPANS_PER_REQUEST} spans")
                contents.append(span_content(span, resource, prices, count))
    except (DecodeError, ParseError, ValueError, RecursionError) as error:
        raise InvalidParameterValue(f"Invalid OpenTelemetry format: {str(error)[:300]}") from None
    if not has_resources:
        raise InvalidParameterValue("Invalid OpenTelemetry format - no spans found")
    return contents


def _in_protobuf(body: bytes) -> Iterator[ResourceSpans]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    def parsed(spans: Iterator[bytes]) -> Iterator[Span]:
        for data in spans:
            otlp_wire.check_message(data, otlp_wire.SPAN, "A span")
            yield Span.FromString(data)

    if len(body) <= otlp_wire.SHORT_MESSAGE_BYTES:  # all at once is quicker, and cannot be much
        for whole in ExportTraceServiceRequest.FromString(body).resource_spans:
            yield ResourceSpans(whole.resource, (span for scope in whole.scope_spans for span in scope.spans))
        return
    for resource_spans in otlp_wire.walk(body):
        otlp_wire.check_message(resource_spans.resource, otlp_wire.RESOURCE, "A resource")
        yield ResourceSpans(Resource.FromString(resource_spans.resource), parsed(resource_spans.spans))


def _in_json(body: bytes) -> Iterator[ResourceSpans]:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    def parsed(scopes: list[dict[str, Any]]) -> Iterator[Span]:
        for scope in scopes:
            for span in _objects(scope, "spans"):
                for holder in [span, *_objects(span, "links")]:
                    _take_base64_ids(holder)
                yield ParseDict(span, Span(), ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH)

    check_json_size(body)
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the body is no JSON object")
    for resource_spans in _objects(document, "resourceSpans"):
        resource = ParseDict(
            resource_spans.get("resource") or {}, Resource(), ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH
        )
        yield ResourceSpans(resource, parsed(_objects(resource_spans, "scopeSpans")))


def _objects(holder: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The objects in a list, which may be missing."""
    items = holder.get(field) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"'{field}' must be a list of objects")
    return items


def _take_base64_ids(holder: dict[str, Any]) -> None:
    """OTLP writes ids in hexadecimal, where protobuf's own JSON has base64."""
    for field in ("traceId", "spanId", "parentSpanId"):
        if value := holder.get(field):
            if not isinstance(value, str):
                raise ValueError(f"'{field}' must be hexadecimal")
            holder[field] = base64.b64encode(bytes.fromhex(value)).decode()
