"""Metrics in SQL: the latest value of each series, its history, and samples of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.metrics import Metric, MetricDict
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind
from runnel.store.logged_model_metrics import log_model_metrics
from runnel.store.metric_values import shown_value, stored_value
from runnel.store.schema import metric_points, metrics, recent_metric_points, runs
from runnel.store.statements import RowsStatement, Statement, Transaction

# Every reading of a history looks through the recent points, so they stay few; each move writes to every series that
# has some, so they are not too few.
MAX_RECENT_POINTS = 10_000
_POINTS_BETWEEN_LOOKS = 500  # on average: looking how many there are is left to chance, so nothing has to be counted

# A point of a series of a run.
_POINT: tuple[tuple[str, Any], ...] = (
    ("run_id", sa.BigInteger()),
    ("experiment_id", sa.BigInteger()),
    ("key", sa.Text()),
    ("timestamp", sa.BigInteger()),
    ("step", sa.BigInteger()),
    ("value", sa.Double()),
    ("is_nan", sa.SmallInteger()),
)


def _upsert_series(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(metrics)
    new, old = insert.excluded, metrics.c
    columns = [name for name, _ in _POINT]
    source = sa.select(*[rows.c[name] for name in columns]).where(sa.true())
    return insert.from_select(columns, source).on_conflict_do_update(
        index_elements=["run_id", "key"],
        set_={name: new[name] for name in ("timestamp", "step", "value", "is_nan")},
        where=sa.tuple_(new.step, new.timestamp, new.value) > sa.tuple_(old.step, old.timestamp, old.value),
    )


# The latest value of a series is the one with the greatest (step, timestamp, value). One row per key.
UPSERT_SERIES = RowsStatement(_POINT, _upsert_series)
_HISTORY_ORDER = ("timestamp", "step", "value", "is_nan")  # as MLflow lists the points of a series
_POINT_COLUMNS = ["metric_id", "timestamp", "step", "value", "is_nan"]


def _insert_points(d: Dialect, rows: sa.FromClause) -> Any:
    series = sa.and_(metrics.c.run_id == rows.c.run_id, metrics.c.key == rows.c.key)
    points = sa.select(metrics.c.id, rows.c.timestamp, rows.c.step, rows.c.value, rows.c.is_nan)
    points = points.join_from(rows, metrics, series)
    if d.keeps_rows_in_order:
        return d.insert(recent_metric_points).from_select(_POINT_COLUMNS, points)
    # In the order of the key, so that two servers never lock the same rows in opposite orders.
    points = points.order_by(*points.selected_columns)
    return d.insert(metric_points).from_select(_POINT_COLUMNS, points).on_conflict_do_nothing()


INSERT_POINTS = RowsStatement(_POINT, _insert_points)
# Ids are handed out one by one, and all rows leave together.
COUNT_RECENT_POINTS = Statement(
    lambda d: sa.select(
        sa.select(sa.func.max(recent_metric_points.c.id)).scalar_subquery()
        - sa.select(sa.func.min(recent_metric_points.c.id)).scalar_subquery()
    )
)

# In the order of the key, so that its pages are written one after another. A point that is there already (a client that
# tried again) changes nothing.
COPY_RECENT_POINTS = Statement(
    lambda d: (
        d.insert(metric_points)
        .from_select(
            _POINT_COLUMNS,
            sa.select(*[recent_metric_points.c[name] for name in _POINT_COLUMNS])
            .where(sa.true())
            .order_by(*[recent_metric_points.c[name] for name in _POINT_COLUMNS]),
        )
        .on_conflict_do_nothing()
    )
)
DELETE_RECENT_POINTS = Statement(lambda d: sa.delete(recent_metric_points))

SELECT_SERIES = Statement(
    lambda d: (
        sa.select(metrics.c.id)
        .join_from(metrics, runs, runs.c.id == metrics.c.run_id)
        .where(runs.c.run_uuid == sa.bindparam("run_uuid"), metrics.c.key == sa.bindparam("key"))
    )
)

_SAME_POINT = sa.and_(*[metric_points.c[name] == recent_metric_points.c[name] for name in _POINT_COLUMNS])


def _points(
    condition: Callable[[sa.FromClause], sa.ColumnElement[bool]] = lambda _: sa.true(),
) -> sa.CompoundSelect[Any]:
    """The points of the series :metric_id that meet a condition, each once, from both tables."""
    series: sa.BindParameter[int] = sa.bindparam("metric_id")
    moved, recent = metric_points, recent_metric_points
    is_moved = sa.exists(sa.select(moved.c.metric_id).where(_SAME_POINT).correlate(recent))
    return sa.union_all(
        sa.select(*[moved.c[name] for name in _HISTORY_ORDER]).where(moved.c.metric_id == series, condition(moved)),
        sa.select(*[recent.c[name] for name in _HISTORY_ORDER])
        .distinct()
        .where(recent.c.metric_id == series, condition(recent), sa.not_(is_moved)),
    )


def _select_history(position: Sequence[Any] | None = None) -> sa.CompoundSelect[Any]:
    """The points of a series in MLflow's order, behind a position."""

    def is_behind(table: sa.FromClause) -> sa.ColumnElement[bool]:
        if position is None:
            return sa.true()
        return behind([SortKey(table.c[name], True) for name in _HISTORY_ORDER], position)

    # Ordered as a whole, not as a subquery, the two parts are merged instead of sorted.
    return _points(is_behind).order_by(*_HISTORY_ORDER).limit(sa.bindparam("limit"))


SELECT_HISTORY = Statement(lambda d: _select_history())


