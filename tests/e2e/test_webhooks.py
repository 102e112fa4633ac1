"""Webhooks: create, list, read, change, delete, test; what their URLs may be, and how their secrets are kept."""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal, wrong_type
from tests.conftest import NewDatabase, StartServer
from tests.server_process import ServerProcess, clean_environment
from tests.webhook_receiver import Handler, WebhookReceiver

PATH = "/api/2.0/mlflow/webhooks"
PUBLIC = "https://1.1.1.1/hook"  # nothing is sent there: no event happens, and no test is asked for
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
TAG_SET = {"entity": "PROMPT_TAG", "action": "SET"}
KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()
RECEIVERS_HERE = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": KEY,
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2",
}


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
def near(near_server: ServerProcess) -> Iterator[Api]:
    """Its API."""
    with Api(near_server.url) as client:
        yield client


def create(api: Api, **fields: Any) -> Any:
    fields = {"name": "hook", "url": PUBLIC, "events": [CREATED]} | fields
    return api.post("webhooks", **fields)["webhook"]


def create_refused(api: Api, **fields: Any) -> Refusal:
    fields = {"name": "hook", "url": PUBLIC, "events": [CREATED]} | fields
    return api.post_refused("webhooks", **{name: value for name, value in fields.items() if value is not None})


def change(api: Api, webhook_id: str, **fields: Any) -> Any:
    response = api.send("PATCH", f"{PATH}/{webhook_id}", json=fields)
    assert response.status_code == 200, response.text
    return response.json()["webhook"]


def change_refused(api: Api, webhook_id: str, **fields: Any) -> Refusal:
    return refusal(api.send("PATCH", f"{PATH}/{webhook_id}", json=fields))


def test_a_webhook_is_created_and_read(api: Api) -> None:
    made = create(api, name="CI.hook_1", description="d", events=[TAG_SET, CREATED, TAG_SET], status="DISABLED")
    webhook_id, created = made["webhook_id"], made["creation_timestamp"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", webhook_id)
    assert made == {
        "webhook_id": webhook_id,
        "name": "CI.hook_1",
        "description": "d",
        "url": PUBLIC,
        "events": [TAG_SET, CREATED],
        "status": "DISABLED",
        "creation_timestamp": created,
        "last_updated_timestamp": created,
    }
    assert api.get(f"webhooks/{webhook_id}") == {"webhook": made}


def test_a_webhook_is_active_unless_told_otherwise_and_without_a_description_has_none(api: Api) -> None:
    made = create(api)
    assert made["status"] == "ACTIVE"
    assert "description" not in made


def test_enums_may_be_numbers(api: Api) -> None:
    made = create(api, events=[{"entity": 9, "action": 3}], status=2)
    assert made["events"] == [{"entity": "PROMPT_ALIAS", "action": "DELETED"}]
    assert made["status"] == "DISABLED"


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "A-b_c.d"])
def test_names_of_letters_digits_dots_hyphens_and_underscores_are_allowed(api: Api, name: str) -> None:
    assert create(api, name=name)["name"] == name


@pytest.mark.parametrize("name", ["-a", "a-", ".a", "a b", "a/b", "ä", "a" * 64, "a\n"])
def test_other_names_are_refused(api: Api, name: str) -> None:
    assert create_refused(api, name=name) == invalid(
        f"Webhook name {name!r} is invalid. It must start and end with a letter or digit, be less than 63 characters "
        "long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
    )


