"""Endpoints about the server itself."""

from __future__ import annotations

from typing import Any

from starlette.responses import PlainTextResponse, Response

from runnel.api.services import Services

# The MLflow version whose API is served. Clients decide by it what they may ask for.
MLFLOW_VERSION = "3.17.2"


async def health() -> Response:
    """Answers while the process does."""
    return PlainTextResponse("OK")


async def version() -> Response:
    """The MLflow version whose API is served."""
    return PlainTextResponse(MLFLOW_VERSION)


async def get_server_info(services: Services) -> dict[str, Any]:
    """What the server can do, for clients of MLflow 3."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }
