"""Endpoints of traces (MLflow's version 3 of them) and of OpenTelemetry's protocol."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from runnel.api import otlp
from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.artifacts import locations
from runnel.domain import limits
from runnel.domain.assessments import check_assessment
from runnel.domain.errors import InvalidParameterValue, RequestTooLarge, ResourceDoesNotExist
from runnel.domain.spans import SpanContent
from runnel.domain.traces import Trace, TraceDict, TraceInfoDict, check_tag_may_change, check_trace_tag
from runnel.domain.validation import check_length, parse_experiment_id
from runnel.store import traces
from runnel.store.statements import Transaction

EXPERIMENT_HEADER = "x-mlflow-experiment-id"
RUN_HEADER = "x-mlflow-run-id"


class TraceAnswer(TypedDict):
    trace: TraceDict


class TracesAnswer(TypedDict):
    traces: list[TraceDict]


class TraceInfosAnswer(TypedDict):
    trace_infos: list[TraceInfoDict]


def start_trace(tx: Transaction, trace: Trace) -> TraceAnswer:
    """Stores a trace as its client sends it when it has ended; its spans come by /v1/traces or as an artifact."""
    info = trace.trace_info
    check_length("trace_id", info.trace_id, limits.MAX_TRACE_ID_LENGTH)
    check_length("request_preview", info.request_preview, limits.MAX_TAG_VALUE_LENGTH)
    check_length("response_preview", info.response_preview, limits.MAX_TAG_VALUE_LENGTH)
    if len(info.trace_metadata) > limits.MAX_TRACE_METADATA_COUNT or len(info.tags) > limits.MAX_TRACE_METADATA_COUNT:
        raise InvalidParameterValue(
            f"'trace_metadata' and 'tags' can have at most {limits.MAX_TRACE_METADATA_COUNT} entries each"
        )
    for key, value in info.tags.items():
        check_trace_tag(key, value)
    for key, value in info.trace_metadata.items():
        check_length("trace_metadata key", key, limits.MAX_TRACE_METADATA_KEY_LENGTH)
        check_length(f"trace_metadata['{key}']", value, limits.MAX_TRACE_METADATA_VALUE_LENGTH)
    for assessment in info.assessments:
        check_assessment(assessment)
    return {"trace": {"trace_info": traces.start_trace(tx, info, _artifact_location)}}


def _artifact_location(experiment_location: str, trace_id: str) -> str:
    return locations.append_to_uri_path(experiment_location, "traces", trace_id, "artifacts")


def get_trace_info(tx: Transaction, trace_id: str) -> TraceAnswer:
    """A trace without its spans."""
    return {"trace": {"trace_info": traces.get_trace_info(tx, trace_id)}}


def get_trace(tx: Transaction, trace_id: str, allow_partial: bool = False) -> TraceAnswer:
    """A trace with its spans; without ``allow_partial`` it is an error while spans are still to come."""
    found = traces.get_traces(tx, [trace_id])
    if not found:
        raise ResourceDoesNotExist(f"Trace with ID {trace_id} is not found.")
    trace = found[0]
    if not allow_partial and not _is_complete(trace):
        raise ResourceDoesNotExist(f"Trace with ID {trace_id} is not fully exported yet, please try again later.")
    return {"trace": _on_the_wire(trace)}


def _is_complete(trace: TraceDict) -> bool:
    """Whether as many spans are there as the client said there are."""
    stats = trace["trace_info"].get("trace_metadata", {}).get("mlflow.trace.sizeStats", "")
    try:
        expected = json.loads(stats).get("num_spans", 0)
    except (ValueError, AttributeError):
        expected = 0
    return bool(trace["spans"]) and len(trace["spans"]) >= expected


def _on_the_wire(trace: TraceDict) -> TraceDict:
    return {"trace_info": trace["trace_info"], "spans": [otlp.to_wire_span(span) for span in trace["spans"]]}


def batch_get_traces(tx: Transaction, trace_ids: list[str]) -> TracesAnswer:
    """Traces with their spans, those that exist; at most 1,000."""
    _check_trace_ids(trace_ids)
    return {"traces": [_on_the_wire(trace) for trace in traces.get_traces(tx, trace_ids)]}


def batch_get_trace_infos(tx: Transaction, trace_ids: list[str]) -> TraceInfosAnswer:
    """Traces without their spans, those that exist; at most 1,000."""
    _check_trace_ids(trace_ids)
    return {"trace_infos": traces.get_trace_infos(tx, trace_ids)}


def _check_trace_ids(trace_ids: list[str]) -> None:
    if not 0 < len(trace_ids) <= limits.MAX_TRACES_PER_REQUEST:
        raise InvalidParameterValue(
            f"'trace_ids' must contain 1 to {limits.MAX_TRACES_PER_REQUEST} ids, got {len(trace_ids)}"
        )


def set_trace_tag(tx: Transaction, trace_id: str, key: str = "", value: str = "") -> Empty:
    """Sets or overwrites a tag of a trace."""
    check_trace_tag(key, value)
    check_tag_may_change(key, "set")
    traces.set_trace_tag(tx, trace_id, key, value)
    return {}


def set_trace_tag_v2(tx: Transaction, request_id: str, key: str = "", value: str = "") -> Empty:
    """The same at its older path."""
    return set_trace_tag(tx, request_id, key, value)


def delete_trace_tag(tx: Transaction, trace_id: str, key: str = "") -> Empty:
    """Removes a tag of a trace."""
    check_tag_may_change(key, "deleted")
    traces.delete_trace_tag(tx, trace_id, key)
    return {}


def delete_trace_tag_v2(tx: Transaction, request_id: str, key: str = "") -> Empty:
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
    settings = services.settings
    content_type = request.headers.get("content-type", "")
    encoding = request.headers.get("content-encoding", "")
    body = await _read_body(request, settings.max_request_bytes)
    contents = await asyncio.to_thread(_parse, body, content_type, encoding, settings.max_request_bytes)
    experiment = request.headers.get(EXPERIMENT_HEADER) or settings.trace_experiment_id
    if not experiment:
        raise InvalidParameterValue(
            f"Missing header '{EXPERIMENT_HEADER}': it names the experiment that the spans belong to. For exporters "
            "that cannot send it, set --trace-experiment-id or RUNNEL_TRACE_EXPERIMENT_ID on the server."
        )
    run_id = request.headers.get(RUN_HEADER, "")
    command = partial(_log_spans, experiment_id=parse_experiment_id(experiment), contents=contents, run_id=run_id)
    await services.database.write(command, order=contents[0].trace_id if contents else "")
    is_json = content_type.startswith(otlp.JSON)
    return Response(b"{}" if is_json else b"", media_type=otlp.JSON if is_json else otlp.PROTOBUF)


def _parse(body: bytes, content_type: str, encoding: str, limit: int) -> list[SpanContent]:
    return otlp.parse_export_request(otlp.decompress(body, encoding, limit), content_type)


def _log_spans(tx: Transaction, *, experiment_id: int, contents: list[SpanContent], run_id: str) -> None:
    traces.log_spans(tx, experiment_id, contents, _artifact_location)
    if run_id:
        completed = {span.trace_id for span in contents if span.parent_span_id is None}
        traces.link_traces_to_run(tx, sorted(completed), run_id)


async def _read_body(request: Request, limit: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise RequestTooLarge(f"The request body is larger than the {limit} bytes allowed (--max-request-bytes)")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RequestTooLarge(f"The request body is larger than the {limit} bytes allowed (--max-request-bytes)")
    return bytes(body)
