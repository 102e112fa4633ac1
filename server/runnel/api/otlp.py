"""OpenTelemetry's protocol over HTTP at /v1/traces: from its bytes to spans as MLflow keeps them, and back.

protobuf and opentelemetry-proto are imported when the first request comes: they cost memory that a server without
traces spares.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import orjson

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.otel_conventions import translate
from runnel.domain.spans import REQUEST_ID, STATUS_CODE_NAMES, SpanContent, decoded

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MAX_SPANS_PER_REQUEST = 50_000
_INT64 = range(-(2**63), 2**63)
# Of the values of an attribute. Clients read messages of protobuf up to 100 within each other, and an object within an
# object is three; what lies deeper is answered as its JSON.
_MAX_NESTING = 30
_JSON_STARTS = ("{", "[", '"')
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says JSON; the other form is protobuf."""
    return _media_type(content_type) == JSON


def _media_type(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def parse_export_request(body: bytes, content_type: str) -> list[SpanContent]:
    """The spans of an export request in protobuf or JSON; raises InvalidParameterValue that says what is wrong."""
    from google.protobuf.json_format import Parse, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest()
    media_type = _media_type(content_type)
    if media_type not in (PROTOBUF, JSON):
        raise InvalidParameterValue(f"Invalid Content-Type: {content_type[:100]}. Expected: {PROTOBUF} or {JSON}")
    try:
        if media_type == JSON:
            Parse(_with_base64_ids(body), message, ignore_unknown_fields=True, max_recursion_depth=100)
        else:
            message.ParseFromString(body)
    except (DecodeError, ParseError, ValueError, RecursionError) as error:
        raise InvalidParameterValue(f"Invalid OpenTelemetry format: {str(error)[:300]}") from None
    if not message.resource_spans:
        raise InvalidParameterValue("Invalid OpenTelemetry format - no spans found")
    return list(_spans(message))


def _with_base64_ids(body: bytes) -> str:
    """OTLP writes ids in hexadecimal, where protobuf's own JSON has base64."""
    document = json.loads(body)
    try:
        for resource_spans in document.get("resourceSpans", []):
            for scope_spans in resource_spans.get("scopeSpans", []):
                for span in scope_spans.get("spans", []):
                    for holder in [span, *span.get("links", [])]:
                        for field in ("traceId", "spanId", "parentSpanId"):
                            if holder.get(field):
                                holder[field] = base64.b64encode(bytes.fromhex(holder[field])).decode()
    except (AttributeError, TypeError):
        raise ValueError("resourceSpans, scopeSpans, spans and their ids are not what OTLP/JSON has there") from None
    return json.dumps(document)


def _spans(message: ExportTraceServiceRequest) -> Iterator[SpanContent]:
    count = 0
    for resource_spans in message.resource_spans:
        resource = {attribute.key: _value(attribute.value) for attribute in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                count += 1
                if count > MAX_SPANS_PER_REQUEST:
                    raise InvalidParameterValue(f"A request can contain at most {MAX_SPANS_PER_REQUEST} spans")
                yield _span_content(span, resource)


def _span_content(span: Span, resource: dict[str, Any]) -> SpanContent:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        raise InvalidParameterValue("A span's 'trace_id' must be 16 bytes, not all of them zero")
    if len(span.span_id) != 8 or not any(span.span_id):
        raise InvalidParameterValue("A span's 'span_id' must be 8 bytes, not all of them zero")
    if span.parent_span_id and len(span.parent_span_id) != 8:
        raise InvalidParameterValue("A span's 'parent_span_id' must be 8 bytes")
    start, end = span.start_time_unix_nano, span.end_time_unix_nano or None
    if start not in _INT64 or (end is not None and end not in _INT64):
        raise InvalidParameterValue("A span's times must be nanoseconds since the epoch in 63 bits")
    trace_id = f"tr-{span.trace_id.hex()}"
    attributes = {_storable(attribute.key): _text(_value(attribute.value)) for attribute in span.attributes}
    # The id is what the bytes say, not what a client claims beside them.
    attributes[REQUEST_ID] = _dump(trace_id)
    status_code = span.status.code if span.status.code in (1, 2) else 0
    parent = span.parent_span_id.hex() if any(span.parent_span_id) else None
    name = _storable(span.name)
    dictionary: dict[str, Any] = {
        "trace_id": base64.b64encode(span.trace_id).decode(),
        "span_id": base64.b64encode(span.span_id).decode(),
        "parent_span_id": base64.b64encode(span.parent_span_id).decode() if parent else None,
        "name": name,
        "start_time_unix_nano": start,
        "end_time_unix_nano": end,
        "events": [
            {
                "name": _storable(event.name),
                "time_unix_nano": event.time_unix_nano,
                "attributes": _strict(_values(event.attributes)),
            }
            for event in span.events
        ],
        "status": {"code": STATUS_CODE_NAMES[status_code], "message": _storable(span.status.message)},
        "attributes": attributes,
        "links": [
            {
                "trace_id": f"tr-{link.trace_id.hex()}",
                "span_id": link.span_id.hex(),
                "attributes": _strict(_values(link.attributes)),
            }
            for link in span.links
        ],
    }
    attributes |= translate(attributes, dictionary["events"])  # the dictionary's own attributes
    return SpanContent(
        trace_id=trace_id,
        span_id=span.span_id.hex(),
        parent_span_id=parent,
        name=name,
        status_code=status_code,
        start_time_ns=start,
        end_time_ns=end,
        attributes=attributes,
        content=_ENCODE(dictionary),
        resource=resource,
    )


def _storable(text: str) -> str:
    """A text without NUL characters, which no database but SQLite takes."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _text(value: Any) -> str:
    """The JSON of an attribute's value, which is the value itself where that is the JSON of an object, list or string.

    So MLflow's own attributes arrive through exporters that send nothing but texts (as in ``sanitize_attributes``).
    """
    if isinstance(value, str) and value.lstrip()[:1] in _JSON_STARTS and "\\u0000" not in value and _is_json(value):
        return value
    return _dump(value)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
        return True
    except ValueError:
        pass
    try:
        value = json.loads(text)  # takes NaN as well
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair, which no answer can hold
        return True
    except (ValueError, RecursionError):
        return False


def _dump(value: Any) -> str:
    # As MLflow writes it: filters compare with this text.
    return encode_basestring(value) if type(value) is str else _ENCODE(value)


def _values(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {_storable(attribute.key): _value(attribute.value) for attribute in attributes}


def _strict(value: Any) -> Any:
    """A value that is JSON: NaN and infinities become what they are on the wire, ``{"double_value": "NaN"}``."""
    match value:
        case float() if not math.isfinite(value):
            return _wire_value(value)
        case list():
            return [_strict(item) for item in value]
        case dict():
            return {key: _strict(item) for key, item in value.items()}
    return value


def _value(any_value: AnyValue) -> Any:
    match any_value.WhichOneof("value"):
        case None:
            return None
        case "string_value":
            return _storable(any_value.string_value)
        case "array_value":
            return [_value(item) for item in any_value.array_value.values]
        case "kvlist_value":
            return _values(any_value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(any_value.bytes_value).decode()
        case kind:
            return getattr(any_value, kind)


# Back to the wire: spans in the answers of MLflow's API are OpenTelemetry's, in protobuf's JSON.


def to_wire_span(dictionary: dict[str, Any]) -> dict[str, Any]:
    """A kept span as MLflow's API answers it."""
    status = dictionary.get("status") or {}
    code, message = status.get("code", STATUS_CODE_NAMES[0]), status.get("message")
    wire_status: dict[str, Any] = {} if code == STATUS_CODE_NAMES[0] else {"code": code}
    if message:
        wire_status["message"] = message
    span: dict[str, Any] = {
        "trace_id": dictionary["trace_id"],
        "span_id": dictionary["span_id"],
        "name": dictionary["name"],
        "start_time_unix_nano": dictionary["start_time_unix_nano"],
        "status": wire_status,
    }
    if dictionary.get("parent_span_id"):
        span["parent_span_id"] = dictionary["parent_span_id"]
    if dictionary.get("end_time_unix_nano"):
        span["end_time_unix_nano"] = dictionary["end_time_unix_nano"]
    attributes = dictionary.get("attributes") or {}
    if attributes:
        span["attributes"] = [{"key": key, "value": _wire_value(decoded(text))} for key, text in attributes.items()]
    if dictionary.get("events"):
        span["events"] = [
            {"name": event["name"], "time_unix_nano": event["time_unix_nano"]}
            | _wire_attributes(event.get("attributes"))
            for event in dictionary["events"]
        ]
    if dictionary.get("links"):
        span["links"] = [
            {"trace_id": _base64_of(link["trace_id"].removeprefix("tr-")), "span_id": _base64_of(link["span_id"])}
            | _wire_attributes(link.get("attributes"))
            for link in dictionary["links"]
        ]
    return span


def _base64_of(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _wire_attributes(attributes: dict[str, Any] | None) -> dict[str, Any]:
    if not attributes:
        return {}
    return {"attributes": [{"key": key, "value": _wire_value(value)} for key, value in attributes.items()]}


def _wire_value(value: Any, depth: int = 0) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case bool():
            return {"bool_value": value}
        case str():
            return {"string_value": value}
        case int():
            return {"int_value": value} if value in _INT64 else {"string_value": str(value)}
        case float():
            if math.isfinite(value):
                return {"double_value": value}
            return {"double_value": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
        case {"double_value": "NaN" | "Infinity" | "-Infinity"} if len(value) == 1:
            return {"double_value": value["double_value"]}
        case list() | dict() if depth == _MAX_NESTING:
            return {"string_value": json.dumps(value, ensure_ascii=False)}
        case list():
            return {"array_value": {"values": [_wire_value(item, depth + 1) for item in value]}}
        case dict():
            members = [{"key": key, "value": _wire_value(item, depth + 1)} for key, item in value.items()]
            return {"kvlist_value": {"values": members}}
    raise TypeError(f"no wire form for {type(value).__name__}")
