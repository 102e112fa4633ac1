"""Running the application under uvicorn, in this process or in several."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click
import uvicorn

from runnel.app import create_app
from runnel.artifacts.locations import is_s3
from runnel.config import Settings
from runnel.http_protocol import BoundedHttpProtocol
from runnel.log import configure_logging
from runnel.store.database import database_name

# Idle connections stay open longer than the clients' pools keep them, so that none is closed under a request.
KEEP_ALIVE_SECONDS = 75
GRACEFUL_SHUTDOWN_SECONDS = 30
MAX_OPEN_FILES = 65_536


def serve(settings: Settings) -> None:
    """Serves until a signal says stop; then finishes what has been accepted. ValueError where a setting is wrong."""
    configure_logging(settings.log_format)
    _allow_many_connections()
    # uvicorn raises the signal that stopped it again when all is done: a stop that was asked for is no failure.
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: sys.exit(0))
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "access_log": False,
        "log_config": None,
        "http": BoundedHttpProtocol,
        "ws": "none",
        "lifespan": "on",
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": GRACEFUL_SHUTDOWN_SECONDS,
    }
    if settings.workers == 1:
        config = uvicorn.Config(create_app(settings, check_artifacts=True), **options)
        listener = _listen(settings.host, settings.port)
        say_where(settings, *listener.getsockname()[:2])
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            sys.exit(1)
        return
    create_app(settings, check_artifacts=True)  # a wrong setting is an error here, not in every worker again and again
    settings.to_worker_environment()
    if settings.port == 0:
        raise ValueError("--workers: several processes need a --port that is named, not 0")
    _listen(settings.host, settings.port).close()  # a port that is taken is an error here too
    say_where(settings, settings.host, settings.port)
    uvicorn.run("runnel.app:create_worker_app", factory=True, workers=settings.workers, **options)


def _allow_many_connections() -> None:
    """Raises the number of files, and so of connections, that the process may open; systems start it with few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise click.ClickException(
            f"The server cannot listen on {host}:{port}: {error.strerror}. Name another --port or --host."
        ) from error
    return listener


def say_where(settings: Settings, host: str, port: int) -> None:
    """Prints where the data lives, and the line to paste into a client."""
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.static_prefix}"
    lines = [
        f"Runnel listens on {address}",
        f"  database   {database_name(settings.backend_store_uri)}",
    ]
    if settings.serve_artifacts:
        lines.append(f"  artifacts  {_shown_destination(settings.artifacts_destination)}")
    if not settings.default_artifact_root.startswith("mlflow-artifacts:"):
        lines.append(f"  new experiments keep theirs at {settings.default_artifact_root}")
    lines += ["In a client:", f"  export MLFLOW_TRACKING_URI={address}"]
    click.echo("\n".join(lines), err=True)


def _shown_destination(destination: str) -> str:
    return destination if is_s3(destination) else str(Path(destination.removeprefix("file://")).resolve())
