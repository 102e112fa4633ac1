"""Endpoint of a trace's files: its spans, wherever they are kept, and what clients attach to it."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import Response

from runnel.api.artifacts import download_below
from runnel.api.services import Services
from runnel.api.traces import artifact_location, has_stored_spans
from runnel.artifacts.content_types import content_type, download_headers
from runnel.domain.errors import BadRequest, InvalidParameterValue, ResourceDoesNotExist
from runnel.store import traces
from runnel.store.experiments import get_experiment
from runnel.store.statements import Transaction

SPANS_FILE = "traces.json"  # of clients 2.14 to 3.3
ATTACHMENTS_FOLDER = "attachments"


async def get_trace_artifact(request: Request, services: Services, request_id: str = "", path: str = "") -> Response:
    """The spans of a trace as a file, from wherever they are; or, with ``path``, something a client attached to it."""
    if not request_id:
        raise BadRequest('Request must include the "request_id" query parameter.')
    if path:
        _check_attachment(path)
        location = await services.database.read(lambda tx: _artifact_location(tx, request_id))
        return await download_below(request, services, location, f"{ATTACHMENTS_FOLDER}/{path}")
    stored = await services.database.read(lambda tx: _stored_spans(tx, request_id))
    if stored is not None:
        return Response(stored, media_type=content_type(SPANS_FILE), headers=download_headers(SPANS_FILE))
    location = await services.database.read(lambda tx: _artifact_location(tx, request_id))
    try:
        return await download_below(request, services, location, SPANS_FILE)
    except ResourceDoesNotExist:
        raise ResourceDoesNotExist(f"Trace data not found for path={SPANS_FILE}") from None


def _check_attachment(path: str) -> None:
    try:
        is_uuid = str(uuid.UUID(path)) == path.lower()
    except ValueError:
        is_uuid = False
    if not is_uuid:
        raise InvalidParameterValue(f"Invalid attachment path: '{path[:100]}'. Attachment path must be a valid UUID.")


def _stored_spans(tx: Transaction, trace_id: str) -> bytes | None:
    infos = traces.get_trace_infos(tx, [trace_id])
    if not infos:
        raise ResourceDoesNotExist(f"Trace with ID {trace_id} is not found.")
    if not has_stored_spans(infos[0]):
        return None
    contents = traces.get_span_contents(tx, trace_id)
    return b'{"spans":[%s]}' % b",".join(content.encode() for content in contents)


def _artifact_location(tx: Transaction, trace_id: str) -> str:
    # Not from the trace's tag, which any client may set.
    _, experiment_id = traces.get_trace_key(tx, trace_id)
    return artifact_location(get_experiment(tx, experiment_id)["artifact_location"], trace_id)
