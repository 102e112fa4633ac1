"""A model server as the tests need one: it speaks the chat API of OpenAI, and fails when it is told to."""

from __future__ import annotations

import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "parrot-7b"


class ChatServer(ThreadingHTTPServer):
    """Repeats the last message, and counts its words as tokens; for use in a ``with`` statement."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.numbers = itertools.count(1)
        self.answers_before_errors = 1_000_000  # after so many it answers with an error
        self.error: tuple[int, dict[str, Any]] = (500, {"error": {"message": "the GPU is on fire"}})
        self.models = [MODEL]
        self.seconds_to_think = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_GET(self) -> None:
        assert self.path == "/v1/models", self.path
        self._send(200, {"object": "list", "data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        assert self.path == "/v1/chat/completions", self.path
        number = next(self.server.numbers)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.authorizations.add(self.headers["Authorization"])
        time.sleep(self.server.seconds_to_think)
        if number > self.server.answers_before_errors:
            self._send(*self.server.error)
            return
        message = {"role": "assistant", "content": request["messages"][-1]["content"]}
        tokens = len(message["content"].split())
        usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": 2 * tokens}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._send(200, {"id": "c-1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing: the tests look at ``requests``."""
