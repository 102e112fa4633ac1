"""The settings of a server: one frozen object, and the only place that reads flags and environment variables.

Flags, variables and defaults are those of ``mlflow server`` where it has them; Runnel's own variables begin with
RUNNEL_.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import click

DEFAULT_BACKEND_STORE_URI = "sqlite:///mlflow.db"
DEFAULT_ARTIFACTS_DESTINATION = "./mlartifacts"
PROXIED_ARTIFACT_ROOT = "mlflow-artifacts:/"
MAX_PRESIGNED_SECONDS = 7 * 24 * 60 * 60  # S3 refuses URLs that are to be valid for longer

# How settings travel from the process that was started to its worker processes.
_WORKER_SETTINGS = "RUNNEL_WORKER_SETTINGS"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the flags and variables say; see ``OPTIONS`` for what each means."""

    backend_store_uri: str = DEFAULT_BACKEND_STORE_URI
    read_replica_backend_store_uri: str | None = None
    database_pool_size: int = 10
    upgrade_db: bool = False
    default_artifact_root: str = PROXIED_ARTIFACT_ROOT
    serve_artifacts: bool = True
    artifacts_destination: str = DEFAULT_ARTIFACTS_DESTINATION
    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 1
    static_prefix: str = ""
    allowed_hosts: tuple[str, ...] | None = None
    cors_allowed_origins: tuple[str, ...] = ()
    x_frame_options: str = "SAMEORIGIN"
    security_enabled: bool = True
    expose_prometheus: str | None = None
    log_format: Literal["text", "json"] = "text"
    max_request_bytes: int = 64 * 1024 * 1024
    trace_experiment_id: str | None = None
    model_prices: str | None = None
    webhook_allowed_schemes: tuple[str, ...] = ("https",)
    webhook_allow_private_ips: bool = False
    webhook_secret_encryption_key: str | None = field(default=None, repr=False)
    webhook_request_timeout: int = 30
    webhook_request_max_retries: int = 3
    webhook_delivery_max_workers: int = 10
    viewer: bool = True
    viewer_components: bool = False

    def to_worker_environment(self) -> None:
        """Leaves the settings where the worker processes of this one find them."""
        os.environ[_WORKER_SETTINGS] = json.dumps(asdict(self))

    @classmethod
    def from_worker_environment(cls) -> Settings:
        """The settings that the starting process left."""
        values = json.loads(os.environ[_WORKER_SETTINGS])
        if values["allowed_hosts"] is not None:
            values["allowed_hosts"] = tuple(values["allowed_hosts"])
        for name in ("cors_allowed_origins", "webhook_allowed_schemes"):
            values[name] = tuple(values[name])
        return cls(**values)


class CommaSeparated(click.ParamType[tuple[str, ...]]):
    """A list in one text, as ``a,b``."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(item.strip() for item in value.split(",") if item.strip())


_POSTGRESQL_URI = re.compile(r"postgres(ql)?(\+\w+)?://")


def _backend_store_uri(_: click.Context, __: click.Parameter, value: str) -> str:
    file = value.removeprefix("sqlite:///").split("?", 1)[0]
    if _POSTGRESQL_URI.match(value) or (value.startswith("sqlite:///") and file not in ("", ":memory:")):
        return value
    raise click.BadParameter(
        f"'{value.split(':', 1)[0]}' is not supported; give sqlite:///relative/path, sqlite:////absolute/path or "
        "postgresql://user:password@host/database."
    )


def _replica_uri(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value and not _POSTGRESQL_URI.match(value):
        raise click.BadParameter("only a PostgreSQL database has replicas: postgresql://user:password@host/database.")
    return value


def _webhook_schemes(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    schemes = tuple(scheme.lower() for scheme in value)
    if not schemes or not set(schemes) <= {"http", "https"}:
        raise click.BadParameter("give https, http, or both with a comma between them.")
    return schemes


def _encryption_key(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    with contextlib.suppress(ValueError):
        if not value or len(base64.b64decode(value, altchars=b"-_", validate=True)) == 32:
            return value or None
    raise click.BadParameter("it must be 32 bytes in URL-safe base64, as Fernet.generate_key() makes it.")


def _static_prefix(_: click.Context, __: click.Parameter, value: str | None) -> str:
    if value and (not value.startswith("/") or value.endswith("/")):
        raise click.BadParameter("it must begin with a '/' and not end with one.")
    return value or ""


def database_option() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The flag that names the database; all commands have it."""
    return click.option(
        "--backend-store-uri",
        envvar="MLFLOW_BACKEND_STORE_URI",
        default=DEFAULT_BACKEND_STORE_URI,
        show_default=True,
        callback=_backend_store_uri,
        help="The database: sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host/name.",
    )


