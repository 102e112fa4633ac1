"""Review queues: create, read, change, delete; who reviews, and what is asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there
from tests.trace_requests import start_trace

PATH = "/api/3.0/mlflow/review-queues"
HINT = "See the API docs for more information about request parameters."


def create(api: Api, experiment_id: str, name: str = "Triage", **fields: Any) -> Any:
    values = {"queue_type": "CUSTOM"} | fields
    return api.post(f"{PATH}/create", experiment_id=experiment_id, name=name, **values)["review_queue"]


def create_refused(api: Api, experiment_id: str, name: str = "Triage", **fields: Any) -> Refusal:
    values = {"queue_type": "CUSTOM"} | fields
    return api.post_refused(f"{PATH}/create", experiment_id=experiment_id, name=name, **values)


def user_queue(api: Api, experiment_id: str, user: str) -> Any:
    return api.post(f"{PATH}/get-or-create-user", experiment_id=experiment_id, user=user)["review_queue"]


def get(api: Api, queue_id: str) -> Any:
    return api.get(f"{PATH}/get", queue_id=queue_id)["review_queue"]


def listed(api: Api, experiment_id: str, **fields: Any) -> list[str]:
    """The names of the queues in a list."""
    queues = api.get(f"{PATH}/list", experiment_id=experiment_id, **fields)["review_queues"]
    return [queue["name"] for queue in queues]


def update(api: Api, queue_id: str, **fields: Any) -> Any:
    return api.post(f"{PATH}/update", queue_id=queue_id, **fields)["review_queue"]


def update_refused(api: Api, queue_id: str, **fields: Any) -> Refusal:
    return api.post_refused(f"{PATH}/update", queue_id=queue_id, **fields)


def new_schema(api: Api, experiment_id: str, name: str = "q") -> str:
    body: dict[str, Any] = {"experiment_id": experiment_id, "name": name, "type": "FEEDBACK", "input": {"text": {}}}
    schema_id: str = api.post("/api/3.0/mlflow/label-schemas/create", **body)["label_schema"]["schema_id"]
    return schema_id


def taken(name: str) -> Refusal:
    said = f"Review queue with name '{name}' already exists (names are case-insensitive)."
    return Refusal(400, "RESOURCE_ALREADY_EXISTS", said)


def test_a_queue_keeps_what_it_was_created_with(api: Api, experiment_id: str) -> None:
    schemas = sorted(new_schema(api, experiment_id, name) for name in ("1", "2"))
    users = ["Bob", " ann", "BOB"]
    queue = create(
        api, experiment_id, " Triage ", users=users, schema_ids=[*schemas, f"{schemas[0]} "], created_by="me"
    )
    assert queue["queue_id"].startswith("rq-")
    assert queue["creation_time_ms"] == queue["last_update_time_ms"]
    assert queue == {
        "queue_id": queue["queue_id"],
        "experiment_id": experiment_id,
        "name": "Triage",
        "queue_type": "CUSTOM",
        "creation_time_ms": queue["creation_time_ms"],
        "last_update_time_ms": queue["last_update_time_ms"],
        "users": ["ann", "bob"],
        "schema_ids": schemas,
    }
    assert get(api, queue["queue_id"]) == queue
    for name in ("Triage", "TRIAGE"):
        by_name = api.get(f"{PATH}/get-by-name", experiment_id=experiment_id, name=name)
        assert by_name["review_queue"] == queue


def test_no_two_queues_of_an_experiment_share_a_name_in_any_case(api: Api, experiment_id: str) -> None:
    create(api, experiment_id, "Ürlaub")
    assert create_refused(api, experiment_id, " üRLAUB ") == taken("üRLAUB")
    other = create(api, experiment_id, "other")
    assert update_refused(api, other["queue_id"], name="ürlaub") == taken("ürlaub")
    create(api, api.new_experiment(), "ürlaub")
    assert listed(api, experiment_id) == ["other", "Ürlaub"]


def test_of_many_who_take_a_name_at_once_one_gets_it(api: Api, experiment_id: str) -> None:
    queues = [create(api, experiment_id, str(number))["queue_id"] for number in range(4)]

    def rename(queue_id: str) -> int:
        return api.send("POST", f"{PATH}/update", json={"queue_id": queue_id, "name": "taken"}).status_code

    def create_one(name: str) -> int:
        body = {"experiment_id": experiment_id, "name": name, "queue_type": "CUSTOM"}
        return api.send("POST", f"{PATH}/create", json=body).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(rename, queues), *threads.map(create_one, ["TAKEN", "Taken", "taken", "tAKEN"])]
    assert sorted(answers) == [200] + [400] * 7
    assert [name.lower() for name in listed(api, experiment_id)].count("taken") == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "  "}, "`name` must be a non-empty string; got ''."),
        ({"name": "n" * 251}, "`name` must be at most 250 characters; got 251."),
        ({"name": "DeFault"}, "`DeFault` is a reserved queue name and cannot be used for a custom queue."),
        ({"queue_type": None}, "`queue_type` must be one of USER or CUSTOM; got proto enum value 0."),
        ({"users": [" "]}, "`user` must be a non-empty string; got ''."),
        ({"users": ["u" * 251]}, "`user` must be at most 250 characters; got 251."),
        ({"users": [str(n) for n in range(11)]}, "A review queue can have at most 10 assigned users; got 11."),
        ({"schema_ids": [""]}, "`schema_id` must be a non-empty string; got ''."),
        ({"schema_ids": ["s" * 37]}, "`schema_id` must be at most 36 characters; got 37."),
        (
            {"schema_ids": [str(n) for n in range(101)]},
            "A review queue can have at most 100 label schemas (`schema_ids`); got 101.",
        ),
        (
            {"queue_type": "USER", "name": "Ann", "users": ["ann", "bob"]},
            "A user queue must have exactly one assigned user equal to its name; "
            "got name='ann' and users=['ann', 'bob'].",
        ),
        (
            {"queue_type": "USER", "name": "ann", "schema_ids": ["x"]},
            "A user queue cannot have explicitly-attached schemas; "
            "it resolves to all of the experiment's label schemas.",
        ),
    ],
    ids=str,
)
def test_what_no_queue_can_be_is_refused(api: Api, experiment_id: str, fields: Any, said: str) -> None:
    assert create_refused(api, experiment_id, **fields) == invalid(said)
    assert listed(api, experiment_id) == []


def test_a_queue_asks_questions_of_its_own_experiment_only(api: Api, experiment_id: str) -> None:
    here, elsewhere = new_schema(api, experiment_id), new_schema(api, api.new_experiment())
    said = invalid(f"Label schema id(s) ['none', '{elsewhere}'] not found for experiment '{experiment_id}'.")
    ids = ["none", here, elsewhere]
    assert create_refused(api, experiment_id, schema_ids=ids) == said
    queue = create(api, experiment_id, schema_ids=[here], users=["ann"])
    refused = update_refused(
        api, queue["queue_id"], name="x", update_users=True, update_schema_ids=True, schema_ids=ids
    )
    assert refused == said
    assert get(api, queue["queue_id"]) == queue


def test_a_queue_needs_an_active_experiment(api: Api, experiment_id: str) -> None:
    queue = create(api, experiment_id)
    api.post("experiments/delete", experiment_id=experiment_id)
    said = not_there(f"No Experiment with id={experiment_id} exists")
    assert create_refused(api, experiment_id, "another") == said
    assert api.get_refused(f"{PATH}/list", experiment_id=experiment_id) == said
    assert api.get_refused(f"{PATH}/get-by-name", experiment_id=experiment_id, name="Triage") == said
    assert api.post_refused(f"{PATH}/get-or-create-user", experiment_id=experiment_id, user="ann") == said
    assert get(api, queue["queue_id"]) == queue


# The queues of users


def test_a_user_has_one_queue_and_owns_it(api: Api, experiment_id: str) -> None:
    queue = user_queue(api, experiment_id, " Ann ")
    assert queue == queue | {
        "name": "ann",
        "queue_type": "USER",
        "created_by": "ann",
        "users": ["ann"],
        "schema_ids": [],
    }
    assert user_queue(api, experiment_id, "ANN") == queue
    assert create_refused(api, experiment_id, "ann", queue_type="USER") == taken("ann")
    created = create(api, experiment_id, "Default", queue_type="USER", users=["DEFAULT "])
    assert (created["name"], created["users"], created.get("created_by")) == ("default", ["default"], None)


def test_requests_for_a_users_queue_at_once_get_the_same(api: Api, experiment_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        queues = list(threads.map(lambda _: user_queue(api, experiment_id, "ann"), range(8)))
    assert len({queue["queue_id"] for queue in queues}) == 1
    assert all(queue["users"] == ["ann"] for queue in queues)


def test_a_queue_of_another_kind_is_not_given_to_a_user(api: Api, experiment_id: str) -> None:
    create(api, experiment_id, "Ann")
    said = "A non-user queue named 'ann' already exists; cannot get-or-create a user queue with that name."
    refused = api.post_refused(f"{PATH}/get-or-create-user", experiment_id=experiment_id, user="ann")
    assert refused == Refusal(400, "RESOURCE_ALREADY_EXISTS", said)
    assert api.post_refused(f"{PATH}/get-or-create-user", experiment_id=experiment_id) == missing("user")


def test_the_queue_of_a_user_cannot_be_changed(api: Api, experiment_id: str) -> None:
    queue = user_queue(api, experiment_id, "ann")
    said = invalid("A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated.")
    for fields in ({"name": "x"}, {"new_owner": "x"}, {"update_users": True}, {}):
        assert update_refused(api, queue["queue_id"], **fields) == said
    assert get(api, queue["queue_id"]) == queue


# Lists


def test_queues_are_listed_in_pages_the_newest_first(api: Api, experiment_id: str) -> None:
    for number in range(5):
        create(api, experiment_id, str(number))
    pages = list(api.pages("GET", f"{PATH}/list", experiment_id=experiment_id, max_results=2))
    names = [[queue["name"] for queue in page["review_queues"]] for page in pages]
    assert names == [["4", "3"], ["2", "1"], ["0"]]
    for size in (0, 50_001):
        refused = api.get_refused(f"{PATH}/list", experiment_id=experiment_id, max_results=size)
        assert refused == invalid(f"max_results must be between 1 and 50000. {HINT}")
    token = pages[0]["next_page_token"]
    refused = api.get_refused(f"{PATH}/list", experiment_id=experiment_id, user="ann", page_token=token)
    assert (refused.status, refused.message[:19]) == (400, "Invalid page token ")


def test_a_list_can_be_confined_to_a_user_or_an_item(api: Api, experiment_id: str) -> None:
    user_queue(api, experiment_id, "ann")
    shared = create(api, experiment_id, "shared", users=["bob", "ANN"])
    create(api, experiment_id, "of nobody")
    create(api, api.new_experiment(), "elsewhere", users=["ann"])
    trace_id = start_trace(api, experiment_id)["trace_id"]
    api.post(f"{PATH}/items/add", queue_id=shared["queue_id"], item_ids=[trace_id])
    assert listed(api, experiment_id, user=" Ann") == ["shared", "ann"]
    assert listed(api, experiment_id, user="bob") == ["shared"]
    assert listed(api, experiment_id, user="") == []
    assert listed(api, experiment_id, item_id=trace_id) == ["shared"]
    assert listed(api, experiment_id, item_id=trace_id, user="cat") == []


# Changes


def test_an_update_changes_what_it_names_and_no_more(api: Api, experiment_id: str) -> None:
    schemas = sorted(new_schema(api, experiment_id, name) for name in ("1", "2"))
    queue = create(api, experiment_id, users=["ann"], schema_ids=schemas[:1])
    queue_id = queue["queue_id"]
    changed = update(api, queue_id, name=" New ", new_owner=" Me ", users=["x"], schema_ids=["x"])
    assert changed == queue | {
        "name": "New",
        "created_by": "Me",
        "last_update_time_ms": changed["last_update_time_ms"],
    }
    assert changed["last_update_time_ms"] >= queue["last_update_time_ms"]
    assert update(api, queue_id, name="NEW")["name"] == "NEW"
    assert update(api, queue_id, update_users=True, users=["Z", "y"])["users"] == ["y", "z"]
    assert update(api, queue_id, update_users=True)["users"] == []
    assert update(api, queue_id, update_schema_ids=True, schema_ids=schemas)["schema_ids"] == schemas
    assert update(api, queue_id, update_schema_ids=True)["schema_ids"] == []
    before = get(api, queue_id)
    assert update(api, queue_id) == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "`name` must be a non-empty string; got ''."),
        ({"name": "default"}, "`default` is a reserved queue name and cannot be used for a custom queue."),
        ({"new_owner": " "}, "`new_owner` must be a non-empty string; got ''."),
        ({"new_owner": "o" * 251}, "`new_owner` must be at most 250 characters; got 251."),
    ],
    ids=str,
)
def test_a_wrong_change_is_refused(api: Api, experiment_id: str, fields: Any, said: str) -> None:
    queue = create(api, experiment_id)
    assert update_refused(api, queue["queue_id"], update_users=True, users=["ann"], **fields) == invalid(said)
    assert get(api, queue["queue_id"]) == queue


def test_a_queue_goes_on_naming_a_label_schema_that_is_deleted(api: Api, experiment_id: str) -> None:
    schema_id = new_schema(api, experiment_id)
    queue = create(api, experiment_id, schema_ids=[schema_id])
    api.send("DELETE", "/api/3.0/mlflow/label-schemas/delete", json={"schema_id": schema_id})
    assert get(api, queue["queue_id"]) == queue


def test_a_queue_is_deleted_for_good_and_its_name_is_free(api: Api, experiment_id: str) -> None:
    trace_id = start_trace(api, experiment_id)["trace_id"]
    queue_id = create(api, experiment_id, users=["ann"])["queue_id"]
    api.post(f"{PATH}/items/add", queue_id=queue_id, item_ids=[trace_id])
    for _ in range(2):
        assert api.post(f"{PATH}/delete", queue_id=queue_id) == {}
    said = not_there(f"Review queue with id '{queue_id}' not found.")
    assert api.get_refused(f"{PATH}/get", queue_id=queue_id) == said
    assert update_refused(api, queue_id, name="x") == said
    assert api.get_refused(f"{PATH}/items/list", queue_id=queue_id) == said
    assert listed(api, experiment_id, user="ann") == listed(api, experiment_id, item_id=trace_id) == []
    again = create(api, experiment_id)
    assert api.get(f"{PATH}/items/list", queue_id=again["queue_id"])["items"] == []
