"""OpenTelemetry's spans: from its messages to spans as MLflow keeps them, and back to the wire."""

from __future__ import annotations

import base64
import json
import math
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any

import orjson

from runnel.api.json_sizes import MAX_JSON_VALUES, check_json_size, has_more_values
from runnel.domain.errors import InvalidParameterValue, RequestTooLarge
from runnel.domain.limits import INT64_MAX
from runnel.domain.model_prices import ModelPrices
from runnel.domain.otel_conventions import translate
from runnel.domain.spans import (
    COST,
    REQUEST_ID,
    STATUS_CODE_NAMES,
    SpanContent,
    decoded,
    searched_keys,
    telling_attributes,
)

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

# Each takes time and up to some hundred bytes of memory, however short it is in the request.
MAX_VALUES_PER_REQUEST = 1_000_000
_INT64 = range(-(2**63), 2**63)
# Of the values of an attribute. Clients read messages of protobuf up to 100 within each other, and an object within an
# object is three; what lies deeper is answered as its JSON.
_MAX_NESTING = 30
# Each is some hundred bytes of memory on its way; an attribute of more is answered as its JSON too.
_MAX_WIRE_VALUES = 200_000
_JSON_STARTS = frozenset('{["')
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


class ValueCount:
    """How many attributes, events, links and items of values a request may still hold."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_VALUES_PER_REQUEST

    def take(self, number: int) -> None:
        """Counts some; raises RequestTooLarge when there are too many."""
        self._left -= number
        if self._left < 0:
            raise RequestTooLarge(
                f"A request can contain at most {MAX_VALUES_PER_REQUEST} attributes, events, links and items of values"
            )


def span_content(span: Span, resource: Mapping[str, Any], prices: ModelPrices, count: ValueCount) -> SpanContent:
    """A span as MLflow keeps it; raises InvalidParameterValue for what is no span."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        raise InvalidParameterValue("A span's 'trace_id' must be 16 bytes, not all of them zero")
    if len(span.span_id) != 8 or not any(span.span_id):
        raise InvalidParameterValue("A span's 'span_id' must be 8 bytes, not all of them zero")
    if span.parent_span_id and len(span.parent_span_id) != 8:
        raise InvalidParameterValue("A span's 'parent_span_id' must be 8 bytes")
    start, end = span.start_time_unix_nano, span.end_time_unix_nano or None
    if start > INT64_MAX or (end is not None and end > INT64_MAX):
        raise InvalidParameterValue("A span's times must be nanoseconds since the epoch in 63 bits")
    count.take(len(span.attributes) + len(span.events) + len(span.links))
    trace_id = f"tr-{span.trace_id.hex()}"
    attributes: dict[str, str] = {}
    for attribute in span.attributes:
        attributes[_storable(attribute.key)] = _text(attribute.value, count)
    # The id is what the bytes say, not what a client claims beside them.
    attributes[REQUEST_ID] = f'"{trace_id}"'
    status_code = span.status.code if span.status.code in (1, 2) else 0
    parent = span.parent_span_id if any(span.parent_span_id) else None
    name = _storable(span.name)
    events = [
        {
            "name": _storable(event.name),
            "time_unix_nano": event.time_unix_nano,
            "attributes": _strict(values_of(event.attributes, count)),
        }
        for event in span.events
    ]
    links = [
        {
            "trace_id": f"tr-{link.trace_id.hex()}",
            "span_id": link.span_id.hex(),
            "attributes": _strict(values_of(link.attributes, count)),
        }
        for link in span.links
    ]
    attributes |= translate(attributes, events)
    if (cost := prices.cost_of(attributes)) is not None:
        attributes[COST] = cost
    status = f'{{"code": "{STATUS_CODE_NAMES[status_code]}", "message": {_quoted(_storable(span.status.message))}}}'
    members = ", ".join([f"{_quoted(key)}: {_quoted(text)}" for key, text in attributes.items()])
    # As json.dumps writes it, but for the dictionary that it would need.
    content = (
        f'{{"trace_id": "{_base64(span.trace_id)}", "span_id": "{_base64(span.span_id)}", '
        f'"parent_span_id": {"null" if parent is None else _quoted(_base64(parent))}, '
        f'"name": {_quoted(name)}, "start_time_unix_nano": {start}, '
        f'"end_time_unix_nano": {"null" if end is None else end}, "events": {_ENCODE(events) if events else "[]"}, '
        f'"status": {status}, "attributes": {{{members}}}, '
        f'"links": {_ENCODE(links) if links else "[]"}}}'
    )
    return SpanContent(
        trace_id=trace_id,
        span_id=span.span_id.hex(),
        parent_span_id=None if parent is None else parent.hex(),
        name=name,
        status_code=status_code,
        start_time_ns=start,
        end_time_ns=end,
        attributes=telling_attributes(attributes, is_root=parent is None),
        content=content,
        resource=resource,
        searched_keys=searched_keys(attributes),
    )


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _storable(text: str) -> str:
    """A text without NUL characters, which no database but SQLite takes."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _text(any_value: AnyValue, count: ValueCount) -> str:
    """The JSON of an attribute's value, which is the value itself where that is the JSON of an object, list or string.

    So MLflow's own attributes arrive through exporters that send nothing but texts (as in ``sanitize_attributes``).
    Numbers and lists are written as MLflow writes them: filters compare with this text.
    """
    value = _value(any_value, count)
    if type(value) is not str:
        return _ENCODE(value)
    first = value[:1]
    if first.isspace():
        first = value.lstrip()[:1]
    if first in _JSON_STARTS and "\\u0000" not in value and _is_json(value):
        return value
    return _quoted(value)


def _is_json(text: str) -> bool:
    if len(text) > MAX_JSON_VALUES:
        check_json_size(text.encode())
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


def values_of(attributes: Sequence[KeyValue], count: ValueCount) -> dict[str, Any]:
    """Attributes by their key."""
    count.take(len(attributes))
    return {_storable(attribute.key): _value(attribute.value, count) for attribute in attributes}


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


def _value(any_value: AnyValue, count: ValueCount) -> Any:
    if text := any_value.string_value:  # almost always
        return _storable(text)
    match any_value.WhichOneof("value"):
        case "string_value":
            return ""
        case None:
            return None
        case "array_value":
            items = any_value.array_value.values
            count.take(len(items))
            return [_value(item, count) for item in items]
        case "kvlist_value":
            return values_of(any_value.kvlist_value.values, count)
        case "bytes_value":
            return _base64(any_value.bytes_value)
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
        span["attributes"] = [{"key": key, "value": _wire_value_of(text)} for key, text in attributes.items()]
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


def _wire_value_of(text: str) -> dict[str, Any]:
    if len(text) > _MAX_WIRE_VALUES and has_more_values(text.encode(), _MAX_WIRE_VALUES):
        return {"string_value": text}
    return _wire_value(decoded(text))


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
