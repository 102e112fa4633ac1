"""Spans in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.spans import (
    COST,
    COST_KEYS,
    MODEL,
    MODEL_PROVIDER,
    SPAN_TYPE,
    SpanContent,
    text_attribute,
)
from runnel.domain.traces import numbers_in
from runnel.store.schema import spans
from runnel.store.statements import RowsStatement, Statement, Transaction

_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("trace_id", sa.BigInteger()),
    ("span_id", sa.Text()),
    ("parent_span_id", sa.Text()),
    ("name", sa.Text()),
    ("type", sa.Text()),
    ("status", sa.Text()),
    ("start_time_unix_nano", sa.BigInteger()),
    ("end_time_unix_nano", sa.BigInteger()),
    ("model_name", sa.Text()),
    ("model_provider", sa.Text()),
    ("input_cost", sa.Double()),
    ("output_cost", sa.Double()),
    ("total_cost", sa.Double()),
    ("content", sa.Text()),
)
_KEY = ("trace_id", "span_id")


def _upsert(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(spans)
    names = [name for name, _ in _COLUMNS]
    source = sa.select(*[rows.c[name] for name in names]).where(sa.true())
    changed = {name: insert.excluded[name] for name in names if name not in _KEY}
    return insert.from_select(names, source).on_conflict_do_update(index_elements=list(_KEY), set_=changed)


# Of a span that is sent again the later version counts: its end may have come since.
UPSERT_SPANS = RowsStatement(_COLUMNS, _upsert)

SELECT_CONTENTS = Statement(
    lambda d: (
        sa.select(spans.c.trace_id, spans.c.content)
        .where(d.is_in(spans.c.trace_id, "trace_ids"))
        .order_by(
            spans.c.trace_id,
            sa.case((spans.c.parent_span_id.is_(None), 0), else_=1),
            spans.c.start_time_unix_nano,
            spans.c.span_id,
        )
    )
)


def write_spans(tx: Transaction, contents: Sequence[SpanContent], keys: Mapping[str, int]) -> None:
    """Inserts or replaces spans; ``keys`` are the internal keys of their traces."""
    rows: dict[tuple[int, str], tuple[Any, ...]] = {}
    for span in contents:
        cost = numbers_in(span.attributes.get(COST))
        key = (keys[span.trace_id], span.span_id)
        rows[key] = (
            *key,
            span.parent_span_id,
            span.name[: limits.MAX_SPAN_NAME_LENGTH],
            text_attribute(span, SPAN_TYPE),
            span.status,
            span.start_time_ns,
            span.end_time_ns,
            text_attribute(span, MODEL),
            text_attribute(span, MODEL_PROVIDER),
            *[cost.get(name) for name in COST_KEYS],
            span.content,
        )
    # In the order of the key: the rows lie beside each other, and two servers lock them in the same order.
    tx.write_rows(UPSERT_SPANS, [rows[key] for key in sorted(rows)])


def contents_of_traces(tx: Transaction, trace_ids: list[int]) -> Sequence[tuple[int, str]]:
    """The spans of traces as JSON, each with the key of its trace: roots first, then in the order of their start."""
    return tx.rows(SELECT_CONTENTS, trace_ids=trace_ids)


def to_dictionary(content: str) -> dict[str, Any]:
    """A span as MLflow keeps it, from its JSON."""
    span: dict[str, Any] = orjson.loads(content)
    return span