def _select_sample(d: Any) -> Any:
    """Evenly spread points of a series between two steps, the first and the last among them.

    The points are numbered in the order of their steps and dealt into ``size`` buckets of equal count, of which the
    first point is taken (MLflow's rule); the last point of all is always taken.
    """
    between = _points(lambda table: table.c.step.between(sa.bindparam("start_step"), sa.bindparam("end_step")))
    points = between.subquery("points").c
    order = (points.step, points.timestamp, points.value, points.is_nan)
    numbered = sa.select(
        points.timestamp,
        points.step,
        points.value,
        points.is_nan,
        sa.func.row_number().over(order_by=order).label("number"),
        sa.func.count().over().label("total"),
    ).cte("numbered")
    n = numbered.c
    size = sa.bindparam("size", type_=sa.BigInteger())
    small, larger = n.total // size, n.total % size  # points in a bucket; how many buckets have one more
    in_larger = larger * (small + 1)
    first_of_bucket = sa.case(
        (small == 0, sa.true()),
        (n.number <= in_larger, (n.number - 1) % (small + 1) == 0),
        else_=(n.number - 1 - in_larger) % small == 0,
    )
    return (
        sa.select(n.timestamp, n.step, n.value, n.is_nan, n.number, n.total)
        .where(sa.or_(first_of_bucket, n.number == n.total))
        .order_by(n.number)
    )


SELECT_SAMPLE = Statement(_select_sample)


def log_metrics(tx: Transaction, run_id: int, experiment_id: int, new_metrics: Sequence[Metric]) -> None:
    """Adds points to series of a run and keeps the latest value of each; points that are there change nothing."""
    points = []
    model_points = []
    for metric in new_metrics:
        value, is_nan = stored_value(metric.value)
        points.append((run_id, experiment_id, metric.key, metric.timestamp, metric.step, value, is_nan))
        if metric.model_id:
            model_points.append((metric, value, is_nan))
    if model_points:
        log_model_metrics(tx, run_id, model_points)
    tx.write_later(_write_points, points)


def _write_points(tx: Transaction, points: Sequence[tuple[Any, ...]]) -> None:
    latest: dict[tuple[int, str], tuple[Any, ...]] = {}
    for point in points:
        run_id, _, key, timestamp, step, value, _ = point
        known = latest.get((run_id, key))
        if known is None or (step, timestamp, value) > (known[4], known[3], known[5]):
            latest[run_id, key] = point
    # In the order of the keys, so that two servers never lock the same rows in opposite orders.
    tx.write_rows(UPSERT_SERIES, [latest[key] for key in sorted(latest)])
    tx.write_rows(INSERT_POINTS, points)
    if tx.dialect.keeps_rows_in_order and random.random() < len(points) / _POINTS_BETWEEN_LOOKS:
        move_recent_points(tx)


def move_recent_points(tx: Transaction, limit: int = MAX_RECENT_POINTS) -> None:
    """Moves the points that were appended last to their series, if there are ``limit`` of them or more."""
    row = tx.row(COUNT_RECENT_POINTS)
    if row is not None and row[0] is not None and row[0] + 1 >= limit:
        tx.execute(COPY_RECENT_POINTS)
        tx.execute(DELETE_RECENT_POINTS)


def _to_metrics(key: str, rows: Sequence[tuple[Any, ...]]) -> list[MetricDict]:
    return [
        {"key": key, "value": shown_value(value, is_nan), "timestamp": timestamp, "step": step}
        for timestamp, step, value, is_nan in rows
    ]


def _series_id(tx: Transaction, run_uuid: str, key: str) -> int | None:
    row = tx.row(SELECT_SERIES, run_uuid=run_uuid, key=key)
    return None if row is None else row[0]


def get_metric_history(
    tx: Transaction, run_uuid: str, key: str, max_results: int, page_token: str
) -> tuple[list[MetricDict], str | None]:
    """A page of a series in the order of timestamp, step and value, and the token of the next page."""
    identity = ("metric history", run_uuid, key)
    query: Statement | sa.CompoundSelect[Any] = SELECT_HISTORY
    if page_token:
        query = _select_history(page_tokens.decode_page_token(page_token, identity, length=4))
    series = _series_id(tx, run_uuid, key)
    if series is None:
        return [], None
    rows = tx.rows(query, metric_id=series, limit=max_results + 1)
    next_token = None
    if len(rows) > max_results:
        rows = rows[:max_results]
        next_token = page_tokens.encode_page_token(rows[-1], identity)
    return _to_metrics(key, rows), next_token


def get_metric_history_bulk(tx: Transaction, run_uuids: Sequence[str], key: str, max_results: int) -> list[MetricDict]:
    """The series of several runs one after another, in the order of the run ids, up to a number of points."""
    found: list[MetricDict] = []
    for run_uuid in sorted(set(run_uuids)):
        series = _series_id(tx, run_uuid, key)
        if series is not None and len(found) < max_results:
            rows = tx.rows(SELECT_HISTORY, metric_id=series, limit=max_results - len(found))
            found.extend(metric | {"run_id": run_uuid} for metric in _to_metrics(key, rows))
    return found


def sample_metric_history(
    tx: Transaction, run_uuids: Sequence[str], key: str, start_step: int, end_step: int, max_results: int
) -> list[MetricDict]:
    """At most ``max_results`` points per run, spread evenly over those between two steps."""
    found: list[MetricDict] = []
    for run_uuid in run_uuids:
        series = _series_id(tx, run_uuid, key)
        if series is None:
            continue
        rows = tx.rows(SELECT_SAMPLE, metric_id=series, start_step=start_step, end_step=end_step, size=max_results)
        if len(rows) > max_results:  # the last point is one too many: it takes the place of the one before it
            del rows[-2]
        found.extend(metric | {"run_id": run_uuid} for metric in _to_metrics(key, [row[:4] for row in rows]))
    return found
