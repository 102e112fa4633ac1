"""The spans of a trace page by page, without their contents: a trace may have tens of thousands."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.store.schema import spans
from runnel.store.statements import Statement, Transaction
from runnel.store.traces import get_trace_key


class SpanSummary(NamedTuple):
    """What a list of spans shows of one; times in nanoseconds since the epoch."""

    span_id: str
    parent_span_id: str | None
    name: str
    type: str | None
    status: str
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    child_count: int


class SpanPosition(NamedTuple):
    """Where a page ends in the order of the start."""

    start_time_unix_nano: int
    span_id: str


_COLUMNS = (
    spans.c.span_id,
    spans.c.parent_span_id,
    spans.c.name,
    spans.c.type,
    spans.c.status,
    spans.c.start_time_unix_nano,
    spans.c.end_time_unix_nano,
)


def _page(d: Any) -> sa.Select[Any]:
    start = sa.bindparam("start", type_=sa.BigInteger())
    is_behind = sa.or_(spans.c.start_time_unix_nano > start, spans.c.span_id > sa.bindparam("span_id"))
    return (
        sa.select(*_COLUMNS)
        .where(spans.c.trace_id == sa.bindparam("trace_id"), spans.c.start_time_unix_nano >= start, is_behind)
        .order_by(spans.c.start_time_unix_nano, spans.c.span_id)
        .limit(sa.bindparam("limit"))
    )


SELECT_PAGE = Statement(_page)
COUNT_CHILDREN = Statement(
    lambda d: (
        sa.select(spans.c.parent_span_id, sa.func.count())
        .where(spans.c.trace_id == sa.bindparam("trace_id"), d.is_in(spans.c.parent_span_id, "span_ids"))
        .group_by(spans.c.parent_span_id)
    )
)
_BEFORE_ALL = SpanPosition(-1, "")


def list_spans(
    tx: Transaction, trace_id: str, limit: int, position: SpanPosition | None = None
) -> tuple[list[SpanSummary], SpanPosition | None]:
    """A page of the spans of a trace in the order of their start, and where the next page begins, if there is one."""
    key, _ = get_trace_key(tx, trace_id)
    start, span_id = position or _BEFORE_ALL
    rows = tx.rows(SELECT_PAGE, trace_id=key, start=start, span_id=span_id, limit=limit + 1)
    shown = rows[:limit]
    counts: dict[str, int] = dict(tx.rows(COUNT_CHILDREN, trace_id=key, span_ids=[row[0] for row in shown]))
    found = [SpanSummary(*(*row, counts.get(row[0], 0))) for row in shown]
    is_last = len(rows) <= limit
    return found, None if is_last else SpanPosition(found[-1].start_time_unix_nano, found[-1].span_id)
