"""The runs of an experiment as a table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runnel.api.experiments import STAGES
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import Experiment
from runnel.domain.validation import parse_experiment_id
from runnel.store.experiment_activity import MAX_COUNT_OF_ONE, NOTE_TAG, count_runs_and_traces
from runnel.store.experiments import get_experiment
from runnel.store.run_columns import MAX_SHOWN_VALUE, parents_of_runs, values_of_columns
from runnel.store.run_search import find_runs
from runnel.store.statements import Transaction
from runnel.viewer.formats import best_is
from runnel.viewer.links import Query, experiment_path, query_string, run_path
from runnel.viewer.pages import Crumb, Page, PageRequest
from runnel.viewer.run_columns import ATTRIBUTES, RunColumns, choose_columns
from runnel.viewer.tables import Cell, Column, Row, Table, bars_and_best

PAGE_SIZE = 100
MAX_PAGE_SIZE = 500
# What a file has of a value; a page shows less.
MAX_FILE_VALUE = 2_000

_SORTABLE = {"name": "attributes.run_name", "status": "attributes.status", "start_time": "attributes.start_time"}
_SOURCE_TAG = "mlflow.source.name"


@dataclass(frozen=True)
class Found:
    """What the database says for the page."""

    experiment: Experiment
    run_count: int
    trace_count: int
    rows: Sequence[tuple[Any, ...]]
    next_token: str | None
    columns: RunColumns
    parents: Mapping[int, str]
    sources: Mapping[tuple[int, str], float | str]
    error: str


async def runs_page(request: PageRequest) -> Page:
    """The runs that a filter in MLflow's language finds, in the order of any column."""
    experiment_id = parse_experiment_id(request.values["experiment_id"])
    filter_string, sort = request.get("filter"), request.get("sort")
    stage = "DELETED_ONLY" if request.get("deleted") else "ACTIVE_ONLY"
    size = _page_size(request)
    value_length = MAX_FILE_VALUE if request.is_file else MAX_SHOWN_VALUE

    def find(tx: Transaction) -> Found:
        experiment = get_experiment(tx, experiment_id)
        run_count, trace_count = count_runs_and_traces(tx, experiment_id)
        rows: Sequence[tuple[Any, ...]] = []
        next_token, error = None, ""
        try:
            order_by = [_order_by(sort)] if sort else []
            rows, next_token = find_runs(
                tx, [experiment_id], STAGES[stage], filter_string, order_by, size, request.get("page")
            )
        except InvalidParameterValue as refusal:  # it is shown beside the box, the rest of the page stays
            error = refusal.message
        keys = [row[0] for row in rows]
        columns = choose_columns(tx, experiment_id, keys, request.all("cols"), request.get("find_column"), value_length)
        sources = values_of_columns(tx, "tags", keys, [_SOURCE_TAG]) if "source" in columns.attributes else {}
        parents = parents_of_runs(tx, keys)
        return Found(experiment, run_count, trace_count, rows, next_token, columns, parents, sources, error)

    # A filter or an order that no index serves looks at every run, and a search for a column at every name.
    found = await request.read(find, may_scan=bool(filter_string or sort or request.get("find_column")))
    return _page(request, experiment_id, found)


def _page_size(request: PageRequest) -> int:
    asked = request.get("rows")
    if not asked:
        return MAX_PAGE_SIZE if request.is_file else PAGE_SIZE
    if not asked.isascii() or not asked.isdecimal() or not 1 <= int(asked[:9]) <= MAX_PAGE_SIZE:
        raise InvalidParameterValue(f"'rows' must be a number from 1 to {MAX_PAGE_SIZE:,}")
    return int(asked)


def _order_by(sort: str) -> str:
    """MLflow's clause for ``sort=``: the key of a column, with a minus before it for the greatest first."""
    direction = "DESC" if sort.startswith("-") else "ASC"
    name = sort.removeprefix("-")
    kind, dot, key = name.partition(".")
    if dot and kind in ("metrics", "params", "tags"):
        return f"{kind}.`{key.replace('`', '``')}` {direction}"
    if name in _SORTABLE:
        return f"{_SORTABLE[name]} {direction}"
    raise InvalidParameterValue(f"The runs cannot be sorted by '{name[:100]}'")


