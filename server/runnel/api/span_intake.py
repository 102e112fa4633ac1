"""How spans are read from requests, however many clients send how much at once."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from runnel.api import otlp
from runnel.api.content_encodings import decompress
from runnel.api.request_bodies import BodyMemory, HeldMemory
from runnel.domain.spans import SpanContent

# Spans are read by Python, which does one thing at a time; each reading may need several times the memory of the body.
PARSES_AT_ONCE = 2
# So short a body is read in less time than it takes to have a thread do it.
SHORT_BODY_BYTES = 32 * 1024


class SpanIntake:
    """Reads spans, a few requests at a time; used on one event loop."""

    def __init__(self) -> None:
        self._parses = asyncio.Semaphore(PARSES_AT_ONCE)

    async def read(self, request: Request, bodies: BodyMemory, held: HeldMemory) -> list[SpanContent]:
        """The spans in a request, whose body is ``held``."""
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        bodies.check_announced_length(request.scope["headers"])
        body = await held.read(request.receive)
        if len(body) <= SHORT_BODY_BYTES and not encoding and not otlp.is_json(content_type):
            return otlp.parse_export_request(body, content_type)
        async with self._parses:
            if encoding:
                body = await asyncio.to_thread(decompress, body, encoding, bodies.limit)
                held.add(len(body))
            return await asyncio.to_thread(otlp.parse_export_request, body, content_type)
