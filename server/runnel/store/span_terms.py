"""By what spans are found: their names, types and states and the keys of their attributes, each once per trace.

Rows of a trace stay when a span is sent again without what it had before: a search takes them for traces that may
match, and looks at the spans themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.filters import Comparison
from runnel.domain.spans import ANY_KEY, SPAN_TYPE, UNSEARCHED_KEYS, SpanContent, text_attribute
from runnel.store.dialects import Dialect
from runnel.store.filters import matches
from runnel.store.schema import INDEXED_VALUE_LENGTH, span_terms
from runnel.store.statements import RowsStatement, Statement, Transaction

# Rows that are written at a time: their number is bounded by that of the attributes in a request alone.
_ROWS_AT_ONCE = 5_000
# Of a kind with more values than this, a search for a pattern does not look up which of them match.
_MAX_VALUES = 300
_MAX_EXPERIMENTS = 20
_COLUMNS = (
    ("trace_id", sa.BigInteger()),
    ("kind", sa.Text()),
    ("value", sa.Text()),
    ("experiment_id", sa.BigInteger()),
)


def _insert(d: Any, rows: sa.FromClause) -> Any:
    names = [name for name, _ in _COLUMNS]
    source = sa.select(*[rows.c[name] for name in names]).where(sa.true())
    return d.insert(span_terms).from_select(names, source).on_conflict_do_nothing()


INSERT_TERMS = RowsStatement(_COLUMNS, _insert)
MOVE_TERMS = Statement(
    lambda d: (
        sa.update(span_terms)
        .where(span_terms.c.trace_id == sa.bindparam("id"))
        .values(experiment_id=sa.bindparam("experiment"))
    )
)


def write_terms(
    tx: Transaction, contents: Sequence[SpanContent], keys: Mapping[str, int], experiments: Mapping[str, int]
) -> None:
    """Adds the terms of spans; of their traces come the internal keys and the experiments."""
    by_trace: dict[str, set[tuple[str, str]]] = {}
    for span in contents:
        terms = by_trace.setdefault(span.trace_id, set())
        terms.add(("name", span.name))
        terms.add(("status", span.status))
        span_type = text_attribute(span, SPAN_TYPE)
        if span_type is not None:
            terms.add(("type", span_type))
        terms.update([("attribute", key) for key in span.searched_keys])
    # In the order of the key: the rows lie beside each other, and two servers lock them in the same order.
    rows: list[tuple[int, str, str, int]] = []
    for trace_id in sorted(by_trace, key=keys.__getitem__):
        key, experiment_id = keys[trace_id], experiments[trace_id]
        cut = {(kind, value[:INDEXED_VALUE_LENGTH]) for kind, value in by_trace[trace_id]}
        rows += [(key, kind, value, experiment_id) for kind, value in sorted(cut)]
        if len(rows) >= _ROWS_AT_ONCE:
            tx.write_rows(INSERT_TERMS, rows)
            rows = []
    tx.write_rows(INSERT_TERMS, rows)


def traces_with(tx: Transaction, experiment_ids: Sequence[int], comparison: Comparison) -> sa.Select[tuple[int]] | None:
    """The traces with a span that may meet a comparison, as the index finds them; None where it cannot."""
    key = comparison.key
    if key.startswith("attributes."):
        name = key.removeprefix("attributes.")
        if name in UNSEARCHED_KEYS:
            return None
        return _rows(tx.dialect, experiment_ids, "attribute", [name, *ANY_KEY])
    if key not in ("name", "type", "status"):
        return None
    values: Sequence[str] | None
    match comparison.operator, comparison.value:
        case "=", value:
            values = [str(value)]
        case "IN", tuple() as values:
            pass
        case _:
            values = _matching_values(tx, experiment_ids, comparison)
    return None if values is None else _rows(tx.dialect, experiment_ids, key, values)


def _rows(dialect: Dialect, experiment_ids: Sequence[int], kind: str, values: Sequence[str]) -> sa.Select[tuple[int]]:
    return sa.select(span_terms.c.trace_id).where(
        dialect.is_in(span_terms.c.experiment_id, experiment_ids),
        span_terms.c.kind == kind,
        dialect.is_in(span_terms.c.value, [value[:INDEXED_VALUE_LENGTH] for value in values]),
    )


def _matching_values(tx: Transaction, experiment_ids: Sequence[int], comparison: Comparison) -> list[str] | None:
    """The values that may match a pattern (of long ones only the beginning is known), None if there are too many."""
    if len(experiment_ids) > _MAX_EXPERIMENTS:
        return None
    found: set[str] = set()
    for experiment_id in experiment_ids:
        values = _distinct_values(experiment_id, comparison.key)
        may_match = sa.or_(
            matches(tx.dialect, values.c.value, comparison), sa.func.length(values.c.value) >= INDEXED_VALUE_LENGTH
        )
        rows = tx.rows(sa.select(values.c.value, may_match).where(values.c.value.is_not(None)))
        if len(rows) == _MAX_VALUES:
            return None
        found |= {value for value, is_match in rows if is_match}
    return sorted(found)


def _distinct_values(experiment_id: int, kind: str) -> sa.CTE:
    """The distinct values of a kind, each looked up behind the one before: the index holds each very often."""
    first_terms, next_terms = span_terms.alias("first_terms"), span_terms.alias("next_terms")
    columns: list[Any] = [sa.func.min(first_terms.c.value).label("value"), sa.literal_column("1").label("number")]
    first = sa.select(*columns).where(first_terms.c.experiment_id == experiment_id, first_terms.c.kind == kind)
    values = first.cte("span_values", recursive=True)
    further = sa.select(sa.func.min(next_terms.c.value)).where(
        next_terms.c.experiment_id == experiment_id, next_terms.c.kind == kind, next_terms.c.value > values.c.value
    )
    return values.union_all(
        sa.select(further.scalar_subquery(), values.c.number + 1).where(
            values.c.value.is_not(None), values.c.number < _MAX_VALUES
        )
    )
