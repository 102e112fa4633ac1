"""The items of review queues in SQL: which traces are in a queue, and how their review stands.

Whoever adds items or changes what a queue asks locks the queue first, then the traces, then the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import ResourceDoesNotExist
from runnel.domain.review_queues import ReviewQueueItem, ReviewStatus
from runnel.store.experiments import now_in_milliseconds
from runnel.store.filters import SortKey, behind
from runnel.store.review_queues import find_queue
from runnel.store.schema import review_queue_items, traces
from runnel.store.statements import RowsStatement, Statement, Transaction

_TRACE = "trace"
_PENDING = "pending"
_NAMED_IN_ERROR = 100

_COLUMNS = tuple(column for column in review_queue_items.c if column.name != "queue")
_IN_QUEUE = review_queue_items.c.queue == sa.bindparam("queue")

# Held so that none of them is deleted before the items are there: their deletion then takes the items with it.
LOCK_TRACES = Statement(
    lambda d: (
        sa.select(traces.c.request_id)
        .where(traces.c.experiment_id == sa.bindparam("experiment_id"), d.is_in(traces.c.request_id, "item_ids"))
        .order_by(traces.c.request_id)
        .with_for_update(read=True, key_share=True)
    )
)
INSERT = RowsStatement(
    (("item_id", sa.Text()),),
    lambda d, rows: (
        d.insert(review_queue_items)
        .from_select(
            ["queue", "item_id", "item_type", "status", "creation_time_ms", "last_update_time_ms"],
            sa.select(
                sa.bindparam("queue"),
                rows.c.item_id,
                sa.literal(_TRACE),
                sa.literal(_PENDING),
                sa.bindparam("now"),
                sa.bindparam("now"),
            ).where(sa.true()),
        )
        .on_conflict_do_nothing()
    ),
)
SELECT_NAMED = Statement(
    lambda d: sa.select(*_COLUMNS).where(_IN_QUEUE, d.is_in(review_queue_items.c.item_id, "item_ids"))
)
LOCK_ONE = Statement(
    lambda d: (
        sa.select(*_COLUMNS).where(_IN_QUEUE, review_queue_items.c.item_id == sa.bindparam("item_id")).with_for_update()
    )
)
DELETE = Statement(
    lambda d: sa.delete(review_queue_items).where(_IN_QUEUE, d.is_in(review_queue_items.c.item_id, "item_ids"))
)
SET_STATUS = Statement(
    lambda d: (
        sa.update(review_queue_items)
        .where(_IN_QUEUE, review_queue_items.c.item_id == sa.bindparam("id"))
        .values(
            status=sa.bindparam("new_status"),
            completed_by=sa.bindparam("user"),
            completed_time_ms=sa.bindparam("completed_time"),
            last_update_time_ms=sa.bindparam("now"),
        )
    )
)


def add_items_to_review_queue(tx: Transaction, queue_id: str, item_ids: Sequence[str]) -> list[ReviewQueueItem]:
    """Puts traces of the queue's experiment into it, all or none; those that are in it stay as they are."""
    queue = find_queue(tx, queue_id, lock=True)
    found = {row[0] for row in tx.rows(LOCK_TRACES, experiment_id=queue.experiment_id, item_ids=list(item_ids))}
    missing = [item_id for item_id in item_ids if item_id not in found]
    if missing:
        more = f" (and {len(missing) - _NAMED_IN_ERROR} more)" if len(missing) > _NAMED_IN_ERROR else ""
        raise ResourceDoesNotExist(
            f"Cannot attach trace(s) {missing[:_NAMED_IN_ERROR]}{more} to review queue '{queue_id}': they do not "
            f"exist in experiment '{queue.experiment_id}'."
        )
    # In one order, so that none waits for another that waits for it.
    tx.write_rows(INSERT, [(item_id,) for item_id in sorted(found)], queue=queue.id, now=now_in_milliseconds())
    rows = {row[0]: row for row in tx.rows(SELECT_NAMED, queue=queue.id, item_ids=list(item_ids))}
    return [_to_item(queue_id, rows[item_id]) for item_id in item_ids if item_id in rows]


def remove_items_from_review_queue(tx: Transaction, queue_id: str, item_ids: Sequence[str]) -> None:
    """Takes items out of a queue; those that are not in it are no error."""
    tx.execute(DELETE, queue=find_queue(tx, queue_id, lock=True).id, item_ids=list(item_ids))


def list_review_queue_items(
    tx: Transaction, queue_id: str, status: ReviewStatus | None, max_results: int, page_token: str
) -> tuple[list[ReviewQueueItem], str | None]:
    """A page of the items of a queue, the newest first, and the token of the next page; of one status, or of all."""
    queue = find_queue(tx, queue_id)
    items = review_queue_items.c
    keys = [SortKey(items.creation_time_ms, ascending=False), SortKey(items.item_id, ascending=True)]
    identity = ("review queue items", queue_id, status)
    query = sa.select(*_COLUMNS).where(items.queue == queue.id)
    if status is not None:
        query = query.where(items.status == status.lower())
    if page_token:
        query = query.where(behind(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    size = min(max_results, limits.MAX_REVIEW_ITEM_RESULTS)
    rows = tx.rows(query.order_by(*[key.order() for key in keys]).limit(size + 1))
    found = [_to_item(queue_id, row) for row in rows[:size]]
    next_token = None
    if len(rows) > size:
        next_token = page_tokens.encode_page_token([found[-1]["creation_time_ms"], found[-1]["item_id"]], identity)
    return found, next_token


def set_review_queue_item_status(
    tx: Transaction, queue_id: str, item_id: str, status: ReviewStatus, completed_by: str | None
) -> ReviewQueueItem:
    """Sets how the review of an item stands; one that stands so already keeps who said so, and when."""
    queue = find_queue(tx, queue_id)
    row = tx.row(LOCK_ONE, queue=queue.id, item_id=item_id)
    if row is None:
        raise ResourceDoesNotExist(f"Item '{item_id}' is not attached to review queue '{queue_id}'.")
    item = _to_item(queue_id, row)
    if item["status"] == status:
        return item
    now = now_in_milliseconds()
    completed_time = None if completed_by is None else now
    tx.execute(
        SET_STATUS,
        queue=queue.id,
        id=item_id,
        new_status=status.lower(),
        user=completed_by,
        completed_time=completed_time,
        now=now,
    )
    return _to_item(queue_id, (*row[:2], status.lower(), completed_by, completed_time, row[5], now))


def _to_item(queue_id: str, row: tuple[Any, ...]) -> ReviewQueueItem:
    item_id, item_type, status, completed_by, completed_time, creation_time, last_update_time = row
    item: ReviewQueueItem = {
        "queue_id": queue_id,
        "item_type": item_type.upper(),
        "item_id": item_id,
        "status": status.upper(),
        "creation_time_ms": creation_time,
        "last_update_time_ms": last_update_time,
    }
    if completed_by is not None:
        item["completed_by"] = completed_by
        item["completed_time_ms"] = completed_time
    return item
