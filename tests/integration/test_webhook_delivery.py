"""Receivers of webhooks are told of what happened, and tried again when they fail."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from runnel.domain.webhook_notices import created, prompt_tag_deleted
from runnel.store import webhooks as store
from runnel.webhooks import delivery
from tests.webhook_receiver import Handler, WebhookReceiver
from tests.webhook_site import (
    TAG_DELETED,
    failures,
    hang,
    opened,
    received,
    until,
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts are short."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "JITTER_SECONDS", 0.0)


def test_a_receiver_is_told_in_the_shape_and_with_the_headers_of_mlflow(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver() as receiver:
                await site.add(receiver.url("/a/b?c=d%20e"), secret="hush ü")
                await site.tell(created("modèle", {"k": "v"}, "", is_prompt=False))
                (request,) = await received(receiver, 1)
            assert request.path == "/a/b?c=d%20e"
            assert request.headers["content-type"] == "application/json"
            assert request.headers["host"] == f"127.0.0.1:{receiver.server_port}"
            assert len(request.headers["x-mlflow-delivery-id"]) == 36
            assert abs(int(request.headers["x-mlflow-timestamp"]) - time.time()) < 60
            assert request.is_signed_with("hush ü")
            assert not request.is_signed_with("hush")
            assert list(request.payload) == ["entity", "action", "timestamp", "data"]
            assert request.payload["timestamp"].endswith("+00:00")
            assert (request.payload["entity"], request.payload["action"]) == ("registered_model", "created")
            assert request.payload["data"] == {"name": "modèle", "tags": {"k": "v"}, "description": ""}

    asyncio.run(scenario())


def test_a_webhook_without_a_secret_sends_no_signature_and_one_with_a_user_says_who_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver() as receiver:
                await site.add(receiver.url(host="user:p%40ss@127.0.0.1"))
                await site.tell()
                (request,) = await received(receiver, 1)
            assert "x-mlflow-signature" not in request.headers
            assert request.headers["authorization"] == "Basic dXNlcjpwQHNz"

    asyncio.run(scenario())


def test_only_active_webhooks_of_the_event_are_told_and_each_by_a_delivery_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver() as receiver:
                await site.add(receiver.url("/one"))
                await site.add(receiver.url("/two"))
                await site.add(receiver.url("/other"), event=TAG_DELETED)
                await site.add(receiver.url("/disabled"), status="DISABLED")
                removed = await site.add(receiver.url("/removed"))
                await site.database.write(lambda tx: store.delete_webhook(tx, removed))
                await site.tell()
                await received(receiver, 2)
                await site.tell(prompt_tag_deleted("p", "k"))
                requests = await received(receiver, 3)
            assert sorted(request.path for request in requests) == ["/one", "/other", "/two"]
            assert len({request.headers["x-mlflow-delivery-id"] for request in requests}) == 3

    asyncio.run(scenario())


def test_a_failing_receiver_is_tried_again_after_pauses_that_grow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "JITTER_SECONDS", 0.1)

    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver(500, 503, 429) as receiver:
                await site.add(receiver.url(), secret="s")
                await site.tell()
                requests = await received(receiver, 4)
            pauses = [later.time - sooner.time for sooner, later in zip(requests, requests[1:], strict=False)]
            assert all(pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.8), strict=True)), pauses
            assert len({request.headers["x-mlflow-delivery-id"] for request in requests}) == 1
            assert len({request.body for request in requests}) == 1
            assert all(request.is_signed_with("s") for request in requests)

    asyncio.run(scenario())
    assert failures(caplog) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_receiver_that_goes_on_failing_is_given_up_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None, status: int
) -> None:
    async def scenario() -> str:
        async with opened(tmp_path, webhook_request_max_retries=2) as site:
            with WebhookReceiver(status, status, status) as receiver:
                webhook_id = await site.add(receiver.url("/token-in-the-path"))
                await site.tell()
                await received(receiver, 3)
                await until(lambda: bool(failures(caplog)))
                await received(receiver, 3)
            return webhook_id

    webhook_id = asyncio.run(scenario())
    (line,) = failures(caplog)
    assert line.startswith(f"Webhook 'hook' ({webhook_id}) was not told of registered_model.created (delivery ")
    assert line.endswith(f", attempts: 3): the receiver answered {status}")
    assert "token" not in line


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 501])
def test_a_receiver_that_refuses_is_not_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None, status: int
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver(status) as receiver:
                await site.add(receiver.url())
                await site.tell()
                await until(lambda: bool(failures(caplog)))
                await asyncio.sleep(0.1)
                await received(receiver, 1)

    asyncio.run(scenario())
    (line,) = failures(caplog)
    assert line.endswith(f", attempts: 1): the receiver answered {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None, status: int) -> None:
    async def scenario() -> None:
        with WebhookReceiver() as target:

            def redirect(handler: Handler) -> None:
                handler.send(status, Location=target.url())

            async with opened(tmp_path) as site:
                with WebhookReceiver(redirect) as receiver:
                    await site.add(receiver.url())
                    await site.tell()
                    await until(lambda: bool(failures(caplog)))
            assert target.received == []

    asyncio.run(scenario())
    assert failures(caplog)[0].endswith(f"the receiver answered {status}")


def test_a_receiver_says_how_long_to_wait(tmp_path: Path, quick: None) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver(lambda handler: handler.send(503, Retry_After="1")) as receiver:
                await site.add(receiver.url())
                await site.tell()
                first, second = await received(receiver, 2)
            assert second.time - first.time >= 1

    asyncio.run(scenario())


def test_a_receiver_that_is_away_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and nobody listens
            async with opened(tmp_path) as site:
                await site.add(f"http://127.0.0.1:{taken.getsockname()[1]}/hook")
                await site.tell()
                await until(lambda: bool(failures(caplog)))

    asyncio.run(scenario())
    assert ", attempts: 4): ConnectionRefusedError" in failures(caplog)[0]


def drip(handler: Handler) -> None:
    """Answers a byte now and then, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(200):
        handler.wfile.write(f"X-{number}: ".encode())
        handler.wfile.flush()
        time.sleep(0.1)
        handler.wfile.write(b"y\r\n")


