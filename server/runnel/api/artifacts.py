"""Endpoints of artifacts: through the server (``mlflow-artifacts:``) and of a run.

Files stream in chunks: a thread reads or writes one while the event loop goes on, and memory does not grow with the
file. Only places the server was configured with are ever opened, whatever URI a client has given a run.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from functools import partial
from typing import NotRequired, TypedDict, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.api.wire import RunId
from runnel.artifacts import locations
from runnel.artifacts.content_types import content_type, download_headers
from runnel.artifacts.store import ArtifactReader, ArtifactStore, FileInfo
from runnel.domain.errors import InvalidParameterValue, RequestTooLarge, TemporarilyUnavailable
from runnel.domain.runs import RunInfo
from runnel.store.runs import get_run_info

T = TypeVar("T")

CHUNK_BYTES = 1024 * 1024
# MLflow's limit of the endpoint by which its UI uploads; everything else goes through mlflow-artifacts.
MAX_UI_UPLOAD_BYTES = 10 * 1024 * 1024


class FileDict(TypedDict):
    path: str
    is_dir: bool
    file_size: NotRequired[int]


class FilesAnswer(TypedDict):
    root_uri: NotRequired[str]
    files: list[FileDict]


async def _in_thread(services: Services, function: Callable[..., T], *arguments: object) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(services.artifact_threads, partial(function, *arguments))


def _served_store(services: Services) -> ArtifactStore:
    if services.artifacts is None:
        raise TemporarilyUnavailable(
            "Artifacts are not served: the server runs with --no-serve-artifacts. Run it with --serve-artifacts."
        )
    return services.artifacts


# Through the server


async def list_artifacts(services: Services, path: str = "") -> FilesAnswer:
    """The entries of a folder below the artifacts destination, by their names."""
    entries = await _in_thread(services, _served_store(services).list, path)
    return {"files": [_file_dict(posixpath.basename(entry.path), entry) for entry in entries]}


async def download_artifact(request: Request, services: Services, artifact_path: str) -> Response:
    """A file below the artifacts destination, or the range of it that was asked for."""
    return await _download(request, services, _served_store(services), artifact_path)


async def upload_artifact(request: Request, services: Services, artifact_path: str) -> Empty:
    """Stores the body as a file below the artifacts destination: whole, or not at all."""
    await _upload(request, services, _served_store(services), artifact_path)
    return {}


async def delete_artifact(services: Services, artifact_path: str) -> Empty:
    """Removes a file or folder below the artifacts destination; never the destination itself."""
    await _in_thread(services, _served_store(services).delete, artifact_path)
    return {}


# Of a run


async def list_run_artifacts(services: Services, run_id: RunId, path: str = "", page_token: str = "") -> FilesAnswer:
    """The entries of a folder of a run's artifacts, by their paths within the run."""
    info = await services.database.read(lambda tx: get_run_info(tx, run_id))
    store, root = _store_of_run(services, info)
    entries = await _in_thread(services, store.list, _below(root, path))
    files = [_file_dict(entry.path[len(root) :].lstrip("/"), entry) for entry in entries]
    return {"root_uri": info["artifact_uri"], "files": files}


async def get_artifact(request: Request, services: Services, run_id: RunId, path: str) -> Response:
    """A file of a run's artifacts."""
    info = await services.database.read(lambda tx: get_run_info(tx, run_id))
    store, root = _store_of_run(services, info)
    return await _download(request, services, store, _below(root, path))


async def upload_run_artifact(request: Request, services: Services, run_uuid: str = "", path: str = "") -> Response:
    """Stores a body of at most 10 MB among a run's artifacts."""
    if not run_uuid:
        raise InvalidParameterValue("Request must specify run_uuid.")
    if not path:
        raise InvalidParameterValue("Request must specify path.")
    info = await services.database.read(lambda tx: get_run_info(tx, run_uuid))
    store, root = _store_of_run(services, info)
    size = await _upload(request, services, store, _below(root, path), MAX_UI_UPLOAD_BYTES, empty_is_error=True)
    return Response(status_code=200, media_type="application/json", headers={"X-Artifact-Size": str(size)})


