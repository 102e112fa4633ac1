"""What belongs to runs (metrics, params, tags, inputs, outputs), as JSON that the database writes.

A page of a search shows thousands of entries. To fetch them row by row, only to write them down again as JSON, takes
most of the time of the search; so the database writes them, for a whole page in one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from runnel.domain.runs import RunEntries
from runnel.store.dialects import Dialect
from runnel.store.schema import (
    dataset_inputs,
    datasets,
    input_tags,
    metrics,
    model_inputs,
    model_outputs,
    params,
    runs,
    tags,
)
from runnel.store.statements import Statement, Transaction


def _entries(dialect: Dialect) -> sa.Select[Any]:
    run_id = runs.c.id
    return sa.select(
        run_id,
        _metrics(dialect, run_id),
        _keys_and_values(dialect, params, params.c.run_id == run_id),
        _keys_and_values(dialect, tags, tags.c.run_id == run_id),
        _dataset_inputs(dialect, run_id),
        _model_inputs(dialect, run_id),
        _model_outputs(dialect, run_id),
    ).where(dialect.is_in(run_id, "run_ids"))


SELECT_ENTRIES = Statement(lambda d: _entries(d))


def entries_of_runs(tx: Transaction, run_ids: list[int]) -> dict[int, RunEntries]:
    """Everything that belongs to runs, by their keys."""
    return {
        run_id: {
            "data": _present(("metrics", "params", "tags"), arrays[:3]),
            "inputs": _present(("dataset_inputs", "model_inputs"), arrays[3:5]),
            "outputs": _present(("model_outputs",), arrays[5:]),
        }
        for run_id, *arrays in tx.rows(SELECT_ENTRIES, run_ids=run_ids)
    }


def _present(names: Sequence[str], arrays: Sequence[str | None]) -> Any:
    return {name: orjson.Fragment(array) for name, array in zip(names, arrays, strict=True) if array is not None}


def _written(text: str) -> sa.ColumnElement[str]:
    """A part of the JSON that is always the same."""
    return sa.literal_column(f"'{text}'", sa.Text())


def _object(*members: tuple[str, sa.ColumnElement[str]]) -> sa.ColumnElement[str]:
    """A JSON object of members whose values are JSON already."""
    text = _written("{")
    for index, (name, value) in enumerate(members):
        text = text.concat(_written(f'{"," if index else ""}"{name}":')).concat(value)
    return text.concat(_written("}"))


def _number(column: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    return sa.cast(column, sa.Text())


def _array(
    dialect: Dialect,
    entry: sa.ColumnElement[str],
    source: sa.Table | sa.Join,
    condition: sa.ColumnElement[bool],
    *order: sa.ColumnElement[Any],
) -> sa.ColumnElement[str]:
    """The JSON array of an expression over the rows that meet a condition; NULL if there are none."""
    joined = sa.select(dialect.joined(entry, *order)).select_from(source).where(condition)
    tables = [source.left, source.right] if isinstance(source, sa.Join) else [source]
    return _written("[").concat(joined.correlate_except(*tables).scalar_subquery()).concat(_written("]"))


def _keys_and_values(dialect: Dialect, table: sa.Table, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[str]:
    entry = _object(("key", dialect.json_string(table.c.key)), ("value", dialect.json_string(table.c.value)))
    return _array(dialect, entry, table, condition, table.c.key)


def _metrics(dialect: Dialect, run_id: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    entry = _object(
        ("key", dialect.json_string(metrics.c.key)),
        ("value", dialect.json_double(metrics.c.value, metrics.c.is_nan)),
        ("timestamp", _number(metrics.c.timestamp)),
        ("step", _number(metrics.c.step)),
    )
    return _array(dialect, entry, metrics, metrics.c.run_id == run_id, metrics.c.key)


def _dataset_inputs(dialect: Dialect, run_id: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    def optional(name: str) -> sa.ColumnElement[str]:
        member = _written(f',"{name}":').concat(dialect.json_string(datasets.c[name]))
        return sa.case((datasets.c[name] == _written(""), _written("")), else_=member)

    dataset = _written('{"dataset":{"name":').concat(dialect.json_string(datasets.c.name))
    for name in ("digest", "source_type", "source"):
        dataset = dataset.concat(_written(f',"{name}":')).concat(dialect.json_string(datasets.c[name]))
    dataset = dataset.concat(optional("schema")).concat(optional("profile")).concat(_written("}"))
    input_tag_array = _keys_and_values(dialect, input_tags, input_tags.c.input_id == dataset_inputs.c.id)
    tags_member = sa.func.coalesce(_written(',"tags":').concat(input_tag_array), _written(""), type_=sa.Text())
    entry = dataset.concat(tags_member).concat(_written("}"))
    source = sa.join(dataset_inputs, datasets, datasets.c.id == dataset_inputs.c.dataset_id)
    return _array(dialect, entry, source, dataset_inputs.c.run_id == run_id, dataset_inputs.c.id)


def _model_inputs(dialect: Dialect, run_id: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    links = model_inputs
    entry = _object(("model_id", dialect.json_string(links.c.model_id)))
    return _array(dialect, entry, links, links.c.run_id == run_id, links.c.model_id)


def _model_outputs(dialect: Dialect, run_id: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    links = model_outputs
    entry = _object(("model_id", dialect.json_string(links.c.model_id)), ("step", _number(links.c.step)))
    return _array(dialect, entry, links, links.c.run_id == run_id, links.c.model_id, links.c.step)