def _page(request: PageRequest, experiment_id: int, found: Found) -> Page:
    experiment = found.experiment
    tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
    is_deleted = experiment["lifecycle_stage"] != "active"
    data = {
        "experiment_id": str(experiment_id),
        "name": experiment["name"],
        "lifecycle_stage": experiment["lifecycle_stage"],
        "creation_time": experiment["creation_time"],
        "artifact_location": experiment["artifact_location"],
        "note": tags.get(NOTE_TAG, ""),
        "run_count": min(found.run_count, MAX_COUNT_OF_ONE),
        "trace_count": min(found.trace_count, MAX_COUNT_OF_ONE),
    }
    view = {
        "is_deleted": is_deleted,
        "run_count": found.run_count,
        "trace_count": found.trace_count,
        "count_limit": MAX_COUNT_OF_ONE,
        "columns": found.columns,
        "attributes": ATTRIBUTES,
        "filter": request.get("filter"),
        "sort": request.get("sort"),
        "find_column": request.get("find_column"),
        "chosen": request.all("cols"),
        "shows_deleted": bool(request.get("deleted")),
        "compare_path": f"{experiment_path(experiment_id)}/compare",
    }
    return Page(
        experiment["name"],
        "runs.html",
        data,
        {"runs": _table(request, found)},
        view,
        crumbs=[Crumb(experiment["name"], experiment_path(experiment_id))],
        error=found.error,
        status=400 if found.error else 200,
    )


def _table(request: PageRequest, found: Found) -> Table:
    sort = request.get("sort")
    columns = found.columns
    shown: list[Column] = [
        _column(request.query, sort, "name", "Run", "text"),
        _column(request.query, sort, "status", "Status", "status"),
        _column(request.query, sort, "start_time", "Started", "time"),
    ]
    shown += [
        Column(name, ATTRIBUTES[name], "duration" if name == "duration" else "code" if name == "run_id" else "text")
        for name in columns.attributes
    ]
    for kind, group in (("metrics", "Metrics"), ("params", "Params"), ("tags", "Tags")):
        for key in getattr(columns, kind):
            is_metric = kind == "metrics"
            best = best_is(key) if is_metric else ""
            hint = f"{key}: bold is the {best} of these runs" if best else key
            shown.append(
                _column(request.query, sort, f"{kind}.{key}", key, "number" if is_metric else "text", hint, group)
            )
    marks = {key: bars_and_best(_numbers(found, key), best_is(key)) for key in columns.metrics}
    rows = [_row(found, index, marks) for index in range(len(found.rows))]
    return Table(
        shown,
        _nested(rows, found) if not sort else rows,
        caption="Runs",
        next_query=query_string(request.query, page=found.next_token) if found.next_token else "",
        first_query=query_string(request.query, page=None) if request.get("page") else "",
        key_name="" if "run_id" in columns.attributes else "run_id",
    )


def _column(query: Query, sort: str, key: str, label: str, kind: Any, title: str = "", group: str = "") -> Column:
    """A column that can be sorted by: numbers and times the greatest first, then the other way round."""
    first, second = (f"-{key}", key) if kind in ("number", "time") else (key, f"-{key}")
    target = second if sort == first else first
    is_sorted = sort in (first, second)
    direction: Any = ("descending" if sort.startswith("-") else "ascending") if is_sorted else ""
    link = query_string(query, sort=target, page=None)
    return Column(key, label, kind, title, group, sort=link, sorted=direction)


def _numbers(found: Found, key: str) -> list[float | None]:
    values = found.columns.values["metrics"]
    numbers = [values.get((row[0], key)) for row in found.rows]
    return [number if isinstance(number, float) else None for number in numbers]


def _row(found: Found, index: int, marks: Mapping[str, tuple[list[int | None], set[int]]]) -> Row:
    run_key, run_id, _, name, user, status, start_time, end_time, *_ = found.rows[index]
    columns = found.columns
    parent = found.parents.get(run_key, "")
    cells = [Cell(name, href=run_path(run_id), title=f"nested below {parent}" if parent else ""), Cell(status)]
    cells.append(Cell(start_time or None))
    attributes = {
        "duration": end_time - start_time if end_time and start_time else None,
        "user": user,
        "source": found.sources.get((run_key, _SOURCE_TAG)),
        "run_id": run_id,
    }
    cells += [Cell(attributes[name]) for name in columns.attributes]
    for key in columns.metrics:
        bars, best = marks[key]
        value = columns.values["metrics"].get((run_key, key))
        cells.append(Cell(value, bar=bars[index], is_best=index in best))
    for kind in ("params", "tags"):
        cells += [Cell(columns.values[kind].get((run_key, key))) for key in getattr(columns, kind)]
    return Row(cells, run_id, depth=0)


def _nested(rows: Sequence[Row], found: Found) -> list[Row]:
    """The rows with nested runs below the one that they belong to, where that is on the page too."""
    parents = {row.key: found.parents.get(run[0], "") for row, run in zip(rows, found.rows, strict=True)}
    below: dict[str, list[Row]] = {}
    for row in rows:
        parent = parents[row.key]
        below.setdefault(parent if parent in parents and parent != row.key else "", []).append(row)
    ordered: list[Row] = []
    waiting = [(row, 0) for row in reversed(below.get("", []))]
    while waiting:
        row, depth = waiting.pop()
        ordered.append(Row(row.cells, row.key, depth))
        waiting += [(child, depth + 1) for child in reversed(below.pop(row.key, []))]
    # Runs that name each other as parents hang on nothing.
    left = {row.key for row in rows} - {row.key for row in ordered}
    return ordered + [row for row in rows if row.key in left]
