"""How spans are read from requests, however many clients send how much at once."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from runnel.api import otlp_bodies
from runnel.api.content_encodings import decompress
from runnel.api.request_bodies import BodyMemory, HeldMemory
from runnel.domain.model_prices import ModelPrices
from runnel.domain.spans import SpanContent

# Spans are read by Python, which does one thing at a time; each reading may need several times the memory of the body.
PARSES_AT_ONCE = 2
_KEY_BYTES = 64  # of memory, for a key of a few letters that no other span has
# So short a body is read in less time than it takes to have a thread do it.
SHORT_BODY_BYTES = 32 * 1024


class SpanIntake:
    """Reads spans, a few requests at a time; used on one event loop."""

    def __init__(self, prices: ModelPrices) -> None:
        self._parses = asyncio.Semaphore(PARSES_AT_ONCE)
        self._prices = prices

    async def read(self, request: Request, bodies: BodyMemory, held: HeldMemory) -> list[SpanContent]:
        """The spans in a request, whose body is ``held``."""
        content_type = request.headers.get("content-type", "")
        encoding = request.headers.get("content-encoding", "")
        bodies.check_announced_length(request.scope["headers"])
        body = await held.read(request.receive)
        if len(body) <= SHORT_BODY_BYTES and not encoding and not otlp_bodies.is_json(content_type):
            return otlp_bodies.parse_export_request(body, content_type, self._prices)
        async with self._parses:
            if encoding:
                body = await asyncio.to_thread(decompress, body, encoding, bodies.limit)
                held.add(len(body))
            contents = await asyncio.to_thread(otlp_bodies.parse_export_request, body, content_type, self._prices)
        # They stay until they are written, and may be longer than the body.
        held.add(sum(len(content.content) + _KEY_BYTES * len(content.searched_keys) for content in contents))
        return contents
