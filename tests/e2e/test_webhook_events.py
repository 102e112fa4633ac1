"""Webhooks are told of what happens to registered models, their versions, and prompts, once it has happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_client import Api, pairs, unique_name
from tests.conftest import NewDatabase, StartServer
from tests.e2e.registry import IS_PROMPT, MODELS, VERSIONS, change, new_model, new_version
from tests.server_process import ServerProcess, free_port
from tests.webhook_receiver import Handler, WebhookReceiver

RECEIVERS_HERE = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}
EVENTS = {
    "REGISTERED_MODEL": ["CREATED"],
    "MODEL_VERSION": ["CREATED"],
    "MODEL_VERSION_TAG": ["SET", "DELETED"],
    "MODEL_VERSION_ALIAS": ["CREATED", "DELETED"],
    "PROMPT": ["CREATED"],
    "PROMPT_VERSION": ["CREATED"],
    "PROMPT_TAG": ["SET", "DELETED"],
    "PROMPT_VERSION_TAG": ["SET", "DELETED"],
    "PROMPT_ALIAS": ["CREATED", "DELETED"],
}
SECRET = "known to both"


@pytest.fixture(scope="module")
def near_server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose webhooks may be on this machine."""
    folder = tmp_path_factory.mktemp("server")
    process = ServerProcess(folder, "--backend-store-uri", new_database(), environment=RECEIVERS_HERE)
    try:
        yield process
        process.check_ends_well()
    finally:
        process.kill()


@pytest.fixture(scope="module")
def api(near_server: ServerProcess) -> Iterator[Api]:
    """Its API."""
    with Api(near_server.url) as client:
        yield client


def subscribe(api: Api, receiver: WebhookReceiver, secret: str = SECRET) -> str:
    """Makes a webhook for all events; its id."""
    events = [{"entity": entity, "action": action} for entity, actions in EVENTS.items() for action in actions]
    made = api.post("webhooks", name="all", url=receiver.url(), events=events, secret=secret)["webhook"]
    webhook_id: str = made["webhook_id"]
    return webhook_id


@dataclass
class Subscribed:
    """A receiver that is told of everything, in the order in which it happens."""

    receiver: WebhookReceiver
    seen: int = 0

    def next(self) -> tuple[str, Any]:
        """The event that comes next, and its data."""
        request = self.receiver.wait_for(self.seen + 1)[self.seen]
        self.seen += 1
        assert request.is_signed_with(SECRET)
        return f"{request.payload['entity']}.{request.payload['action']}", request.payload["data"]


@pytest.fixture
def told(api: Api) -> Iterator[Subscribed]:
    """What is told, from now to the end of the test."""
    with WebhookReceiver() as receiver:
        webhook_id = subscribe(api, receiver)
        yield Subscribed(receiver)
        api.send("DELETE", f"webhooks/{webhook_id}")


def test_receivers_are_told_of_models_and_their_versions(api: Api, told: Subscribed) -> None:
    name = new_model(api, tags=pairs(a="b"), description="d")
    assert told.next() == ("registered_model.created", {"name": name, "tags": {"a": "b"}, "description": "d"})
    other = new_model(api)
    assert told.next() == ("registered_model.created", {"name": other, "tags": {}, "description": ""})
    new_version(api, name, "s3://bucket/x", tags=pairs(c="d"), description="first")
    first = {"name": name, "version": "1", "source": "s3://bucket/x", "run_id": None}
    assert told.next() == ("model_version.created", first | {"tags": {"c": "d"}, "description": "first"})
    new_version(api, name, f"models:/{name}/1")
    second = first | {"version": "2", "source": f"models:/{name}/1", "tags": {}, "description": None}
    assert told.next() == ("model_version.created", second)
    api.post(f"{VERSIONS}/set-tag", name=name, version="1", key="k", value="v")
    of_tag = {"name": name, "version": "1", "key": "k"}
    assert told.next() == ("model_version_tag.set", of_tag | {"value": "v"})
    change(api, "DELETE", f"{VERSIONS}/delete-tag", name=name, version="1", key="k")
    assert told.next() == ("model_version_tag.deleted", of_tag)
    api.post(f"{MODELS}/alias", name=name, alias="champion", version="2")
    of_alias = {"name": name, "alias": "champion"}
    assert told.next() == ("model_version_alias.created", of_alias | {"version": "2"})
    change(api, "DELETE", f"{MODELS}/alias", name=name, alias="champion")
    assert told.next() == ("model_version_alias.deleted", of_alias)


def test_a_version_of_a_run_is_told_with_the_run(api: Api, told: Subscribed) -> None:
    run_id = api.new_run(api.new_experiment())
    name = new_model(api)
    told.next()
    new_version(api, name, "s3://bucket/x", run_id=run_id)
    assert told.next()[1]["run_id"] == run_id


