"""Runs side by side: a column per run, a row per metric and per param."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.validation import parse_experiment_id
from runnel.store.experiments import get_experiment
from runnel.store.run_columns import ColumnUse, uses_of_columns, values_of_columns
from runnel.store.run_details import get_run_row
from runnel.store.statements import Transaction
from runnel.viewer.formats import best_is
from runnel.viewer.links import experiment_path, run_path
from runnel.viewer.pages import Crumb, Page, PageRequest
from runnel.viewer.tables import Cell, Column, Row, Table, bars_and_best

MAX_RUNS = 20
MAX_ROWS = 500

Values = dict[tuple[int, str], float | str]


class _Found(NamedTuple):
    experiment_name: str
    runs: list[tuple[Any, ...]]
    uses: dict[str, list[ColumnUse]]
    values: dict[str, Values]


async def compare_page(request: PageRequest) -> Page:
    """The metrics and params of some runs of an experiment: ``runs=`` holds their ids, with commas or many times."""
    experiment_id = parse_experiment_id(request.values["experiment_id"])
    run_ids = list(dict.fromkeys(part for each in request.all("runs") for part in each.split(",") if part))
    if len(run_ids) > MAX_RUNS:
        raise InvalidParameterValue(f"At most {MAX_RUNS} runs can be compared at once, got {len(run_ids)}")

    def find(tx: Transaction) -> _Found:
        rows = []
        for run_id in run_ids:
            row = get_run_row(tx, run_id)
            if row is None or row[2] != experiment_id:
                raise ResourceDoesNotExist(f"There is no run with the id {run_id[:200]} in this experiment.")
            rows.append(row)
        keys = [row[0] for row in rows]
        uses = {kind: uses_of_columns(tx, kind, keys)[0][:MAX_ROWS] for kind in ("metrics", "params")}
        values = {kind: values_of_columns(tx, kind, keys, [use.key for use in uses[kind]]) for kind in uses}
        return _Found(get_experiment(tx, experiment_id)["name"], rows, uses, values)

    found = await request.read(find)
    path = experiment_path(experiment_id)
    names = [run[3] for run in found.runs]
    varying = [use.key for use in found.uses["params"] if use.varies or use.run_count < len(names)]
    tables = {
        "metrics": _metrics_table(found),
        "params": _params_table(found, varying),
        "same": _same_table(found, [use.key for use in found.uses["params"] if use.key not in set(varying)]),
    }
    return Page(
        f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''} compared" if names else "Compare runs",
        "compare.html",
        {"experiment_id": str(experiment_id), "experiment_name": found.experiment_name, "run_ids": run_ids},
        tables,
        {
            "experiment_path": path,
            "limit": MAX_ROWS,
            "runs": [(run[3], run_path(run[1]), run[5]) for run in found.runs],
        },
        crumbs=[Crumb(found.experiment_name, path), Crumb("Compare", f"{path}/compare?runs={','.join(run_ids)}")],
    )


def _metrics_table(found: _Found) -> Table:
    rows = []
    for use in found.uses["metrics"]:
        values = [found.values["metrics"].get((run[0], use.key)) for run in found.runs]
        best = best_is(use.key)
        bars, at = bars_and_best([value if isinstance(value, float) else None for value in values], best)
        cells = [Cell(use.key, title=f"bold is the {best}" if best else "")]
        cells += [Cell(value, bar=bars[index], is_best=index in at) for index, value in enumerate(values)]
        rows.append(Row(cells, use.key))
    return Table(_columns(found.runs, "Metric", "number"), rows, "Metrics")


def _params_table(found: _Found, keys: Sequence[str]) -> Table:
    values = found.values["params"]
    rows = [Row([Cell(key), *[Cell(values.get((run[0], key))) for run in found.runs]], key) for key in keys]
    return Table(_columns(found.runs, "Param", "long"), rows, "Params that differ")


def _same_table(found: _Found, keys: Sequence[str]) -> Table:
    values = found.values["params"]
    rows = [Row([Cell(key), Cell(values.get((found.runs[0][0], key)))], key) for key in keys]
    return Table([Column("name", "Param"), Column("value", "Value", "long")], rows, "Params that are the same")


def _columns(runs: Sequence[tuple[Any, ...]], label: str, kind: Any) -> list[Column]:
    # Two runs may have one name; ids tell them apart in JSON and CSV.
    return [Column("name", label), *[Column(run[1], run[3], kind, title=run[1], href=run_path(run[1])) for run in runs]]
