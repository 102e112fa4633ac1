"""OpenTelemetry's protobuf, looked at before it becomes objects."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from runnel.api import otlp_wire
from runnel.domain.errors import InvalidParameterValue, RequestTooLarge
from tests.trace_requests import export_request, key_values, new_otel_id, otel_span


def field(number: int, content: bytes) -> bytes:
    """A field that holds a message."""
    holder = Span.FromString(b"")
    holder.trace_id = content
    return bytes([number << 3 | 2]) + holder.SerializeToString()[1:]


def test_the_spans_of_a_request_are_found_with_their_resources() -> None:
    first, second = (otel_span(new_otel_id(), number, attributes={"a": "x" * number}) for number in (1, 200))
    request = export_request(first, second, resource={"service.name": "shop"})
    request.resource_spans[0].scope_spans.add().spans.extend([first])
    request.resource_spans[0].schema_url = "schema"
    request.resource_spans.add()
    found = [(each.resource, list(each.spans)) for each in otlp_wire.walk(request.SerializeToString())]
    resource = request.resource_spans[0].resource.SerializeToString()
    assert found == [(resource, [span.SerializeToString() for span in (first, second, first)]), (b"", [])]


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0b",
        b"\x09abc",
        b"\x08",
    ],
)
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"behind its message|wire type"):
        list(otlp_wire.walk(body))


def nested(depth: int) -> bytes:
    """A span whose attribute is a list of a list of a list ..."""
    value = AnyValue(string_value="x" * otlp_wire.SHORT_MESSAGE_BYTES).SerializeToString()
    for _ in range(depth):
        value = field(5, field(1, value))
    return field(9, field(2, value))


@pytest.mark.parametrize(
    "content",
    [
        b"\x4a\x00" * otlp_wire.MAX_FIELDS,  # attributes
        b"\x5a\x00" * otlp_wire.MAX_FIELDS,  # events
        b"\x6a\x00" * otlp_wire.MAX_FIELDS,  # links
        field(9, field(2, field(5, b"\x0a\x00" * otlp_wire.MAX_FIELDS))),  # items of a list
        field(9, field(2, field(6, b"\x0a\x00" * otlp_wire.MAX_FIELDS))),  # members of an object
        field(11, b"\x1a\x00" * otlp_wire.MAX_FIELDS),  # attributes of an event
        field(13, b"\x22\x00" * otlp_wire.MAX_FIELDS),  # attributes of a link
        field(9, field(2, b"\x2a\x00\x32\x00" * otlp_wire.MAX_FIELDS)),  # one value over the other
        b"\x78\x00" * otlp_wire.MAX_FIELDS,  # fields that no span has
    ],
)
def test_a_span_of_too_many_small_messages_is_refused(content: bytes) -> None:
    with pytest.raises(RequestTooLarge, match="A span can contain at most 200000 fields of protobuf"):
        otlp_wire.check_message(content + b"\x78\x00", otlp_wire.SPAN, "A span")


def test_a_long_span_of_few_messages_is_none_to_refuse() -> None:
    span = otel_span(new_otel_id(), attributes={f"a{number}": "x" * 1000 for number in range(200)})
    span.events.add(name="e").attributes.extend(key_values({"list": [1] * 1000, "object": {"a": "b"}}))
    otlp_wire.check_message(span.SerializeToString(), otlp_wire.SPAN, "A span")


def test_too_many_messages_within_each_other_are_refused() -> None:
    otlp_wire.check_message(nested(40), otlp_wire.SPAN, "A span")
    with pytest.raises(InvalidParameterValue, match="more than 100 messages within each other"):
        otlp_wire.check_message(nested(60), otlp_wire.SPAN, "A span")
