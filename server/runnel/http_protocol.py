"""The bounds of a connection, which uvicorn leaves open."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A client from which the server waits for bytes may be silent for this long, or twice that, and so may one that takes
# nothing of its answer. (Between two requests it may be for a shorter time, which is uvicorn's to watch.)
MAX_SILENCE_SECONDS = 90
MAX_HEAD_BYTES = 64 * 1024
MAX_PIPELINED_REQUESTS = 100


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds on what a client can make it keep in memory and on how long it may be silent.

    The parser keeps what is no complete part of a request yet: a head, or what stands between the chunks of a body. No
    more than ``MAX_HEAD_BYTES`` of it are taken.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._incomplete_bytes = 0
        self._was_silent = False
        self._unsent_bytes = 0
        self._silence_timer = self.loop.call_later(MAX_SILENCE_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._silence_timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._unsent_bytes = 0
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._was_silent = False
        self._incomplete_bytes += len(data)
        super().data_received(data)
        if self._incomplete_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of a request can have at most {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        self._incomplete_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._incomplete_bytes = 0
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            raise ValueError("too many pipelined requests")  # uvicorn answers 400 and closes the connection
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._incomplete_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._incomplete_bytes = 0
        super().on_message_complete()

    def _close_if_silent(self) -> None:
        # There is no cycle before the first request, whatever its type says.
        is_awaited = self.cycle is None or self.cycle.response_complete or self.cycle.more_body  # type: ignore[redundant-expr]
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            self.transport.abort()  # to close it would wait until all has been sent
            return
        if not unsent_bytes and is_awaited and self._was_silent and not self.flow.read_paused:
            self.transport.close()
            return
        self._unsent_bytes = unsent_bytes
        self._was_silent = True
        self._silence_timer = self.loop.call_later(MAX_SILENCE_SECONDS, self._close_if_silent)
