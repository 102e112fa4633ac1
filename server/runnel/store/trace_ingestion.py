"""How traces come in: sent by a client when they end, or made of the spans that come by OpenTelemetry's protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.limits import INT64_MAX
from runnel.domain.spans import (
    COST,
    COST_KEYS,
    TOKEN_KEYS,
    TOKEN_USAGE,
    SpanContent,
    TraceTotals,
    totals_of,
)
from runnel.domain.trace_usage import Sums, UsageNode, extended, total
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
    TraceInfo,
    TraceInfoDict,
    numbers_in,
    parse_duration,
    parse_timestamp,
)
from runnel.domain.validation import parse_experiment_id
from runnel.store import assessments, span_terms, spans, trace_usage
from runnel.store.experiments import get_artifact_location, now_in_milliseconds
from runnel.store.schema import assessments as assessments_table
from runnel.store.schema import trace_metadata, trace_tags, traces
from runnel.store.statements import RowsStatement, Statement, Transaction
from runnel.store.traces import KEY_VALUE, LINK_RUN, SELECT_METADATA, UPSERT_TAGS, get_trace_info, get_trace_key

_TOTAL_COLUMNS = (*TOKEN_KEYS[:5], *COST_KEYS)
_NEW = ("request_id", "experiment_id", "timestamp_ms", "execution_time_ms", "status", "is_finalized")
_FROM_ROOT_SPAN = ("name", "request_preview", "response_preview", "session_id")
_OPTIONAL = ("client_request_id", *_FROM_ROOT_SPAN, *_TOTAL_COLUMNS)

# A trace that spans are added to is locked, so that two servers do not work out its totals past each other.
SELECT_FOR_SPANS = Statement(
    lambda d: (
        sa.select(traces.c.request_id, traces.c.id, traces.c.experiment_id, traces.c.is_finalized)
        .where(d.is_in(traces.c.request_id, "request_ids"))
        .order_by(traces.c.request_id)
        .with_for_update()
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
        .values({name: sa.bindparam(name) for name in (*_NEW, *_FROM_ROOT_SPAN, *_TOTAL_COLUMNS)})
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
            **{name: sa.func.coalesce(t[name], sa.bindparam(name, type_=sa.Text())) for name in _FROM_ROOT_SPAN},
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
END_TRACE = Statement(
    lambda d: (
        sa.update(traces)
        .where(traces.c.id == sa.bindparam("id"))
        .values(
            execution_time_ms=sa.bindparam("end_ms", type_=sa.BigInteger()) - traces.c.timestamp_ms,
            status=sa.bindparam("state"),
            **{
                name: sa.func.coalesce(sa.bindparam(f"new_{name}", type_=traces.c[name].type), traces.c[name])
                for name in _OPTIONAL
            },
        )
    )
)
MOVE_TAGS = Statement(
    lambda d: (
        sa.update(trace_tags)
        .where(trace_tags.c.trace_id == sa.bindparam("id"), trace_tags.c.experiment_id != sa.bindparam("experiment"))
        .values(experiment_id=sa.bindparam("experiment"))
    )
)
MOVE_ASSESSMENTS = Statement(
    lambda d: (
        sa.update(assessments_table)
        .where(assessments_table.c.trace_id == sa.bindparam("id"))
        .values(experiment_id=sa.bindparam("experiment"))
    )
)


def _upsert_metadata(d: Any, rows: sa.FromClause, keep: bool) -> Any:
    insert = d.insert(trace_metadata)
    source = sa.select(sa.bindparam("id"), rows.c.key, rows.c.value).where(sa.true())
    insert = insert.from_select(["trace_id", "key", "value"], source)
    if keep:
        return insert.on_conflict_do_nothing(index_elements=["trace_id", "key"])
    return insert.on_conflict_do_update(index_elements=["trace_id", "key"], set_={"value": insert.excluded.value})


UPSERT_METADATA = RowsStatement(KEY_VALUE, lambda d, rows: _upsert_metadata(d, rows, keep=False))
# What was worked out from spans gives way to what a client has said.
INSERT_METADATA = RowsStatement(KEY_VALUE, lambda d, rows: _upsert_metadata(d, rows, keep=True))
# From an experiment's artifact location and a trace's id to where the trace's artifacts are.
ArtifactLocation = Callable[[str, str], str]


def start_trace(
    tx: Transaction, info: TraceInfo, artifact_location: ArtifactLocation, *, is_finalized: bool = True
) -> TraceInfoDict:
    """Inserts a trace, or completes one whose spans came first.

    A trace that is finalized has ended; one that is not may still be changed by ``end_trace`` or by its spans.
    """
    experiment_id = _experiment_id(info.trace_location.mlflow_experiment.experiment_id)
    location = get_artifact_location(tx, experiment_id)
    metadata = info.trace_metadata
    row = tx.row(
        UPSERT_TRACE,
        request_id=info.trace_id,
        experiment_id=experiment_id,
        timestamp_ms=parse_timestamp(info.request_time, "request_time") if info.request_time else now_in_milliseconds(),
        execution_time_ms=(
            parse_duration(info.execution_duration, "execution_duration") if info.execution_duration else None
        ),
        status=info.state,
        is_finalized=int(is_finalized),
        client_request_id=info.client_request_id or None,
        name=info.tags.get(TRACE_NAME_TAG),
        request_preview=info.request_preview or None,
        response_preview=info.response_preview or None,
        session_id=metadata.get(SESSION_METADATA),
        **_totals_in(metadata),
    )
    assert row is not None
    key: int = row[0]
    tags = info.tags | {ARTIFACT_LOCATION_TAG: artifact_location(location, info.trace_id)}
    tx.write_rows(UPSERT_TAGS, sorted(tags.items()), id=key, experiment_id=experiment_id)
    if tx.execute(MOVE_TAGS, id=key, experiment=experiment_id).rowcount > 0:
        # Spans had come for another experiment: the client that sends the trace itself knows better.
        tx.execute(MOVE_ASSESSMENTS, id=key, experiment=experiment_id)
        tx.execute(span_terms.MOVE_TERMS, id=key, experiment=experiment_id)
    if is_finalized:
        metadata = metadata | {INFO_FINALIZED_METADATA: "true"}
    _write_metadata(tx, key, metadata)
    for assessment in info.assessments:
        assessments.create_assessment(tx, key, experiment_id, info.trace_id, assessment)
    return get_trace_info(tx, info.trace_id)


def end_trace(
    tx: Transaction, trace_id: str, timestamp_ms: int, state: str, metadata: dict[str, str], tags: dict[str, str]
) -> TraceInfoDict:
    """Completes a trace that was started before (MLflow's version 2); ``timestamp_ms`` is when it ended."""
    key, experiment_id = get_trace_key(tx, trace_id)
    optional: dict[str, Any] = {name: None for name in _OPTIONAL} | _totals_in(metadata)
    optional |= {"name": tags.get(TRACE_NAME_TAG), "session_id": metadata.get(SESSION_METADATA)}
    tx.execute(END_TRACE, id=key, end_ms=timestamp_ms, state=state, **{f"new_{n}": v for n, v in optional.items()})
    tx.write_rows(UPSERT_TAGS, sorted(tags.items()), id=key, experiment_id=experiment_id)
    _write_metadata(tx, key, metadata)
    return get_trace_info(tx, trace_id)


def _write_metadata(tx: Transaction, key: int, metadata: Mapping[str, str]) -> None:
    tx.write_rows(UPSERT_METADATA, sorted(metadata.items()), id=key)
    if SOURCE_RUN_METADATA in metadata:
        tx.execute(LINK_RUN, run_uuid=metadata[SOURCE_RUN_METADATA], id=key)


def log_spans(
    tx: Transaction, experiment_id: int, contents: Sequence[SpanContent], artifact_location: ArtifactLocation
) -> None:
    """Adds spans to their traces, which are created when missing; totals follow the spans."""
    by_trace: dict[str, list[SpanContent]] = {}
    for span in contents:
        by_trace.setdefault(span.trace_id, []).append(span)
    known = {row[0]: row[1:] for row in tx.rows(SELECT_FOR_SPANS, request_ids=sorted(by_trace))}
    location: str | None = None
    keys: dict[str, int] = {}
    owners: dict[str, int] = {}
    for trace_id in sorted(by_trace):
        group = by_trace[trace_id]
        totals = totals_of(group)
        tags = dict(totals.tags) | {SPANS_LOCATION_TAG: IN_TRACKING_STORE}
        nodes = [trace_usage.node_of(span) for span in group]
        if trace_id in known:
            key, owner, is_finalized = known[trace_id]
            _extend(tx, key, totals, nodes, is_finalized=is_finalized == 1)
        else:
            if location is None:
                location = get_artifact_location(tx, experiment_id)
            tags[ARTIFACT_LOCATION_TAG] = artifact_location(location, trace_id)
            owner = experiment_id
            key = _create_trace_of_spans(tx, trace_id, owner, totals, nodes)
        keys[trace_id], owners[trace_id] = key, owner
        tx.write_rows(UPSERT_TAGS, sorted(tags.items()), id=key, experiment_id=owner)
    spans.write_spans(tx, contents, keys)
    span_terms.write_terms(tx, contents, keys, owners)


def _create_trace_of_spans(
    tx: Transaction, trace_id: str, experiment_id: int, totals: TraceTotals, nodes: Sequence[UsageNode]
) -> int:
    sums = extended({}, nodes)
    usage, metadata = _usage_of(sums)
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
        **usage,
    )
    if row is None:
        # Another server created it a moment ago.
        key, _ = get_trace_key(tx, trace_id)
        _extend(tx, key, totals, nodes, is_finalized=False)
        return key
    key = int(row[0])
    tx.write_rows(INSERT_METADATA, sorted((_metadata_of(totals) | metadata).items()), id=key)
    if not trace_usage.is_closed(sums):
        trace_usage.keep_sums(tx, key, sums)
    return key


