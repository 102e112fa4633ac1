"""The items of review queues: traces put in and taken out, and how their review stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, not_there
from tests.trace_requests import start_trace

PATH = "/api/3.0/mlflow/review-queues"
HINT = "See the API docs for more information about request parameters."


@pytest.fixture
def queue_id(api: Api, experiment_id: str) -> str:
    """A new queue."""
    return new_queue(api, experiment_id)


def new_queue(api: Api, experiment_id: str, name: str = "Triage", **fields: Any) -> str:
    answer = api.post(f"{PATH}/create", experiment_id=experiment_id, name=name, queue_type="CUSTOM", **fields)
    queue_id: str = answer["review_queue"]["queue_id"]
    return queue_id


def new_traces(api: Api, experiment_id: str, count: int = 1) -> list[str]:
    """The ids of new traces, sorted."""
    return sorted(start_trace(api, experiment_id)["trace_id"] for _ in range(count))


def add(api: Api, queue_id: str, *item_ids: str) -> Any:
    return api.post(f"{PATH}/items/add", queue_id=queue_id, item_ids=list(item_ids))["items"]


def add_refused(api: Api, queue_id: str, *item_ids: str) -> Refusal:
    return api.post_refused(f"{PATH}/items/add", queue_id=queue_id, item_ids=list(item_ids))


def listed(api: Api, queue_id: str, **fields: Any) -> list[str]:
    return [item["item_id"] for item in api.get(f"{PATH}/items/list", queue_id=queue_id, **fields)["items"]]


def set_status(api: Api, queue_id: str, item_id: str, status: str, user: str | None = None) -> Any:
    body = {"queue_id": queue_id, "item_id": item_id, "status": status, "completed_by": user}
    return api.post(f"{PATH}/items/set-status", **body)["item"]


def status_refused(api: Api, queue_id: str, item_id: str, **fields: Any) -> Refusal:
    return api.post_refused(f"{PATH}/items/set-status", queue_id=queue_id, item_id=item_id, **fields)


def test_traces_that_are_added_are_pending(api: Api, experiment_id: str, queue_id: str) -> None:
    first, second = new_traces(api, experiment_id, 2)
    items = add(api, queue_id, second, f" {first}", first)
    assert [item["item_id"] for item in items] == [second, first]
    assert items[0] == {
        "queue_id": queue_id,
        "item_type": "TRACE",
        "item_id": second,
        "status": "PENDING",
        "creation_time_ms": items[0]["creation_time_ms"],
        "last_update_time_ms": items[0]["creation_time_ms"],
    }
    assert listed(api, queue_id) == [first, second]


def test_an_item_that_is_added_again_stays_as_it_is(api: Api, experiment_id: str, queue_id: str) -> None:
    first, second = new_traces(api, experiment_id, 2)
    add(api, queue_id, first)
    done = set_status(api, queue_id, first, "COMPLETE", "ann")
    items = add(api, queue_id, first, second)
    assert items[0] == done
    assert items[1]["status"] == "PENDING"


def test_all_traces_are_added_or_none(api: Api, experiment_id: str, queue_id: str) -> None:
    (here,), (elsewhere,) = new_traces(api, experiment_id), new_traces(api, api.new_experiment())
    assert add_refused(api, queue_id, here, "none", elsewhere) == not_there(
        f"Cannot attach trace(s) ['none', '{elsewhere}'] to review queue '{queue_id}': "
        f"they do not exist in experiment '{experiment_id}'."
    )
    assert listed(api, queue_id) == []


def test_an_error_names_a_hundred_missing_traces_at_most(api: Api, queue_id: str) -> None:
    refused = add_refused(api, queue_id, *[f"none-{number}" for number in range(150)])
    assert "'none-99'] (and 50 more) to review queue" in refused.message


@pytest.mark.parametrize(
    ("item_ids", "said"),
    [
        ([], "`item_ids` must be a non-empty list; got []."),
        ([" "], "`item_id` must be a non-empty string; got ''."),
        (["x" * 51], "`item_id` must be at most 50 characters; got 51."),
        ([str(number) for number in range(10_001)], "`item_ids` can contain at most 10000 items; got 10001."),
    ],
    ids=["none", "empty", "long", "many"],
)
def test_item_ids_that_cannot_be_are_refused(api: Api, queue_id: str, item_ids: list[str], said: str) -> None:
    assert add_refused(api, queue_id, *item_ids) == invalid(said)
    assert api.post_refused(f"{PATH}/items/remove", queue_id=queue_id, item_ids=item_ids) == invalid(said)


def test_items_are_removed_and_those_that_are_not_there_are_no_error(
    api: Api, experiment_id: str, queue_id: str
) -> None:
    traces = new_traces(api, experiment_id, 3)
    add(api, queue_id, *traces)
    assert api.post(f"{PATH}/items/remove", queue_id=queue_id, item_ids=[f"{traces[1]} ", "none"]) == {}
    assert listed(api, queue_id) == [traces[0], traces[2]]


def test_a_queue_that_is_not_there_is_an_error(api: Api, experiment_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    said = not_there("Review queue with id 'none' not found.")
    assert add_refused(api, "none", trace_id) == said
    assert api.post_refused(f"{PATH}/items/remove", queue_id="none", item_ids=[trace_id]) == said
    assert api.get_refused(f"{PATH}/items/list", queue_id="none") == said
    assert status_refused(api, "none", trace_id, status="PENDING") == said


def test_the_questions_of_a_queue_are_locked_while_it_has_items(api: Api, experiment_id: str, queue_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    add(api, queue_id, trace_id)
    said = (
        "A review queue's questions are locked once items are assigned to it. "
        "Remove the items before changing its questions."
    )
    assert api.post_refused(f"{PATH}/update", queue_id=queue_id, update_schema_ids=True) == invalid(said)
    assert api.post(f"{PATH}/update", queue_id=queue_id, update_users=True, users=["ann"])
    api.post(f"{PATH}/items/remove", queue_id=queue_id, item_ids=[trace_id])
    api.post(f"{PATH}/update", queue_id=queue_id, update_schema_ids=True)


# Lists


def test_items_are_listed_in_pages_by_their_status(api: Api, experiment_id: str, queue_id: str) -> None:
    traces = new_traces(api, experiment_id, 5)
    add(api, queue_id, *traces)
    set_status(api, queue_id, traces[1], "COMPLETE", "ann")
    set_status(api, queue_id, traces[2], "DECLINED", "ann")

    def pages(**fields: Any) -> list[list[str]]:
        found = api.pages("GET", f"{PATH}/items/list", queue_id=queue_id, max_results=2, **fields)
        return [[item["item_id"] for item in page["items"]] for page in found]

    assert pages() == [traces[:2], traces[2:4], traces[4:]]
    assert pages(status="PENDING") == [[traces[0], traces[3]], [traces[4]]]
    assert pages(status="COMPLETE") == [[traces[1]]]
    assert pages(status=3) == [[traces[2]]]
    token = api.get(f"{PATH}/items/list", queue_id=queue_id, max_results=2)["next_page_token"]
    refused = api.get_refused(f"{PATH}/items/list", queue_id=queue_id, status="PENDING", page_token=token)
    assert (refused.status, refused.message[:19]) == (400, "Invalid page token ")
    refused = api.get_refused(f"{PATH}/items/list", queue_id=queue_id, max_results=0)
    assert refused == invalid(f"max_results must be between 1 and 50000. {HINT}")


# How a review stands


def test_whoever_ends_a_review_is_kept_until_it_is_opened_again(api: Api, experiment_id: str, queue_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    (item,) = add(api, queue_id, trace_id)
    done = set_status(api, queue_id, f" {trace_id}", "COMPLETE", " Ann ")
    assert done == item | {
        "status": "COMPLETE",
        "completed_by": "ann",
        "completed_time_ms": done["last_update_time_ms"],
        "last_update_time_ms": done["last_update_time_ms"],
    }
    assert set_status(api, queue_id, trace_id, "COMPLETE", "bob") == done
    declined = set_status(api, queue_id, trace_id, "DECLINED", "bob")
    assert (declined["status"], declined["completed_by"]) == ("DECLINED", "bob")
    opened = set_status(api, queue_id, trace_id, "PENDING")
    assert opened == item | {"last_update_time_ms": opened["last_update_time_ms"]}
    assert api.get(f"{PATH}/items/list", queue_id=queue_id)["items"] == [opened]


def test_of_many_who_end_a_review_at_once_one_is_named(api: Api, experiment_id: str, queue_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    add(api, queue_id, trace_id)
    with ThreadPoolExecutor(8) as threads:
        users = [f"user-{number}" for number in range(8)]
        answers = list(threads.map(lambda user: set_status(api, queue_id, trace_id, "COMPLETE", user), users))
    assert len({answer["completed_by"] for answer in answers}) == 1


def test_a_status_needs_someone_who_gives_it(api: Api, experiment_id: str, queue_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    add(api, queue_id, trace_id)

    def refused(**fields: Any) -> Refusal:
        return status_refused(api, queue_id, trace_id, **fields)

    assert refused() == invalid("`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.")
    needed = invalid("`completed_by` is required when setting status to `complete`.")
    assert refused(status="COMPLETE") == refused(status="COMPLETE", completed_by=" ") == needed
    said = "`completed_by` must not be set when reopening an item to `pending`."
    assert refused(status="PENDING", completed_by="ann") == invalid(said)
    said = "`completed_by` must be at most 250 characters; got 251."
    assert refused(status="DECLINED", completed_by="u" * 251) == invalid(said)
    said = f"Item 'none' is not attached to review queue '{queue_id}'."
    assert status_refused(api, queue_id, "none", status="PENDING") == not_there(said)


def test_the_same_trace_has_its_own_status_in_each_queue(api: Api, experiment_id: str, queue_id: str) -> None:
    (trace_id,) = new_traces(api, experiment_id)
    other = new_queue(api, experiment_id, "other")
    add(api, queue_id, trace_id)
    add(api, other, trace_id)
    set_status(api, queue_id, trace_id, "COMPLETE", "ann")
    assert listed(api, queue_id, status="COMPLETE") == listed(api, other, status="PENDING") == [trace_id]


# Traces that are deleted


def test_a_trace_that_is_deleted_leaves_every_queue(api: Api, experiment_id: str, queue_id: str) -> None:
    traces = new_traces(api, experiment_id, 3)
    other = new_queue(api, experiment_id, "other")
    for queue in (queue_id, other):
        add(api, queue, *traces)
    delete = "/api/3.0/mlflow/traces/delete-traces"
    api.post(delete, experiment_id=experiment_id, request_ids=traces[:1])
    assert listed(api, queue_id) == listed(api, other) == traces[1:]
    api.post(delete, experiment_id=experiment_id, max_timestamp_millis=2**53)
    assert listed(api, queue_id) == listed(api, other) == []


def test_traces_added_while_they_are_deleted_leave_nothing_behind(api: Api, experiment_id: str, queue_id: str) -> None:
    delete = "/api/3.0/mlflow/traces/delete-traces"
    for _ in range(5):
        traces = new_traces(api, experiment_id, 4)
        with ThreadPoolExecutor(8) as threads:
            body = {"queue_id": queue_id, "item_ids": traces}
            added = [threads.submit(api.send, "POST", f"{PATH}/items/add", json=body) for _ in range(3)]
            ids = {"experiment_id": experiment_id, "request_ids": traces}
            deleted = threads.submit(api.send, "POST", delete, json=ids)
        assert deleted.result().json() == {"traces_deleted": 4}
        assert {each.result().status_code for each in added} <= {200, 404}
        assert listed(api, queue_id) == []