OPTIONS: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
    database_option(),
    click.option(
        "--read-replica-backend-store-uri",
        envvar="MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
        callback=_replica_uri,
        help="A replica of a PostgreSQL database that queries go to.",
    ),
    click.option(
        "--database-pool-size",
        envvar=["RUNNEL_DATABASE_POOL_SIZE", "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"],
        default=10,
        show_default=True,
        type=click.IntRange(1, 1000),
        help="How many connections to PostgreSQL a process has at most.",
    ),
    click.option(
        "--upgrade-db",
        envvar="RUNNEL_UPGRADE_DB",
        is_flag=True,
        help="Upgrade the schema of an older PostgreSQL database at the start (a SQLite file always is).",
    ),
    click.option(
        "--default-artifact-root",
        envvar="MLFLOW_DEFAULT_ARTIFACT_ROOT",
        help="Where artifacts of new experiments go; clients reach s3://bucket/prefix themselves. Default: "
        "mlflow-artifacts:/, which is served through this server, or ./mlruns with --no-serve-artifacts.",
    ),
    click.option(
        "--serve-artifacts/--no-serve-artifacts",
        envvar="MLFLOW_SERVE_ARTIFACTS",
        default=True,
        show_default=True,
        help="Serve mlflow-artifacts: URIs from the artifacts destination.",
    ),
    click.option(
        "--artifacts-destination",
        envvar="MLFLOW_ARTIFACTS_DESTINATION",
        default=DEFAULT_ARTIFACTS_DESTINATION,
        show_default=True,
        help="The folder, or s3://bucket/prefix, where artifacts that go through this server are kept.",
    ),
    click.option(
        "--host",
        "-h",
        envvar="MLFLOW_HOST",
        default="127.0.0.1",
        show_default=True,
        help="The address to listen on; 0.0.0.0 for all.",
    ),
    click.option(
        "--port",
        "-p",
        envvar="MLFLOW_PORT",
        default=5000,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="The port to listen on.",
    ),
    click.option(
        "--workers",
        "-w",
        envvar="MLFLOW_WORKERS",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        help="How many server processes share the port.",
    ),
    click.option(
        "--static-prefix",
        envvar="MLFLOW_STATIC_PREFIX",
        callback=_static_prefix,
        help="A path below which everything answers too, as /mlflow behind a reverse proxy.",
    ),
    click.option(
        "--allowed-hosts",
        envvar="MLFLOW_SERVER_ALLOWED_HOSTS",
        type=CommaSeparated(),
        help="Hosts by which clients may call the server, comma-separated, * as wildcard. Default: this machine and "
        "private addresses.",
    ),
    click.option(
        "--cors-allowed-origins",
        envvar="MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
        type=CommaSeparated(),
        default="",
        help="Origins of other web pages that may call the server, comma-separated. Default: those on localhost.",
    ),
    click.option(
        "--x-frame-options",
        envvar="MLFLOW_SERVER_X_FRAME_OPTIONS",
        default="SAMEORIGIN",
        show_default=True,
        help="The X-Frame-Options header: SAMEORIGIN, DENY or NONE.",
    ),
    click.option(
        "--disable-security-middleware",
        envvar="MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
        is_flag=True,
        help="Do without the checks of Host and Origin and the security headers.",
    ),
    click.option(
        "--expose-prometheus",
        envvar="MLFLOW_EXPOSE_PROMETHEUS",
        help="Serve metrics at /metrics; the value is a folder in which the worker processes add up theirs.",
    ),
    click.option(
        "--log-format",
        envvar="RUNNEL_LOG_FORMAT",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="The form of the log lines.",
    ),
    click.option(
        "--max-request-bytes",
        envvar="RUNNEL_MAX_REQUEST_BYTES",
        type=click.IntRange(1024),
        default=64 * 1024 * 1024,
        show_default=True,
        help="The largest body of a request, uploads of artifacts excepted.",
    ),
    click.option(
        "--trace-experiment-id",
        envvar="RUNNEL_TRACE_EXPERIMENT_ID",
        help="The experiment of spans that come to /v1/traces without the header x-mlflow-experiment-id.",
    ),
    click.option(
        "--model-prices",
        envvar="RUNNEL_MODEL_PRICES",
        type=click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True),
        help="A file of prices by which the cost of spans that say none is worked out, in the form of litellm's "
        "model_prices_and_context_window.json. Default: no prices, costs are those that clients send.",
    ),
    click.option(
        "--webhook-allowed-schemes",
        envvar="MLFLOW_WEBHOOK_ALLOWED_SCHEMES",
        type=CommaSeparated(),
        default="https",
        show_default=True,
        callback=_webhook_schemes,
        help="The schemes of webhooks' URLs: https, http, or both.",
    ),
    click.option(
        "--webhook-allow-private-ips",
        envvar="MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",
        is_flag=True,
        help="Let webhooks reach this machine and private addresses, not only public ones.",
    ),
    click.option(
        "--webhook-secret-encryption-key",
        envvar="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
        callback=_encryption_key,
        help="The key that webhooks' secrets are encrypted with, 32 bytes in URL-safe base64; rather as a variable, as "
        "others on the machine see flags. Default: none, and webhooks cannot have secrets.",
    ),
    click.option(
        "--webhook-request-timeout",
        envvar="MLFLOW_WEBHOOK_REQUEST_TIMEOUT",
        default=30,
        show_default=True,
        type=click.IntRange(1, 300),
        help="How many seconds a webhook's receiver may take to answer.",
    ),
    click.option(
        "--webhook-request-max-retries",
        envvar="MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",
        default=3,
        show_default=True,
        type=click.IntRange(0, 20),
        help="How often a webhook is tried again when its receiver is away, or answers 429, 500, 502, 503 or 504.",
    ),
    click.option(
        "--webhook-delivery-max-workers",
        envvar="MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS",
        default=10,
        show_default=True,
        type=click.IntRange(1, 100),
        help="How many webhooks a process delivers at the same time.",
    ),
    click.option(
        "--viewer/--no-viewer",
        envvar="RUNNEL_VIEWER",
        default=True,
        show_default=True,
        help="Serve the pages for the browser.",
    ),
    # For those who build pages: see CONTRIBUTING.md.
    click.option("--viewer-components", is_flag=True, hidden=True, help="Serve the sheet of components of the pages."),
]


