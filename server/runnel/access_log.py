"""One line per request, and the id that a request carries through the log."""

from __future__ import annotations

import os
import re
import time
from typing import Literal

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runnel.log import LOG

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,128}")
_MAX_SHOWN_PATH = 1_000


class AccessLog:
    """The outermost layer: gives each request an id, and writes method, path, status, milliseconds and the id."""

    def __init__(self, app: ASGIApp, log_format: Literal["text", "json"]) -> None:
        self._app = app
        self._json = log_format == "json"
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
        path = scope["raw_path"][:_MAX_SHOWN_PATH].decode("latin-1")
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
            LOG.add(orjson.dumps(record).decode() + "\n")
        else:
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
            LOG.add(f"{clock} {method} {path} {status} {milliseconds:.1f}ms {request_id}\n")
