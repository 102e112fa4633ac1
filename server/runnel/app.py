"""The composition root: settings become a database, an artifact store and an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from runnel.access_log import AccessLog
from runnel.api.artifact_threads import ArtifactThreads
from runnel.api.request_bodies import BodyMemory
from runnel.api.routes import ROUTES
from runnel.api.routing import Dispatcher
from runnel.api.services import Services
from runnel.api.span_intake import SpanIntake
from runnel.artifacts import locations
from runnel.artifacts.destinations import open_store
from runnel.artifacts.s3 import S3Settings
from runnel.artifacts.store import RemoteArtifactStore
from runnel.config import Settings, s3_arguments
from runnel.domain.errors import MlflowError
from runnel.domain.experiments import DEFAULT_EXPERIMENT_ID
from runnel.domain.model_prices import NO_PRICES, ModelPrices, parse_model_prices
from runnel.log import LOG, configure_logging
from runnel.security import DEFAULT_ALLOWED_HOSTS, SecuritySettings, secure
from runnel.store.database import Database, open_database
from runnel.store.experiments import create_default_experiment
from runnel.viewer.application import Viewer
from runnel.viewer.routes import COMPONENTS, PAGES
from runnel.webhooks.service import Webhooks

logger = logging.getLogger("runnel")

# Each of these keeps a part of 8 MiB in memory.
MAX_LARGE_UPLOADS = 16


def open_services(settings: Settings) -> Services:
    """The parts of a server, not started yet. Raises ValueError where a setting names something unusable."""
    root = settings.default_artifact_root
    has_own_root = locations.proxied_path(root) is None and (locations.is_local(root) or locations.is_s3(root))
    s3 = S3Settings(**s3_arguments())
    database = open_database(
        settings.backend_store_uri, settings.database_pool_size, settings.read_replica_backend_store_uri
    )
    return Services(
        settings=settings,
        bodies=BodyMemory(settings.max_request_bytes),
        database=database,
        artifacts=open_store(settings.artifacts_destination, s3) if settings.serve_artifacts else None,
        default_root_artifacts=open_store(root, s3) if has_own_root else None,
        artifact_threads=ArtifactThreads(),
        upload_slots=asyncio.Semaphore(MAX_LARGE_UPLOADS),
        span_intake=SpanIntake(_model_prices(settings.model_prices)),
        webhooks=Webhooks(settings, database),
    )


def _model_prices(file: str | None) -> ModelPrices:
    """The prices in a file; ValueError that names the setting where it cannot be used."""
    if file is None:
        return NO_PRICES
    try:
        prices = parse_model_prices(Path(file).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--model-prices {file}: {error}") from None
    logger.info("Costs of traces are worked out by the prices of %d models in %s", len(prices), file)
    return prices


def create_app(settings: Settings, *, check_artifacts: bool = False) -> ASGIApp:
    """The ASGI application. Raises ValueError where a setting is wrong.

    ``check_artifacts``: a remote artifacts destination is tried; raises StoreUnusable.
    """
    services = open_services(settings)
    if check_artifacts and isinstance(services.artifacts, RemoteArtifactStore):
        services.artifacts.check()
    app: ASGIApp = Dispatcher(ROUTES, services)
    if settings.viewer:
        app = Viewer(app, [*PAGES, *(COMPONENTS if settings.viewer_components else [])], services)
    if settings.expose_prometheus:
        from runnel.prometheus import PrometheusLayer

        app = PrometheusLayer(app, settings.expose_prometheus, settings.static_prefix)
    allowed_hosts = settings.allowed_hosts or (*DEFAULT_ALLOWED_HOSTS, settings.host)
    security = SecuritySettings(
        allowed_hosts=allowed_hosts,
        cors_allowed_origins=settings.cors_allowed_origins,
        x_frame_options=settings.x_frame_options,
        enabled=settings.security_enabled,
        static_prefix=settings.static_prefix,
    )
    access_log = AccessLog(secure(app, security), settings.log_format)
    return Application(access_log, services)


def create_worker_app() -> ASGIApp:
    """The application of a worker process, which finds its settings in the environment."""
    settings = Settings.from_worker_environment()
    configure_logging(settings.log_format)
    return create_app(settings)


class Application:
    """Starts the services when the server starts, and lets them finish when it stops."""

    def __init__(self, access_log: AccessLog, services: Services) -> None:
        self._app = access_log
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:  # a websocket: there is none
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            if not isinstance(error, MlflowError):  # which says what is wrong, and uvicorn logs it
                logger.exception("The server could not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._services.webhooks.drain()
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        database: Database = self._services.database
        database.start()
        self._services.webhooks.start()
        root = self._services.settings.default_artifact_root
        location = locations.resolve_local_location(
            locations.experiment_artifact_location(root, str(DEFAULT_EXPERIMENT_ID))
        )
        await database.write(lambda tx: create_default_experiment(tx, location))

    def _close(self) -> None:
        self._services.webhooks.close()
        self._services.database.close()
        self._services.artifact_threads.shutdown()
        LOG.flush()
