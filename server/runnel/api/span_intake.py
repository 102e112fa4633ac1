"""How spans are taken in without filling the memory, however many clients send how much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from runnel.api import otlp
from runnel.api.content_encodings import decompress
from runnel.domain.errors import RequestTooLarge, TemporarilyUnavailable
from runnel.domain.spans import SpanContent

# Spans are read by Python, which does one thing at a time; each reading may need several times the memory of the body.
PARSES_AT_ONCE = 2
# Bodies and what was unpacked from them, of all requests together: this many of the greatest size.
BODIES_AT_ONCE = 4
# So short a body is read in less time than it takes to have a thread do it.
SHORT_BODY_BYTES = 32 * 1024


class Held:
    """The bytes that one request holds, of which its body may have ``limit``, packed or unpacked."""

    def __init__(self, intake: SpanIntake, limit: int) -> None:
        self._intake = intake
        self.limit = limit
        self.size = 0

    def add(self, size: int) -> None:
        """Takes memory; raises TemporarilyUnavailable when all requests together hold too much."""
        if self._intake.held + size > BODIES_AT_ONCE * self.limit:
            raise TemporarilyUnavailable("The server has too many large requests at once; try again shortly")
        self._intake.held += size
        self.size += size


class SpanIntake:
    """Used on one event loop."""

    def __init__(self) -> None:
        self.held = 0
        self._parses = asyncio.Semaphore(PARSES_AT_ONCE)

    @contextmanager
    def hold(self, limit: int) -> Iterator[Held]:
        """What is added within is given back at the end."""
        held = Held(self, limit)
        try:
            yield held
        finally:
            self.held -= held.size

    async def read(self, request: Request, held: Held) -> list[SpanContent]:
        """The spans in a request."""
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        body = await self._body(request, held)
        if len(body) <= SHORT_BODY_BYTES and not encoding and not otlp.is_json(content_type):
            return otlp.parse_export_request(body, content_type)
        async with self._parses:
            if encoding:
                body = await asyncio.to_thread(decompress, body, encoding, held.limit)
                held.add(len(body))
            return await asyncio.to_thread(otlp.parse_export_request, body, content_type)

    async def _body(self, request: Request, held: Held) -> bytes:
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > held.limit:
            raise _too_large(held.limit)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            held.add(len(chunk))
            if len(body) > held.limit:
                raise _too_large(held.limit)
        return bytes(body)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than the {limit} bytes allowed (--max-request-bytes)")
