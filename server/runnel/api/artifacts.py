"""Endpoints of artifacts: through the server (``mlflow-artifacts:``) and of a run.

Files stream in chunks: a thread reads or writes one while the event loop goes on, and memory does not grow with the
file. Only places the server was configured with are ever opened, whatever URI a client has given a run.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator
from email.utils import formatdate
from functools import partial
from typing import Literal, NotRequired, TypedDict

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.api.wire import RunId
from runnel.artifacts import locations
from runnel.artifacts.content_types import content_type, download_headers
from runnel.artifacts.store import (
    ArtifactReader,
    ArtifactStore,
    FileInfo,
    RemoteArtifactStore,
    clean_artifact_path,
)
from runnel.domain.errors import InvalidParameterValue, RequestTooLarge, TemporarilyUnavailable
from runnel.store.runs import get_run_info

CHUNK_BYTES = 1024 * 1024
# MLflow's limit of the endpoint by which its UI uploads; everything else goes through mlflow-artifacts.
MAX_UI_UPLOAD_BYTES = 10 * 1024 * 1024
# How long an upload of more than a chunk to a remote store waits while others keep their parts in memory.
UPLOAD_SLOT_SECONDS = 30


class FileDict(TypedDict):
    path: str
    is_dir: bool
    file_size: NotRequired[int]


class FilesAnswer(TypedDict):
    root_uri: NotRequired[str]
    files: list[FileDict]


def served_store(services: Services) -> ArtifactStore:
    """The store at the artifacts destination; raises TemporarilyUnavailable with --no-serve-artifacts, as MLflow."""
    if services.artifacts is None:
        raise TemporarilyUnavailable(
            "Artifacts are not served: the server runs with --no-serve-artifacts. Run it with --serve-artifacts."
        )
    return services.artifacts


# Through the server


async def list_artifacts(services: Services, path: str = "") -> FilesAnswer:
    """The entries of a folder below the artifacts destination, by their names."""
    entries = await services.artifact_threads.begin(served_store(services).list, path)
    return {"files": [_file_dict(posixpath.basename(entry.path), entry) for entry in entries]}


async def download_artifact(request: Request, services: Services, artifact_path: str) -> Response:
    """A file below the artifacts destination, or the range of it that was asked for."""
    return await _download(request, services, served_store(services), artifact_path)


async def upload_artifact(request: Request, services: Services, artifact_path: str) -> Empty:
    """Stores the body as a file below the artifacts destination: whole, or not at all."""
    await _upload(request, services, served_store(services), artifact_path)
    return {}


async def delete_artifact(services: Services, artifact_path: str) -> Empty:
    """Removes a file or folder below the artifacts destination; never the destination itself."""
    await services.artifact_threads.begin(served_store(services).delete, artifact_path)
    return {}


# Of a run


async def list_run_artifacts(services: Services, run_id: RunId, path: str = "", page_token: str = "") -> FilesAnswer:
    """The entries of a folder of a run's artifacts, by their paths within the run."""
    info = await services.database.read(lambda tx: get_run_info(tx, run_id))
    return await list_below(services, info["artifact_uri"], path)


async def get_artifact(request: Request, services: Services, run_id: RunId, path: str) -> Response:
    """A file of a run's artifacts."""
    info = await services.database.read(lambda tx: get_run_info(tx, run_id))
    return await download_below(request, services, info["artifact_uri"], path)


async def upload_run_artifact(request: Request, services: Services, run_uuid: str = "", path: str = "") -> Response:
    """Stores a body of at most 10 MB among a run's artifacts."""
    if not run_uuid:
        raise InvalidParameterValue("Request must specify run_uuid.")
    if not path:
        raise InvalidParameterValue("Request must specify path.")
    info = await services.database.read(lambda tx: get_run_info(tx, run_uuid))
    store, root = store_of(services, info["artifact_uri"])
    size = await _upload(request, services, store, join_path(root, path), MAX_UI_UPLOAD_BYTES, empty_is_error=True)
    return Response(status_code=200, media_type="application/json", headers={"X-Artifact-Size": str(size)})


# Of whatever has an artifact URI


