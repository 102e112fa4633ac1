"""The bytes of OpenTelemetry's protobuf messages, looked at before they become objects.

protobuf makes an object of every message, and a message can be two bytes long: a body of a few megabytes would fill
hundreds. So the levels around the spans are walked here, spans are parsed one after the other, and of those that are
long it is counted first what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from runnel.domain.errors import InvalidParameterValue, RequestTooLarge

# Of a request, apart from what is in its spans: enough for as many spans as it may have, each with a scope and a
# resource of its own.
MAX_OUTER_FIELDS = 250_000
# Of a span or a resource: an attribute has three or four, an item of a list two.
MAX_FIELDS = 200_000
# So short a message cannot have so many that they would matter.
SHORT_MESSAGE_BYTES = 64 * 1024
_MAX_DEPTH = 100  # as in protobuf


class Field(NamedTuple):
    """A field that holds bytes, a text or a message: its number, and where its content lies."""

    number: int
    start: int
    end: int


class FieldCount:
    """How many fields may still come."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = self._left = limit
        self._what = what

    def take(self) -> None:
        """Counts one; raises RequestTooLarge when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise RequestTooLarge(f"{self._what} can contain at most {self._limit} fields of protobuf")


def fields(data: bytes, start: int, end: int, count: FieldCount) -> Iterator[Field]:
    """The fields of a message that hold bytes; ValueError where it is none."""
    position = start
    while position < end:
        count.take()
        key, position = _varint(data, position, end)
        match key & 7:
            case 2:
                length, position = _varint(data, position, end)
                stop = position + length
                if stop > end:
                    raise ValueError("a field ends behind its message")
                yield Field(key >> 3, position, stop)
                position = stop
            case 0:
                _, position = _varint(data, position, end)
            case 1:
                position += 8
            case 5:
                position += 4
            case wire_type:
                raise ValueError(f"fields of wire type {wire_type} do not occur")
    if position > end:
        raise ValueError("a field ends behind its message")


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number ends behind its message")


class MessageType:
    """The fields of a message that are messages themselves."""

    def __init__(self) -> None:
        self.members: Mapping[int, MessageType] = {}


RESOURCE, SPAN = MessageType(), MessageType()
_KEY_VALUE, _ANY_VALUE, _VALUES, _KEY_VALUES = MessageType(), MessageType(), MessageType(), MessageType()
_EVENT, _LINK = MessageType(), MessageType()
RESOURCE.members = {1: _KEY_VALUE}
SPAN.members = {9: _KEY_VALUE, 11: _EVENT, 13: _LINK}
_EVENT.members = {3: _KEY_VALUE}
_LINK.members = {4: _KEY_VALUE}
_KEY_VALUE.members = {2: _ANY_VALUE}
_ANY_VALUE.members = {5: _VALUES, 6: _KEY_VALUES}
_VALUES.members = {1: _ANY_VALUE}
_KEY_VALUES.members = {1: _KEY_VALUE}


def check_message(data: bytes, message_type: MessageType, what: str) -> None:
    """Refuses a message in which are so many that objects for all of them would fill the memory."""
    if len(data) > SHORT_MESSAGE_BYTES:
        _count_fields(data, 0, len(data), message_type, FieldCount(MAX_FIELDS, what), 0)


def _count_fields(data: bytes, start: int, end: int, message_type: MessageType, count: FieldCount, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidParameterValue(f"Invalid OpenTelemetry format: more than {_MAX_DEPTH} messages within each other")
    members = message_type.members
    for field in fields(data, start, end, count):
        if field.number in members:
            _count_fields(data, field.start, field.end, members[field.number], count, depth + 1)


class ResourceSpans(NamedTuple):
    """The bytes of a resource (empty where there is none) and of each of its spans."""

    resource: bytes
    spans: Iterator[bytes]


def walk(body: bytes) -> Iterator[ResourceSpans]:
    """What an export request holds; ValueError where it is none, RequestTooLarge where it is too much."""
    count = FieldCount(MAX_OUTER_FIELDS, "A request")
    for outer in fields(body, 0, len(body), count):
        if outer.number == 1:
            parts = list(fields(body, outer.start, outer.end, count))
            # Several resources in one message are one after protobuf's rules.
            resource = b"".join([body[part.start : part.end] for part in parts if part.number == 1])
            yield ResourceSpans(resource, _spans(body, [part for part in parts if part.number == 2], count))


def _spans(body: bytes, scopes: list[Field], count: FieldCount) -> Iterator[bytes]:
    for scope in scopes:
        for field in fields(body, scope.start, scope.end, count):
            if field.number == 2:
                yield body[field.start : field.end]