def settings_from_flags(flags: Mapping[str, Any]) -> Settings:
    """The settings that parsed flags (and the variables behind them) stand for."""
    values = dict(flags)
    values["security_enabled"] = not values.pop("disable_security_middleware")
    if values["default_artifact_root"] is None:
        values["default_artifact_root"] = PROXIED_ARTIFACT_ROOT if values["serve_artifacts"] else "./mlruns"
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})


def s3_arguments() -> dict[str, Any]:
    """How S3 is reached, by the variables that MLflow has for it; ValueError where one is wrong.

    They are the arguments of ``S3Settings``. Credentials and the rest of ``AWS_*`` are boto3's to read.
    """
    checksums = ("when_required", "when_supported")
    return dict(
        endpoint_url=_endpoint_url("MLFLOW_S3_ENDPOINT_URL")
        or _endpoint_url("AWS_ENDPOINT_URL_S3")
        or _endpoint_url("AWS_ENDPOINT_URL"),
        public_endpoint_url=_endpoint_url("RUNNEL_S3_PUBLIC_ENDPOINT_URL"),
        # AWS_REGION is what other programs of AWS read; boto3 does not.
        region=os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or None,
        ignore_tls=_one_of("MLFLOW_S3_IGNORE_TLS", ("false", "0", "true", "1")) in ("true", "1"),
        addressing_style=_one_of("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", ("auto", "path", "virtual")),
        upload_extra_args=_json_object("MLFLOW_S3_UPLOAD_EXTRA_ARGS"),
        expected_bucket_owner=os.environ.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER") or None,
        request_checksums=_one_of("AWS_REQUEST_CHECKSUM_CALCULATION", checksums),
        response_checksums=_one_of("AWS_RESPONSE_CHECKSUM_VALIDATION", checksums),
        download_url_seconds=_seconds("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", 300, MAX_PRESIGNED_SECONDS),
    )


def _endpoint_url(variable: str) -> str | None:
    text = os.environ.get(variable) or None
    if text is not None and not text.lower().startswith(("http://", "https://")):
        raise ValueError(f"{variable} must be a URL that begins with http:// or https://, not '{text}'")
    return text


def _one_of(variable: str, values: tuple[str, ...]) -> str:
    """A value in lower case; the first one where the variable is not set."""
    text = (os.environ.get(variable) or values[0]).lower()
    if text not in values:
        raise ValueError(f"{variable} must be one of {', '.join(values)}, not '{text}'")
    return text


def _json_object(variable: str) -> dict[str, Any]:
    try:
        value = json.loads(os.environ.get(variable) or "{}")
    except ValueError as error:
        raise ValueError(f"{variable} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f'{variable} must be a JSON object, as {{"ServerSideEncryption": "aws:kms"}}')
    return value


def _seconds(variable: str, default: int, most: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise ValueError(f"{variable} must be a number of seconds from 1 to {most}, not '{text}'")
    return int(text)