@pytest.mark.parametrize("field", ["name", "url", "events"])
def test_what_a_webhook_needs_is_asked_for(api: Api, field: str) -> None:
    assert create_refused(api, **{field: None}) == missing(field)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].")),
        ([{"action": "CREATED"}], missing("events[0].entity")),
        ([CREATED, {"entity": "PROMPT"}], missing("events[1].action")),
        ([{"entity": "RUN", "action": "CREATED"}], wrong_type("events[0].entity", '"RUN"', "str")),
        ([{"entity": "PROMPT", "action": "SANG"}], wrong_type("events[0].action", '"SANG"', "str")),
        (
            [{"entity": "REGISTERED_MODEL", "action": "UPDATED"}],
            invalid("Invalid action 'updated' for entity 'registered_model'. Valid actions are: ['created']"),
        ),
        (
            [{"entity": "PROMPT_VERSION_TAG", "action": "CREATED"}],
            invalid("Invalid action 'created' for entity 'prompt_version_tag'. Valid actions are: ['deleted', 'set']"),
        ),
    ],
)
def test_events_that_do_not_exist_are_refused(api: Api, events: list[Any], expected: Refusal) -> None:
    assert create_refused(api, events=events) == expected


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "gopher", "data", "unix", ""])
def test_a_url_of_another_scheme_than_https_is_refused(api: Api, scheme: str) -> None:
    expected = invalid(f"Invalid webhook URL scheme: {scheme!r}. Allowed schemes are: https.")
    assert create_refused(api, url=f"{scheme}://1.1.1.1/etc/passwd" if scheme else "1.1.1.1/etc/passwd") == expected


@pytest.mark.parametrize("scheme", ["ftp", "file", "gopher"])
def test_no_setting_allows_more_than_http(near: Api, scheme: str) -> None:
    expected = invalid(f"Invalid webhook URL scheme: {scheme!r}. Allowed schemes are: http, https.")
    assert create_refused(near, url=f"{scheme}://127.0.0.1/etc/passwd") == expected


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "(127.0.0.1|::1)"),
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("10.1.2.3", "10.1.2.3"),
        ("192.168.0.1:8443", "192.168.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("user:password@10.1.2.3", "10.1.2.3"),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:(7f00:1|127.0.0.1)"),
        ("[64:ff9b::a00:1]", "64:ff9b::a00:1"),
        ("[fe80::1]", "fe80::1"),
    ],
)
def test_a_host_that_is_not_on_the_public_internet_is_refused(api: Api, host: str, address: str) -> None:
    refused = create_refused(api, url=f"https://{host}/latest/meta-data")
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    expected = rf"Webhook URL must not resolve to a non-public IP address\. '.+' resolves to {address}\."
    assert re.fullmatch(expected, refused.message), refused.message
    webhook_id = create(api)["webhook_id"]
    assert change_refused(api, webhook_id, url=f"https://{host}/") == refused
    assert api.get(f"webhooks/{webhook_id}")["webhook"]["url"] == PUBLIC


def test_a_host_that_is_not_known_is_refused(api: Api) -> None:
    refused = create_refused(api, url="https://no.such.host.invalid/")
    assert refused.message.startswith("Cannot resolve Webhook URL hostname 'no.such.host.invalid': ")


@pytest.mark.parametrize(("field", "limit"), [("url", 2_048), ("description", 1_000), ("secret", 1_000)])
def test_a_text_that_is_too_long_is_refused(near: Api, field: str, limit: int) -> None:
    start = "https://1.1.1.1/" if field == "url" else ""
    expected = invalid(f"'{field}' exceeds the maximum length of {limit} characters")
    longest = start + "x" * (limit - len(start))
    assert create_refused(near, **{field: longest + "x"}) == expected
    webhook_id = create(near, status="DISABLED", **{field: longest})["webhook_id"]
    assert change_refused(near, webhook_id, **{field: longest + "x"}) == expected


def test_what_is_given_is_changed_and_the_rest_stays(api: Api) -> None:
    made = create(api, description="d")
    path = made["webhook_id"]
    for fields in (
        {},
        {"name": "other"},
        {"url": "https://8.8.8.8/"},
        {"events": [TAG_SET]},
        {"status": "DISABLED"},
        {"description": "e"},
    ):
        changed = change(api, path, **fields)
        assert changed == made | fields | {"last_updated_timestamp": changed["last_updated_timestamp"]}
        assert changed["last_updated_timestamp"] >= made["last_updated_timestamp"]
        assert api.get(f"webhooks/{path}")["webhook"] == changed
        made = changed
    assert change(api, path, name="", url="", events=[])["name"] == "other"
    assert "description" not in change(api, path, description="")


