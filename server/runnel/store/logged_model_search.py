"""The search for logged models: filter, order and page in SQL, flat as the tables grow.

Three ways through the data, all with the same result (those of ``run_search``):

- *selective*: some condition of the search is met by few rows of its index (found out by counting no further than
  ``_FEW``). Those models are taken, the rest is checked on them, and they are sorted.
- *ranked*: the first sort key is a metric. Its index holds the points of an experiment in that order, so the search
  walks those that are the latest of their model: first the values, then NaN, then the models without the metric.
- *listing*: otherwise the search walks the models, newest first unless told otherwise, and checks the conditions.

Where several experiments are searched, each is walked by itself as far as one page, and the results are merged.

A condition on a metric is met by any point that was logged for the model (on one of the datasets, if some are given);
the order by a metric goes by its latest point, the one with the greatest (timestamp, step). Both as in MLflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import ACTIVE
from runnel.domain.filter_grammars import LOGGED_MODELS
from runnel.domain.filters import Comparison, parse_filter
from runnel.domain.logged_models import (
    STATUS_SPELLINGS,
    DatasetFilter,
    LoggedModel,
    ModelOrdering,
    OrderBy,
    parse_model_orderings,
)
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind, matches
from runnel.store.logged_models import MODEL_COLUMNS, to_logged_models
from runnel.store.page_sizes import gather_page
from runnel.store.schema import (
    INDEXED_VALUE_LENGTH,
    indexed_value,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    metric_datasets,
)
from runnel.store.statements import Transaction

_FEW = 1_000
_RANKS = (0, 1, 2)  # of a sort key that is a metric: a value, NaN, nothing
_MAX_PARTITIONS = 50  # more experiments than that, and one sorted query is cheaper than so many walks

_ATTRIBUTES = {
    "model_id": logged_models.c.model_id,
    "name": logged_models.c.name,
    "model_type": logged_models.c.model_type,
    "source_run_id": logged_models.c.source_run_id,
    "status": logged_models.c.status,
    "creation_timestamp": logged_models.c.creation_timestamp_ms,
    "last_updated_timestamp": logged_models.c.last_updated_timestamp_ms,
}
_KEY_VALUE_TABLES = {"parameter": logged_model_params, "tag": logged_model_tags}
_POINT = logged_model_metrics.c


class _Order(NamedTuple):
    """A sort key; a metric may be that of some datasets (their keys in ``metric_datasets``) instead of any."""

    entity: str
    key: str
    ascending: bool
    dataset_ids: Sequence[int] | None


class _Search(NamedTuple):
    """What one search asks for, worked out from the request."""

    dialect: Dialect
    experiment_ids: Sequence[int]
    comparisons: Sequence[Comparison]
    dataset_ids: Sequence[int] | None  # where the metrics of the filter must have been logged, if that is said
    orders: Sequence[_Order]
    position: Sequence[Any] | None
    size: int


def search_logged_models(
    tx: Transaction,
    experiment_ids: Sequence[int],
    filter_string: str,
    datasets: Sequence[DatasetFilter],
    order_by: Sequence[OrderBy],
    max_results: int,
    page_token: str,
) -> tuple[list[LoggedModel], str | None]:
    """A page of the models that match and are not marked as deleted, and the token of the next page."""
    comparisons = tuple(_with_status_name(comparison) for comparison in parse_filter(filter_string, LOGGED_MODELS))
    orderings = _with_tie_breakers(parse_model_orderings(order_by))
    experiment_ids = sorted(set(experiment_ids))
    identity = ("logged models", tuple(experiment_ids), comparisons, tuple(datasets), orderings)
    key_count = sum(1 if ordering.entity == "attribute" else 2 for ordering in orderings)
    position = page_tokens.decode_page_token(page_token, identity, key_count) if page_token else None
    if not experiment_ids:
        return [], None
    orders = [_Order(o.entity, o.key, o.ascending, _dataset_ids(tx, [o.dataset])) for o in orderings]
    dataset_ids = _dataset_ids(tx, datasets)
    search = _Search(tx.dialect, experiment_ids, comparisons, dataset_ids, orders, position, max_results + 1)
    found, last = gather_page(_find(tx, search), max_results, partial(to_logged_models, tx))
    return found, page_tokens.encode_page_token(last[len(MODEL_COLUMNS) :], identity) if last else None


def _with_status_name(comparison: Comparison) -> Comparison:
    if (comparison.entity, comparison.key) != ("attribute", "status") or "LIKE" in comparison.operator:
        return comparison
    if isinstance(comparison.value, tuple):
        return replace(comparison, value=tuple(STATUS_SPELLINGS.get(value, value) for value in comparison.value))
    value = str(comparison.value)
    return replace(comparison, value=STATUS_SPELLINGS.get(value, value))


def _with_tie_breakers(orderings: Sequence[ModelOrdering]) -> tuple[ModelOrdering, ...]:
    """MLflow's natural order behind the given one: newest first, then by id."""
    completed = list(orderings)
    for key, ascending in (("creation_timestamp", False), ("model_id", True)):
        if all((o.entity, o.key) != ("attribute", key) for o in orderings):
            completed.append(ModelOrdering("attribute", key, ascending))
    return tuple(completed)


