"""Endpoints by which clients reach artifacts in S3 without this server: uploads in parts, and presigned URLs.

Where the artifacts are in a folder, the answers are MLflow's for a store that cannot do this: its clients go on through
the server then.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TypedDict

from runnel.api.artifacts import join_path, served_store, store_of
from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.artifacts.store import ArtifactStore, RemoteArtifactStore, UploadedPart
from runnel.config import MAX_PRESIGNED_SECONDS
from runnel.domain.errors import InvalidParameterValue, NotImplementedByServer
from runnel.domain.validation import missing_value
from runnel.store.logged_models import get_active_model_ref
from runnel.store.runs import get_run_info
from runnel.store.statements import Transaction

MAX_PARTS = 10_000  # of S3
UPLOAD_URL_SECONDS = 900  # MLflow's

_PROXIED_SCHEMES = ("http", "https", "mlflow-artifacts")


class PartCredential(TypedDict):
    url: str
    part_number: int
    headers: dict[str, str]


class MultipartUploadAnswer(TypedDict):
    upload_id: str
    credentials: list[PartCredential]


class DownloadUrlAnswer(TypedDict):
    url: str
    headers: dict[str, str]
    file_size: int


class PresignedUploadAnswer(TypedDict):
    presigned_url: str
    headers: dict[str, str]


class PresignedDownloadAnswer(TypedDict):
    presigned_url: str
    headers: dict[str, str]
    file_size: int


# Of what is served through the server


async def create_multipart_upload(
    services: Services, artifact_path: str, path: str, num_parts: int = 1
) -> MultipartUploadAnswer:
    """Starts an upload of a file into a folder, and says where its parts go; ``path`` is the file on the client."""
    store = _remote(served_store(services), "Multipart upload")
    if not 1 <= num_parts <= MAX_PARTS:
        raise InvalidParameterValue(f"'num_parts' must be from 1 to {MAX_PARTS}, not {num_parts}")
    target = _target(artifact_path, path)
    upload = await services.artifact_threads.begin(store.create_multipart_upload, target, num_parts)
    credentials: list[PartCredential] = [
        {"url": request.url, "part_number": number, "headers": request.headers}
        for number, request in enumerate(upload.requests, start=1)
    ]
    return {"upload_id": upload.upload_id, "credentials": credentials}


async def complete_multipart_upload(
    services: Services, artifact_path: str, path: str, upload_id: str, parts: list[UploadedPart]
) -> Empty:
    """Makes one file of the parts that were sent."""
    store = _remote(served_store(services), "Multipart upload")
    if not 1 <= len(parts) <= MAX_PARTS:
        raise InvalidParameterValue(f"'parts' must be a list of 1 to {MAX_PARTS} parts, not of {len(parts)}")
    target = _target(artifact_path, path)
    await services.artifact_threads.begin(store.complete_multipart_upload, target, upload_id, parts)
    return {}


async def abort_multipart_upload(services: Services, artifact_path: str, path: str, upload_id: str) -> Empty:
    """Removes the parts of an upload that is given up."""
    store = _remote(served_store(services), "Multipart upload")
    await services.artifact_threads.begin(store.abort_multipart_upload, _target(artifact_path, path), upload_id)
    return {}


async def get_presigned_download_url(services: Services, artifact_path: str) -> DownloadUrlAnswer:
    """The URL from which a file can be read for some minutes, in ranges too."""
    store = _remote(served_store(services), "Multipart download")
    request, size = await services.artifact_threads.begin(store.presigned_download, artifact_path)
    return {"url": request.url, "headers": request.headers, "file_size": size}


# Of runs and models whose artifacts clients reach themselves


async def create_presigned_upload_url(
    services: Services, path: str, run_id: str = "", model_id: str = "", expiration: int = UPLOAD_URL_SECONDS
) -> PresignedUploadAnswer:
    """The URL to which a file of a run or of a logged model can be sent."""
    if bool(run_id) == bool(model_id):
        raise InvalidParameterValue("Exactly one of run_id and model_id must be provided.")
    _check_expiration(expiration)
    store, target = await _direct(services, "Presigned upload", run_id, model_id, path)
    request = await services.artifact_threads.begin(store.presigned_upload, target, expiration)
    return {"presigned_url": request.url, "headers": request.headers}


async def create_presigned_download_url(
    services: Services, run_id: str, path: str, expiration: int | None = None
) -> PresignedDownloadAnswer:
    """The URL from which a file of a run can be read."""
    if expiration is not None:
        _check_expiration(expiration)
    store, target = await _direct(services, "Presigned download", run_id, "", path)
    request, size = await services.artifact_threads.begin(store.presigned_download, target, expiration)
    return {"presigned_url": request.url, "headers": request.headers, "file_size": size}


async def _direct(
    services: Services, what: str, run_id: str, model_id: str, path: str
) -> tuple[RemoteArtifactStore, str]:
    """The store that holds a run's or a model's artifacts, and where ``path`` is in it."""

    def find_uri(tx: Transaction) -> str:
        if model_id:
            return get_active_model_ref(tx, model_id).artifact_location
        return get_run_info(tx, run_id)["artifact_uri"]

    uri = await services.database.read(find_uri)
    scheme = urllib.parse.urlsplit(uri).scheme
    if scheme in _PROXIED_SCHEMES:
        raise InvalidParameterValue(
            f"{what} is not supported for proxied artifact storage (artifact URI scheme: {scheme}). "
            "This endpoint requires a direct cloud storage artifact URI."
        )
    store, root = store_of(services, uri)
    return _remote(store, what), join_path(root, path)


def _remote(store: ArtifactStore, what: str) -> RemoteArtifactStore:
    if not isinstance(store, RemoteArtifactStore):
        # mlflow clients know this sentence, and send the file through the server.
        raise NotImplementedByServer(f"{what} is not supported for the current artifact repository")
    return store


def _target(artifact_path: str, local_path: str) -> str:
    """Where a client's file goes: into the folder, under its own name."""
    name = re.split(r"[/\\]", local_path)[-1]  # clients on Windows send their paths too
    if not name:
        raise InvalidParameterValue(missing_value("path"))
    return f"{artifact_path}/{name}"


def _check_expiration(seconds: int) -> None:
    if not 1 <= seconds <= MAX_PRESIGNED_SECONDS:
        raise InvalidParameterValue(
            f"expiration must be between 1 and {MAX_PRESIGNED_SECONDS} seconds (got {seconds})."
        )