def test_a_change_that_is_refused_changes_nothing(api: Api) -> None:
    made = create(api)
    for wrong in ({"name": "-"}, {"url": "file:///x"}, {"events": [{"entity": "PROMPT", "action": "SET"}]}):
        assert change_refused(api, made["webhook_id"], **{"status": "DISABLED"} | wrong).status == 400
    assert api.get(f"webhooks/{made['webhook_id']}")["webhook"] == made


def test_webhooks_are_listed_page_by_page_newest_first(start_server: StartServer) -> None:
    with Api(start_server().url) as api:
        assert api.get("webhooks") == {}
        made = [create(api, name=f"hook{number}")["webhook_id"] for number in range(7)][::-1]
        found = [[w["webhook_id"] for w in page["webhooks"]] for page in api.pages("GET", "webhooks", max_results=3)]
        assert found == [made[:3], made[3:6], made[6:]]
        assert [w["webhook_id"] for w in api.get("webhooks", max_results=0)["webhooks"]] == made
        assert api.get("webhooks", max_results=7).keys() == {"webhooks"}
        token = api.get("webhooks", max_results=3)["next_page_token"]
        assert "Invalid page token" in api.get_refused("webhooks", page_token=token[:-1]).message


@pytest.mark.parametrize("wrong", [-1, 1_001])
def test_a_page_of_another_size_is_refused(api: Api, wrong: int) -> None:
    assert api.get_refused("webhooks", max_results=wrong) == invalid("max_results must be between 1 and 1000.")


def test_a_deleted_webhook_is_gone(api: Api) -> None:
    webhook_id = create(api)["webhook_id"]
    assert api.send("DELETE", f"{PATH}/{webhook_id}").json() == {}
    gone = not_there(f"Webhook with ID {webhook_id} not found.")
    assert refusal(api.send("DELETE", f"{PATH}/{webhook_id}")) == gone
    assert api.get_refused(f"webhooks/{webhook_id}") == gone
    assert change_refused(api, webhook_id, name="other") == gone
    assert api.post_refused(f"webhooks/{webhook_id}/test") == gone


def test_a_secret_is_kept_encrypted_and_never_shown(near: Api, near_server: ServerProcess) -> None:
    secret = "a secret that nobody sees"
    webhook_id = create(near, secret=secret, status="DISABLED")["webhook_id"]
    assert secret not in near.send("GET", f"{PATH}/{webhook_id}").text + near.send("GET", PATH).text
    kept = kept_secret(near_server, webhook_id)
    assert kept.startswith("gAAAA")  # as Fernet's tokens begin
    assert secret not in kept
    change(near, webhook_id, name="other")
    assert kept_secret(near_server, webhook_id) == kept
    change(near, webhook_id, secret="another")
    assert kept_secret(near_server, webhook_id) not in (kept, "None")
    change(near, webhook_id, secret="")
    assert kept_secret(near_server, webhook_id) == "None"


def kept_secret(server: ServerProcess, webhook_id: str) -> str:
    """The secret as it stands in the database."""
    uri = server.command[server.command.index("--backend-store-uri") + 1]
    query = "SELECT secret FROM webhooks WHERE webhook_id = "
    if uri.startswith("sqlite:"):
        connection = sqlite3.connect(uri.removeprefix("sqlite:///"))
        row = connection.execute(f"{query}?", (webhook_id,)).fetchone()
        connection.close()
    else:
        with psycopg.connect(uri) as session:
            row = session.execute(f"{query}%s".encode(), (webhook_id,)).fetchone()
    return str(row[0])


