"""What the search box finds: experiments, runs and traces by name or id."""

from __future__ import annotations

from runnel.domain.experiments import ACTIVE
from runnel.store.lookup import (
    FoundExperiment,
    FoundRun,
    FoundTrace,
    find_experiments,
    find_runs_named,
    find_traces,
)
from runnel.store.statements import Transaction
from runnel.viewer.links import experiment_path, run_path, trace_path
from runnel.viewer.pages import Page, PageRequest
from runnel.viewer.tables import Cell, Column, Row, Table

MAX_FOUND = 25
MAX_TEXT = 500

_EXPERIMENTS = (Column("name", "Experiment"), Column("state", "State", "status"), Column("experiment_id", "Id", "code"))
_RUNS = (
    Column("name", "Run"),
    Column("experiment", "Experiment"),
    Column("status", "Status", "status"),
    Column("start_time", "Started", "time"),
    Column("run_id", "Id", "code"),
)
_TRACES = (
    Column("trace_id", "Trace", "code"),
    Column("name", "Name"),
    Column("experiment", "Experiment"),
    Column("status", "State", "status"),
    Column("request_time", "Time", "time"),
)


async def search_page(request: PageRequest) -> Page:
    """What a text may name. Where it is the whole id or name of one thing, its page at once."""
    text = request.get("q")[:MAX_TEXT]
    if not text:
        return Page("Search", "search.html", {"q": ""})

    def find(tx: Transaction) -> tuple[list[FoundExperiment], list[FoundRun], list[FoundTrace]]:
        return (
            find_experiments(tx, text, MAX_FOUND),
            find_runs_named(tx, text, MAX_FOUND),
            find_traces(tx, text, MAX_FOUND),
        )

    experiments, runs, traces = await request.read(find, may_scan=True)
    exact = [experiment_path(each.experiment_id) for each in experiments if each.name == text]
    exact += [run_path(each.run_id) for each in runs if text in (each.run_id, each.name)]
    exact += [trace_path(each.trace_id) for each in traces if each.trace_id == text]
    only = len(experiments) + len(runs) + len(traces) == 1
    if len(exact) == 1 and (only or len(text) >= 32):
        return Page("Search", "search.html", {"q": text}, redirect=exact[0])
    tables = {
        "experiments": Table(_EXPERIMENTS, [_experiment_row(each) for each in experiments], "Experiments"),
        "runs": Table(_RUNS, [_run_row(each) for each in runs], "Runs"),
        "traces": Table(_TRACES, [_trace_row(each) for each in traces], "Traces"),
    }
    found = {name: table for name, table in tables.items() if table.rows}
    return Page(f"Search: {text}", "search.html", {"q": text}, found, view={"limit": MAX_FOUND})


def _experiment_row(found: FoundExperiment) -> Row:
    state = "" if found.lifecycle_stage == ACTIVE else "DELETED"
    cells = (
        Cell(found.name, href=experiment_path(found.experiment_id)),
        Cell(state),
        Cell(str(found.experiment_id)),
    )
    return Row(cells, str(found.experiment_id))


def _run_row(found: FoundRun) -> Row:
    cells = (
        Cell(found.name, href=run_path(found.run_id)),
        Cell(found.experiment_name, href=experiment_path(found.experiment_id)),
        Cell(found.status if found.lifecycle_stage == ACTIVE else "DELETED"),
        Cell(found.start_time),
        Cell(found.run_id),
    )
    return Row(cells, found.run_id)


def _trace_row(found: FoundTrace) -> Row:
    cells = (
        Cell(found.trace_id, href=trace_path(found.trace_id)),
        Cell(found.name),
        Cell(found.experiment_name, href=experiment_path(found.experiment_id)),
        Cell(found.status),
        Cell(found.timestamp_ms),
    )
    return Row(cells, found.trace_id)
