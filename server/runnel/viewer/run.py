"""The page of one run: all that was logged with it, on one page with anchors."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runnel.api.artifacts import FileDict, list_below
from runnel.domain.errors import MlflowError, ResourceDoesNotExist
from runnel.domain.runs import PARENT_RUN_TAG
from runnel.store import run_details
from runnel.store.experiment_activity import NOTE_TAG
from runnel.store.experiments import get_experiment
from runnel.store.run_details import ChildEntry, DatasetEntry, ModelEntry, TraceEntry
from runnel.store.runs import get_run_info, to_run_info
from runnel.store.statements import Transaction
from runnel.viewer.links import artifact_path, experiment_path, query_string, run_path, trace_path
from runnel.viewer.pages import Crumb, Page, PageRequest
from runnel.viewer.tables import Cell, Column, Row, Table

PAGE_SIZE = 200
MAX_FILE_ROWS = 20_000
MAX_LINKED = 50
MAX_FILES = 500

_SOURCE_TAGS = (
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
    "mlflow.source.git.branch",
    "mlflow.source.git.repoURL",
    "mlflow.user",
)
_NAMED_TAGS = [*_SOURCE_TAGS, PARENT_RUN_TAG, NOTE_TAG]


@dataclass(frozen=True)
class Found:
    """What the database says for the page. Lists come with whether there is more."""

    info: Any
    experiment_name: str
    parent: Any
    tags: dict[str, str]
    entries: dict[str, tuple[list[tuple[Any, ...]], bool]]
    datasets: list[DatasetEntry]
    models: list[ModelEntry]
    traces: list[TraceEntry]
    children: list[ChildEntry]


async def run_page(request: PageRequest) -> Page:
    """A run in whatever lifecycle stage."""
    run_id, text, folder = request.values["run_id"], request.get("find"), request.get("path")
    limit = MAX_FILE_ROWS if request.is_file else PAGE_SIZE

    def find(tx: Transaction) -> Found:
        row = run_details.get_run_row(tx, run_id)
        if row is None:
            raise ResourceDoesNotExist(f"There is no run with the id {run_id[:200]}.")
        key, info = row[0], to_run_info(row)
        tags = run_details.tags_with_keys(tx, key, _NAMED_TAGS)
        return Found(
            info,
            get_experiment(tx, row[2])["name"],
            _parent(tx, tags.get(PARENT_RUN_TAG, "")),
            tags,
            {
                kind: run_details.list_entries(tx, kind, key, text, request.get(f"{kind}_after"), limit)
                for kind in ("metrics", "params", "tags")
            },
            run_details.list_datasets(tx, key, MAX_LINKED),
            run_details.list_models(tx, key, MAX_LINKED),
            run_details.list_traces(tx, run_id, MAX_LINKED + 1),
            run_details.list_children(tx, row[2], run_id, MAX_LINKED + 1),
        )

    # To look for a part of a name is to look at all of them.
    found = await request.read(find, may_scan=bool(text))
    files, artifact_error = await _list_files(request, found.info["artifact_uri"], folder)
    return _page(request, found, files, folder, artifact_error)


def _parent(tx: Transaction, run_id: str) -> Any:
    try:
        return get_run_info(tx, run_id) if run_id else None
    except ResourceDoesNotExist:  # a client may name any run
        return None


async def _list_files(request: PageRequest, uri: str, folder: str) -> tuple[list[FileDict], str]:
    """The files in a folder; where they cannot be listed, a sentence that says why."""
    try:
        return (await list_below(request.services, uri, folder))["files"], ""
    except MlflowError as error:
        return [], error.message


def _page(request: PageRequest, found: Found, files: list[FileDict], folder: str, artifact_error: str) -> Page:
    info, tags = found.info, found.tags
    experiment_id = info["experiment_id"]
    end, start = info.get("end_time"), info["start_time"]
    data = {
        **{key: info[key] for key in ("run_id", "run_name", "experiment_id", "status", "start_time", "artifact_uri")},
        "experiment_name": found.experiment_name,
        "end_time": end,
        "duration": end - start if end and start else None,
        "lifecycle_stage": info["lifecycle_stage"],
        "user": info["user_id"] or tags.get("mlflow.user", ""),
        "source": tags.get("mlflow.source.name"),
        "git_commit": tags.get("mlflow.source.git.commit"),
        "git_branch": tags.get("mlflow.source.git.branch"),
        "git_repository": tags.get("mlflow.source.git.repoURL"),
        "parent_run_id": tags.get(PARENT_RUN_TAG),
        "note": tags.get(NOTE_TAG, ""),
    }
    tables = {
        "metrics": _entry_table(request, found, "metrics", "Metrics", _metric_cells),
        "params": _entry_table(request, found, "params", "Params", lambda row: [Cell(row[0]), Cell(row[1])]),
        "tags": _entry_table(request, found, "tags", "Tags", lambda row: [Cell(row[0]), Cell(row[1])]),
        "datasets": _datasets_table(found.datasets),
        "models": _models_table(found.models),
        "traces": _traces_table(found.traces[:MAX_LINKED]),
        "children": _children_table(found.children[:MAX_LINKED]),
        "artifacts": _artifacts_table(request, info["run_id"], files[:MAX_FILES]),
    }
    steps = folder.strip("/").split("/") if folder else []
    view = {
        "parent": found.parent,
        "find": request.get("find"),
        "is_deleted": info["lifecycle_stage"] != "active",
        "limit": MAX_LINKED,
        "more": {
            "traces": len(found.traces) > MAX_LINKED,
            "children": len(found.children) > MAX_LINKED,
            "artifacts": len(files) > MAX_FILES,
        },
        "experiment_path": experiment_path(experiment_id),
        "folder": [(step, "/".join(steps[: index + 1])) for index, step in enumerate(steps)],
        "artifact_error": artifact_error,
        "run_path": run_path,
    }
    crumbs = [Crumb(found.experiment_name, experiment_path(experiment_id))]
    if found.parent is not None:
        crumbs.append(Crumb(found.parent["run_name"], run_path(found.parent["run_id"])))
    crumbs.append(Crumb(info["run_name"], run_path(info["run_id"])))
    return Page(info["run_name"], "run.html", data, tables, view, crumbs)


_ENTRY_COLUMNS = {
    "metrics": (
        Column("key", "Metric"),
        Column("value", "Latest", "number"),
        Column("step", "Step", "count"),
        Column("timestamp", "Logged", "time"),
    ),
    "params": (Column("key", "Param"), Column("value", "Value", "long")),
    "tags": (Column("key", "Tag"), Column("value", "Value", "long")),
}


def _metric_cells(row: tuple[Any, ...]) -> list[Cell]:
    entry = run_details.to_metric_entry(row)
    return [Cell(entry.key), Cell(entry.value), Cell(entry.step), Cell(entry.timestamp or None)]


def _entry_table(
    request: PageRequest, found: Found, kind: str, caption: str, cells: Callable[[tuple[Any, ...]], Sequence[Cell]]
) -> Table:
    rows, more = found.entries[kind]
    after = f"{kind}_after"
    return Table(
        _ENTRY_COLUMNS[kind],
        [Row(cells(row), row[0]) for row in rows],
        caption,
        next_query=query_string(request.query, **{after: rows[-1][0]}) if more else "",
        first_query=query_string(request.query, **{after: None}) if request.get(after) else "",
    )


def _datasets_table(entries: Sequence[DatasetEntry]) -> Table:
    columns = (
        Column("name", "Dataset"),
        Column("context", "Context", "status"),
        Column("digest", "Digest", "code"),
        Column("source_type", "Source type"),
        Column("source", "Source", "long"),
    )
    rows = [
        Row([Cell(each.name), Cell(each.context), Cell(each.digest), Cell(each.source_type), Cell(each.source)])
        for each in entries
    ]
    return Table(columns, rows, "Datasets")


def _models_table(entries: Sequence[ModelEntry]) -> Table:
    columns = (
        Column("name", "Model"),
        Column("role", "Role", "status"),
        Column("status", "Status", "status"),
        Column("step", "Step", "count"),
        Column("model_id", "Id", "code"),
    )
    rows = [
        Row(
            [
                Cell(each.name or each.model_id),
                Cell("used" if each.step is None else "made"),
                Cell(each.status.removeprefix("LOGGED_MODEL_")),
                Cell(each.step),
                Cell(each.model_id),
            ]
        )
        for each in entries
    ]
    return Table(columns, rows, "Models")


def _traces_table(entries: Sequence[TraceEntry]) -> Table:
    columns = (
        Column("trace_id", "Trace", "code"),
        Column("state", "State", "status"),
        Column("request_preview", "Request", "long"),
        Column("response_preview", "Response", "long"),
        Column("execution_duration", "Duration", "duration"),
        Column("request_time", "Time", "time"),
    )
    rows = [
        Row(
            [
                Cell(each.trace_id, href=trace_path(each.trace_id)),
                Cell(each.status),
                Cell(each.request_preview),
                Cell(each.response_preview),
                Cell(each.execution_time_ms),
                Cell(each.timestamp_ms),
            ],
            each.trace_id,
        )
        for each in entries
    ]
    return Table(columns, rows, "Traces")


def _children_table(entries: Sequence[ChildEntry]) -> Table:
    columns = (
        Column("name", "Run"),
        Column("status", "Status", "status"),
        Column("start_time", "Started", "time"),
        Column("duration", "Duration", "duration"),
        Column("run_id", "Id", "code"),
    )
    rows = [
        Row(
            [
                Cell(each.name, href=run_path(each.run_id)),
                Cell(each.status),
                Cell(each.start_time or None),
                Cell(each.end_time - each.start_time if each.end_time and each.start_time else None),
                Cell(each.run_id),
            ],
            each.run_id,
        )
        for each in entries
    ]
    return Table(columns, rows, "Nested runs")


def _artifacts_table(request: PageRequest, run_id: str, files: Sequence[FileDict]) -> Table:
    columns = (Column("name", "File"), Column("size", "Size", "size"), Column("path", "Path", "code"))
    rows = []
    for file in files:
        path, is_folder = file["path"], file["is_dir"]
        name = posixpath.basename(path) + ("/" if is_folder else "")
        folder = f"{run_path(run_id)}{query_string(request.query, path=path)}#artifacts"
        target = folder if is_folder else artifact_path(run_id, path)
        rows.append(Row([Cell(name, href=target), Cell(file.get("file_size")), Cell(path)], path))
    return Table(columns, rows, "Artifacts")
