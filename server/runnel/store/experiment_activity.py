"""What goes on in experiments: how many runs and traces they have, and when something was last logged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.experiments import ACTIVE
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, behind_descending
from runnel.store.schema import experiment_tags, experiments, runs, traces
from runnel.store.statements import Statement, Transaction

NOTE_TAG = "mlflow.note.content"
# Experiments are listed by their last activity, which is looked up for each of them. Of more than this, the newest come
# first instead: there is an index of that.
MAX_BY_ACTIVITY = 5_000
# Runs and traces are counted no further: each costs a step along an index.
MAX_COUNT = 1_000


class ExperimentActivity(NamedTuple):
    """An experiment in a list. A count past ``MAX_COUNT`` says no more than that."""

    experiment_id: int
    name: str
    creation_time: int
    last_activity: int
    note: str
    run_count: int
    trace_count: int


def _last(column: sa.ColumnElement[int], *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """The greatest value of a column among the rows of an experiment, 0 where there are none."""
    newest = sa.select(column).where(*conditions).order_by(column.desc()).limit(1)
    return sa.func.coalesce(newest.correlate(experiments).scalar_subquery(), sa.literal_column("0", sa.BigInteger()))


def _listing() -> sa.Subquery:
    experiment_id = experiments.c.experiment_id
    return (
        sa.select(
            experiment_id,
            experiments.c.name,
            experiments.c.creation_time,
            _last(runs.c.start_time, runs.c.experiment_id == experiment_id, runs.c.lifecycle_stage == ACTIVE).label(
                "run"
            ),
            _last(traces.c.timestamp_ms, traces.c.experiment_id == experiment_id).label("trace"),
        )
        .where(experiments.c.lifecycle_stage == ACTIVE)
        .subquery("listing")
    )


def _page(by_activity: bool, position: Sequence[Any] | None, size: int) -> sa.Select[Any]:
    e = _listing()
    last_activity = sa.case(
        (sa.and_(e.c.run >= e.c.trace, e.c.run >= e.c.creation_time), e.c.run),
        (e.c.trace >= e.c.creation_time, e.c.trace),
        else_=e.c.creation_time,
    )
    first = last_activity if by_activity else e.c.creation_time
    keys = [SortKey(first, False), SortKey(e.c.experiment_id, False)]
    query = sa.select(
        e.c.experiment_id, e.c.name, e.c.creation_time, last_activity, *[key.expression.label(None) for key in keys]
    )
    if position is not None:
        query = query.where(behind_descending(keys, position))
    return query.order_by(*[key.order() for key in keys]).limit(size)


COUNT_EXPERIMENTS = Statement(
    lambda d: sa.select(sa.func.count()).select_from(
        sa.select(experiments.c.experiment_id)
        .where(experiments.c.lifecycle_stage == ACTIVE)
        .limit(MAX_BY_ACTIVITY + 1)
        .subquery()
    )
)


def _bounded_count(rows: sa.Select[Any], limit: int) -> sa.ColumnElement[int]:
    counted = rows.limit(limit).correlate(experiments).subquery()
    return sa.select(sa.func.count()).select_from(counted).correlate(experiments).scalar_subquery()


def _counts(d: Dialect, limit: int) -> sa.Select[Any]:
    experiment_id = experiments.c.experiment_id
    one = sa.literal_column("1", sa.Integer()).label("one")
    of_runs = sa.select(one).where(runs.c.experiment_id == experiment_id, runs.c.lifecycle_stage == ACTIVE)
    of_traces = sa.select(one).where(traces.c.experiment_id == experiment_id)
    note = sa.select(experiment_tags.c.value).where(
        experiment_tags.c.experiment_id == experiment_id, experiment_tags.c.key == NOTE_TAG
    )
    return sa.select(
        experiment_id,
        sa.func.coalesce(note.correlate(experiments).scalar_subquery(), ""),
        _bounded_count(of_runs.select_from(runs), limit + 1),
        _bounded_count(of_traces.select_from(traces), limit + 1),
    ).where(d.is_in(experiment_id, "ids"))


SELECT_COUNTS = Statement(lambda d: _counts(d, MAX_COUNT))
# Of one experiment, more can be counted.
MAX_COUNT_OF_ONE = 10_000
SELECT_COUNTS_OF_ONE = Statement(lambda d: _counts(d, MAX_COUNT_OF_ONE))


def list_experiment_activity(
    tx: Transaction, size: int, page_token: str
) -> tuple[list[ExperimentActivity], str | None, bool]:
    """A page of the active experiments, the token of the next one, and whether they are in the order of activity."""
    counted = tx.row(COUNT_EXPERIMENTS)
    assert counted is not None
    by_activity = counted[0] <= MAX_BY_ACTIVITY
    identity = ("experiment activity", by_activity)
    position = page_tokens.decode_page_token(page_token, identity, 2) if page_token else None
    rows = tx.rows(_page(by_activity, position, size + 1))
    next_token = None
    if len(rows) > size:
        rows = rows[:size]
        next_token = page_tokens.encode_page_token(rows[-1][4:], identity)
    more = {row[0]: row[1:] for row in tx.rows(SELECT_COUNTS, ids=[row[0] for row in rows])}
    return [ExperimentActivity(*row[:4], *more[row[0]]) for row in rows], next_token, by_activity


def count_runs_and_traces(tx: Transaction, experiment_id: int) -> tuple[int, int]:
    """How many active runs and traces an experiment has; past ``MAX_COUNT_OF_ONE`` no more than that."""
    row = tx.row(SELECT_COUNTS_OF_ONE, ids=[experiment_id])
    return (row[2], row[3]) if row is not None else (0, 0)
