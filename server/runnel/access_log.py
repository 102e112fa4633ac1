"""One line per request, and the id that a request carries through the log."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import Literal, TextIO

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_FLUSH_SECONDS = 0.1
# Lines that wait while the log's reader is slow; past that, lines are dropped and counted.
_MAX_WAITING_LINES = 50_000


class LineWriter:
    """Writes lines from a thread of its own, so that a slow reader of the log never holds up a request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="access-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, line: str) -> None:
        """Takes a line to write within a tenth of a second."""
        if len(self._lines) < _MAX_WAITING_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Writes what waits."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _write_forever(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(_FLUSH_SECONDS)
            lines, self._lines = self._lines, []
            if self._dropped:
                lines.append(f"{self._dropped} lines were dropped: the log is read too slowly\n")
                self._dropped = 0
            if lines:
                self._stream.write("".join(lines))
                self._stream.flush()


class AccessLog:
    """The outermost layer: gives each request an id, and writes method, path, status, milliseconds and the id."""

    def __init__(self, app: ASGIApp, log_format: Literal["text", "json"], stream: TextIO = sys.stderr) -> None:
        self._app = app
        self._json = log_format == "json"
        self.writer = LineWriter(stream)
        # Ids need to differ, not to be secret: a random part per process and a counter.
        self._id_prefix = os.urandom(6).hex()
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = self._request_id(scope)
        scope["runnel.request_id"] = request_id.decode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._log(scope, status, (time.perf_counter() - started) * 1000)

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return bytes(value)
        self._count += 1
        return f"{self._id_prefix}-{self._count:x}".encode()

    def _log(self, scope: Scope, status: int, milliseconds: float) -> None:
        # The raw path is percent-encoded: no control character of a client's reaches the log.
        path = scope["raw_path"].decode("latin-1")
        method, request_id = scope["method"], scope["runnel.request_id"]
        # 499: the client went away before the answer began (nginx's number for it).
        status = status or 499
        now = time.time()
        if self._json:
            record = {
                "time": now,
                "method": method,
                "path": path,
                "status": status,
                "ms": round(milliseconds, 2),
                "request_id": request_id,
            }
            self.writer.add(orjson.dumps(record).decode() + "\n")
        else:
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            self.writer.add(f"{clock} {method} {path} {status} {milliseconds:.1f}ms {request_id}\n")