def break_off(handler: Handler) -> None:
    """Ends the connection without an answer."""
    handler.close_connection = True


def talk_nonsense(handler: Handler) -> None:
    """Answers what is not HTTP."""
    handler.wfile.write(b"\x00\x01\x02 nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (drip, "no answer within 1 seconds"),
        (hang, "no answer within 1 seconds"),
        (break_off, "RemoteDisconnected: "),
        (talk_nonsense, "BadStatusLine: "),
    ],
)
def test_a_receiver_that_does_not_answer_as_it_should_has_failed_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: Callable[[Handler], None], reason: str
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, webhook_request_timeout=1, webhook_request_max_retries=0) as site:
            with WebhookReceiver(answer) as receiver:
                await site.add(receiver.url())
                await site.tell()
                await until(lambda: bool(failures(caplog)))

    asyncio.run(scenario())
    assert reason in failures(caplog)[0]


def test_an_answer_without_end_is_not_read(tmp_path: Path) -> None:
    def flood(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(b"x" * 1_000_000)

    async def scenario() -> None:
        async with opened(tmp_path) as site:
            with WebhookReceiver(flood) as receiver:
                webhook_id = await site.add(receiver.url())
                target = await site.database.read(lambda tx: store.get_receiver(tx, webhook_id))
                result = await site.webhooks.test(target, None)
                assert (result["success"], result["response_status"]) == (True, 200)
                assert len(result["response_body"]) == 64 * 1024

    asyncio.run(scenario())


def test_a_name_that_stands_for_a_private_address_later_is_not_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebhookReceiver() as receiver:
        answers = ["1.1.1.1", "127.0.0.1"]

        def look_up(host: str, port: int, **_: Any) -> list[Any]:
            address = answers.pop(0) if len(answers) > 1 else answers[0]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, receiver.server_port))]

        async def scenario() -> None:
            async with opened(tmp_path, webhook_allow_private_ips=False) as site:
                monkeypatch.setattr("socket.getaddrinfo", look_up)
                await site.add(receiver.url(host="rebound.example"))
                await site.tell()
                await until(lambda: bool(failures(caplog)))
                monkeypatch.undo()

        asyncio.run(scenario())
        assert receiver.received == []
    assert "attempts: 1): Webhook URL must not resolve to a non-public IP address." in failures(caplog)[0]


def test_the_connection_goes_to_the_address_that_was_checked_under_the_name_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebhookReceiver() as receiver:
        looked_up: list[str] = []

        def look_up(host: str, port: int, **_: Any) -> list[Any]:
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        async def scenario() -> None:
            async with opened(tmp_path) as site:
                monkeypatch.setattr("socket.getaddrinfo", look_up)
                await site.add(receiver.url(host="bücher.example"))
                await site.tell()
                await received(receiver, 1)
                monkeypatch.undo()

        asyncio.run(scenario())
        assert looked_up == ["xn--bcher-kva.example"]  # once, when it was sent
        assert receiver.received[0].headers["host"] == f"xn--bcher-kva.example:{receiver.server_port}"


def test_a_secret_that_was_encrypted_with_another_key_is_not_sent_unsigned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        with WebhookReceiver() as receiver:
            async with opened(tmp_path) as site:
                await site.add(receiver.url(), secret="s")
            for key in (Fernet.generate_key().decode(), None):
                async with opened(tmp_path, webhook_secret_encryption_key=key) as site:
                    await site.tell()
                    await until(lambda: bool(failures(caplog)))
            await until(lambda: len(failures(caplog)) == 2)
            assert receiver.received == []

    asyncio.run(scenario())
    assert all("its secret was encrypted with another key" in line for line in failures(caplog))