def _dataset_ids(tx: Transaction, datasets: Sequence[DatasetFilter]) -> list[int] | None:
    """The datasets that are meant; None where none are named. As numbers, which the databases can plan with."""
    wanted = []
    for dataset in datasets:
        parts = []
        if dataset.dataset_name:
            parts.append(metric_datasets.c.name == dataset.dataset_name)
        if dataset.dataset_digest:
            parts.append(metric_datasets.c.digest == dataset.dataset_digest)
        if parts:
            wanted.append(sa.and_(*parts))
    if not wanted:
        return None
    return [row[0] for row in tx.rows(sa.select(metric_datasets.c.id).where(sa.or_(*wanted)))]


def _on(dialect: Dialect, points: sa.FromClause, dataset_ids: Sequence[int] | None) -> list[sa.ColumnElement[bool]]:
    """The condition on points that they are on one of the datasets; none where there are no datasets."""
    return [] if dataset_ids is None else [dialect.is_in(points.c.dataset_id, dataset_ids)]


# The order


def _sort_keys(dialect: Dialect, orders: Sequence[_Order]) -> Iterator[SortKey]:
    """One for an attribute; two for a metric: whether it is there (a value, then NaN, then nothing), and its value."""
    for order in orders:
        if order.entity == "attribute":
            yield SortKey(_ATTRIBUTES[order.key], order.ascending)
            continue
        points = _points_of_model(dialect, order, logged_model_metrics, logged_models.c.id)
        latest = points.order_by(*[column.desc() for column in _age(logged_model_metrics)]).limit(1)
        is_nan, value = (
            latest.with_only_columns(column).correlate(logged_models).scalar_subquery()
            for column in (_POINT.is_nan, _POINT.value)
        )
        yield SortKey(sa.func.coalesce(is_nan, sa.literal_column("2", sa.SmallInteger())), True)
        yield SortKey(sa.func.coalesce(value, sa.literal_column("0.0", sa.Double())), order.ascending)


def _points_of_model(
    dialect: Dialect, order: _Order, points: sa.FromClause, model_id: sa.ColumnElement[int]
) -> sa.Select[Any]:
    """The points of a model that an order by a metric looks at."""
    query = sa.select(points.c.model_id).where(points.c.model_id == model_id, points.c.key == order.key)
    return query.where(*_on(dialect, points, order.dataset_ids))


