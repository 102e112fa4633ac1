"""Review queues: traces that people are to look at, who is to, and which questions they answer.

A queue of the type USER is the list of one person, named after them, and asks all questions of its experiment; one of
the type CUSTOM has a name, reviewers and questions of its own. The rules and their wording are those of MLflow 3.17
(``mlflow.genai.review_queues.validation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue

ReviewQueueType = Literal["USER", "CUSTOM"]
ReviewItemType = Literal["TRACE"]
ReviewStatus = Literal["PENDING", "COMPLETE", "DECLINED"]

RESERVED_NAME = "default"  # the queue of the only user where users have no names


class ReviewQueue(TypedDict):
    """A review queue as clients see it, without its items; times in milliseconds since the epoch."""

    queue_id: str
    experiment_id: str
    name: str
    queue_type: str
    created_by: NotRequired[str]
    creation_time_ms: int
    last_update_time_ms: int
    users: list[str]
    schema_ids: list[str]


class ReviewQueueItem(TypedDict):
    """A trace in a queue, and how its review stands; who ended it and when is there unless it is pending."""

    queue_id: str
    item_type: str
    item_id: str
    status: str
    completed_by: NotRequired[str]
    completed_time_ms: NotRequired[int]
    creation_time_ms: int
    last_update_time_ms: int


class NewQueue(NamedTuple):
    """What a queue is created with, in the form that is stored."""

    name: str
    queue_type: ReviewQueueType
    users: list[str]
    schema_ids: list[str]


def new_queue(
    name: str, queue_type: ReviewQueueType | None, users: Sequence[str], schema_ids: Sequence[str]
) -> NewQueue:
    """What a queue is created with; refuses what its type does not allow."""
    if queue_type is None:
        raise InvalidParameterValue("`queue_type` must be one of USER or CUSTOM; got proto enum value 0.")
    users, schema_ids = normalized_users(users), normalized_schema_ids(schema_ids)
    if queue_type == "CUSTOM":
        return NewQueue(custom_name(name), queue_type, users, schema_ids)
    name = normalized_user(name)
    _check_text("name", name, limits.MAX_REVIEW_QUEUE_NAME_LENGTH)
    if users not in ([], [name]):
        raise InvalidParameterValue(
            "A user queue must have exactly one assigned user equal to its name; "
            f"got name={name!r} and users={users!r}."
        )
    if schema_ids:
        raise InvalidParameterValue(
            "A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label "
            "schemas."
        )
    return NewQueue(name, queue_type, [name], [])


def custom_name(name: str) -> str:
    """The name of a custom queue without the space around it; it is neither empty nor reserved."""
    name = name.strip()
    _check_text("name", name, limits.MAX_REVIEW_QUEUE_NAME_LENGTH)
    if name.lower() == RESERVED_NAME:
        raise InvalidParameterValue(f"`{name}` is a reserved queue name and cannot be used for a custom queue.")
    return name


def name_key(name: str) -> str:
    """What no two queues of an experiment share: the name without its case."""
    return name.lower()


def owner(new_owner: str) -> str:
    """The name of who owns a queue without the space around it."""
    new_owner = new_owner.strip()
    _check_text("new_owner", new_owner, limits.MAX_REVIEWER_LENGTH)
    return new_owner


def normalized_user(user: str) -> str:
    """How reviewers are known, however they are spelt: in lower case, without the space around it."""
    return user.strip().lower()


def normalized_users(users: Sequence[str]) -> list[str]:
    """The reviewers of a queue, each once; there are at most 10."""
    found = dict.fromkeys(normalized_user(user) for user in users)
    for user in found:
        _check_text("user", user, limits.MAX_REVIEWER_LENGTH)
    if len(found) > limits.MAX_REVIEWERS:
        raise InvalidParameterValue(
            f"A review queue can have at most {limits.MAX_REVIEWERS} assigned users; got {len(found)}."
        )
    return list(found)


def normalized_schema_ids(schema_ids: Sequence[str]) -> list[str]:
    """The questions of a queue, each once; there are at most 100."""
    found = dict.fromkeys(schema_id.strip() for schema_id in schema_ids)
    for schema_id in found:
        _check_text("schema_id", schema_id, limits.MAX_LABEL_SCHEMA_ID_LENGTH)
    if len(found) > limits.MAX_SCHEMAS_PER_REVIEW_QUEUE:
        raise InvalidParameterValue(
            f"A review queue can have at most {limits.MAX_SCHEMAS_PER_REVIEW_QUEUE} label schemas (`schema_ids`); "
            f"got {len(found)}."
        )
    return list(found)


def normalized_item_ids(item_ids: Sequence[str]) -> list[str]:
    """The ids of the items that a request is about, each once."""
    if not item_ids:
        raise InvalidParameterValue("`item_ids` must be a non-empty list; got [].")
    found = dict.fromkeys(item_id.strip() for item_id in item_ids)
    for item_id in found:
        _check_text("item_id", item_id, limits.MAX_TRACE_ID_LENGTH)
    if len(found) > limits.MAX_REVIEW_ITEMS_PER_REQUEST:
        raise InvalidParameterValue(
            f"`item_ids` can contain at most {limits.MAX_REVIEW_ITEMS_PER_REQUEST} items; got {len(found)}."
        )
    return list(found)


def completion(status: ReviewStatus | None, completed_by: str | None) -> tuple[ReviewStatus, str | None]:
    """A new status, and who gives it; nobody does where an item is pending again."""
    if status is None:
        raise InvalidParameterValue("`status` must be one of PENDING, COMPLETE, or DECLINED; got proto enum value 0.")
    user = None if completed_by is None else normalized_user(completed_by)
    if status == "PENDING" and user is not None:
        raise InvalidParameterValue("`completed_by` must not be set when reopening an item to `pending`.")
    if status != "PENDING" and not user:
        raise InvalidParameterValue(f"`completed_by` is required when setting status to `{status.lower()}`.")
    if user is not None and len(user) > limits.MAX_REVIEWER_LENGTH:
        raise InvalidParameterValue(
            f"`completed_by` must be at most {limits.MAX_REVIEWER_LENGTH} characters; got {len(user)}."
        )
    return status, user


def _check_text(field: str, text: str, limit: int) -> None:
    if not text:
        raise InvalidParameterValue(f"`{field}` must be a non-empty string; got {text!r}.")
    if len(text) > limit:
        raise InvalidParameterValue(f"`{field}` must be at most {limit} characters; got {len(text)}.")
