"""How many traces meet one filter, another, and both: one walk over the traces of the experiments."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from runnel.domain.filters import Comparison
from runnel.domain.trace_correlation import CorrelationCounts
from runnel.domain.trace_filters import parse_trace_filter
from runnel.store.dialects import Dialect
from runnel.store.schema import traces
from runnel.store.statements import Transaction
from runnel.store.trace_filters import filter_conditions


def count_traces(
    tx: Transaction, experiment_ids: Sequence[int], filter_string1: str, filter_string2: str, base_filter: str
) -> CorrelationCounts:
    """The counts among the traces that meet ``base_filter``; what it says of spans must hold for the same span."""
    base = parse_trace_filter(base_filter)
    of_spans = [comparison for comparison in base if comparison.entity == "span"]
    first, second = (
        _flag(tx.dialect, experiment_ids, [*of_spans, *parse_trace_filter(text)])
        for text in (filter_string1, filter_string2)
    )
    flags = (
        sa.select(first.label("first"), second.label("second"))
        .select_from(traces)
        .where(
            tx.dialect.is_in(traces.c.experiment_id, sorted(set(experiment_ids))),
            *filter_conditions(tx.dialect, experiment_ids, base),
        )
        .subquery("flags")
    )
    both = flags.c.first * flags.c.second
    sums = [sa.func.coalesce(sa.func.sum(flag), 0) for flag in (flags.c.first, flags.c.second, both)]
    row = tx.row(sa.select(sa.func.count(), *sums).select_from(flags))
    assert row is not None
    return CorrelationCounts(*[int(count) for count in row])


def _flag(dialect: Dialect, experiment_ids: Sequence[int], comparisons: Sequence[Comparison]) -> sa.ColumnElement[int]:
    return sa.case((sa.and_(sa.true(), *filter_conditions(dialect, experiment_ids, comparisons)), 1), else_=0)