def _store_of_run(services: Services, info: RunInfo) -> tuple[ArtifactStore, str]:
    """The store that holds a run's artifacts, and the path of the run in it."""
    uri = info["artifact_uri"]
    path = locations.proxied_path(uri)
    if path is not None:
        return _served_store(services), path.rstrip("/")
    if services.default_root_artifacts is not None:
        path = locations.path_below(services.settings.default_artifact_root, uri)
        if path is not None:
            return services.default_root_artifacts, path
    raise InvalidParameterValue(
        f"The artifacts of run {info['run_id']} are at {uri}, which this server does not serve. "
        "Clients that can reach it read them there."
    )


def _below(root: str, path: str) -> str:
    return f"{root}/{path}" if path else root


def _file_dict(path: str, entry: FileInfo) -> FileDict:
    shown: FileDict = {"path": path, "is_dir": entry.is_dir}
    if entry.file_size is not None:
        shown["file_size"] = entry.file_size
    return shown


# Streaming


async def _upload(
    request: Request,
    services: Services,
    store: ArtifactStore,
    path: str,
    limit: int | None = None,
    empty_is_error: bool = False,
) -> int:
    announced = request.headers.get("content-length", "")
    if limit is not None and announced.isdigit() and int(announced) > limit:
        raise RequestTooLarge(f"Artifact size is too large. Max size is {limit // 1024 // 1024}MB.")
    writer = await _in_thread(services, store.open_writer, path)
    size = 0
    buffer = bytearray()
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if limit is not None and size > limit:
                raise RequestTooLarge(f"Artifact size is too large. Max size is {limit // 1024 // 1024}MB.")
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                await _in_thread(services, writer.write, bytes(buffer))
                buffer.clear()
        if empty_is_error and size == 0:
            raise InvalidParameterValue("Request must specify data.")
        if announced.isdigit() and int(announced) != size:
            raise ClientDisconnect
        if buffer:
            await _in_thread(services, writer.write, bytes(buffer))
        await _in_thread(services, writer.commit)
    except BaseException:
        await asyncio.shield(_in_thread(services, writer.abort))
        raise
    return size


async def _download(request: Request, services: Services, store: ArtifactStore, path: str) -> Response:
    headers = download_headers(path)
    reader = await _in_thread(services, store.open_reader, path)
    headers |= {
        "Accept-Ranges": "bytes",
        "ETag": reader.etag,
        "Last-Modified": formatdate(reader.last_modified, usegmt=True),
        # An artifact may be replaced; a browser asks whether it was.
        "Cache-Control": "no-cache",
    }
    if request.headers.get("if-none-match") == reader.etag:
        await _in_thread(services, reader.close)
        return Response(status_code=304, headers=headers)
    span = None
    if "if-range" not in request.headers or request.headers["if-range"] == reader.etag:
        span = requested_range(request.headers.get("range", ""), reader.size)
    status, length = 200, reader.size
    if span is not None:
        start, length = span
        await _in_thread(services, reader.close)
        if length == 0:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{reader.size}"})
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{reader.size}"
        reader = await _in_thread(services, partial(store.open_reader, start=start, length=length), path)
        status = 206
    headers["Content-Length"] = str(length)
    headers["Content-Type"] = content_type(path)
    if request.method == "HEAD":
        await _in_thread(services, reader.close)
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_chunks(services, reader), status_code=status, headers=headers)


async def _chunks(services: Services, reader: ArtifactReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await _in_thread(services, reader.read, CHUNK_BYTES):
            yield chunk
    finally:
        await asyncio.shield(_in_thread(services, reader.close))


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and length of the one range a ``Range`` header asks for; length 0 where none of it exists.

    None for no header, another unit, several ranges or nonsense: then the whole file is the answer (RFC 9110, 14.2).
    """
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    digits = [part.isascii() and part.isdigit() and len(part) < 20 for part in (first, last)]
    if unit.strip().lower() != "bytes" or not dash:
        return None
    if digits == [True, True] and int(first) <= int(last):
        start, stop = int(first), min(int(last) + 1, size)
    elif digits == [True, False] and last == "":
        start, stop = int(first), size
    elif digits == [False, True] and first == "":
        start, stop = max(0, size - int(last)), size
    else:
        return None
    return start, max(0, stop - start)