def _age(points: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """What tells the latest point of a model's metric: MLflow's timestamp and step, then what makes it a single one."""
    return [points.c[name] for name in ("timestamp", "step", "run_id", "dataset_id", "value", "is_nan")]


# Conditions


def _points(dialect: Dialect, comparison: Comparison) -> sa.Select[Any]:
    """The points that meet a comparison; NaN is unequal to everything, and compares to nothing else."""
    value = matches(dialect, _POINT.value, comparison)
    value = sa.or_(value, _POINT.is_nan == 1) if comparison.operator == "!=" else value & (_POINT.is_nan == 0)
    return sa.select(_POINT.model_id).where(_POINT.key == comparison.key, value)


def _conditions(search: _Search) -> Iterator[sa.ColumnElement[bool]]:
    """All that must be true of a row of ``logged_models``."""
    on_datasets = _on(search.dialect, logged_model_metrics, search.dataset_ids)
    for comparison in search.comparisons:
        match comparison.entity:
            case "attribute":
                yield matches(search.dialect, _ATTRIBUTES[comparison.key], comparison)
                continue
            case "metric":
                related, model_id = _points(search.dialect, comparison).where(*on_datasets), _POINT.model_id
            case entity:
                table = _KEY_VALUE_TABLES[entity]
                value = matches(search.dialect, table.c.value, comparison)
                related, model_id = sa.select(table.c.model_id), table.c.model_id
                related = related.where(table.c.key == comparison.key, value)
        yield sa.exists(related.where(model_id == logged_models.c.id).correlate(logged_models))
    # Datasets without a condition on a metric: models that have any metric on them.
    if on_datasets and all(comparison.entity != "metric" for comparison in search.comparisons):
        related = sa.select(_POINT.model_id).where(*on_datasets, _POINT.model_id == logged_models.c.id)
        yield sa.exists(related.correlate(logged_models))


# The ways


def _find(tx: Transaction, search: _Search) -> Iterable[tuple[Any, ...]]:
    """The first rows behind the position: ``MODEL_COLUMNS``, then the sort keys."""
    source = _selective_source(tx, search)
    if source is None and search.orders[0].entity == "metric":
        return _ranked(tx, search)
    keys = list(_sort_keys(search.dialect, search.orders))
    query = _matching(search, keys)
    if search.position is not None:
        query = query.where(behind(keys, search.position))
    query = query.order_by(*[key.order() for key in keys]).limit(search.size)
    if source is None:
        return tx.rows(_within_experiments(search, query, logged_models.c.experiment_id, keys))
    # As a sum, the experiment is no longer what the listing index begins with: SQLite would walk that instead.
    experiment = logged_models.c.experiment_id + sa.literal_column("0", sa.BigInteger())
    query = query.where(logged_models.c.id.in_(source.correlate(None)))
    return tx.rows(query.where(search.dialect.is_in(experiment, search.experiment_ids)))


def _matching(search: _Search, keys: Sequence[SortKey]) -> sa.Select[Any]:
    columns = [key.expression.label(f"key_{index}") for index, key in enumerate(keys)]
    query = sa.select(*MODEL_COLUMNS, *columns).where(logged_models.c.lifecycle_stage == ACTIVE)
    return query.where(*_conditions(search))


def _within_experiments(
    search: _Search, query: sa.Select[Any], experiment: sa.ColumnElement[int], keys: Sequence[SortKey]
) -> sa.Executable:
    """The first rows of a query that is in order within one experiment."""
    if len(search.experiment_ids) > _MAX_PARTITIONS:
        return query.where(search.dialect.is_in(experiment, search.experiment_ids))
    branches = [query.where(experiment == id_) for id_ in search.experiment_ids]
    if len(branches) == 1:
        return branches[0]
    # Databases take ORDER BY and LIMIT in a part of a UNION only within a subquery of its own.
    union = sa.union_all(*[sa.select(branch.subquery()) for branch in branches]).subquery()
    order = [union.c[f"key_{i}"].asc() if key.ascending else union.c[f"key_{i}"].desc() for i, key in enumerate(keys)]
    return sa.select(union).order_by(*order).limit(search.size)


# The ranked way


def _ranked(tx: Transaction, search: _Search) -> Iterator[tuple[Any, ...]]:
    """The models by their first sort key, a metric: with a value, with NaN, without the metric."""
    first_rank = 0 if search.position is None else search.position[0]
    if not isinstance(first_rank, int) or first_rank not in _RANKS:
        raise InvalidParameterValue("Invalid page token: it does not belong to this order")
    wanted = search.size
    for rank in _RANKS[first_rank:]:
        position = search.position if rank == first_rank else None
        for row in tx.rows(_of_rank(search._replace(position=position, size=wanted), rank)):
            wanted -= 1
            yield row
        if wanted <= 0:
            return


def _of_rank(search: _Search, rank: int) -> sa.Executable:
    first, *rest = search.orders
    point, newer = logged_model_metrics.alias("point"), logged_model_metrics.alias("newer")
    # A cast: PostgreSQL would answer a literal 0.0 as a decimal.
    value: sa.ColumnElement[Any] = point.c.value if rank == 0 else sa.cast(sa.literal_column("0"), sa.Double())
    keys = [SortKey(sa.literal_column(str(rank), sa.Integer()), True), SortKey(value, first.ascending)]
    keys += _sort_keys(search.dialect, rest)
    # The index is in the order of the value within one experiment and kind; the other two keys are constants.
    first_key = 1 if rank == 0 else 2
    query = _matching(search, keys)
    if rank < 2:
        query = query.join_from(point, logged_models, logged_models.c.id == point.c.model_id).where(
            point.c.key == first.key, point.c.is_nan == rank, *_on(search.dialect, point, first.dataset_ids)
        )
        others = _points_of_model(search.dialect, first, newer, point.c.model_id)
        others = others.where(sa.tuple_(*_age(newer)) > sa.tuple_(*_age(point))).correlate(point)
    else:
        others = _points_of_model(search.dialect, first, newer, logged_models.c.id).correlate(logged_models)
    query = query.where(sa.not_(sa.exists(others)))
    if search.position is not None:
        query = query.where(behind(keys[first_key:], search.position[first_key:]))
    query = query.order_by(*[key.order() for key in keys[first_key:]]).limit(search.size)
    # In a walk along the points, the experiment is a condition on them, so that nothing tempts the planner elsewhere.
    experiment = point.c.experiment_id if rank < 2 else logged_models.c.experiment_id
    return _within_experiments(search, query, experiment, keys)


# The selective way


def _selective_source(tx: Transaction, search: _Search) -> sa.Select[Any] | None:
    """The models that may meet the condition that the fewest meet, if these are few."""
    best, best_count = None, _FEW
    for source in _indexed_rows(search):
        if best_count == 0:
            break
        row = tx.row(sa.select(sa.func.count()).select_from(source.limit(best_count).subquery()))
        assert row is not None
        if row[0] < best_count:
            best, best_count = source, row[0]
    return best


def _indexed_rows(search: _Search) -> Iterator[sa.Select[Any]]:
    """The models that may meet a condition, for each condition that an index can serve."""

    def within(column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        return search.dialect.is_in(column, search.experiment_ids)

    for comparison in search.comparisons:
        if comparison.entity == "metric" and comparison.operator != "!=":
            yield _points(search.dialect, comparison).where(within(_POINT.experiment_id))
        elif comparison.entity in _KEY_VALUE_TABLES and comparison.operator == "=":
            table = _KEY_VALUE_TABLES[comparison.entity]
            # Not the whole value: it is compared anyway, and SQLite would put it into the expression of the index.
            beginning = str(comparison.value)[:INDEXED_VALUE_LENGTH]
            yield sa.select(table.c.model_id).where(
                within(table.c.experiment_id),
                table.c.key == comparison.key,
                indexed_value(table.c.value) == beginning,
            )
        elif comparison.key in ("model_id", "name", "source_run_id") and comparison.operator in ("=", "IN"):
            model = sa.select(logged_models.c.id).where(
                matches(search.dialect, _ATTRIBUTES[comparison.key], comparison)
            )
            yield model.where(within(logged_models.c.experiment_id)) if comparison.key == "name" else model
    if search.dataset_ids is not None:
        on_datasets = _on(search.dialect, logged_model_metrics, search.dataset_ids)
        yield sa.select(_POINT.model_id).where(*on_datasets, within(_POINT.experiment_id))
