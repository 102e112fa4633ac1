"""Finding what a text may name: an experiment, a run by its id or name, a trace by its id."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.experiments import ACTIVE
from runnel.domain.runs import RUN_NAME_TAG
from runnel.store.schema import INDEXED_VALUE_LENGTH, experiments, indexed_value, runs, tags, traces
from runnel.store.statements import Statement, Transaction

# Behind every text that begins with another, when it is put at that one's end.
_LAST = "\U0010ffff"
_MIN_ID_LENGTH = 4  # a shorter beginning of an id says nothing


class FoundExperiment(NamedTuple):
    experiment_id: int
    name: str
    lifecycle_stage: str


class FoundRun(NamedTuple):
    run_id: str
    name: str
    experiment_id: int
    experiment_name: str
    status: str
    start_time: int
    lifecycle_stage: str


class FoundTrace(NamedTuple):
    trace_id: str
    name: str
    experiment_id: int
    experiment_name: str
    status: str
    timestamp_ms: int


def _begins(column: sa.ColumnElement[str]) -> tuple[sa.ColumnElement[bool], ...]:
    return column >= sa.bindparam("start"), column < sa.bindparam("end")


_RUN_COLUMNS = (
    runs.c.run_uuid,
    runs.c.name,
    experiments.c.experiment_id,
    experiments.c.name.label("experiment_name"),
    runs.c.status,
    runs.c.start_time,
    runs.c.lifecycle_stage,
)
_LIMIT = sa.bindparam("limit", type_=sa.Integer())

SELECT_RUNS_BY_ID = Statement(
    lambda d: (
        sa.select(*_RUN_COLUMNS)
        .join_from(runs, experiments, experiments.c.experiment_id == runs.c.experiment_id)
        .where(*_begins(runs.c.run_uuid))
        .order_by(runs.c.run_uuid)
        .limit(_LIMIT)
    )
)
# The name of a run is a tag too, which has an index within each experiment: every one of them is looked at.
SELECT_RUNS_BY_NAME = Statement(
    lambda d: (
        sa.select(*_RUN_COLUMNS)
        .join_from(tags, runs, runs.c.id == tags.c.run_id)
        .join(experiments, experiments.c.experiment_id == runs.c.experiment_id)
        .where(
            tags.c.experiment_id.in_(sa.select(experiments.c.experiment_id).correlate(None)),
            tags.c.key == RUN_NAME_TAG,
            *_begins(indexed_value(tags.c.value)),
        )
        .limit(_LIMIT)
    )
)
SELECT_TRACES_BY_ID = Statement(
    lambda d: (
        sa.select(
            traces.c.request_id,
            traces.c.name,
            experiments.c.experiment_id,
            experiments.c.name.label("experiment_name"),
            traces.c.status,
            traces.c.timestamp_ms,
        )
        .join_from(traces, experiments, experiments.c.experiment_id == traces.c.experiment_id)
        .where(*_begins(traces.c.request_id))
        .order_by(traces.c.request_id)
        .limit(_LIMIT)
    )
)


def find_experiments(tx: Transaction, text: str, limit: int) -> list[FoundExperiment]:
    """The experiments whose id a text is, or whose names hold it (small letters and capitals alike); active first."""
    name = sa.func.lower(experiments.c.name)
    condition: Any = tx.dialect.contains(name, text.lower())
    if text.isascii() and text.isdecimal() and len(text) < 19:
        condition = sa.or_(condition, experiments.c.experiment_id == int(text))
    query = (
        sa.select(experiments.c.experiment_id, experiments.c.name, experiments.c.lifecycle_stage)
        .where(condition)
        .order_by(sa.case((experiments.c.lifecycle_stage == ACTIVE, 0), else_=1), experiments.c.experiment_id.desc())
        .limit(limit)
    )
    return [FoundExperiment(*row) for row in tx.rows(query)]


def find_runs_named(tx: Transaction, text: str, limit: int) -> list[FoundRun]:
    """The runs whose id or name begins with a text."""
    rows: list[tuple[Any, ...]] = []
    if len(text) >= _MIN_ID_LENGTH:
        rows = tx.rows(SELECT_RUNS_BY_ID, start=text, end=text + _LAST, limit=limit)
    start = text[:INDEXED_VALUE_LENGTH]
    rows += tx.rows(SELECT_RUNS_BY_NAME, start=start, end=start + _LAST, limit=limit)
    found = [FoundRun(*row) for row in dict.fromkeys(rows)]
    return [run for run in found if run.name.startswith(text) or run.run_id.startswith(text)][:limit]


def find_traces(tx: Transaction, text: str, limit: int) -> list[FoundTrace]:
    """The traces whose id begins with a text."""
    if len(text) < _MIN_ID_LENGTH:
        return []
    rows = tx.rows(SELECT_TRACES_BY_ID, start=text, end=text + _LAST, limit=limit)
    return [FoundTrace(trace_id, name or "", *rest) for trace_id, name, *rest in rows]
