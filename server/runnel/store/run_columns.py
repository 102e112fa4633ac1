"""The columns of a table of runs: which metrics, params and tags they have, and the values of those that are shown.

A page of runs has a few thousand entries as a rule, and all of them are looked at to see what varies. A run can have
12,000 metrics, though: of each run only the first ``MAX_NAMES_OF_RUN`` names are looked at, and the others are found by
their name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from runnel.domain.runs import PARENT_RUN_TAG
from runnel.store.dialects import Dialect
from runnel.store.schema import indexed_value, metrics, params, runs, tags
from runnel.store.statements import Statement, Transaction

MAX_NAMES_OF_RUN = 500
# How many names are looked through when one is searched for: each costs one step down an index.
MAX_NAMES = 20_000
# What is shown of a value in a table, unless more is asked for; the page of the run shows it whole.
MAX_SHOWN_VALUE = 250

TABLES: dict[str, sa.Table] = {"metrics": metrics, "params": params, "tags": tags}


class ColumnUse(NamedTuple):
    """A name that runs of a page have: how many of them, and whether they have two or more values of it."""

    key: str
    run_count: int
    varies: bool


def _uses(d: Dialect, table: sa.Table) -> sa.Select[Any]:
    """The names that each run has, with what tells their values apart, as the elements of one JSON array per run.

    Run by run: without statistics, PostgreSQL would read the whole table for a list of runs.
    """
    # Of metrics every one is shown, constant or not: their values need not be read.
    columns: list[sa.ColumnElement[Any]] = [table.c.key]
    if table is not metrics:
        columns += [indexed_value(table.c.value).label("start"), sa.func.length(table.c.value).label("length")]
    first = sa.select(*columns).where(table.c.run_id == runs.c.id).order_by(table.c.key).limit(MAX_NAMES_OF_RUN + 1)
    names = first.correlate(runs).subquery()
    texts = d.json_string(names.c.key)
    if table is not metrics:
        comma = sa.literal_column("','", sa.Text())
        length = sa.cast(names.c.length, sa.Text())
        texts = texts.concat(comma).concat(d.json_string(names.c.start)).concat(comma).concat(length)
    joined = sa.select(d.joined(texts, names.c.key)).correlate(runs).scalar_subquery()
    return sa.select(runs.c.id, joined).where(d.is_in(runs.c.id, "run_ids"))


def _names(table: sa.Table) -> sa.Select[Any]:
    """The names in an experiment in their order: from each the index leads to the next, past all runs that have it."""

    def first_behind(name: sa.ColumnElement[str]) -> Any:
        behind = sa.select(table.c.key).where(
            table.c.experiment_id == sa.bindparam("experiment_id"), table.c.key > name
        )
        return behind.order_by(table.c.key).limit(1)

    start = first_behind(sa.bindparam("after", type_=sa.Text())).scalar_subquery()
    names = sa.select(start.label("key"), sa.literal_column("1", sa.Integer()).label("number")).cte(
        "names", recursive=True
    )
    following = first_behind(names.c.key).correlate(names).scalar_subquery()
    names = names.union_all(
        sa.select(following, names.c.number + 1).where(
            names.c.key.is_not(None), names.c.number < sa.bindparam("limit", type_=sa.Integer())
        )
    )
    return sa.select(names.c.key).where(names.c.key.is_not(None))


def _values(d: Dialect, table: sa.Table) -> sa.Select[Any]:
    chosen = d.is_in(table.c.run_id, "run_ids"), d.is_in(table.c.key, "keys")
    if table is metrics:
        return sa.select(table.c.run_id, table.c.key, table.c.value, table.c.is_nan).where(*chosen)
    shown = sa.func.substr(table.c.value, 1, sa.bindparam("length", type_=sa.Integer()), type_=sa.Text())
    return sa.select(table.c.run_id, table.c.key, shown).where(*chosen)


def _for_each_table(build: Callable[[Dialect, sa.Table], sa.Executable]) -> dict[str, Statement]:
    def statement(table: sa.Table) -> Statement:
        return Statement(lambda d: build(d, table))

    return {name: statement(table) for name, table in TABLES.items()}


SELECT_USES = _for_each_table(_uses)
SELECT_NAMES = _for_each_table(lambda d, table: _names(table))
SELECT_VALUES = _for_each_table(_values)
SELECT_PARENTS = Statement(
    lambda d: sa.select(tags.c.run_id, tags.c.value).where(
        d.is_in(tags.c.run_id, "run_ids"), tags.c.key == PARENT_RUN_TAG
    )
)


def uses_of_columns(tx: Transaction, kind: str, run_ids: Sequence[int]) -> tuple[list[ColumnUse], bool]:
    """The names that the runs have, in their order, and whether these are all; ``kind`` is one of ``TABLES``."""
    counts: Counter[str] = Counter()
    first_values: dict[str, tuple[Any, ...]] = {}
    varying: set[str] = set()
    is_all = True
    width = 1 if kind == "metrics" else 3
    for _, joined in tx.rows(SELECT_USES[kind], run_ids=list(run_ids)) if run_ids else ():
        elements = orjson.loads(f"[{joined or ''}]")
        is_all &= len(elements) <= width * MAX_NAMES_OF_RUN
        for index in range(0, min(len(elements), width * MAX_NAMES_OF_RUN), width):
            key, *value = elements[index : index + width]
            counts[key] += 1
            if first_values.setdefault(key, tuple(value)) != tuple(value):
                varying.add(key)
    return [ColumnUse(key, counts[key], key in varying) for key in sorted(counts)], is_all


def names_in_experiment(tx: Transaction, kind: str, experiment_id: int, limit: int = MAX_NAMES) -> list[str]:
    """The names of the metrics, params or tags that runs of an experiment have, in their order."""
    return [row[0] for row in tx.rows(SELECT_NAMES[kind], experiment_id=experiment_id, after="", limit=limit)]


def values_of_columns(
    tx: Transaction, kind: str, run_ids: Sequence[int], keys: Sequence[str], max_length: int = MAX_SHOWN_VALUE
) -> dict[tuple[int, str], float | str]:
    """The values of some metrics (NaN and infinities as such), params or tags of some runs.

    Of a text that is too long, the first ``max_length`` characters and an ellipsis.
    """
    if not run_ids or not keys:
        return {}
    if kind == "metrics":
        rows = tx.rows(SELECT_VALUES[kind], run_ids=list(run_ids), keys=list(keys))
        return {(run_id, key): float("nan") if is_nan else value for run_id, key, value, is_nan in rows}
    rows = tx.rows(SELECT_VALUES[kind], run_ids=list(run_ids), keys=list(keys), length=max_length + 1)
    return {
        (run_id, key): value if len(value) <= max_length else f"{value[:max_length]}\N{HORIZONTAL ELLIPSIS}"
        for run_id, key, value in rows
    }


def parents_of_runs(tx: Transaction, run_ids: Sequence[int]) -> dict[int, str]:
    """The public ids of the runs below which some runs are nested."""
    return dict(tx.rows(SELECT_PARENTS, run_ids=list(run_ids))) if run_ids else {}
