"""The search for runs: filter, order and page in SQL, flat as the tables grow.

Three ways through the data, all with the same result:

- *ranked*: the first sort key is a metric. Its index holds the runs of an experiment in that order, so the search walks
  it and stops when the page is full: first the runs with a value, then those with NaN, then those without the metric.
- *selective*: some condition of the filter is met by few rows of its index (found out by counting no further than
  ``_FEW``). Those runs are taken, the rest of the filter is checked on them, and they are sorted.
- *listing*: otherwise the search walks the runs in the order of its sort key, newest first unless told otherwise, and
  checks the filter on each.

Where several experiments or both lifecycle stages are searched, each (experiment, stage) is walked by itself as far as
one page and the results are merged: an index is only in order within one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.datasets import DATASET_CONTEXT_TAG
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import RUNS
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by
from runnel.domain.runs import Run
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind, matches
from runnel.store.page_sizes import gather_page, rows_of_page
from runnel.store.runs import RUN_COLUMNS, to_runs
from runnel.store.schema import (
    INDEXED_VALUE_LENGTH,
    dataset_inputs,
    datasets,
    indexed_value,
    input_tags,
    logged_models,
    metrics,
    model_inputs,
    model_outputs,
    params,
    runs,
    tags,
)
from runnel.store.statements import Transaction

_FEW = 1_000
_RANKS = (0, 1, 2)  # of a sort key that is a metric: a value, NaN, nothing
_MAX_PARTITIONS = 50  # more than that, and one sorted query is cheaper than so many walks
_MAX_TERMS = 500  # comparisons and orderings of all walks: more than that, and their statement takes long to make

_ATTRIBUTES = {
    "run_id": runs.c.run_uuid,
    "run_name": runs.c.name,
    "user_id": runs.c.user_id,
    "status": runs.c.status,
    "artifact_uri": runs.c.artifact_uri,
    "start_time": runs.c.start_time,
    "end_time": runs.c.end_time,
}
_KEY_VALUE_TABLES = {"parameter": params, "tag": tags}


class _Page(NamedTuple):
    """What one search asks for, worked out from the request."""

    experiment_ids: Sequence[int]
    stages: Sequence[str]
    comparisons: Sequence[Comparison]
    orderings: Sequence[Ordering]
    size: int
    position: Sequence[Any] | None


def search_runs(
    tx: Transaction,
    experiment_ids: Sequence[int],
    stages: Sequence[str],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[list[Run], str | None]:
    """A page of the runs that match, and the token of the next page. A page may end early (see ``page_sizes``)."""
    rows, identity = _matching(tx, experiment_ids, stages, filter_string, order_by, max_results, page_token)
    found, last = gather_page(rows, max_results, partial(to_runs, tx))
    return found, page_tokens.encode_page_token(last[len(RUN_COLUMNS) :], identity) if last else None


def find_runs(
    tx: Transaction,
    experiment_ids: Sequence[int],
    stages: Sequence[str],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[list[tuple[Any, ...]], str | None]:
    """The same as rows of ``RUN_COLUMNS``: without what belongs to the runs, of which there may be very much."""
    matching, identity = _matching(tx, experiment_ids, stages, filter_string, order_by, max_results, page_token)
    rows = list(matching)
    next_token = None
    if len(rows) > max_results:
        rows = rows[:max_results]
        next_token = page_tokens.encode_page_token(rows[-1][len(RUN_COLUMNS) :], identity)
    return [row[: len(RUN_COLUMNS)] for row in rows], next_token


def _matching(
    tx: Transaction,
    experiment_ids: Sequence[int],
    stages: Sequence[str],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[Iterable[tuple[Any, ...]], object]:
    """The rows of a page with their sort keys, and one more if there is one; and what a token is of."""
    comparisons = parse_filter(filter_string, RUNS)
    orderings = _with_tie_breakers(parse_order_by(order_by, RUNS))
    experiment_ids = sorted(set(experiment_ids))
    identity = ("runs", tuple(experiment_ids), tuple(stages), comparisons, orderings)
    key_count = sum(1 if _never_null(ordering) else 2 for ordering in orderings)
    position = page_tokens.decode_page_token(page_token, identity, key_count) if page_token else None
    if not experiment_ids or not stages:
        return [], identity
    return _find(tx, _Page(experiment_ids, stages, comparisons, orderings, max_results + 1, position)), identity


def _with_tie_breakers(orderings: Sequence[Ordering]) -> tuple[Ordering, ...]:
    """MLflow's natural order behind the given one: newest first, then by id."""
    completed = list(orderings)
    for tie_breaker in (Ordering("attribute", "start_time", False), Ordering("attribute", "run_id", True)):
        if all((o.entity, o.key) != (tie_breaker.entity, tie_breaker.key) for o in completed):
            completed.append(tie_breaker)
    return tuple(completed)


