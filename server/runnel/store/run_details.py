"""What the page of one run shows, each list by an index and no further than it is shown."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.datasets import DATASET_CONTEXT_TAG
from runnel.domain.experiments import ACTIVE
from runnel.domain.runs import PARENT_RUN_TAG
from runnel.store.dialects import Dialect
from runnel.store.runs import RUN_COLUMNS
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
    trace_runs,
    traces,
)
from runnel.store.statements import Statement, Transaction

_ENTRIES: dict[str, tuple[sa.Table, tuple[str, ...]]] = {
    "metrics": (metrics, ("key", "value", "is_nan", "step", "timestamp")),
    "params": (params, ("key", "value")),
    "tags": (tags, ("key", "value")),
}


class MetricEntry(NamedTuple):
    """A series with its latest value."""

    key: str
    value: float
    step: int
    timestamp: int


class DatasetEntry(NamedTuple):
    """A dataset that a run used, and in which context."""

    name: str
    digest: str
    source_type: str
    source: str
    context: str


class ModelEntry(NamedTuple):
    """A model that a run used (then the step is None) or made; name and status are empty where it is not known."""

    model_id: str
    name: str
    status: str
    step: int | None


class TraceEntry(NamedTuple):
    """A trace that belongs to a run."""

    trace_id: str
    timestamp_ms: int
    status: str
    execution_time_ms: int | None
    request_preview: str
    response_preview: str


class ChildEntry(NamedTuple):
    """A run that is nested below another."""

    run_id: str
    name: str
    status: str
    start_time: int
    end_time: int | None


def list_entries(
    tx: Transaction, kind: str, run_key: int, text: str, after: str, limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """Metrics, params or tags of a run, whose names hold a text, by name, behind one of them; and if there are more."""
    table, columns = _ENTRIES[kind]
    query = sa.select(*[table.c[name] for name in columns]).where(table.c.run_id == run_key, table.c.key > after)
    if text:
        query = query.where(tx.dialect.contains(table.c.key, text))
    rows = tx.rows(query.order_by(table.c.key).limit(limit + 1))
    return rows[:limit], len(rows) > limit


def to_metric_entry(row: tuple[Any, ...]) -> MetricEntry:
    """A row of ``list_entries`` of metrics."""
    key, value, is_nan, step, timestamp = row
    return MetricEntry(key, float("nan") if is_nan else value, step, timestamp)


def tags_with_keys(tx: Transaction, run_key: int, keys: list[str]) -> dict[str, str]:
    """Those tags of a run that are named."""
    return dict(tx.rows(SELECT_TAGS, run_id=run_key, keys=keys))


SELECT_TAGS = Statement(
    lambda d: sa.select(tags.c.key, tags.c.value).where(
        tags.c.run_id == sa.bindparam("run_id"), d.is_in(tags.c.key, "keys")
    )
)
SELECT_DATASETS = Statement(
    lambda d: (
        sa.select(datasets.c.name, datasets.c.digest, datasets.c.source_type, datasets.c.source, input_tags.c.value)
        .join_from(dataset_inputs, datasets, datasets.c.id == dataset_inputs.c.dataset_id)
        .outerjoin(
            input_tags,
            sa.and_(input_tags.c.input_id == dataset_inputs.c.id, input_tags.c.key == DATASET_CONTEXT_TAG),
        )
        .where(dataset_inputs.c.run_id == sa.bindparam("run_id"))
        .order_by(dataset_inputs.c.dataset_id)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )
)


def _models(links: sa.Table, step: Any) -> sa.Select[Any]:
    return (
        sa.select(links.c.model_id, logged_models.c.name, logged_models.c.status, step)
        .outerjoin_from(links, logged_models, logged_models.c.model_id == links.c.model_id)
        .where(links.c.run_id == sa.bindparam("run_id"))
        .order_by(links.c.model_id)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )


SELECT_USED_MODELS = Statement(lambda d: _models(model_inputs, sa.null()))
SELECT_MADE_MODELS = Statement(lambda d: _models(model_outputs, model_outputs.c.step))
SELECT_TRACES = Statement(
    lambda d: (
        sa.select(
            traces.c.request_id,
            traces.c.timestamp_ms,
            traces.c.status,
            traces.c.execution_time_ms,
            traces.c.request_preview,
            traces.c.response_preview,
        )
        .join_from(trace_runs, traces, traces.c.id == trace_runs.c.trace_id)
        .where(trace_runs.c.run_uuid == sa.bindparam("run_uuid"))
        .order_by(trace_runs.c.trace_id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )
)


def _children(d: Dialect) -> sa.Select[Any]:
    nested = sa.select(tags.c.run_id).where(
        tags.c.experiment_id == sa.bindparam("experiment_id"),
        tags.c.key == PARENT_RUN_TAG,
        indexed_value(tags.c.value) == sa.bindparam("start"),
        tags.c.value == sa.bindparam("run_uuid"),
    )
    columns = (runs.c.run_uuid, runs.c.name, runs.c.status, runs.c.start_time, runs.c.end_time)
    return (
        sa.select(*columns)
        .where(runs.c.id.in_(nested), runs.c.lifecycle_stage == ACTIVE)
        .order_by(runs.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )


SELECT_CHILDREN = Statement(_children)
SELECT_RUN = Statement(lambda d: sa.select(*RUN_COLUMNS).where(runs.c.run_uuid == sa.bindparam("run_uuid")))


def list_datasets(tx: Transaction, run_key: int, limit: int) -> list[DatasetEntry]:
    """The datasets that a run used."""
    rows = tx.rows(SELECT_DATASETS, run_id=run_key, limit=limit)
    return [DatasetEntry(name, digest, kind, source, context or "") for name, digest, kind, source, context in rows]


def list_models(tx: Transaction, run_key: int, limit: int) -> list[ModelEntry]:
    """The models that a run made, then those that it used."""
    rows = tx.rows(SELECT_MADE_MODELS, run_id=run_key, limit=limit)
    rows += tx.rows(SELECT_USED_MODELS, run_id=run_key, limit=limit)
    return [ModelEntry(model_id, name or "", status or "", step) for model_id, name, status, step in rows[:limit]]


def list_traces(tx: Transaction, run_uuid: str, limit: int) -> list[TraceEntry]:
    """The traces of a run, the last that came first."""
    rows = tx.rows(SELECT_TRACES, run_uuid=run_uuid, limit=limit)
    return [
        TraceEntry(trace_id, timestamp, status, duration, request or "", response or "")
        for trace_id, timestamp, status, duration, request, response in rows
    ]


def list_children(tx: Transaction, experiment_id: int, run_uuid: str, limit: int) -> list[ChildEntry]:
    """The runs of the experiment that are nested below a run, the newest first."""
    start = run_uuid[:INDEXED_VALUE_LENGTH]
    rows = tx.rows(SELECT_CHILDREN, experiment_id=experiment_id, start=start, run_uuid=run_uuid, limit=limit)
    return [ChildEntry(*row) for row in rows]


def get_run_row(tx: Transaction, run_uuid: str) -> tuple[Any, ...] | None:
    """The row of ``RUN_COLUMNS`` of a run in whatever lifecycle stage."""
    return tx.row(SELECT_RUN, run_uuid=run_uuid)
