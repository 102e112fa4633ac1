"""The sums of tokens and cost that a trace is at while its spans come in, in SQL (see ``domain/trace_usage.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from runnel.domain.spans import COST, TOKEN_USAGE, SpanContent
from runnel.domain.trace_usage import ROOT, Numbers, Sums, UsageNode, extended
from runnel.domain.traces import numbers_in
from runnel.store.schema import spans, trace_usage
from runnel.store.spans import to_dictionary
from runnel.store.statements import RowsStatement, Statement, Transaction

_ATTRIBUTES = (TOKEN_USAGE, COST)
_ROWS = (("anchor", sa.Text()), ("numbers", sa.Text()))

SELECT_SUMS = Statement(
    lambda d: sa.select(trace_usage.c.anchor, trace_usage.c.numbers).where(
        trace_usage.c.trace_id == sa.bindparam("trace_id")
    )
)
DELETE_SUMS = Statement(
    lambda d: sa.delete(trace_usage).where(
        trace_usage.c.trace_id == sa.bindparam("trace_id"), d.is_in(trace_usage.c.anchor, "anchors")
    )
)


def _upsert_sums(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(trace_usage)
    source = sa.select(sa.bindparam("trace_id"), rows.c.anchor, rows.c.numbers).where(sa.true())
    return insert.from_select(["trace_id", "anchor", "numbers"], source).on_conflict_do_update(
        index_elements=["trace_id", "anchor"], set_={"numbers": insert.excluded.numbers}
    )


UPSERT_SUMS = RowsStatement(_ROWS, _upsert_sums)


def _node_columns(d: Any) -> list[Any]:
    # Most spans report nothing, and a trace may have thousands: their contents are not even fetched.
    reports = sa.or_(*[d.contains(spans.c.content, f'"{key}": ') for key in _ATTRIBUTES])
    return [spans.c.span_id, spans.c.parent_span_id, sa.case((reports, spans.c.content))]


_OF_TRACE = spans.c.trace_id == sa.bindparam("trace_id")
SELECT_NODES = Statement(lambda d: sa.select(*_node_columns(d)).where(_OF_TRACE))
SELECT_NAMED_NODES = Statement(
    lambda d: sa.select(*_node_columns(d)).where(_OF_TRACE, d.is_in(spans.c.span_id, "span_ids"))
)


def _select_nodes_above(d: Any) -> Any:
    """The spans with these ids, and all on their ways up."""
    way = (
        sa.select(spans.c.span_id, spans.c.parent_span_id)
        .where(_OF_TRACE, d.is_in(spans.c.span_id, "span_ids"))
        .cte("way", recursive=True)
    )
    # UNION, not UNION ALL: spans may lie around each other.
    way = way.union(
        sa.select(spans.c.span_id, spans.c.parent_span_id).where(_OF_TRACE, spans.c.span_id == way.c.parent_span_id)
    )
    return sa.select(*_node_columns(d)).where(_OF_TRACE, spans.c.span_id.in_(sa.select(way.c.span_id)))


SELECT_NODES_ABOVE = Statement(_select_nodes_above)


def node_of(span: SpanContent) -> UsageNode:
    """A span that comes in, as the sums see it."""
    return UsageNode(span.span_id, span.parent_span_id, _numbers(span.attributes))


def is_closed(sums: Sums) -> bool:
    """Whether all hangs at a root: then the sums need not be kept, they can be worked out when spans come late."""
    return set(sums) <= {ROOT}


def sums_with(tx: Transaction, trace_id: int, nodes: Sequence[UsageNode]) -> Sums | None:
    """The sums of a stored trace with spans that come in now, which are not stored yet, and keeps them.

    None where they change nothing.
    """
    sums: Sums = {anchor: orjson.loads(numbers) for anchor, numbers in tx.rows(SELECT_SUMS, trace_id=trace_id)}
    if not sums and not any(node.numbers for node in nodes):
        return None
    named = {node.span_id: node for node in nodes}
    stored = _nodes(tx, SELECT_NAMED_NODES, trace_id, list(named))
    if not sums or any(named[node.span_id] != node for node in stored):
        # Nothing is kept of it, or a span comes again and says something else.
        new = extended({}, [*_nodes(tx, SELECT_NODES, trace_id), *named.values()])
    else:
        for node in stored:
            del named[node.span_id]
        parents = {node.parent_span_id for node in named.values() if node.parent_span_id} - named.keys()
        above = _nodes(tx, SELECT_NODES_ABOVE, trace_id, sorted(parents)) if parents else []
        new = extended(sums, list(named.values()), above)
    if new == sums:
        return None
    gone = sorted(set(sums) - set(new))
    if gone:
        tx.execute(DELETE_SUMS, trace_id=trace_id, anchors=gone)
    keep_sums(tx, trace_id, {anchor: numbers for anchor, numbers in new.items() if sums.get(anchor) != numbers})
    return new


def keep_sums(tx: Transaction, trace_id: int, sums: Sums) -> None:
    """Inserts or replaces the sums of these anchors."""
    tx.write_rows(
        UPSERT_SUMS, [(anchor, orjson.dumps(sums[anchor]).decode()) for anchor in sorted(sums)], trace_id=trace_id
    )


def _nodes(tx: Transaction, statement: Statement, trace_id: int, span_ids: list[str] | None = None) -> list[UsageNode]:
    parameters = {} if span_ids is None else {"span_ids": span_ids}
    return [
        UsageNode(span_id, parent_id, _numbers(to_dictionary(content).get("attributes") or {}) if content else {})
        for span_id, parent_id, content in tx.rows(statement, trace_id=trace_id, **parameters)
    ]


def _numbers(attributes: dict[str, str]) -> Numbers:
    return {key: numbers for key in _ATTRIBUTES if key in attributes and (numbers := numbers_in(attributes[key]))}
