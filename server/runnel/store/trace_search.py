"""The search for traces: filter, order and page in SQL, flat as the tables grow.

Two ways through the data, with the same result:

- *selective*: some condition of the filter is met by few rows of its index (found out by counting no further than
  ``_FEW``). Those traces are taken, the rest of the filter is checked on them, and they are sorted.
- *listing*: otherwise the search walks the traces of each experiment in the order asked for, newest first unless told
  otherwise, and checks the filter on each; with a status, a name or a session it walks only those that have it.

What no index can find (patterns, and most of what is said of spans) is looked for in that walk, trace after trace in
their order, until the page is full. That may take long: ``may_scan`` tells such filters, so that few run at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.filters import Comparison, Ordering
from runnel.domain.trace_filters import parse_trace_filter, parse_trace_order_by
from runnel.domain.traces import SOURCE_RUN_METADATA, TraceInfoDict
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind
from runnel.store.page_sizes import gather_page
from runnel.store.schema import trace_metadata, traces
from runnel.store.statements import Transaction
from runnel.store.trace_filters import ATTRIBUTES, KEY_VALUE_TABLES, TraceKeys, filter_conditions, indexed_rows
from runnel.store.traces import TRACE_COLUMNS, to_trace_infos

_FEW = 3_000
_MAX_PARTITIONS = 50  # more experiments than that, and one sorted query is cheaper than so many walks
_NEVER_NULL = ("request_id", "experiment_id", "timestamp_ms", "end_time_ms", "status")
_SCANNING = re.compile(r"LIKE|span|text", re.IGNORECASE)


class _Page(NamedTuple):
    """What one search asks for, worked out from the request."""

    experiment_ids: Sequence[int]
    comparisons: Sequence[Comparison]
    orderings: Sequence[Ordering]
    size: int
    position: Sequence[Any] | None


def may_scan(filter_string: str, order_by: Sequence[str]) -> bool:
    """Whether a search may have to look at every trace of its experiments, judged by its words alone."""
    by_time = all(term.partition(".")[2].startswith("time") or term.startswith("time") for term in order_by)
    return not by_time or _SCANNING.search(filter_string) is not None


def search_traces(
    tx: Transaction,
    experiment_ids: Sequence[int],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[list[TraceInfoDict], str | None]:
    """A page of the traces that match, and the token of the next page."""
    comparisons = parse_trace_filter(filter_string)
    orderings = _with_tie_breakers(parse_trace_order_by(order_by))
    experiment_ids = sorted(set(experiment_ids))
    identity = ("traces", tuple(experiment_ids), comparisons, orderings)
    key_count = sum(1 if _never_null(ordering) else 2 for ordering in orderings)
    position = page_tokens.decode_page_token(page_token, identity, key_count) if page_token else None
    if not experiment_ids:
        return [], None
    page = _Page(experiment_ids, comparisons, orderings, max_results + 1, position)
    rows = tx.rows(_walk(tx.dialect, page, _selective_source(tx, page)))
    width = len(TRACE_COLUMNS)
    found, last = gather_page(rows, max_results, lambda some: to_trace_infos(tx, [row[:width] for row in some]))
    return found, page_tokens.encode_page_token(last[width:], identity) if last else None


def _with_tie_breakers(orderings: Sequence[Ordering]) -> tuple[Ordering, ...]:
    """MLflow's natural order behind the given one: newest first, then by id."""
    completed = list(orderings)
    for tie_breaker in (Ordering("attribute", "timestamp_ms", False), Ordering("attribute", "request_id", True)):
        if all((o.entity, o.key) != (tie_breaker.entity, tie_breaker.key) for o in completed):
            completed.append(tie_breaker)
    return tuple(completed)


def _selective_source(tx: Transaction, page: _Page) -> TraceKeys | None:
    """The traces of the condition that the fewest meet, if these are few."""
    best, best_count = None, _FEW
    for comparison in page.comparisons:
        source = indexed_rows(tx, page.experiment_ids, comparison)
        if source is None:
            continue
        if best_count == 0:
            break
        row = tx.row(sa.select(sa.func.count()).select_from(source.limit(best_count).subquery()))
        assert row is not None
        if row[0] < best_count:
            best, best_count = source, row[0]
    return best


def _never_null(ordering: Ordering) -> bool:
    return ordering.entity == "attribute" and ordering.key in _NEVER_NULL


def _sort_keys(orderings: Sequence[Ordering]) -> tuple[list[SortKey], list[tuple[Any, sa.ColumnElement[bool]]]]:
    """The keys of an order, and the tables (with their conditions) that a query must be joined with to have them.

    What can be missing has two keys: whether it is there (it comes first, however the value is sorted), then the value.
    """
    keys: list[SortKey] = []
    joins: list[tuple[Any, sa.ColumnElement[bool]]] = []
    for index, ordering in enumerate(orderings):
        column: sa.ColumnElement[Any]
        if ordering.entity == "attribute" and ordering.key != "run_id":
            column = ATTRIBUTES[ordering.key]
        else:
            is_run = ordering.entity == "attribute"
            table = (trace_metadata if is_run else KEY_VALUE_TABLES[ordering.entity]).alias(f"sort_{index}")
            key = SOURCE_RUN_METADATA if is_run else ordering.key
            joins.append((table, sa.and_(table.c.trace_id == traces.c.id, table.c.key == key)))
            column = table.c.value
        if not _never_null(ordering):
            keys.append(SortKey(sa.case((column.is_(None), 1), else_=0), True))
            nothing = "''" if isinstance(column.type, sa.Text) else "0"
            column = sa.func.coalesce(column, sa.literal_column(nothing, column.type))
        keys.append(SortKey(column, ordering.ascending))
    return keys, joins


def _walk(dialect: Dialect, page: _Page, source: TraceKeys | None) -> sa.Executable:
    keys, joins = _sort_keys(page.orderings)
    columns = [*TRACE_COLUMNS, *[key.expression.label(f"key_{index}") for index, key in enumerate(keys)]]
    query = sa.select(*columns).select_from(traces)
    for table, condition in joins:
        query = query.outerjoin(table, condition)
    query = query.where(*filter_conditions(dialect, page.experiment_ids, page.comparisons))
    if page.position is not None:
        query = query.where(behind(keys, page.position))
    query = query.order_by(*[key.order() for key in keys]).limit(page.size)
    if source is not None:
        # As a sum, the experiment is no longer what the listing index begins with: SQLite would walk that instead.
        experiment = traces.c.experiment_id + sa.literal_column("0", sa.BigInteger())
        return query.where(traces.c.id.in_(source), dialect.is_in(experiment, page.experiment_ids))
    if len(page.experiment_ids) > _MAX_PARTITIONS:
        return query.where(dialect.is_in(traces.c.experiment_id, page.experiment_ids))
    branches = [query.where(traces.c.experiment_id == experiment_id) for experiment_id in page.experiment_ids]
    if len(branches) == 1:
        return branches[0]
    # Databases take ORDER BY and LIMIT in a part of a UNION only within a subquery of its own.
    union = sa.union_all(*[sa.select(branch.subquery()) for branch in branches]).subquery()
    order = [
        union.c[f"key_{index}"].asc() if key.ascending else union.c[f"key_{index}"].desc()
        for index, key in enumerate(keys)
    ]
    return sa.select(union).order_by(*order).limit(page.size)