def _find(tx: Transaction, page: _Page) -> Iterable[tuple[Any, ...]]:
    source, answered = _selective_source(tx, page)
    if page.orderings[0].entity == "metric" and source is None:
        return _ranked(tx, page)
    if answered is not None:
        page = page._replace(comparisons=[comparison for comparison in page.comparisons if comparison is not answered])
    return rows_of_page(tx, _walk(tx.dialect, page, source), page.size)


# Conditions


def _condition(dialect: Dialect, comparison: Comparison) -> sa.ColumnElement[bool]:
    """The comparison as a condition on a row of ``runs``."""
    if comparison.entity == "attribute":
        return matches(dialect, _ATTRIBUTES[comparison.key], comparison)
    related, run_id = _related_rows(dialect, comparison)
    # Only `runs` comes from the query around it, even where that reads the same table.
    exists = sa.exists(related.where(run_id == runs.c.id).correlate(runs))
    return sa.not_(exists) if comparison.operator == "IS NULL" else exists


def _related_rows(dialect: Dialect, comparison: Comparison) -> tuple[sa.Select[Any], sa.ColumnElement[int]]:
    """The rows that make a comparison of something else than an attribute true, and their column of the run."""
    match comparison.entity:
        case "metric":
            value = matches(dialect, metrics.c.value, comparison)
            # NaN is unequal to everything, and compares to nothing else.
            value = (
                sa.or_(value, metrics.c.is_nan == 1) if comparison.operator == "!=" else value & (metrics.c.is_nan == 0)
            )
            return sa.select(metrics.c.run_id).where(metrics.c.key == comparison.key, value), metrics.c.run_id
        case "dataset":
            related = sa.select(dataset_inputs.c.run_id).join_from(
                dataset_inputs, datasets, datasets.c.id == dataset_inputs.c.dataset_id
            )
            if comparison.key == "context":
                related = related.join(
                    input_tags,
                    sa.and_(input_tags.c.input_id == dataset_inputs.c.id, input_tags.c.key == DATASET_CONTEXT_TAG),
                ).where(matches(dialect, input_tags.c.value, comparison))
            else:
                related = related.where(matches(dialect, datasets.c[comparison.key], comparison))
            return related, dataset_inputs.c.run_id
        case "model":
            used = sa.select(model_inputs.c.run_id, model_inputs.c.model_id)
            made = sa.select(model_outputs.c.run_id, model_outputs.c.model_id)
            linked = sa.union_all(used, made).subquery("linked_models")
            if comparison.key == "name":
                named = sa.select(logged_models.c.model_id).where(matches(dialect, logged_models.c.name, comparison))
                is_wanted: sa.ColumnElement[bool] = linked.c.model_id.in_(named)
            else:
                is_wanted = matches(dialect, linked.c.model_id, comparison)
            return sa.select(linked.c.run_id).where(is_wanted), linked.c.run_id
        case entity:
            table = _KEY_VALUE_TABLES[entity]
            related = sa.select(table.c.run_id).where(table.c.key == comparison.key)
            if comparison.operator not in ("IS NULL", "IS NOT NULL"):
                related = related.where(matches(dialect, table.c.value, comparison))
            return related, table.c.run_id


# The selective way


def _indexed_rows(dialect: Dialect, page: _Page, comparison: Comparison) -> sa.Select[Any] | None:
    """The runs that may meet a comparison, as its index finds them; None where no index can."""
    if comparison.entity == "metric" and comparison.operator != "!=":
        related, _ = _related_rows(dialect, comparison)
        return related.where(dialect.is_in(metrics.c.experiment_id, page.experiment_ids))
    if comparison.entity in _KEY_VALUE_TABLES and comparison.operator == "=":
        table = _KEY_VALUE_TABLES[comparison.entity]
        # Not the whole value: it is compared anyway, and SQLite would put it into the expression that the index has.
        return sa.select(table.c.run_id).where(
            dialect.is_in(table.c.experiment_id, page.experiment_ids),
            table.c.key == comparison.key,
            indexed_value(table.c.value) == str(comparison.value)[:INDEXED_VALUE_LENGTH],
        )
    if comparison.entity == "attribute" and comparison.key == "run_name" and comparison.operator == "=":
        return _indexed_rows(dialect, page, Comparison("tag", "mlflow.runName", "=", comparison.value))
    if comparison.entity == "attribute" and comparison.key == "run_id" and comparison.operator in ("=", "IN"):
        return sa.select(runs.c.id).where(matches(dialect, runs.c.run_uuid, comparison))
    if comparison.entity == "dataset" and comparison.operator in ("=", "IN"):
        # A dataset belongs to the experiment of the runs that used it.
        related, _ = _related_rows(dialect, comparison)
        return related.where(dialect.is_in(datasets.c.experiment_id, page.experiment_ids))
    if comparison.entity == "model" and comparison.operator in ("=", "IN"):
        return _related_rows(dialect, comparison)[0]
    return None


