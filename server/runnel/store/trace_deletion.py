"""Deletion of traces for good, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.store.schema import (
    assessments,
    review_queue_items,
    span_terms,
    spans,
    trace_metadata,
    trace_prompts,
    trace_runs,
    trace_tags,
    trace_usage,
    traces,
)
from runnel.store.statements import Statement, Transaction

# What one transaction deletes: with their spans some tens of thousands of rows, for which others have to wait.
TRACES_AT_ONCE = 500

SELECT_NAMED = Statement(
    lambda d: (
        sa.select(traces.c.id)
        .where(traces.c.experiment_id == sa.bindparam("experiment_id"), d.is_in(traces.c.request_id, "trace_ids"))
        .order_by(traces.c.request_id)
        .with_for_update()
    )
)
SELECT_OLD = Statement(
    lambda d: (
        sa.select(traces.c.id)
        .where(
            traces.c.experiment_id == sa.bindparam("experiment_id"),
            traces.c.timestamp_ms <= sa.bindparam("max_timestamp_ms"),
        )
        .order_by(traces.c.timestamp_ms, traces.c.request_id)
        .limit(sa.bindparam("limit"))
        .with_for_update()
    )
)


def _delete(table: sa.Table, column: str) -> Statement:
    return Statement(lambda d: sa.delete(table).where(d.is_in(table.c[column], "keys")))


# Items of review queues name traces by their public ids.
DELETE_ITEMS = Statement(
    lambda d: sa.delete(review_queue_items).where(
        review_queue_items.c.item_id.in_(sa.select(traces.c.request_id).where(d.is_in(traces.c.id, "keys")))
    )
)
# The trace itself last: whoever adds to it meanwhile waits for its row.
DELETES = [
    DELETE_ITEMS,
    *[
        _delete(table, "trace_id")
        for table in (
            spans,
            span_terms,
            assessments,
            trace_tags,
            trace_metadata,
            trace_runs,
            trace_prompts,
            trace_usage,
        )
    ],
    _delete(traces, "id"),
]


def delete_named_traces(tx: Transaction, *, experiment_id: int, trace_ids: Sequence[str]) -> int:
    """Deletes the traces of an experiment that have these ids; gives back how many there were."""
    return _delete_all(tx, tx.rows(SELECT_NAMED, experiment_id=experiment_id, trace_ids=list(trace_ids)))


def delete_old_traces(tx: Transaction, *, experiment_id: int, max_timestamp_ms: int, limit: int) -> int:
    """Deletes up to ``limit`` traces of an experiment that are not younger than a time, the oldest first."""
    values = {"experiment_id": experiment_id, "max_timestamp_ms": max_timestamp_ms, "limit": limit}
    return _delete_all(tx, tx.rows(SELECT_OLD, **values))


def _delete_all(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> int:
    keys = [row[0] for row in rows]
    if keys:
        for statement in DELETES:
            tx.execute(statement, keys=keys)
    return len(keys)
