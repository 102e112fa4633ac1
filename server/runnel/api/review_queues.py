"""Endpoints of review queues (``mlflow.genai.review_queues``): which traces people are to look at."""

from __future__ import annotations

from typing import TypedDict

from runnel.api.experiments import Empty
from runnel.domain import limits
from runnel.domain.review_queues import (
    ReviewItemType,
    ReviewQueue,
    ReviewQueueItem,
    ReviewQueueType,
    ReviewStatus,
    completion,
    custom_name,
    new_queue,
    normalized_item_ids,
    normalized_schema_ids,
    normalized_user,
    normalized_users,
    owner,
)
from runnel.domain.validation import check_page_size, parse_experiment_id
from runnel.store import review_queue_items, review_queues
from runnel.store.statements import Transaction


class ReviewQueueAnswer(TypedDict):
    review_queue: ReviewQueue


class ReviewQueuesAnswer(TypedDict):
    review_queues: list[ReviewQueue]
    next_page_token: str


class ItemAnswer(TypedDict):
    item: ReviewQueueItem


class ItemsAnswer(TypedDict):
    items: list[ReviewQueueItem]


class ItemsPage(TypedDict):
    items: list[ReviewQueueItem]
    next_page_token: str


def create_review_queue(
    tx: Transaction,
    experiment_id: str,
    name: str,
    queue_type: ReviewQueueType | None = None,
    users: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
    schema_ids: list[str] = [],  # noqa: B006
) -> ReviewQueueAnswer:
    """Creates a queue of an active experiment. (Who owns it is not for the client to say.)"""
    new = new_queue(name, queue_type, users, schema_ids)
    return {"review_queue": review_queues.create_review_queue(tx, parse_experiment_id(experiment_id), new, None)}


def get_or_create_user_queue(tx: Transaction, experiment_id: str, user: str) -> ReviewQueueAnswer:
    """The queue of a user of an active experiment; it is created when it is first asked for."""
    new = new_queue(user, "USER", [], [])
    return {"review_queue": review_queues.get_or_create_user_queue(tx, parse_experiment_id(experiment_id), new)}


def get_review_queue(tx: Transaction, queue_id: str) -> ReviewQueueAnswer:
    """A queue without its items."""
    return {"review_queue": review_queues.get_review_queue(tx, queue_id)}


def get_review_queue_by_name(tx: Transaction, experiment_id: str, name: str) -> ReviewQueueAnswer:
    """The queue of that name, in whatever case, of an active experiment."""
    return {"review_queue": review_queues.get_review_queue_by_name(tx, parse_experiment_id(experiment_id), name)}


def list_review_queues(
    tx: Transaction,
    experiment_id: str,
    user: str | None = None,
    item_id: str | None = None,
    max_results: int = limits.MAX_REVIEW_QUEUE_RESULTS,
    page_token: str = "",
) -> ReviewQueuesAnswer:
    """A page of the queues of an active experiment, the newest first: at most 1,000.

    Only those that a user reviews, or that hold an item, if one is named.
    """
    check_page_size(max_results)
    found, token = review_queues.list_review_queues(
        tx,
        parse_experiment_id(experiment_id),
        None if user is None else normalized_user(user),
        item_id,
        max_results,
        page_token,
    )
    return {"review_queues": found, "next_page_token": token or ""}


def update_review_queue(
    tx: Transaction,
    queue_id: str,
    update_users: bool = False,
    users: list[str] = [],  # noqa: B006
    update_schema_ids: bool = False,
    schema_ids: list[str] = [],  # noqa: B006
    name: str | None = None,
    new_owner: str | None = None,
) -> ReviewQueueAnswer:
    """Changes a custom queue: users and schema_ids where their flag says so, its questions while it has no items."""
    queue = review_queues.update_review_queue(
        tx,
        queue_id,
        users=normalized_users(users) if update_users else None,
        schema_ids=normalized_schema_ids(schema_ids) if update_schema_ids else None,
        name=None if name is None else custom_name(name),
        owner=None if new_owner is None else owner(new_owner),
    )
    return {"review_queue": queue}


def delete_review_queue(tx: Transaction, queue_id: str) -> Empty:
    """Removes a queue with its items for good, the traces stay; one that is not there is no error."""
    review_queues.delete_review_queue(tx, queue_id)
    return {}


def add_items_to_review_queue(
    tx: Transaction,
    queue_id: str,
    item_type: ReviewItemType = "TRACE",
    item_ids: list[str] = [],  # noqa: B006
) -> ItemsAnswer:
    """Puts traces of the queue's experiment into it, all or none; those that are in it stay as they are."""
    items = review_queue_items.add_items_to_review_queue(tx, queue_id, normalized_item_ids(item_ids))
    return {"items": items}


def remove_items_from_review_queue(
    tx: Transaction,
    queue_id: str,
    item_ids: list[str] = [],  # noqa: B006
) -> Empty:
    """Takes items out of a queue; those that are not in it are no error."""
    review_queue_items.remove_items_from_review_queue(tx, queue_id, normalized_item_ids(item_ids))
    return {}


def list_review_queue_items(
    tx: Transaction,
    queue_id: str,
    status: ReviewStatus | None = None,
    max_results: int = 1_000,
    page_token: str = "",
) -> ItemsPage:
    """A page of the items of a queue, the newest first: at most 5,000; of one status, if it is named."""
    check_page_size(max_results)
    found, token = review_queue_items.list_review_queue_items(tx, queue_id, status, max_results, page_token)
    return {"items": found, "next_page_token": token or ""}


def set_review_queue_item_status(
    tx: Transaction,
    queue_id: str,
    item_id: str,
    status: ReviewStatus | None = None,
    completed_by: str | None = None,
) -> ItemAnswer:
    """Ends the review of an item, as complete or declined by someone, or opens it again (pending)."""
    new_status, user = completion(status, completed_by)
    item = review_queue_items.set_review_queue_item_status(tx, queue_id, item_id.strip(), new_status, user)
    return {"item": item}
