"""Traces in SQL: reading them, their tags, and what they are linked to. (How they come in: ``trace_ingestion``.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.traces import TRACE_NAME_TAG, TraceDict, TraceInfoDict, render_duration, render_timestamp
from runnel.store import assessments, spans
from runnel.store.schema import trace_metadata, trace_prompts, trace_runs, trace_tags, traces
from runnel.store.statements import RowsStatement, Statement, Transaction

TRACE_COLUMNS = (
    traces.c.id,
    traces.c.request_id,
    traces.c.experiment_id,
    traces.c.timestamp_ms,
    traces.c.execution_time_ms,
    traces.c.status,
    traces.c.client_request_id,
    traces.c.request_preview,
    traces.c.response_preview,
)
# Bounds the memory of one answer, though a single trace is answered however large it is.
MAX_SPANS_LENGTH = 100_000_000
_TRACES_AT_ONCE = 10

KEY_VALUE = (("key", sa.Text()), ("value", sa.Text()))

SELECT_TRACES = Statement(lambda d: sa.select(*TRACE_COLUMNS).where(d.is_in(traces.c.request_id, "request_ids")))
SELECT_TAGS = Statement(
    lambda d: (
        sa.select(trace_tags.c.trace_id, trace_tags.c.key, trace_tags.c.value)
        .where(d.is_in(trace_tags.c.trace_id, "ids"))
        .order_by(trace_tags.c.trace_id, trace_tags.c.key)
    )
)
SELECT_METADATA = Statement(
    lambda d: (
        sa.select(trace_metadata.c.trace_id, trace_metadata.c.key, trace_metadata.c.value)
        .where(d.is_in(trace_metadata.c.trace_id, "ids"))
        .order_by(trace_metadata.c.trace_id, trace_metadata.c.key)
    )
)
DELETE_TAG = Statement(
    lambda d: sa.delete(trace_tags).where(
        trace_tags.c.trace_id == sa.bindparam("id"), trace_tags.c.key == sa.bindparam("key")
    )
)
SET_NAME = Statement(
    lambda d: sa.update(traces).where(traces.c.id == sa.bindparam("key")).values(name=sa.bindparam("name"))
)
LINK_RUN = Statement(
    lambda d: (
        d.insert(trace_runs)
        .values(run_uuid=sa.bindparam("run_uuid"), trace_id=sa.bindparam("id"))
        .on_conflict_do_nothing()
    )
)
LINK_PROMPT = Statement(
    lambda d: (
        d.insert(trace_prompts)
        .values(prompt_version=sa.bindparam("prompt_version"), trace_id=sa.bindparam("id"))
        .on_conflict_do_nothing()
    )
)


def _upsert_tags(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(trace_tags)
    source = sa.select(sa.bindparam("id"), sa.bindparam("experiment_id"), rows.c.key, rows.c.value).where(sa.true())
    return insert.from_select(["trace_id", "experiment_id", "key", "value"], source).on_conflict_do_update(
        index_elements=["trace_id", "key"],
        set_={"value": insert.excluded.value, "experiment_id": insert.excluded.experiment_id},
    )


UPSERT_TAGS = RowsStatement(KEY_VALUE, _upsert_tags)


# Reading


def to_trace_infos(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[TraceInfoDict]:
    """Rows of ``TRACE_COLUMNS`` as clients see them, in a fixed number of statements."""
    found: dict[int, TraceInfoDict] = {}
    for key, request_id, experiment_id, timestamp_ms, duration, status, client_id, request, response in rows:
        info: TraceInfoDict = {
            "trace_id": request_id,
            "trace_location": {
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": str(experiment_id)},
            },
            "request_time": render_timestamp(timestamp_ms),
            "state": status,
        }
        if duration is not None:
            info["execution_duration"] = render_duration(duration)
        if client_id is not None:
            info["client_request_id"] = client_id
        if request is not None:
            info["request_preview"] = request
        if response is not None:
            info["response_preview"] = response
        found[key] = info
    ids = list(found)
    if not ids:
        return []
    for key, name, value in tx.rows(SELECT_METADATA, ids=ids):
        found[key].setdefault("trace_metadata", {})[name] = value
    for key, name, value in tx.rows(SELECT_TAGS, ids=ids):
        found[key].setdefault("tags", {})[name] = value
    for key, assessment in assessments.assessments_of_traces(tx, ids):
        found[key].setdefault("assessments", []).append(assessment)
    return list(found.values())


def get_trace_key(tx: Transaction, trace_id: str) -> tuple[int, int]:
    """The internal key of a trace, and its experiment."""
    row = tx.row(SELECT_TRACES, request_ids=[trace_id])
    if row is None:
        raise ResourceDoesNotExist(f"Trace with ID '{trace_id}' not found.")
    return row[0], row[2]


def get_trace_info(tx: Transaction, trace_id: str) -> TraceInfoDict:
    """A trace without its spans."""
    row = tx.row(SELECT_TRACES, request_ids=[trace_id])
    if row is None:
        raise ResourceDoesNotExist(f"Trace with ID '{trace_id}' not found.")
    return to_trace_infos(tx, [row])[0]


def get_trace_infos(
    tx: Transaction, trace_ids: Sequence[str], experiment_ids: Sequence[int] | None = None
) -> list[TraceInfoDict]:
    """The traces that exist of those named, of certain experiments if these are given, in the order of the names."""
    return to_trace_infos(tx, _named_rows(tx, trace_ids, experiment_ids))


def get_traces(
    tx: Transaction, trace_ids: Sequence[str], experiment_ids: Sequence[int] | None = None
) -> list[TraceDict]:
    """The same with their spans as MLflow keeps them: the root first, then in the order of their start."""
    rows = _named_rows(tx, trace_ids, experiment_ids)
    found: dict[int, TraceDict] = {
        row[0]: {"trace_info": info, "spans": []} for row, info in zip(rows, to_trace_infos(tx, rows), strict=True)
    }
    keys = list(found)
    size = 0
    for start in range(0, len(keys), _TRACES_AT_ONCE):
        for key, content in spans.contents_of_traces(tx, keys[start : start + _TRACES_AT_ONCE]):
            size += len(content)
            found[key]["spans"].append(spans.to_dictionary(content))
        if size > MAX_SPANS_LENGTH and start + _TRACES_AT_ONCE < len(keys):
            raise InvalidParameterValue(
                f"The spans of these traces have more than {MAX_SPANS_LENGTH} characters; ask for fewer traces at once"
            )
    return list(found.values())


def get_span_contents(tx: Transaction, trace_id: str) -> list[str]:
    """The spans of a trace as their JSON."""
    key, _ = get_trace_key(tx, trace_id)
    return [content for _, content in spans.contents_of_traces(tx, [key])]


def _named_rows(
    tx: Transaction, trace_ids: Sequence[str], experiment_ids: Sequence[int] | None
) -> list[tuple[Any, ...]]:
    names = list(dict.fromkeys(trace_ids))
    rows = {row[1]: row for row in tx.rows(SELECT_TRACES, request_ids=names)}
    wanted = None if experiment_ids is None else set(experiment_ids)
    return [rows[name] for name in names if name in rows and (wanted is None or rows[name][2] in wanted)]


# Changing


def set_trace_tag(tx: Transaction, trace_id: str, key: str, value: str) -> None:
    """Sets or overwrites a tag."""
    internal, experiment_id = get_trace_key(tx, trace_id)
    tx.write_rows(UPSERT_TAGS, [(key, value)], id=internal, experiment_id=experiment_id)
    if key == TRACE_NAME_TAG:
        tx.execute(SET_NAME, key=internal, name=value)


def delete_trace_tag(tx: Transaction, trace_id: str, key: str) -> None:
    """Removes a tag, which must exist."""
    internal, _ = get_trace_key(tx, trace_id)
    if tx.execute(DELETE_TAG, id=internal, key=key).rowcount == 0:
        raise ResourceDoesNotExist(f"No trace tag with key '{key}' for trace with ID '{trace_id}'")
    if key == TRACE_NAME_TAG:
        tx.execute(SET_NAME, key=internal, name=None)


def link_traces_to_run(tx: Transaction, trace_ids: Sequence[str], run_uuid: str) -> None:
    """Makes traces belong to a run as well; those that do not exist are left out."""
    for row in tx.rows(SELECT_TRACES, request_ids=sorted(trace_ids)):
        tx.execute(LINK_RUN, run_uuid=run_uuid, id=row[0])


def link_prompts_to_trace(tx: Transaction, trace_id: str, prompt_versions: Sequence[str]) -> None:
    """Notes the versions of prompts (as ``name/version``) that a trace used."""
    key, _ = get_trace_key(tx, trace_id)
    for prompt_version in sorted(prompt_versions):
        tx.execute(LINK_PROMPT, prompt_version=prompt_version, id=key)
