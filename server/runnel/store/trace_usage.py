"""The sums of tokens and cost that a trace is at while its spans come in, in SQL (see ``domain/trace_usage.py``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


def _reporting_content(d: Any) -> sa.ColumnElement[Any]:
    # Most spans report nothing, and a trace may have thousands: their contents are not even fetched.
    reports = sa.or_(*[d.contains(spans.c.content, f'"{key}": ') for key in _ATTRIBUTES])
    return sa.case((reports, spans.c.content))


_OF_TRACE = spans.c.trace_id == sa.bindparam("trace_id")
SELECT_NODES = Statement(
    lambda d: sa.select(spans.c.span_id, spans.c.parent_span_id, _reporting_content(d)).where(_OF_TRACE)
)


def _select_named_nodes(d: Any) -> Any:
    """Each named span, with its parent and what it reports in one text; NULL where it is not stored.

    Each is looked up by itself. Asked for all of them at once, PostgreSQL reads the whole trace and picks them out, as
    long as it does not know that traces are long.
    """
    named = d.text_rows("span_ids")
    bar: sa.ColumnElement[str] = sa.literal_column("'|'")
    nothing: sa.ColumnElement[str] = sa.literal_column("''")
    parent, content = (
        sa.func.coalesce(spans.c.parent_span_id, nothing),
        sa.func.coalesce(_reporting_content(d), nothing),
    )
    found = sa.select(parent.concat(bar).concat(content)).where(_OF_TRACE, spans.c.span_id == named.c.value)
    return sa.select(named.c.value, found.correlate(named).scalar_subquery())


SELECT_NAMED_NODES = Statement(_select_named_nodes)

# A way up is looked up level by level. Past so many, reading all spans of the trace is no more work.
_MAX_LEVELS = 100


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
    stored = _named_nodes(tx, trace_id, list(named))
    above = None
    if sums and all(named[span_id] == node for span_id, node in stored.items()):
        above = _nodes_above(tx, trace_id, named, stored)
    if above is not None:
        new = extended(sums, [node for span_id, node in named.items() if span_id not in stored], above)
    else:
        # Nothing is kept of it, or a span comes again and says something else, or a way up is very long.
        new = extended({}, [*_all_nodes(tx, trace_id), *named.values()])
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


def _nodes_above(
    tx: Transaction, trace_id: int, named: Mapping[str, UsageNode], stored: Mapping[str, UsageNode]
) -> list[UsageNode] | None:
    """The stored spans on the ways up from these; None where a way is too long."""
    above = dict(stored)
    asked = set(named)
    level: Collection[UsageNode] = named.values()
    for _ in range(_MAX_LEVELS):
        missing = {node.parent_span_id for node in level if node.parent_span_id} - asked
        if not missing:
            return list(above.values())
        asked |= missing
        found = _named_nodes(tx, trace_id, sorted(missing))
        above |= found
        level = found.values()
    return None


def _all_nodes(tx: Transaction, trace_id: int) -> list[UsageNode]:
    return [_node(*row) for row in tx.rows(SELECT_NODES, trace_id=trace_id)]


def _named_nodes(tx: Transaction, trace_id: int, span_ids: list[str]) -> dict[str, UsageNode]:
    """Those of the named spans that are stored."""
    found: dict[str, UsageNode] = {}
    for span_id, described in tx.rows(SELECT_NAMED_NODES, trace_id=trace_id, span_ids=span_ids):
        if described is not None:
            parent_id, _, content = described.partition("|")
            found[span_id] = _node(span_id, parent_id or None, content or None)
    return found


def _node(span_id: str, parent_id: str | None, content: str | None) -> UsageNode:
    attributes = to_dictionary(content).get("attributes") if content else None
    return UsageNode(span_id, parent_id, _numbers(attributes or {}))


def _numbers(attributes: dict[str, str]) -> Numbers:
    return {key: numbers for key in _ATTRIBUTES if key in attributes and (numbers := numbers_in(attributes[key]))}
