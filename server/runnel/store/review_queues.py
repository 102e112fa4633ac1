"""Review queues in SQL: the queue, its reviewers and its questions. (Its items: ``review_queue_items``.)"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import InvalidParameterValue, ResourceAlreadyExists, ResourceDoesNotExist
from runnel.domain.review_queues import NewQueue, ReviewQueue, name_key
from runnel.store.experiments import check_experiment_is_there, now_in_milliseconds
from runnel.store.filters import SortKey, behind_descending
from runnel.store.label_schemas import missing_label_schemas
from runnel.store.schema import (
    review_queue_items,
    review_queue_label_schemas,
    review_queue_users,
    review_queues,
)
from runnel.store.statements import RowsStatement, Statement, Transaction

_COLUMNS = (
    review_queues.c.id,
    review_queues.c.queue_id,
    review_queues.c.experiment_id,
    review_queues.c.name,
    review_queues.c.queue_type,
    review_queues.c.created_by,
    review_queues.c.creation_time_ms,
    review_queues.c.last_update_time_ms,
)


class QueueRow(NamedTuple):
    """A row of ``_COLUMNS``."""

    id: int
    queue_id: str
    experiment_id: int
    name: str
    queue_type: str
    created_by: str | None
    creation_time_ms: int
    last_update_time_ms: int


_SELECT = sa.select(*_COLUMNS).where(review_queues.c.queue_id == sa.bindparam("queue_id"))
SELECT_ONE = Statement(lambda d: _SELECT)
LOCK_ONE = Statement(lambda d: _SELECT.with_for_update())
SELECT_BY_NAME = Statement(
    lambda d: sa.select(*_COLUMNS).where(
        review_queues.c.experiment_id == sa.bindparam("experiment_id"),
        review_queues.c.name_key == sa.bindparam("name_key"),
    )
)
SELECT_USERS = Statement(
    lambda d: (
        sa.select(review_queue_users.c.queue, review_queue_users.c.user_id)
        .where(d.is_in(review_queue_users.c.queue, "queues"))
        .order_by(review_queue_users.c.queue, review_queue_users.c.user_id)
    )
)
SELECT_SCHEMA_IDS = Statement(
    lambda d: (
        sa.select(review_queue_label_schemas.c.queue, review_queue_label_schemas.c.schema_id)
        .where(d.is_in(review_queue_label_schemas.c.queue, "queues"))
        .order_by(review_queue_label_schemas.c.queue, review_queue_label_schemas.c.schema_id)
    )
)
SELECT_ANY_ITEM = Statement(
    lambda d: (
        sa.select(review_queue_items.c.item_id).where(review_queue_items.c.queue == sa.bindparam("queue")).limit(1)
    )
)
INSERT = Statement(
    lambda d: (
        d.insert(review_queues)
        .values(
            queue_id=sa.bindparam("queue_id"),
            experiment_id=sa.bindparam("experiment_id"),
            name=sa.bindparam("name"),
            name_key=sa.bindparam("name_key"),
            queue_type=sa.bindparam("queue_type"),
            created_by=sa.bindparam("created_by"),
            creation_time_ms=sa.bindparam("now"),
            last_update_time_ms=sa.bindparam("now"),
        )
        .on_conflict_do_nothing(index_elements=["experiment_id", "name_key"])
        .returning(*_COLUMNS)
    )
)
UPDATE = Statement(
    lambda d: (
        sa.update(review_queues)
        .where(review_queues.c.id == sa.bindparam("queue"))
        .values(
            name=sa.bindparam("new_name"),
            name_key=sa.bindparam("new_name_key"),
            created_by=sa.bindparam("owner"),
            last_update_time_ms=sa.bindparam("now"),
        )
    )
)


def _insert_parts(table: sa.Table, column: str) -> RowsStatement:
    return RowsStatement(
        ((column, sa.Text()),),
        lambda d, rows: d.insert(table).from_select(
            ["queue", column], sa.select(sa.bindparam("queue"), rows.c[column]).where(sa.true())
        ),
    )


INSERT_USERS = _insert_parts(review_queue_users, "user_id")
INSERT_SCHEMA_IDS = _insert_parts(review_queue_label_schemas, "schema_id")


def _delete_parts(table: sa.Table) -> Statement:
    return Statement(lambda d: sa.delete(table).where(table.c.queue == sa.bindparam("queue")))


DELETE_USERS = _delete_parts(review_queue_users)
DELETE_SCHEMA_IDS = _delete_parts(review_queue_label_schemas)
DELETE_ITEMS = _delete_parts(review_queue_items)
DELETE = Statement(lambda d: sa.delete(review_queues).where(review_queues.c.id == sa.bindparam("queue")))


def create_review_queue(tx: Transaction, experiment_id: int, new: NewQueue, created_by: str | None) -> ReviewQueue:
    """Inserts a queue of an active experiment that has none of that name, in whatever case."""
    check_experiment_is_there(tx, experiment_id)
    _check_schema_ids(tx, experiment_id, new.schema_ids)
    queue = _insert(tx, experiment_id, new, created_by)
    if queue is None:
        raise _name_taken(new.name)
    return queue


def get_or_create_user_queue(tx: Transaction, experiment_id: int, new: NewQueue) -> ReviewQueue:
    """The queue of a user of an active experiment, who owns it."""
    check_experiment_is_there(tx, experiment_id)
    row = tx.row(SELECT_BY_NAME, experiment_id=experiment_id, name_key=name_key(new.name))
    if row is None:
        queue = _insert(tx, experiment_id, new, new.name)
        if queue is not None:
            return queue
        # Another request has been faster.
        row = tx.row(SELECT_BY_NAME, experiment_id=experiment_id, name_key=name_key(new.name))
    if row is None or QueueRow(*row).queue_type != "user":
        raise ResourceAlreadyExists(
            f"A non-user queue named '{new.name}' already exists; cannot get-or-create a user queue with that name."
        )
    return _to_queues(tx, [row])[0]


def _insert(tx: Transaction, experiment_id: int, new: NewQueue, created_by: str | None) -> ReviewQueue | None:
    """The queue that was inserted; None where its name is taken."""
    row = tx.row(
        INSERT,
        queue_id=f"rq-{uuid.uuid4().hex}",
        experiment_id=experiment_id,
        name=new.name,
        name_key=name_key(new.name),
        queue_type=new.queue_type.lower(),
        created_by=created_by,
        now=now_in_milliseconds(),
    )
    if row is None:
        return None
    tx.write_rows(INSERT_USERS, [(user,) for user in new.users], queue=row[0])
    tx.write_rows(INSERT_SCHEMA_IDS, [(schema_id,) for schema_id in new.schema_ids], queue=row[0])
    return _to_queues(tx, [row])[0]


def find_queue(tx: Transaction, queue_id: str, *, lock: bool = False) -> QueueRow:
    """A queue, whatever the state of its experiment; ``lock``: nobody else changes it until the transaction ends."""
    row = tx.row(LOCK_ONE if lock else SELECT_ONE, queue_id=queue_id)
    if row is None:
        raise ResourceDoesNotExist(f"Review queue with id '{queue_id}' not found.")
    return QueueRow(*row)


def get_review_queue(tx: Transaction, queue_id: str) -> ReviewQueue:
    """A queue, whatever the state of its experiment."""
    return _to_queues(tx, [find_queue(tx, queue_id)])[0]


def get_review_queue_by_name(tx: Transaction, experiment_id: int, name: str) -> ReviewQueue:
    """The queue of that name, in whatever case, of an active experiment."""
    check_experiment_is_there(tx, experiment_id)
    row = tx.row(SELECT_BY_NAME, experiment_id=experiment_id, name_key=name_key(name))
    if row is None:
        raise ResourceDoesNotExist(f"Review queue with name '{name}' not found for experiment '{experiment_id}'.")
    return _to_queues(tx, [row])[0]


def list_review_queues(
    tx: Transaction, experiment_id: int, user: str | None, item_id: str | None, max_results: int, page_token: str
) -> tuple[list[ReviewQueue], str | None]:
    """A page of the queues of an active experiment, the newest first, and the token of the next page.

    ``user``: only those that this user reviews; ``item_id``: only those that hold this item.
    """
    check_experiment_is_there(tx, experiment_id)
    keys = [SortKey(review_queues.c.creation_time_ms, ascending=False), SortKey(review_queues.c.id, ascending=False)]
    identity = ("review queues", experiment_id, user, item_id)
    query = sa.select(*_COLUMNS).where(review_queues.c.experiment_id == experiment_id)
    if user is not None:
        users = review_queue_users.c
        query = query.where(review_queues.c.id.in_(sa.select(users.queue).where(users.user_id == user)))
    if item_id is not None:
        items = review_queue_items.c
        query = query.where(review_queues.c.id.in_(sa.select(items.queue).where(items.item_id == item_id)))
    if page_token:
        query = query.where(behind_descending(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    size = min(max_results, limits.MAX_REVIEW_QUEUE_RESULTS)
    rows = tx.rows(query.order_by(*[key.order() for key in keys]).limit(size + 1))
    next_token = None
    if len(rows) > size:
        last = QueueRow(*rows[size - 1])
        next_token = page_tokens.encode_page_token([last.creation_time_ms, last.id], identity)
    return _to_queues(tx, rows[:size]), next_token


def update_review_queue(
    tx: Transaction,
    queue_id: str,
    *,
    users: Sequence[str] | None,
    schema_ids: Sequence[str] | None,
    name: str | None,
    owner: str | None,
) -> ReviewQueue:
    """Changes what is not None of a custom queue; its questions only as long as it has no items."""
    queue = find_queue(tx, queue_id, lock=True)
    if queue.queue_type == "user":
        raise InvalidParameterValue(
            "A user queue's name, assigned user, schemas, and owner are fixed and cannot be updated."
        )
    if users is None and schema_ids is None and name is None and owner is None:
        return _to_queues(tx, [queue])[0]
    if name is not None:
        # Where another request takes the name meanwhile, the database refuses, and this one is run again.
        holder = tx.row(SELECT_BY_NAME, experiment_id=queue.experiment_id, name_key=name_key(name))
        if holder is not None and holder[0] != queue.id:
            raise _name_taken(name)
        queue = queue._replace(name=name)
    if owner is not None:
        queue = queue._replace(created_by=owner)
    if users is not None:
        tx.execute(DELETE_USERS, queue=queue.id)
        tx.write_rows(INSERT_USERS, [(user,) for user in users], queue=queue.id)
    if schema_ids is not None:
        if tx.row(SELECT_ANY_ITEM, queue=queue.id) is not None:
            raise InvalidParameterValue(
                "A review queue's questions are locked once items are assigned to it. Remove the items before "
                "changing its questions."
            )
        _check_schema_ids(tx, queue.experiment_id, schema_ids)
        tx.execute(DELETE_SCHEMA_IDS, queue=queue.id)
        tx.write_rows(INSERT_SCHEMA_IDS, [(schema_id,) for schema_id in schema_ids], queue=queue.id)
    queue = queue._replace(last_update_time_ms=now_in_milliseconds())
    tx.execute(
        UPDATE,
        queue=queue.id,
        new_name=queue.name,
        new_name_key=name_key(queue.name),
        owner=queue.created_by,
        now=queue.last_update_time_ms,
    )
    return _to_queues(tx, [queue])[0]


def delete_review_queue(tx: Transaction, queue_id: str) -> None:
    """Removes a queue with its items for good, if there is one; traces and their assessments stay."""
    row = tx.row(LOCK_ONE, queue_id=queue_id)
    if row is not None:
        for statement in (DELETE_USERS, DELETE_SCHEMA_IDS, DELETE_ITEMS, DELETE):
            tx.execute(statement, queue=row[0])


def _check_schema_ids(tx: Transaction, experiment_id: int, schema_ids: Sequence[str]) -> None:
    if missing := missing_label_schemas(tx, experiment_id, schema_ids):
        raise InvalidParameterValue(f"Label schema id(s) {missing} not found for experiment '{experiment_id}'.")


def _name_taken(name: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"Review queue with name '{name}' already exists (names are case-insensitive).")


def _to_queues(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[ReviewQueue]:
    """Rows of ``_COLUMNS`` as clients see them, with their reviewers and their questions."""
    found: dict[int, ReviewQueue] = {}
    for queue in map(QueueRow._make, rows):
        found[queue.id] = {
            "queue_id": queue.queue_id,
            "experiment_id": str(queue.experiment_id),
            "name": queue.name,
            "queue_type": queue.queue_type.upper(),
            "creation_time_ms": queue.creation_time_ms,
            "last_update_time_ms": queue.last_update_time_ms,
            "users": [],
            "schema_ids": [],
        }
        if queue.created_by is not None:
            found[queue.id]["created_by"] = queue.created_by
    for key, user in tx.rows(SELECT_USERS, queues=list(found)):
        found[key]["users"].append(user)
    for key, schema_id in tx.rows(SELECT_SCHEMA_IDS, queues=list(found)):
        found[key]["schema_ids"].append(schema_id)
    return list(found.values())