def _is_answered(comparison: Comparison) -> bool:
    """Whether the runs of ``_indexed_rows`` are just those that meet the comparison."""
    if comparison.entity in _KEY_VALUE_TABLES:
        return len(str(comparison.value)) < INDEXED_VALUE_LENGTH
    return comparison.entity != "attribute" or comparison.key == "run_id"


def _selective_source(tx: Transaction, page: _Page) -> tuple[sa.Select[Any] | None, Comparison | None]:
    """The runs of the condition that the fewest meet, if these are few; and the condition, if no other runs are among
    them."""
    best, answered, best_count = None, None, _FEW
    for comparison in page.comparisons:
        source = _indexed_rows(tx.dialect, page, comparison)
        if source is None:
            continue
        if best_count == 0:
            break
        row = tx.row(sa.select(sa.func.count()).select_from(source.limit(best_count).subquery()))
        assert row is not None
        if row[0] < best_count:
            best, best_count = source, row[0]
            answered = comparison if _is_answered(comparison) else None
    return best, answered


# Sort keys


def _never_null(ordering: Ordering) -> bool:
    return ordering.entity == "attribute" and ordering.key != "end_time"


def _sort_keys(orderings: Sequence[Ordering]) -> tuple[list[SortKey], Callable[[sa.Select[Any]], sa.Select[Any]]]:
    """The keys of an order, and what a query must be joined with to have them.

    What can be missing has two keys: whether it is there (a value, then NaN, then nothing, however the value is
    sorted), then the value.
    """
    keys: list[SortKey] = []
    joins: list[tuple[Any, sa.ColumnElement[bool]]] = []
    for index, ordering in enumerate(orderings):
        if ordering.entity == "attribute":
            column: sa.ColumnElement[Any] = _ATTRIBUTES[ordering.key]
            if not _never_null(ordering):
                keys.append(SortKey(sa.case((column.is_(None), 1), else_=0), True))
                column = sa.func.coalesce(column, 0)
            keys.append(SortKey(column, ordering.ascending))
            continue
        table = (metrics if ordering.entity == "metric" else _KEY_VALUE_TABLES[ordering.entity]).alias(f"sort_{index}")
        joins.append((table, sa.and_(table.c.run_id == runs.c.id, table.c.key == ordering.key)))
        if ordering.entity == "metric":
            rank = sa.case((table.c.is_nan == 1, 1), (table.c.value.is_(None), 2), else_=0)
            value = sa.func.coalesce(table.c.value, sa.literal_column("0.0", sa.Double()))
        else:
            rank = sa.case((table.c.value.is_(None), 1), else_=0)
            value = sa.func.coalesce(table.c.value, sa.literal_column("''", sa.Text()))
        keys += [SortKey(rank, True), SortKey(value, ordering.ascending)]

    def join(query: sa.Select[Any]) -> sa.Select[Any]:
        for table, condition in joins:
            query = query.outerjoin(table, condition)
        return query

    return keys, join


def _columns(keys: Sequence[SortKey]) -> list[sa.ColumnElement[Any]]:
    return [*RUN_COLUMNS, *[key.expression.label(f"key_{index}") for index, key in enumerate(keys)]]


def _merged(branches: Sequence[sa.Select[Any]], keys: Sequence[SortKey], size: int) -> sa.Executable:
    """The first rows of several queries that are each in order."""
    if len(branches) == 1:
        return branches[0]
    # Databases take ORDER BY and LIMIT in a part of a UNION only within a subquery of its own.
    union = sa.union_all(*[sa.select(branch.subquery()) for branch in branches]).subquery()
    order = [
        union.c[f"key_{index}"].asc() if key.ascending else union.c[f"key_{index}"].desc()
        for index, key in enumerate(keys)
    ]
    return sa.select(union).order_by(*order).limit(size)


