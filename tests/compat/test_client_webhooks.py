"""Webhooks are made, changed, tested and removed by the real client, and their requests are what MLflow sends."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowException
from mlflow.entities.webhook import VALID_ENTITY_ACTIONS, WebhookEvent, WebhookStatus
from mlflow.webhooks.types import get_example_payload_for_event

from tests.conftest import NewDatabase
from tests.server_process import ServerProcess, free_port
from tests.webhook_receiver import WebhookReceiver

BACKENDS = ["sqlite"]
SECRET = "shared by both"
PROMPTS = ("prompt", "prompt_version", "prompt_alias")
DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
ALL_EVENTS = [WebhookEvent(entity, action) for entity, actions in VALID_ENTITY_ACTIONS.items() for action in actions]


@pytest.fixture(scope="module")
def near_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose webhooks may be on this machine."""
    environment = {
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    folder = tmp_path_factory.mktemp("server")
    process = ServerProcess(folder, "--backend-store-uri", new_database(), environment=environment)
    try:
        yield process
        process.check_ends_well()
    finally:
        process.kill()


@pytest.fixture
def client(near_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A client of that server, which has no webhooks yet."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # what fails, fails at once
    client = mlflow.MlflowClient(near_server.url)
    for webhook in client.list_webhooks():
        client.delete_webhook(webhook.webhook_id)
    return client


def test_a_webhook_is_made_found_changed_and_removed(client: mlflow.MlflowClient) -> None:
    made = client.create_webhook(
        "hook", "http://127.0.0.1:9/", ["model_version.created", "prompt.created"], "d", SECRET, WebhookStatus.DISABLED
    )
    assert (made.name, made.description, str(made.status)) == ("hook", "d", "DISABLED")
    assert [str(event) for event in made.events] == ["model_version.created", "prompt.created"]
    assert vars(client.get_webhook(made.webhook_id)) == vars(made)
    changed = client.update_webhook(made.webhook_id, name="other", events=["prompt_tag.set"], status="ACTIVE")
    assert (changed.name, changed.url, str(changed.status)) == ("other", made.url, "ACTIVE")
    assert [str(event) for event in changed.events] == ["prompt_tag.set"]
    assert [vars(webhook) for webhook in client.list_webhooks()] == [vars(changed)]
    client.delete_webhook(made.webhook_id)
    assert client.list_webhooks() == []
    with pytest.raises(MlflowException, match=f"Webhook with ID {made.webhook_id} not found."):
        client.get_webhook(made.webhook_id)


def test_webhooks_are_listed_page_by_page(client: mlflow.MlflowClient) -> None:
    for number in range(5):
        client.create_webhook(f"hook{number}", "http://127.0.0.1:9/", ["prompt.created"], status="DISABLED")
    names: list[str] = []
    token = None
    while token != "":
        page: Any = client.list_webhooks(max_results=2, page_token=token)
        names += [webhook.name for webhook in page]
        token = page.token
    assert names == ["hook4", "hook3", "hook2", "hook1", "hook0"]


@pytest.mark.parametrize("event", sorted(ALL_EVENTS, key=str), ids=str)
def test_a_test_of_an_event_sends_the_example_of_mlflow(client: mlflow.MlflowClient, event: WebhookEvent) -> None:
    with WebhookReceiver() as receiver:
        made = client.create_webhook("hook", receiver.url(), [event], status="DISABLED")
        result = client.test_webhook(made.webhook_id)
        assert (result.success, result.response_status, result.response_body) == (True, 200, "received")
        (request,) = receiver.received
    assert request.payload["data"] == get_example_payload_for_event(event)
    assert f"{request.payload['entity']}.{request.payload['action']}" == str(event)


def test_a_request_is_signed_as_mlflow_signs_it(client: mlflow.MlflowClient) -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    with WebhookReceiver() as receiver:
        made = client.create_webhook("hook", receiver.url(), ["prompt.created"], secret=SECRET)
        assert client.test_webhook(made.webhook_id, "prompt_alias.deleted").success
        (request,) = receiver.received
    delivery_id, timestamp = request.headers["x-mlflow-delivery-id"], request.headers["x-mlflow-timestamp"]
    expected = _generate_hmac_signature(SECRET, delivery_id, timestamp, request.body)
    assert request.headers["x-mlflow-signature"] == expected


def test_a_test_that_fails_says_why(client: mlflow.MlflowClient) -> None:
    with WebhookReceiver(410) as receiver:
        made = client.create_webhook("hook", receiver.url(), ["prompt.created"], status="DISABLED")
        refused = client.test_webhook(made.webhook_id)
    assert (refused.success, refused.response_status) == (False, 410)
    away = client.test_webhook(made.webhook_id)
    assert not away.success
    assert away.error_message is not None and "ConnectionRefusedError" in away.error_message


def test_what_the_client_does_with_models_and_prompts_is_told(client: mlflow.MlflowClient) -> None:
    with WebhookReceiver() as receiver:
        client.create_webhook("hook", receiver.url(), [e for e in ALL_EVENTS if e.entity != "budget_policy"])
        client.create_registered_model("classifier", tags={"team": "a"})
        client.create_model_version("classifier", "s3://bucket/model")
        client.set_registered_model_alias("classifier", "champion", "1")
        client.register_prompt("greeting", "Hello {{name}}", commit_message="first", tags={"lang": "en"})
        client.set_prompt_alias("greeting", "live", 1)
        told = events_told(receiver, "registered_model", "model_version", "model_version_alias", *PROMPTS)
    assert told["registered_model.created"] == {"name": "classifier", "tags": {"team": "a"}, "description": ""}
    assert told["model_version.created"]["source"] == "s3://bucket/model"
    assert told["model_version_alias.created"] == {"name": "classifier", "alias": "champion", "version": "1"}
    assert told["prompt.created"]["name"] == "greeting"
    version = {"name": "greeting", "version": "1", "template": "Hello {{name}}", "tags": {"lang": "en"}}
    assert told["prompt_version.created"] == version | {"description": "first"}
    assert told["prompt_alias.created"] == {"name": "greeting", "alias": "live", "version": "1"}


def events_told(receiver: WebhookReceiver, *created: str) -> dict[str, Any]:
    """The data of all events, once these have been told. (The client sets tags of its own as well.)"""
    expected = {f"{entity}.created" for entity in created}
    deadline = time.monotonic() + 20
    while True:
        payloads = [request.payload for request in list(receiver.received)]
        told = {f"{payload['entity']}.{payload['action']}": payload["data"] for payload in payloads}
        if expected <= told.keys():
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


def test_the_receiver_in_the_documentation_tells_genuine_requests_from_others(
    client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    (script,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
        if "do_POST" in block
    ]
    port = free_port()
    secret = re.findall(r'^SECRET = "(.*)"$', script, re.M)[0]
    receiver = subprocess.Popen(
        [sys.executable, "-u", "-c", script.replace("8080", str(port))], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until_listening(port)
        url = f"http://127.0.0.1:{port}/mlflow"
        genuine = client.create_webhook("genuine", url, ["prompt.created"], secret=secret, status="DISABLED")
        forged = client.create_webhook("forged", url, ["prompt.created"], secret="guessed", status="DISABLED")
        unsigned = client.create_webhook("unsigned", url, ["prompt.created"], status="DISABLED")
        answers = [client.test_webhook(webhook.webhook_id) for webhook in (genuine, forged, unsigned)]
        assert [answer.response_status for answer in answers] == [200, 401, 401]
        assert receiver.stdout is not None
        assert "'entity': 'prompt'" in receiver.stdout.readline()
    finally:
        receiver.kill()
        receiver.communicate()


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
