"""A receiver of webhooks as the tests need one: it keeps what it is sent, checks signatures, and answers as told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_SECONDS = 20
MAX_AGE_SECONDS = 300


@dataclass(frozen=True)
class Received:
    """One request, and when it came."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: str
    time: float

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """The check that MLflow's documentation asks receivers to make: the signature, and the age of the request."""
        version, _, given = self.headers.get("x-mlflow-signature", "").partition(",")
        timestamp, delivery_id = self.headers["x-mlflow-timestamp"], self.headers["x-mlflow-delivery-id"]
        signed = f"{delivery_id}.{timestamp}.{self.body}".encode()
        expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
        is_fresh = 0 <= int(time.time()) - int(timestamp) <= MAX_AGE_SECONDS
        return version == "v1" and hmac.compare_digest(given, expected) and is_fresh


Answer = Callable[["Handler"], None]


class WebhookReceiver(ThreadingHTTPServer):
    """For use in a ``with`` statement. ``answers`` come first, in their order; then every request is answered 200."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *answers: int | Answer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.scheme = "http" if tls is None else "https"
        self.answers = list(answers)
        self.received: list[Received] = []
        self.lock = threading.Lock()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_port}{path}"

    def __enter__(self) -> WebhookReceiver:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def wait_for(self, count: int) -> list[Received]:
        """The requests, once there are so many; more than that are an error."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.received) == count, [request.payload for request in self.received]
        return list(self.received)

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that have gone, or could not agree on TLS."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: WebhookReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.received.append(Received(self.path, headers, body, time.monotonic()))
            answer: int | Answer = self.server.answers.pop(0) if self.server.answers else 200
        if isinstance(answer, int):
            self.send(answer, b"received")
        else:
            answer(self)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Sends an answer; underscores in names of headers are hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing: the tests look at ``received``."""
