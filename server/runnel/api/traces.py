"""Endpoints of traces (MLflow's version 3 of them) and of OpenTelemetry's protocol."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, TypedDict

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runnel.api import otlp, otlp_bodies
from runnel.api.experiments import Empty, parse_experiment_ids
from runnel.api.services import Services
from runnel.api.wire import render_json
from runnel.artifacts import locations
from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.spans import SpanContent
from runnel.domain.traces import (
    IN_TRACKING_STORE,
    SIZE_STATS_METADATA,
    SPANS_LOCATION_TAG,
    Trace,
    TraceDict,
    TraceInfo,
    TraceInfoDict,
    accepted_tag,
    accepted_values,
    check_tag_may_change,
    numbers_in,
)
from runnel.domain.validation import check_length, parse_experiment_id
from runnel.store import trace_ingestion, traces
from runnel.store.statements import Transaction

EXPERIMENT_HEADER = "x-mlflow-experiment-id"
RUN_HEADER = "x-mlflow-run-id"
RETRY_PAUSES = (1, 2)  # seconds, as MLflow waits for the spans of a trace that has just ended


class TraceAnswer(TypedDict):
    trace: TraceDict


class TracesAnswer(TypedDict):
    traces: list[TraceDict]


class TraceInfosAnswer(TypedDict):
    trace_infos: list[TraceInfoDict]


def start_trace(tx: Transaction, trace: Trace) -> TraceAnswer:
    """Stores a trace as its client sends it when it has ended; its spans come by /v1/traces or as an artifact."""
    info = accepted_trace_info(trace.trace_info)
    return {"trace": {"trace_info": trace_ingestion.start_trace(tx, info, artifact_location)}}


def accepted_trace_info(info: TraceInfo) -> TraceInfo:
    """The trace with its texts cut to what is kept; refuses ids and keys that are too long."""
    check_length("trace_id", info.trace_id, limits.MAX_TRACE_ID_LENGTH)
    check_length("client_request_id", info.client_request_id, limits.MAX_CLIENT_REQUEST_ID_LENGTH)
    return replace(
        info,
        request_preview=info.request_preview[: limits.MAX_TAG_VALUE_LENGTH],
        response_preview=info.response_preview[: limits.MAX_TAG_VALUE_LENGTH],
        trace_metadata=accepted_values("trace_metadata", info.trace_metadata),
        tags=accepted_values("tags", info.tags),
    )


def artifact_location(experiment_location: str, trace_id: str) -> str:
    """Where the artifacts of a trace are: its spans if they came as a file, and what clients attach to it."""
    return locations.append_to_uri_path(experiment_location, "traces", trace_id, "artifacts")


def get_trace_info(tx: Transaction, trace_id: str) -> TraceAnswer:
    """A trace without its spans."""
    return {"trace": {"trace_info": traces.get_trace_info(tx, trace_id)}}


async def get_trace(services: Services, trace_id: str, allow_partial: bool = False) -> TraceAnswer:
    """A trace with its spans; without ``allow_partial`` it waits a while for spans that are still to come."""
    for pause in (*RETRY_PAUSES, None):
        trace, is_complete = await services.database.read(lambda tx: _get_trace(tx, trace_id))
        if allow_partial or is_complete:
            return {"trace": trace}
        if pause is not None:
            await asyncio.sleep(pause)
    raise ResourceDoesNotExist(f"Trace with ID {trace_id} is not fully exported yet, please try again later.")


def _get_trace(tx: Transaction, trace_id: str) -> tuple[TraceDict, bool]:
    found = traces.get_traces(tx, [trace_id])
    if not found:
        raise ResourceDoesNotExist(f"Trace with ID {trace_id} is not found.")
    if not has_stored_spans(found[0]["trace_info"]):
        raise ResourceDoesNotExist("Trace data not stored in tracking store")
    return _on_the_wire(found[0]), _is_complete(found[0])


def has_stored_spans(info: TraceInfoDict) -> bool:
    """Whether the spans of a trace are in the database; those of older clients are a file among its artifacts."""
    return info.get("tags", {}).get(SPANS_LOCATION_TAG) == IN_TRACKING_STORE


def _is_complete(trace: TraceDict) -> bool:
    """Whether as many spans are there as the client said there are."""
    stats = trace["trace_info"].get("trace_metadata", {}).get(SIZE_STATS_METADATA)
    return bool(trace["spans"]) and len(trace["spans"]) >= numbers_in(stats).get("num_spans", 0)


def _on_the_wire(trace: TraceDict) -> TraceDict:
    # Rendered here, in the thread of the query: the spans of a trace can be many megabytes.
    spans: Any = orjson.Fragment(render_json([otlp.to_wire_span(span) for span in trace["spans"]]))
    return {"trace_info": trace["trace_info"], "spans": spans}


def batch_get_traces(tx: Transaction, trace_ids: list[str], experiment_ids: list[str] = []) -> TracesAnswer:  # noqa: B006
    """Traces with their spans, those that are complete; at most 1,000."""
    _check_trace_ids(trace_ids)
    found = traces.get_traces(tx, trace_ids, _scope(experiment_ids))
    return {"traces": [_on_the_wire(trace) for trace in found if _is_complete(trace)]}


def batch_get_trace_infos(
    tx: Transaction,
    trace_ids: list[str],
    experiment_ids: list[str] = [],  # noqa: B006
) -> TraceInfosAnswer:
    """Traces without their spans, those that exist; at most 1,000."""
    _check_trace_ids(trace_ids)
    return {"trace_infos": traces.get_trace_infos(tx, trace_ids, _scope(experiment_ids))}


def _check_trace_ids(trace_ids: list[str]) -> None:
    if len(trace_ids) > limits.MAX_TRACES_PER_REQUEST:
        raise InvalidParameterValue(
            f"'trace_ids' can contain at most {limits.MAX_TRACES_PER_REQUEST} ids, got {len(trace_ids)}"
        )


def _scope(experiment_ids: list[str]) -> list[int] | None:
    return parse_experiment_ids(experiment_ids) if experiment_ids else None


def set_trace_tag(tx: Transaction, trace_id: str, key: str, value: str = "") -> Empty:
    """Sets or overwrites a tag of a trace."""
    check_tag_may_change(key, "set")
    traces.set_trace_tag(tx, trace_id, key, accepted_tag(key, value))
    return {}


def set_trace_tag_v2(tx: Transaction, request_id: str, key: str, value: str = "") -> Empty:
    """The same at its older path."""
    return set_trace_tag(tx, request_id, key, value)


def delete_trace_tag(tx: Transaction, trace_id: str, key: str) -> Empty:
    """Removes a tag of a trace."""
    check_tag_may_change(key, "deleted")
    traces.delete_trace_tag(tx, trace_id, key)
    return {}


def delete_trace_tag_v2(tx: Transaction, request_id: str, key: str) -> Empty:
    """The same at its older path."""
    return delete_trace_tag(tx, request_id, key)


def link_traces_to_run(tx: Transaction, run_id: str, trace_ids: list[str]) -> Empty:
    """Makes traces belong to a run as well."""
    if len(trace_ids) > limits.MAX_TRACES_PER_LINK:
        raise InvalidParameterValue(
            f"Cannot link more than {limits.MAX_TRACES_PER_LINK} traces to a run in a single request. "
            f"Provided {len(trace_ids)} traces."
        )
    traces.link_traces_to_run(tx, trace_ids, run_id)
    return {}


# OpenTelemetry


async def export_traces(request: Request, services: Services) -> Response:
    """Takes spans in OpenTelemetry's protocol over HTTP: all spans of a request, or none of them."""
    experiment = request.headers.get(EXPERIMENT_HEADER) or services.settings.trace_experiment_id
    if not experiment:
        raise InvalidParameterValue(
            f"Missing header '{EXPERIMENT_HEADER}': it names the experiment that the spans belong to. For exporters "
            "that cannot send it, set --trace-experiment-id or RUNNEL_TRACE_EXPERIMENT_ID on the server."
        )
    experiment_id = parse_experiment_id(experiment)
    run_id = request.headers.get(RUN_HEADER, "")
    with services.bodies.hold() as held:
        contents = await services.span_intake.read(request, services.bodies, held)
        command = partial(_log_spans, experiment_id=experiment_id, contents=contents, run_id=run_id)
        await services.database.write(command, order=contents[0].trace_id if contents else "")
    is_json = otlp_bodies.is_json(request.headers.get("content-type", ""))
    return Response(b"{}" if is_json else b"", media_type=otlp_bodies.JSON if is_json else otlp_bodies.PROTOBUF)


def _log_spans(tx: Transaction, *, experiment_id: int, contents: list[SpanContent], run_id: str) -> None:
    trace_ingestion.log_spans(tx, experiment_id, contents, artifact_location)
    if run_id:
        completed = {span.trace_id for span in contents if span.parent_span_id is None}
        traces.link_traces_to_run(tx, sorted(completed), run_id)
