"""How much memory the bodies of requests may take: each by itself, and all that are being read together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from runnel.domain.errors import RequestTooLarge, TemporarilyUnavailable

# All bodies together, and what was unpacked from them: this many of the greatest size.
BODIES_AT_ONCE = 4


class BodyMemory:
    """What the bodies of all requests hold; used on one event loop."""

    def __init__(self, max_request_bytes: int) -> None:
        self.limit = max_request_bytes  # of one body, packed or unpacked
        self.held = 0

    def check_announced_length(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Refuses a body by its Content-Length, before any of it is read."""
        for name, value in headers:
            if name == b"content-length" and value.isdigit():
                self.check_length(int(value))

    def check_length(self, length: int) -> None:
        """Raises RequestTooLarge for a body that is longer than one may be."""
        if length > self.limit:
            raise RequestTooLarge(
                f"The request body is larger than the {self.limit} bytes allowed (--max-request-bytes)"
            )

    @contextmanager
    def hold(self) -> Iterator[HeldMemory]:
        """What one request holds; it is given back at the end."""
        held = HeldMemory(self)
        try:
            yield held
        finally:
            self.held -= held.size


class HeldMemory:
    """The bytes that one request holds."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.size = 0

    def add(self, size: int) -> None:
        """Takes memory; raises TemporarilyUnavailable when all requests together hold too much."""
        if self._memory.held + size > BODIES_AT_ONCE * self._memory.limit:
            raise TemporarilyUnavailable("The server has too many large requests at once; try again shortly")
        self._memory.held += size
        self.size += size

    async def read(
        self, receive: Receive, start: bytes = b"", check_chunk: Callable[[bytes], Any] | None = None
    ) -> bytes:
        """A body to its end, after the ``start`` that has been received already.

        ``check_chunk`` is called with each part and may refuse it. Raises RequestTooLarge, TemporarilyUnavailable.
        """
        body = bytearray(start)
        more_body = True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more_body = message.get("body", b""), message.get("more_body", False)
            body += chunk
            self._memory.check_length(len(body))
            if check_chunk is not None:
                check_chunk(chunk)
            self.add(len(chunk))
        return bytes(body)
