"""The first page: experiments, the most recently used first."""

from __future__ import annotations

from runnel.store.experiment_activity import MAX_BY_ACTIVITY, MAX_COUNT, ExperimentActivity, list_experiment_activity
from runnel.viewer.links import experiment_path, query_string
from runnel.viewer.notes import first_line
from runnel.viewer.pages import Page, PageRequest
from runnel.viewer.tables import Cell, Column, Row, Table

PAGE_SIZE = 100

_COLUMNS = (
    Column("name", "Experiment"),
    Column("run_count", "Runs", "count"),
    Column("trace_count", "Traces", "count"),
    Column("last_activity", "Last activity", "time"),
    Column("note", "Note", "long"),
    Column("experiment_id", "Id", "code"),
)


async def experiments_page(request: PageRequest) -> Page:
    """The active experiments with what goes on in them."""
    found, next_token, by_activity = await request.read(
        lambda tx: list_experiment_activity(tx, PAGE_SIZE, request.get("page"))
    )
    table = Table(
        _COLUMNS,
        [_row(experiment) for experiment in found],
        caption="Experiments",
        next_query=query_string(request.query, page=next_token) if next_token else "",
        first_query=query_string(request.query, page=None) if request.get("page") else "",
    )
    # A new server has the experiment 0, in which nothing was ever logged.
    is_new = not request.get("page") and all(each.run_count + each.trace_count == 0 for each in found)
    order = "the most recently used first" if by_activity else f"more than {MAX_BY_ACTIVITY:,}, the newest first"
    return Page("Experiments", "experiments.html", {}, {"experiments": table}, view={"is_new": is_new, "order": order})


def _row(experiment: ExperimentActivity) -> Row:
    cells = (
        Cell(experiment.name, href=experiment_path(experiment.experiment_id)),
        Cell(min(experiment.run_count, MAX_COUNT), note="+" if experiment.run_count > MAX_COUNT else ""),
        Cell(min(experiment.trace_count, MAX_COUNT), note="+" if experiment.trace_count > MAX_COUNT else ""),
        Cell(experiment.last_activity),
        Cell(first_line(experiment.note), title=experiment.note[:1_000]),
        Cell(str(experiment.experiment_id)),
    )
    return Row(cells, str(experiment.experiment_id))
