"""Metrics of logged models in SQL: every point that runs log for a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.logged_models import LoggedModelMetricDict
from runnel.domain.metrics import Metric
from runnel.domain.validation import invalid_value
from runnel.store.metric_values import shown_value
from runnel.store.schema import logged_model_metrics, logged_models, metric_datasets, runs
from runnel.store.statements import RowsStatement, Statement, Transaction

NO_DATASET = 0

_NEW_POINT: tuple[tuple[str, Any], ...] = (
    ("model_id", sa.BigInteger()),
    ("key", sa.Text()),
    ("timestamp", sa.BigInteger()),
    ("step", sa.BigInteger()),
    ("dataset_id", sa.BigInteger()),
    ("value", sa.Double()),
    ("is_nan", sa.SmallInteger()),
    ("experiment_id", sa.BigInteger()),
)

SELECT_MODELS = Statement(
    lambda d: sa.select(logged_models.c.model_id, logged_models.c.id, logged_models.c.experiment_id).where(
        d.is_in(logged_models.c.model_id, "model_ids")
    )
)
SELECT_DATASET = Statement(
    lambda d: sa.select(metric_datasets.c.id).where(
        metric_datasets.c.name == sa.bindparam("name"), metric_datasets.c.digest == sa.bindparam("digest")
    )
)
INSERT_DATASET = Statement(
    lambda d: (
        d.insert(metric_datasets)
        .values(name=sa.bindparam("name"), digest=sa.bindparam("digest"))
        .on_conflict_do_nothing(index_elements=["name", "digest"])
    )
)
_POINT = logged_model_metrics.c
# The order of the key, whole: what is equal in all but the last would come in any order.
_SERIES_ORDER = (
    _POINT.model_id,
    _POINT.key,
    _POINT.timestamp,
    _POINT.step,
    _POINT.run_id,
    _POINT.dataset_id,
    _POINT.value,
    _POINT.is_nan,
)
_SELECT_POINTS = (
    sa.select(
        _POINT.model_id,
        _POINT.key,
        _POINT.value,
        _POINT.is_nan,
        _POINT.timestamp,
        _POINT.step,
        runs.c.run_uuid,
        metric_datasets.c.name,
        metric_datasets.c.digest,
    )
    .join_from(logged_model_metrics, runs, runs.c.id == _POINT.run_id)
    .outerjoin(metric_datasets, metric_datasets.c.id == _POINT.dataset_id)
)
SELECT_POINTS_OF_MODELS = Statement(
    lambda d: (
        _SELECT_POINTS.where(d.is_in(_POINT.model_id, "ids")).order_by(*_SERIES_ORDER).limit(sa.bindparam("limit"))
    )
)
SELECT_NEWEST_POINTS = Statement(
    lambda d: (
        _SELECT_POINTS.where(_POINT.model_id == sa.bindparam("id"))
        .order_by(_POINT.timestamp.desc(), _POINT.step.desc(), _POINT.key)
        .limit(sa.bindparam("limit"))
    )
)
# A point that is there already (a client that tried again) changes nothing.
INSERT_POINTS = RowsStatement(
    _NEW_POINT,
    lambda d, rows: (
        d.insert(logged_model_metrics)
        .from_select(
            [*[name for name, _ in _NEW_POINT], "run_id"],
            sa.select(*[rows.c[name] for name, _ in _NEW_POINT], sa.bindparam("run_id")).where(sa.true()),
        )
        .on_conflict_do_nothing()
    ),
)


def log_model_metrics(tx: Transaction, run_id: int, points: Sequence[tuple[Metric, float, int]]) -> None:
    """Adds points (metrics that name a model, with their stored value) to models, which must exist, deleted or not."""
    model_ids = sorted({metric.model_id for metric, _, _ in points})
    models = {
        model_id: (key, experiment_id) for model_id, key, experiment_id in tx.rows(SELECT_MODELS, model_ids=model_ids)
    }
    for model_id in model_ids:
        if model_id not in models:
            reason = f"Logged model with ID '{model_id}' not found."
            raise InvalidParameterValue(invalid_value("model_id", model_id, reason))
    datasets = {
        (name, digest): _dataset_id(tx, name, digest)
        for name, digest in sorted({(metric.dataset_name, metric.dataset_digest) for metric, _, _ in points})
    }
    rows = []
    for metric, value, is_nan in points:
        model, experiment_id = models[metric.model_id]
        dataset = datasets[metric.dataset_name, metric.dataset_digest]
        rows.append((model, metric.key, metric.timestamp, metric.step, dataset, value, is_nan, experiment_id))
    # In the order of the keys, so that two servers never lock the same rows in opposite orders.
    tx.write_rows(INSERT_POINTS, sorted(rows), run_id=run_id)


def _dataset_id(tx: Transaction, name: str, digest: str) -> int:
    if not name:
        return NO_DATASET
    row = tx.row(SELECT_DATASET, name=name, digest=digest)
    if row is None:
        tx.execute(INSERT_DATASET, name=name, digest=digest)
        row = tx.row(SELECT_DATASET, name=name, digest=digest)
    assert row is not None
    found: int = row[0]
    return found


def metrics_of_models(tx: Transaction, model_ids: Mapping[int, str]) -> Iterator[tuple[int, LoggedModelMetricDict]]:
    """The metrics of models, each with the key of its model; ``model_ids`` are the public ids by these keys."""
    for key_of_model, key, value, is_nan, timestamp, step, run_uuid, name, digest in _points(tx, list(model_ids)):
        metric: LoggedModelMetricDict = {
            "key": key,
            "value": shown_value(value, is_nan),
            "timestamp": timestamp,
            "step": step,
            "model_id": model_ids[key_of_model],
            "run_id": run_uuid,
        }
        if name is not None:
            metric["dataset_name"] = name
            metric["dataset_digest"] = digest
        yield key_of_model, metric


def _points(tx: Transaction, ids: list[int]) -> list[tuple[Any, ...]]:
    """The points of models by key and time; where they are too many for one answer, the newest of each model."""
    limit = limits.MAX_LOGGED_MODEL_METRICS
    points = tx.rows(SELECT_POINTS_OF_MODELS, ids=ids, limit=limit + 1)
    if len(points) <= limit:
        return points
    newest: list[tuple[Any, ...]] = []
    for id_ in ids:
        of_model = tx.rows(SELECT_NEWEST_POINTS, id=id_, limit=limit // len(ids))
        newest += sorted(of_model, key=lambda point: (point[1], point[4], point[5]))
    return newest
