"""Endpoints about the server itself."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from runnel.api.readiness import OK
from runnel.api.services import Services
from runnel.artifacts.store import RemoteArtifactStore
from runnel.store.database import probe

# The MLflow version whose API is served. Clients decide by it what they may ask for.
MLFLOW_VERSION = "3.17.2"


async def health() -> Response:
    """Answers while the process does."""
    return PlainTextResponse("OK")


async def ready(services: Services) -> Response:
    """200 when the database answers and the artifact store can be used, else 503; what is wrong is named."""
    parts = {"database": lambda: _probe_database(services), "artifacts": lambda: _probe_artifacts(services)}
    answers = await asyncio.gather(*(services.readiness.of(part, ask) for part, ask in parts.items()))
    status = 200 if all(answer == OK for answer in answers) else 503
    return JSONResponse(dict(zip(parts, answers, strict=True)), status)


async def _probe_database(services: Services) -> None:
    await services.database.read(probe)
    if services.settings.read_replica_backend_store_uri:
        await services.database.write(probe)  # reads go to the replica


async def _probe_artifacts(services: Services) -> None:
    if services.artifacts is not None:  # with --no-serve-artifacts clients go to the store themselves
        await services.artifact_threads.begin(services.artifacts.probe)


async def version() -> Response:
    """The MLflow version whose API is served."""
    return PlainTextResponse(MLFLOW_VERSION)


async def get_server_info(services: Services) -> dict[str, Any]:
    """What the server can do, for clients of MLflow 3."""
    is_public = isinstance(services.artifacts, RemoteArtifactStore) and services.artifacts.is_public
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        # Whether clients may go where the artifacts of mlflow-artifacts: URIs are, without this server.
        "multipart_uploads_enabled": is_public,
        "multipart_downloads_enabled": is_public,
        # That the endpoint takes such requests; whether it can answer one depends on where the artifacts are.
        "presigned_upload_run_id_supported": True,
        "presigned_upload_model_id_supported": True,
        "features_enabled": {"gateway": False},
    }