async def list_below(services: Services, uri: str, path: str) -> FilesAnswer:
    """The entries of a folder below an artifact URI, by their paths below it."""
    store, root = store_of(services, uri)
    entries = await services.artifact_threads.begin(store.list, join_path(root, path))
    files = [_file_dict(entry.path[len(root) :].lstrip("/"), entry) for entry in entries]
    return {"root_uri": uri, "files": files}


async def download_below(request: Request, services: Services, uri: str, path: str) -> Response:
    """A file below an artifact URI."""
    store, root = store_of(services, uri)
    return await _download(request, services, store, join_path(root, path))


def store_of(services: Services, uri: str) -> tuple[ArtifactStore, str]:
    """The store that holds what is at an artifact URI, and its path there; only this server's own places are opened."""
    path = locations.proxied_path(uri)
    if path is not None:
        return served_store(services), path.rstrip("/")
    settings = services.settings
    for root_uri, store in (
        (settings.artifacts_destination, services.artifacts),
        (settings.default_artifact_root, services.default_root_artifacts),
    ):
        path = locations.path_below(root_uri, uri) if store is not None else None
        if store is not None and path is not None:
            return store, path
    raise InvalidParameterValue(
        f"The artifacts are at {uri}, which this server does not serve. Clients that can reach it read them there."
    )


def join_path(root: str, path: str) -> str:
    """The path in a store of ``path`` below ``root``; an absolute path is refused, which joining would hide."""
    clean_artifact_path(path)
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
    writer = await services.artifact_threads.begin(store.open_writer, path)
    size = 0
    buffer = bytearray()
    holds_slot = False
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if limit is not None and size > limit:
                raise RequestTooLarge(f"Artifact size is too large. Max size is {limit // 1024 // 1024}MB.")
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                if isinstance(store, RemoteArtifactStore) and not holds_slot:
                    holds_slot = await _take_upload_slot(services)
                await services.artifact_threads.run(writer.write, buffer)
                buffer = bytearray()
        if empty_is_error and size == 0:
            raise InvalidParameterValue("Request must specify data.")
        if announced.isdigit() and int(announced) != size:
            raise ClientDisconnect
        if buffer:
            await services.artifact_threads.run(writer.write, buffer)
        await services.artifact_threads.run(writer.commit)
    except BaseException:
        await asyncio.shield(services.artifact_threads.run(writer.abort))
        raise
    finally:
        if holds_slot:
            services.upload_slots.release()
    return size


async def _take_upload_slot(services: Services) -> Literal[True]:
    """Waits until few enough uploads keep a part in memory; the client's bytes wait on its side meanwhile."""
    try:
        async with asyncio.timeout(UPLOAD_SLOT_SECONDS):
            return await services.upload_slots.acquire()
    except TimeoutError:
        raise TemporarilyUnavailable("Too many large uploads are under way; try again later") from None


async def _download(request: Request, services: Services, store: ArtifactStore, path: str) -> Response:
    headers = download_headers(path)
    reader = await services.artifact_threads.begin(store.open_reader, path)
    headers |= {
        "Accept-Ranges": "bytes",
        "ETag": reader.etag,
        "Last-Modified": formatdate(reader.last_modified, usegmt=True),
        # An artifact may be replaced; a browser asks whether it was.
        "Cache-Control": "no-cache",
    }
    if request.headers.get("if-none-match") == reader.etag:
        await services.artifact_threads.run(reader.close)
        return Response(status_code=304, headers=headers)
    span = None
    if "if-range" not in request.headers or request.headers["if-range"] == reader.etag:
        span = requested_range(request.headers.get("range", ""), reader.size)
    status, length = 200, reader.size
    if span is not None:
        start, length = span
        await services.artifact_threads.run(reader.close)
        if length == 0:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{reader.size}"})
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{reader.size}"
        reader = await services.artifact_threads.begin(partial(store.open_reader, start=start, length=length), path)
        status = 206
    headers["Content-Length"] = str(length)
    headers["Content-Type"] = content_type(path)
    if request.method == "HEAD":
        await services.artifact_threads.run(reader.close)
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_chunks(services, reader), status_code=status, headers=headers)


async def _chunks(services: Services, reader: ArtifactReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await services.artifact_threads.run(reader.read, CHUNK_BYTES):
            yield chunk
    finally:
        await asyncio.shield(services.artifact_threads.run(reader.close))


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