def _extend(tx: Transaction, key: int, totals: TraceTotals, nodes: Sequence[UsageNode], *, is_finalized: bool) -> None:
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
    tx.write_rows(INSERT_METADATA, sorted(_metadata_of(totals).items()), id=key)
    sums = trace_usage.sums_with(tx, key, nodes)
    if sums is not None:
        _set_usage(tx, key, sums, is_finalized=is_finalized)


def _metadata_of(totals: TraceTotals) -> dict[str, str]:
    metadata = {SESSION_METADATA: totals.session_id, USER_METADATA: totals.user_id}
    return {name: value for name, value in metadata.items() if value}


def _set_usage(tx: Transaction, key: int, sums: Sums, *, is_finalized: bool) -> None:
    """Sets what a trace has in all; what a client has said of a trace that it has finalized stays."""
    usage, metadata = _usage_of(sums)
    if is_finalized:
        tx.write_rows(INSERT_METADATA, sorted(metadata.items()), id=key)
        usage = _totals_in({name: value for _, name, value in tx.rows(SELECT_METADATA, ids=[key])})
    else:
        tx.write_rows(UPSERT_METADATA, sorted(metadata.items()), id=key)
    tx.execute(SET_TOTALS, id=key, **usage)


def _usage_of(sums: Sums) -> tuple[dict[str, float | None], dict[str, str]]:
    """What a trace has in all, by column and as metadata."""
    by_attribute = total(sums)
    tokens = {name: int(number) for name, number in by_attribute.get(TOKEN_USAGE, {}).items()}
    cost = by_attribute.get(COST, {})
    metadata: dict[str, str] = {}
    # Clients ask for these members without looking whether they are there.
    if tokens:
        metadata[TOKEN_USAGE_METADATA] = json.dumps(dict.fromkeys(TOKEN_KEYS[:3], 0) | tokens)
    if cost:
        metadata[COST_METADATA] = json.dumps(dict.fromkeys(COST_KEYS, 0.0) | dict(cost))
    return _total_values({**tokens, **cost}), metadata


def _totals_in(metadata: Mapping[str, str]) -> dict[str, float | None]:
    """What a client's metadata says of tokens and cost, by column."""
    return _total_values(numbers_in(metadata.get(TOKEN_USAGE_METADATA)) | numbers_in(metadata.get(COST_METADATA)))


def _total_values(totals: Mapping[str, float]) -> dict[str, float | None]:
    tokens = {name: min(int(totals[name]), INT64_MAX) if name in totals else None for name in TOKEN_KEYS[:5]}
    return {**tokens, **{name: float(totals[name]) if name in totals else None for name in COST_KEYS}}


def _experiment_id(text: str) -> int:
    if not text:
        raise InvalidParameterValue(
            "Missing value for required parameter 'trace.trace_info.trace_location.mlflow_experiment.experiment_id'."
        )
    return parse_experiment_id(text)
