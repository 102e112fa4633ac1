"""Traces in SQL: the trace itself, its tags and metadata, and what it takes from its spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.spans import (
    COST,
    COST_KEYS,
    TOKEN_KEYS,
    TOKEN_USAGE,
    SpanContent,
    TraceTotals,
    sum_over_tree,
    totals_of,
)
from runnel.domain.traces import (
    ARTIFACT_LOCATION_TAG,
    COST_METADATA,
    IN_TRACKING_STORE,
    INFO_FINALIZED_METADATA,
    SESSION_METADATA,
    SOURCE_RUN_METADATA,
    SPANS_LOCATION_TAG,
    TOKEN_USAGE_METADATA,
    TRACE_NAME_TAG,
    USER_METADATA,
    TraceDict,
    TraceInfo,
    TraceInfoDict,
    numbers_in,
    parse_duration,
    parse_timestamp,
    render_duration,
    render_timestamp,
)
from runnel.domain.validation import parse_experiment_id
from runnel.store import assessments, spans
from runnel.store.experiments import get_active_experiment, now_in_milliseconds
from runnel.store.schema import trace_metadata, trace_runs, trace_tags, traces
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
_TOTAL_COLUMNS = (*TOKEN_KEYS[:5], *COST_KEYS)
_NEW = ("request_id", "experiment_id", "timestamp_ms", "execution_time_ms", "status", "is_finalized")
_FROM_ROOT_SPAN = ("name", "request_preview", "response_preview", "session_id")
_OPTIONAL = ("client_request_id", "name", "request_preview", "response_preview", "session_id", *_TOTAL_COLUMNS)

SELECT_TRACES = Statement(lambda d: sa.select(*TRACE_COLUMNS).where(d.is_in(traces.c.request_id, "request_ids")))
SELECT_TRACES_BY_KEY = Statement(lambda d: sa.select(*TRACE_COLUMNS).where(d.is_in(traces.c.id, "ids")))
# A trace that spans are added to is locked, so that two servers do not work out its totals past each other.
SELECT_FOR_SPANS = Statement(
    lambda d: (
        sa.select(traces.c.request_id, traces.c.id, traces.c.experiment_id, traces.c.is_finalized)
        .where(d.is_in(traces.c.request_id, "request_ids"))
        .order_by(traces.c.request_id)
        .with_for_update()
    )
)
SELECT_TAGS = Statement(
    lambda d: sa.select(trace_tags.c.trace_id, trace_tags.c.key, trace_tags.c.value).where(
        d.is_in(trace_tags.c.trace_id, "ids")
    )
)
SELECT_METADATA = Statement(
    lambda d: sa.select(trace_metadata.c.trace_id, trace_metadata.c.key, trace_metadata.c.value).where(
        d.is_in(trace_metadata.c.trace_id, "ids")
    )
)
DELETE_TAG = Statement(
    lambda d: sa.delete(trace_tags).where(
        trace_tags.c.trace_id == sa.bindparam("id"), trace_tags.c.key == sa.bindparam("key")
    )
)


def _insert_trace(d: Any) -> Any:
    """A client that sends the trace itself has the last word on what it says; what it leaves out stays."""
    insert = d.insert(traces)
    new, old = insert.excluded, traces.c
    changed: dict[str, Any] = {name: new[name] for name in _NEW if name != "request_id"}
    changed |= {name: sa.func.coalesce(new[name], old[name]) for name in _OPTIONAL}
    return (
        insert.values({name: sa.bindparam(name) for name in (*_NEW, *_OPTIONAL)})
        .on_conflict_do_update(index_elements=["request_id"], set_=changed)
        .returning(traces.c.id)
    )


UPSERT_TRACE = Statement(_insert_trace)
INSERT_TRACE_OF_SPANS = Statement(
    lambda d: (
        d.insert(traces)
        .values(
            {name: sa.bindparam(name) for name in (*_NEW, "name", "request_preview", "response_preview", "session_id")}
        )
        .on_conflict_do_nothing(index_elements=["request_id"])
        .returning(traces.c.id)
    )
)


def _extend_trace(d: Any) -> Any:
    """Widens a trace by spans that came: earliest start, latest end, the state and texts of the root span.

    Of a trace that a client has sent itself, only what it left open is filled in.
    """
    t = traces.c
    is_final = t.is_finalized == 1
    start, end = sa.bindparam("start_ms", type_=sa.BigInteger()), sa.bindparam("end_ms", type_=sa.BigInteger())
    earliest = sa.case((t.timestamp_ms > start, start), else_=t.timestamp_ms)
    known_end = t.timestamp_ms + sa.func.coalesce(t.execution_time_ms, 0)
    latest = sa.case((end.is_(None), known_end), (known_end > end, known_end), else_=end)
    duration = sa.case((sa.and_(end.is_(None), t.execution_time_ms.is_(None)), sa.null()), else_=latest - earliest)
    state = sa.bindparam("state", type_=sa.Text())
    is_open = t.status.in_([sa.literal_column("'IN_PROGRESS'"), sa.literal_column("'STATE_UNSPECIFIED'")])
    return (
        sa.update(traces)
        .where(t.id == sa.bindparam("id"))
        .values(
            timestamp_ms=sa.case((is_final, t.timestamp_ms), else_=earliest),
            execution_time_ms=sa.case((is_final, t.execution_time_ms), else_=duration),
            status=sa.case((sa.and_(is_open, state.is_not(None)), state), else_=t.status),
            name=sa.func.coalesce(t.name, sa.bindparam("name", type_=sa.Text())),
            request_preview=sa.func.coalesce(t.request_preview, sa.bindparam("request_preview", type_=sa.Text())),
            response_preview=sa.func.coalesce(t.response_preview, sa.bindparam("response_preview", type_=sa.Text())),
            session_id=sa.func.coalesce(t.session_id, sa.bindparam("session_id", type_=sa.Text())),
        )
    )


EXTEND_TRACE = Statement(_extend_trace)
SET_TOTALS = Statement(
    lambda d: (
        sa.update(traces)
        .where(traces.c.id == sa.bindparam("id"))
        .values({name: sa.bindparam(name) for name in _TOTAL_COLUMNS})
    )
)

_KEY_VALUE = (("key", sa.Text()), ("value", sa.Text()))


def _upsert_tags(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(trace_tags)
    source = sa.select(sa.bindparam("id"), sa.bindparam("experiment_id"), rows.c.key, rows.c.value).where(sa.true())
    return insert.from_select(["trace_id", "experiment_id", "key", "value"], source).on_conflict_do_update(
        index_elements=["trace_id", "key"], set_={"value": insert.excluded.value}
    )


def _upsert_metadata(d: Any, rows: sa.FromClause, keep: bool) -> Any:
    insert = d.insert(trace_metadata)
    source = sa.select(sa.bindparam("id"), rows.c.key, rows.c.value).where(sa.true())
    insert = insert.from_select(["trace_id", "key", "value"], source)
    if keep:
        return insert.on_conflict_do_nothing(index_elements=["trace_id", "key"])
    return insert.on_conflict_do_update(index_elements=["trace_id", "key"], set_={"value": insert.excluded.value})


UPSERT_TAGS = RowsStatement(_KEY_VALUE, _upsert_tags)
UPSERT_METADATA = RowsStatement(_KEY_VALUE, lambda d, rows: _upsert_metadata(d, rows, keep=False))
# What was worked out from spans gives way to what a client has said.
INSERT_METADATA = RowsStatement(_KEY_VALUE, lambda d, rows: _upsert_metadata(d, rows, keep=True))
LINK_RUN = Statement(
    lambda d: (
        d.insert(trace_runs)
        .values(run_uuid=sa.bindparam("run_uuid"), trace_id=sa.bindparam("id"))
        .on_conflict_do_nothing()
    )
)

# From an experiment's artifact location and a trace's id to where the trace's artifacts are.
ArtifactLocation = Callable[[str, str], str]


def start_trace(tx: Transaction, info: TraceInfo, artifact_location: ArtifactLocation) -> TraceInfoDict:
    """Inserts a trace, or completes one whose spans came first."""
    experiment_id = _experiment_id(info.trace_location.mlflow_experiment.experiment_id)
    experiment = get_active_experiment(tx, experiment_id)
    metadata = info.trace_metadata
    totals = numbers_in(metadata.get(TOKEN_USAGE_METADATA)) | numbers_in(metadata.get(COST_METADATA))
    row = tx.row(
        UPSERT_TRACE,
        request_id=info.trace_id,
        experiment_id=experiment_id,
        timestamp_ms=parse_timestamp(info.request_time, "request_time") if info.request_time else now_in_milliseconds(),
        execution_time_ms=(
            parse_duration(info.execution_duration, "execution_duration") if info.execution_duration else None
        ),
        status=info.state,
        is_finalized=1,
        client_request_id=info.client_request_id or None,
        name=info.tags.get(TRACE_NAME_TAG),
        request_preview=info.request_preview or None,
        response_preview=info.response_preview or None,
        session_id=metadata.get(SESSION_METADATA),
        **_total_values(totals),
    )
    assert row is not None
    key: int = row[0]
    tags = {ARTIFACT_LOCATION_TAG: artifact_location(experiment["artifact_location"], info.trace_id)} | info.tags
    tx.write_rows(UPSERT_TAGS, sorted(tags.items()), id=key, experiment_id=experiment_id)
    tx.write_rows(UPSERT_METADATA, sorted((metadata | {INFO_FINALIZED_METADATA: "true"}).items()), id=key)
    if SOURCE_RUN_METADATA in metadata:
        tx.execute(LINK_RUN, run_uuid=metadata[SOURCE_RUN_METADATA], id=key)
    for assessment in info.assessments:
        assessments.create_assessment(tx, key, experiment_id, info.trace_id, assessment)
    return get_trace_info(tx, info.trace_id)


def log_spans(
    tx: Transaction, experiment_id: int, contents: Sequence[SpanContent], artifact_location: ArtifactLocation
) -> None:
    """Adds spans to their traces, which are created when missing; totals follow the spans."""
    by_trace: dict[str, list[SpanContent]] = {}
    for span in contents:
        by_trace.setdefault(span.trace_id, []).append(span)
    known = {row[0]: row[1:] for row in tx.rows(SELECT_FOR_SPANS, request_ids=sorted(by_trace))}
    totals = {trace_id: totals_of(group) for trace_id, group in by_trace.items()}
    location: str | None = None
    keys: dict[str, int] = {}
    for trace_id in sorted(by_trace):
        if trace_id in known:
            keys[trace_id], owner, _ = known[trace_id]
            _extend(tx, keys[trace_id], totals[trace_id])
        else:
            if location is None:
                location = get_active_experiment(tx, experiment_id)["artifact_location"]
            owner = experiment_id
            keys[trace_id] = _create_trace_of_spans(tx, trace_id, owner, totals[trace_id])
        tags = dict(totals[trace_id].tags) | {SPANS_LOCATION_TAG: IN_TRACKING_STORE}
        if trace_id not in known:
            assert location is not None
            tags[ARTIFACT_LOCATION_TAG] = artifact_location(location, trace_id)
        tx.write_rows(UPSERT_TAGS, sorted(tags.items()), id=keys[trace_id], experiment_id=owner)
        _keep_session(tx, keys[trace_id], totals[trace_id])
    reported = _reporting(contents)
    spans.write_spans(tx, contents, keys)
    if reported:
        finalized = {trace_id for trace_id, (_, _, is_finalized) in known.items() if is_finalized}
        _sum_up(tx, {keys[trace_id]: trace_id in finalized for trace_id in reported})


def _create_trace_of_spans(tx: Transaction, trace_id: str, experiment_id: int, totals: TraceTotals) -> int:
    row = tx.row(
        INSERT_TRACE_OF_SPANS,
        request_id=trace_id,
        experiment_id=experiment_id,
        timestamp_ms=totals.start_ms,
        execution_time_ms=None if totals.end_ms is None else totals.end_ms - totals.start_ms,
        status=totals.state or "IN_PROGRESS",
        is_finalized=0,
        name=totals.name,
        request_preview=totals.request_preview,
        response_preview=totals.response_preview,
        session_id=totals.session_id,
    )
    if row is not None:
        return int(row[0])
    # Another server created it a moment ago.
    key, _ = get_trace_key(tx, trace_id)
    _extend(tx, key, totals)
    return key


def _extend(tx: Transaction, key: int, totals: TraceTotals) -> None:
    tx.execute(
        EXTEND_TRACE,
        id=key,
        start_ms=totals.start_ms,
        end_ms=totals.end_ms,
        state=totals.state,
        name=totals.name,
        request_preview=totals.request_preview,
        response_preview=totals.response_preview,
        session_id=totals.session_id,
    )


def _keep_session(tx: Transaction, key: int, totals: TraceTotals) -> None:
    metadata = {SESSION_METADATA: totals.session_id, USER_METADATA: totals.user_id}
    rows = sorted((name, value) for name, value in metadata.items() if value)
    tx.write_rows(INSERT_METADATA, rows, id=key)


def _reporting(contents: Sequence[SpanContent]) -> set[str]:
    """The traces of spans that report tokens or cost."""
    return {span.trace_id for span in contents if TOKEN_USAGE in span.attributes or COST in span.attributes}


def _sum_up(tx: Transaction, keys: Mapping[int, bool]) -> None:
    """Works out the totals of traces from all their spans; ``keys`` tells which a client has finalized."""
    for key, by_attribute in spans.usage_nodes(tx, sorted(keys)).items():
        usage = {name: int(n) for name, n in sum_over_tree(by_attribute.get(TOKEN_USAGE, []), TOKEN_KEYS).items()}
        cost = sum_over_tree(by_attribute.get(COST, []), COST_KEYS)
        texts = {TOKEN_USAGE_METADATA: usage, COST_METADATA: cost}
        rows = sorted((name, json.dumps(numbers)) for name, numbers in texts.items() if numbers)
        if keys[key]:
            tx.write_rows(INSERT_METADATA, rows, id=key)
            stored = {name: value for _, name, value in tx.rows(SELECT_METADATA, ids=[key])}
            totals = numbers_in(stored.get(TOKEN_USAGE_METADATA)) | numbers_in(stored.get(COST_METADATA))
        else:
            tx.write_rows(UPSERT_METADATA, rows, id=key)
            totals = {**usage, **cost}
        tx.execute(SET_TOTALS, id=key, **_total_values(totals))


def _total_values(totals: Mapping[str, float]) -> dict[str, float | None]:
    tokens = {name: int(totals[name]) if name in totals else None for name in TOKEN_KEYS[:5]}
    return {**tokens, **{name: float(totals[name]) if name in totals else None for name in COST_KEYS}}


def _experiment_id(text: str) -> int:
    if not text:
        raise InvalidParameterValue(
            "Missing value for required parameter 'trace.trace_info.trace_location.mlflow_experiment.experiment_id'."
        )
    return parse_experiment_id(text)


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


def get_trace_infos(tx: Transaction, trace_ids: Sequence[str]) -> list[TraceInfoDict]:
    """The traces that exist of those named, in the order in which they are named."""
    rows = {row[1]: row for row in tx.rows(SELECT_TRACES, request_ids=list(dict.fromkeys(trace_ids)))}
    return to_trace_infos(tx, [rows[trace_id] for trace_id in dict.fromkeys(trace_ids) if trace_id in rows])


def get_traces(tx: Transaction, trace_ids: Sequence[str]) -> list[TraceDict]:
    """Traces with their spans as MLflow keeps them, in the order in which they are named; those that exist."""
    rows = {row[1]: row for row in tx.rows(SELECT_TRACES, request_ids=list(dict.fromkeys(trace_ids)))}
    ordered = [rows[trace_id] for trace_id in dict.fromkeys(trace_ids) if trace_id in rows]
    infos = to_trace_infos(tx, ordered)
    found: dict[int, TraceDict] = {
        row[0]: {"trace_info": info, "spans": []} for row, info in zip(ordered, infos, strict=True)
    }
    for key, span in spans.spans_of_traces(tx, list(found)):
        found[key]["spans"].append(span)
    return list(found.values())


# Changing


def set_trace_tag(tx: Transaction, trace_id: str, key: str, value: str) -> None:
    """Sets or overwrites a tag."""
    internal, experiment_id = get_trace_key(tx, trace_id)
    tx.write_rows(UPSERT_TAGS, [(key, value)], id=internal, experiment_id=experiment_id)
    if key == TRACE_NAME_TAG:
        tx.execute(sa.update(traces).where(traces.c.id == internal).values(name=value))


def delete_trace_tag(tx: Transaction, trace_id: str, key: str) -> None:
    """Removes a tag, which must exist."""
    internal, _ = get_trace_key(tx, trace_id)
    if tx.execute(DELETE_TAG, id=internal, key=key).rowcount == 0:
        raise ResourceDoesNotExist(f"No trace tag with key '{key}' for trace with ID '{trace_id}'")


def link_traces_to_run(tx: Transaction, trace_ids: Sequence[str], run_uuid: str) -> None:
    """Makes traces belong to a run as well."""
    for row in tx.rows(SELECT_TRACES, request_ids=list(trace_ids)):
        tx.execute(LINK_RUN, run_uuid=run_uuid, id=row[0])