def test_receivers_are_told_of_prompts_as_prompts(api: Api, told: Subscribed) -> None:
    kind = {"key": "_mlflow_prompt_type", "value": "text"}
    text = {"key": "mlflow.prompt.text", "value": "Say {{it}}"}
    name = new_model(api, tags=[IS_PROMPT, kind, *pairs(a="b")], description="d")
    assert told.next() == ("prompt.created", {"name": name, "tags": {"a": "b"}, "description": "d"})
    new_version(api, name, "dummy-source", tags=[IS_PROMPT, kind, text, *pairs(c="d")], description="first")
    of_version = {"name": name, "version": "1"}
    first = of_version | {"template": "Say {{it}}", "tags": {"c": "d"}, "description": "first"}
    assert told.next() == ("prompt_version.created", first)
    api.post(f"{MODELS}/set-tag", name=name, key="k", value="v")
    assert told.next() == ("prompt_tag.set", {"name": name, "key": "k", "value": "v"})
    change(api, "DELETE", f"{MODELS}/delete-tag", name=name, key="k")
    assert told.next() == ("prompt_tag.deleted", {"name": name, "key": "k"})
    api.post(f"{VERSIONS}/set-tag", name=name, version="1", key="k", value="v")
    assert told.next() == ("prompt_version_tag.set", of_version | {"key": "k", "value": "v"})
    change(api, "DELETE", f"{VERSIONS}/delete-tag", name=name, version="1", key="k")
    assert told.next() == ("prompt_version_tag.deleted", of_version | {"key": "k"})
    api.post(f"{MODELS}/alias", name=name, alias="live", version="1")
    assert told.next() == ("prompt_alias.created", {"name": name, "alias": "live", "version": "1"})
    change(api, "DELETE", f"{MODELS}/alias", name=name, alias="live")
    assert told.next() == ("prompt_alias.deleted", {"name": name, "alias": "live"})


def test_what_is_refused_and_what_has_no_event_is_not_told(api: Api, told: Subscribed) -> None:
    name = new_model(api)
    told.next()
    api.post_refused(f"{MODELS}/create", name=name)
    api.post_refused(f"{VERSIONS}/create", name=unique_name(), source="s3://bucket/x")
    api.post_refused(f"{VERSIONS}/set-tag", name=name, version="7", key="k", value="v")
    api.post_refused(f"{MODELS}/alias", name=name, alias="champion", version="7")
    api.post(f"{MODELS}/set-tag", name=name, key="k", value="v")
    change(api, "DELETE", f"{MODELS}/delete-tag", name=name, key="k")
    change(api, "PATCH", f"{MODELS}/update", name=name, description="d")
    renamed = api.post(f"{MODELS}/rename", name=name, new_name=unique_name())["registered_model"]["name"]
    change(api, "DELETE", f"{MODELS}/delete", name=renamed)
    last = new_model(api)
    assert told.next()[1]["name"] == last


def test_what_has_been_told_is_there(api: Api) -> None:
    found: list[int] = []

    def look(handler: Handler) -> None:
        name = handler.server.received[-1].payload["data"]["name"]
        with Api(str(api.http.base_url)) as own:
            found.append(own.send("GET", f"{MODELS}/get", params={"name": name}).status_code)
        handler.send(200)

    with WebhookReceiver(*[look] * 5) as receiver:
        webhook_id = subscribe(api, receiver)
        for number in range(5):
            new_model(api)
            receiver.wait_for(number + 1)
        api.send("DELETE", f"webhooks/{webhook_id}")
        deadline = time.monotonic() + 10
        while len(found) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert found == [200] * 5


def test_many_clients_at_once_have_each_of_their_events_told_once(api: Api, told: Subscribed) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_model(api), range(100)))
    requests = told.receiver.wait_for(100)
    assert sorted(request.payload["data"]["name"] for request in requests) == sorted(made)
    assert len({request.headers["x-mlflow-delivery-id"] for request in requests}) == 100


def test_a_receiver_that_hangs_delays_no_request(api: Api) -> None:
    release = threading.Event()

    def hang(handler: Handler) -> None:
        release.wait(30)
        handler.send(200)

    with WebhookReceiver(*[hang] * 31) as receiver:
        webhook_id = subscribe(api, receiver)
        new_model(api)
        receiver.wait_for(1)
        took = []
        for _ in range(30):
            started = time.monotonic()
            new_model(api)
            took.append(time.monotonic() - started)
        assert len(receiver.received) <= 5  # half of the threads; nobody has been answered
        assert max(took) < 5, took
        assert api.send("GET", "/health").status_code == 200
        release.set()
        receiver.wait_for(31)
        api.send("DELETE", f"webhooks/{webhook_id}")


def test_a_failing_receiver_is_tried_again_by_a_server_as_it_is_configured(start_server: StartServer) -> None:
    server = start_server(environment=RECEIVERS_HERE | {"MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1"})
    with Api(server.url) as api, WebhookReceiver(503, 200, 500, 500, 404) as receiver:
        subscribe(api, receiver)
        for expected in (2, 4, 5):
            new_model(api)
            receiver.wait_for(expected)
    assert len(server.logged(r"attempts: 2\): the receiver answered 500")) == 1
    assert len(server.logged(r"attempts: 1\): the receiver answered 404")) == 1


def test_several_workers_tell_of_everything_once(start_server: StartServer) -> None:
    server = start_server("--workers", "2", "--port", str(free_port()), environment=RECEIVERS_HERE)
    with Api(server.url) as api, WebhookReceiver() as receiver:
        subscribe(api, receiver)
        made = []
        for _ in range(10):
            with Api(server.url) as fresh:  # a connection of its own, to either worker
                made.append(new_model(fresh))
        requests = receiver.wait_for(10)
        assert sorted(request.payload["data"]["name"] for request in requests) == sorted(made)
        assert all(request.is_signed_with(SECRET) for request in requests)
