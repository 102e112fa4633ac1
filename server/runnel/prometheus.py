"""Metrics for Prometheus: requests by method, route and status, and how long they took."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class PrometheusLayer:
    """Counts what passes, and answers /metrics."""

    def __init__(self, app: ASGIApp, folder: str, static_prefix: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # Read by the library when it is imported: the processes of one server add up their counts in this folder.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        import prometheus_client
        from prometheus_client import multiprocess

        self._app = app
        self._paths = ("/metrics", f"{static_prefix}/metrics")
        self._content_type = prometheus_client.CONTENT_TYPE_LATEST
        self._generate = prometheus_client.generate_latest
        self._registry = prometheus_client.CollectorRegistry()
        multiprocess.MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        labels = ("method", "route", "status")
        self._seconds = prometheus_client.Histogram("runnel_request_seconds", "Seconds a request took.", labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._paths:
            body = await asyncio.to_thread(self._generate, self._registry)
            await Response(body, headers={"Content-Type": self._content_type})(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted_send)
        finally:
            # The route, not the path: a label for every run id would never end.
            labels = (scope["method"], scope.get("runnel.route", ""), str(status))
            self._seconds.labels(*labels).observe(time.perf_counter() - started)
