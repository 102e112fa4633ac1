"""How long a connection waits for a client that says nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from runnel import http_protocol
from runnel.http_protocol import BoundedHttpProtocol

SILENCE_SECONDS = 0.3
LARGE = 20_000_000  # bytes of the answer of the path /large
ANSWER_SECONDS = 2.0  # of the path /slow: longer than any silence

HOST = b"Host: localhost\r\n"


async def answer_with_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, when the whole body is there, with the body."""
    body, more_body = b"", True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more_body = message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(ANSWER_SECONDS)
    if scope["path"] == "/large":
        body = b"x" * LARGE
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that bears little silence."""
    monkeypatch.setattr(http_protocol, "MAX_SILENCE_SECONDS", SILENCE_SECONDS)
    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "http": BoundedHttpProtocol}
    server = uvicorn.Server(uvicorn.Config(answer_with_body, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def ask_for_a_large_answer(port: int) -> socket.socket:
    """A connection that is answered with far more than the system keeps for a client that does not read."""
    connection = socket.socket()
    connection.settimeout(10)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
    return connection


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(port: int) -> None:
    with ask_for_a_large_answer(port) as connection:
        time.sleep(8 * SILENCE_SECONDS)
        assert len(received(connection)) < LARGE / 2


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(port: int) -> None:
    with ask_for_a_large_answer(port) as connection:
        taken = 0
        while taken < LARGE:
            taken += len(connection.recv(500_000))
            time.sleep(0.002)
        assert LARGE <= taken < LARGE + 1_000


def received(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    answer = b""
    while part := connection.recv(65_536):
        answer += part
    return answer


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /he",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n12345",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"\r\nGET /he",
    ],
    ids=["nothing", "half a head", "half a body", "a chunk", "half a second request"],
)
def test_a_client_that_falls_silent_is_let_go(port: int, beginning: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(beginning)
        started = time.monotonic()
        answer = received(connection)
        assert SILENCE_SECONDS <= time.monotonic() - started < 10 * SILENCE_SECONDS
        assert answer.count(b"HTTP/1.1 200 OK") == beginning.count(b"GET / ")


def test_a_client_that_is_only_slow_is_waited_for(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.7 * SILENCE_SECONDS)
            connection.sendall(b"x")
        assert received(connection).endswith(b"\r\n\r\n" + 10 * b"x")


def test_a_client_that_waits_for_its_answer_may_be_silent(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")
        assert received(connection).endswith(b"\r\n\r\nok")