def _can_walk(page: _Page, partition_count: int) -> bool:
    """Whether each of the partitions is walked by itself."""
    term_count = partition_count * (len(page.comparisons) + len(page.orderings))
    return partition_count == 1 or (partition_count <= _MAX_PARTITIONS and term_count <= _MAX_TERMS)


# The listing way


def _walk(dialect: Dialect, page: _Page, source: sa.Select[Any] | None) -> sa.Executable:
    keys, join = _sort_keys(page.orderings)
    query = join(sa.select(*_columns(keys)).select_from(runs))
    query = query.where(*[_condition(dialect, comparison) for comparison in page.comparisons])
    if page.position is not None:
        query = query.where(behind(keys, page.position))
    query = query.order_by(*[key.order() for key in keys]).limit(page.size)
    partitions = [(experiment_id, stage) for experiment_id in page.experiment_ids for stage in page.stages]
    if source is not None:
        return query.where(
            runs.c.id.in_(source.correlate(None)),
            dialect.is_in(dialect.without_index(runs.c.experiment_id), page.experiment_ids),
            dialect.is_in(runs.c.lifecycle_stage, page.stages),
        )
    if not _can_walk(page, len(partitions)):
        return query.where(
            dialect.is_in(runs.c.experiment_id, page.experiment_ids),
            dialect.is_in(runs.c.lifecycle_stage, page.stages),
        )
    branches = [
        query.where(runs.c.experiment_id == experiment_id, runs.c.lifecycle_stage == stage)
        for experiment_id, stage in partitions
    ]
    return _merged(branches, keys, page.size)


# The ranked way


def _ranked(tx: Transaction, page: _Page) -> Iterator[tuple[Any, ...]]:
    """The runs by their first sort key, a metric: with a value, with NaN, without the metric."""
    first_rank = 0 if page.position is None else page.position[0]
    if not isinstance(first_rank, int) or first_rank not in _RANKS:
        raise InvalidParameterValue("Invalid page token: it does not belong to this order")
    # A comparison with the metric leaves out the runs without it, which nothing but a look at every run could tell.
    key = page.orderings[0].key
    last_rank = 1 if any(c.entity == "metric" and c.key == key for c in page.comparisons) else 2
    wanted = page.size
    for rank in range(first_rank, last_rank + 1):
        position = page.position if rank == first_rank else None
        for row in rows_of_page(tx, _of_rank(tx.dialect, page, rank, position, wanted), wanted):
            wanted -= 1
            yield row
        if wanted <= 0:
            return


def _of_rank(dialect: Dialect, page: _Page, rank: int, position: Sequence[Any] | None, size: int) -> sa.Executable:
    first, *rest = page.orderings
    rest_keys, join = _sort_keys(rest)
    value: sa.ColumnElement[Any] = metrics.c.value if rank == 0 else sa.cast(sa.literal_column("0"), sa.Double())
    keys = [SortKey(sa.literal_column(str(rank), sa.Integer()), True), SortKey(value, first.ascending), *rest_keys]
    # The index is in the order of the value within one experiment and kind; the other two keys are constants.
    order = [key.order() for key in (keys[1:] if rank == 0 else rest_keys)]
    query = sa.select(*_columns(keys))
    if rank < 2:
        query = query.join_from(metrics, runs, runs.c.id == metrics.c.run_id).where(
            metrics.c.key == first.key, metrics.c.is_nan == rank
        )
    else:
        has_metric = sa.select(metrics.c.id).where(metrics.c.run_id == runs.c.id, metrics.c.key == first.key)
        query = query.select_from(runs).where(sa.not_(sa.exists(has_metric.correlate(runs))))
    query = join(query).where(*[_condition(dialect, comparison) for comparison in page.comparisons])
    if position is not None:
        query = query.where(behind(keys[1:] if rank == 0 else rest_keys, position[1:] if rank == 0 else position[2:]))
    query = query.order_by(*order).limit(size)
    # In a walk along the metrics, the experiment is a condition on them, so that nothing tempts the planner elsewhere.
    experiment = metrics.c.experiment_id if rank < 2 else runs.c.experiment_id
    partitions = [(experiment_id, stage) for experiment_id in page.experiment_ids for stage in page.stages]
    if not _can_walk(page, len(partitions)):
        return query.where(
            dialect.is_in(experiment, page.experiment_ids), dialect.is_in(runs.c.lifecycle_stage, page.stages)
        )
    branches = [query.where(experiment == e, runs.c.lifecycle_stage == stage) for e, stage in partitions]
    return _merged(branches, keys, size)