def test_a_secret_is_refused_where_there_is_no_key_to_keep_it_with(api: Api) -> None:
    refused = create_refused(api, secret="s")
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY" in refused.message
    webhook_id = create(api)["webhook_id"]
    assert change_refused(api, webhook_id, secret="s") == refused
    assert change(api, webhook_id, secret="")["webhook_id"] == webhook_id


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "c2hvcnQ="),
        ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", "no base64 at all!"),
        ("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "https,ftp"),
        ("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", ","),
        ("MLFLOW_WEBHOOK_REQUEST_TIMEOUT", "0"),
        ("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES", "-1"),
        ("MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS", "many"),
    ],
)
def test_a_wrong_setting_stops_the_start(variable: str, value: str, tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runnel", "server", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment() | {variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    flag = variable.removeprefix("MLFLOW_").lower().replace("_", "-")
    assert f"'--{flag}'" in done.stderr
    assert value not in done.stderr or "KEY" not in variable


def test_a_test_sends_the_webhooks_first_event_or_the_one_that_is_named(near: Api) -> None:
    with WebhookReceiver() as receiver:
        webhook_id = create(near, url=receiver.url(), events=[CREATED, TAG_SET], secret="s")["webhook_id"]
        expected = {"result": {"success": True, "response_status": 200, "response_body": "received"}}
        assert near.post(f"webhooks/{webhook_id}/test") == expected
        aliased = {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}
        assert near.post(f"webhooks/{webhook_id}/test", event=aliased) == expected
        first, second = receiver.received
    assert (first.payload["entity"], first.payload["action"]) == ("prompt_tag", "set")
    assert first.payload["data"] == {"name": "example_prompt", "key": "example_key", "value": "example_value"}
    assert (second.payload["entity"], second.payload["action"]) == ("model_version_alias", "created")
    assert first.is_signed_with("s")


def test_a_disabled_webhook_can_be_tested(near: Api) -> None:
    with WebhookReceiver() as receiver:
        webhook_id = create(near, url=receiver.url(), status="DISABLED")["webhook_id"]
        assert near.post(f"webhooks/{webhook_id}/test")["result"]["success"] is True
        assert "x-mlflow-signature" not in receiver.received[0].headers


def test_a_test_says_what_went_wrong_at_the_first_attempt(near: Api) -> None:
    with WebhookReceiver() as target:

        def redirect(handler: Handler) -> None:
            handler.send(302, Location=target.url())

        def hang(_: Handler) -> None:
            time.sleep(10)

        with WebhookReceiver(503, 404, redirect, hang) as receiver:
            webhook_id = create(near, url=receiver.url())["webhook_id"]
            failed = [near.post(f"webhooks/{webhook_id}/test")["result"] for _ in range(4)]
            assert len(receiver.received) == 4
        assert target.received == []
    assert failed == [
        {"success": False, "response_status": 503, "response_body": "received"},
        {"success": False, "response_status": 404, "response_body": "received"},
        {"success": False, "response_status": 302},
        {"success": False, "error_message": "Failed to test webhook: no answer within 2 seconds"},
    ]
    away = near.post(f"webhooks/{webhook_id}/test")["result"]
    assert away["success"] is False
    assert away["error_message"].startswith("Failed to test webhook: ConnectionRefusedError")


def test_an_event_that_does_not_exist_is_not_tested(near: Api) -> None:
    webhook_id = create(near, status="DISABLED")["webhook_id"]
    refused = near.post_refused(f"webhooks/{webhook_id}/test", event={"entity": "PROMPT", "action": "SET"})
    assert refused == invalid("Invalid action 'set' for entity 'prompt'. Valid actions are: ['created']")


def test_a_webhook_of_before_is_not_reached_once_private_addresses_are_not_allowed(
    start_server: StartServer, new_database: NewDatabase
) -> None:
    database = new_database()
    with WebhookReceiver() as receiver:
        server = start_server("--backend-store-uri", database, environment=RECEIVERS_HERE)
        with Api(server.url) as api:
            webhook_id = create(api, url=receiver.url())["webhook_id"]
        server.stop()
        with Api(start_server("--backend-store-uri", database).url) as api:
            result = api.post(f"webhooks/{webhook_id}/test")["result"]
        assert receiver.received == []
    assert result["success"] is False
    assert "must not resolve to a non-public IP address" in result["error_message"]
