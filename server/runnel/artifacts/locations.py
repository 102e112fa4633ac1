"""Artifact URIs: where an experiment's and a run's artifacts are said to be, and which of them this server serves."""

from __future__ import annotations

import posixpath
import urllib.parse
import urllib.request
from collections.abc import Collection
from pathlib import Path

from runnel.domain.errors import InvalidParameterValue

MAX_ARTIFACT_LOCATION_LENGTH = 2048  # MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH, in characters

# Schemes whose URI names the host to connect to: a server that followed one would connect wherever a client wants
# (mlflow/store/artifact/host_policy.py 3.17, GHSA-mr9f-g8qf-4w4j).
_HOST_ADDRESSED_SCHEMES = frozenset(
    {"ftp", "sftp", "hdfs", "viewfs", "http", "https", "mlflow-artifacts", "r2", "b2", "abfss"}
)
# Schemes that reach the same service are compared as one.
_SAME_SERVICE = {"viewfs": "hdfs", "https": "http", "mlflow-artifacts": "http"}
# Where a URI without a port goes. Hadoop's ports come from a configuration that cannot be read here; an
# mlflow-artifacts URI takes its client's protocol.
_DEFAULT_PORTS: dict[str, tuple[int, ...]] = {
    "ftp": (21,),
    "sftp": (22,),
    "http": (80,),
    "https": (443,),
    "mlflow-artifacts": (80, 443),
    "r2": (443,),
    "b2": (443,),
    "abfss": (443,),
}
_PROXY_ROUTE = "/api/2.0/mlflow-artifacts/artifacts/"
_MAX_DECODINGS = 10


def experiment_artifact_location(root_uri: str, experiment_id: str) -> str:
    """Where a new experiment's artifacts go, below the server's default artifact root."""
    return append_to_uri_path(root_uri, experiment_id)


def run_artifact_uri(experiment_location: str, run_id: str) -> str:
    """Where a run's artifacts go, below its experiment's location."""
    return append_to_uri_path(experiment_location, run_id, "artifacts")


def append_to_uri_path(uri: str, *names: str) -> str:
    """The URI or path ``uri`` with ``names`` appended to its path; a query stays behind the path.

    Raises InvalidParameterValue when the query holds ``..``, which could turn into a part of the path.
    """
    parts = urllib.parse.urlsplit(uri)
    _check_query(parts.query)
    suffix = "/".join(name.strip("/") for name in names)
    if not parts.scheme:
        return posixpath.join(uri, suffix)
    longer = parts._replace(path=posixpath.join(parts.path, suffix))
    if parts.path.startswith("/"):
        return urllib.parse.urlunsplit(longer)
    # urlunsplit would make an absolute path of file:folder/name.
    return f"{parts.scheme}:{urllib.parse.urlunsplit(longer._replace(scheme=''))}"


def validate_artifact_location(
    uri: str,
    *,
    trusted_uris: Collection[str] = (),
    allowed_schemes: Collection[str] = (),
    max_length: int = MAX_ARTIFACT_LOCATION_LENGTH,
) -> None:
    """Refuses what MLflow refuses as an experiment's ``artifact_location``.

    A URI that names a host to connect to is only accepted for a host of ``trusted_uris`` (the server's own artifact
    root and destination) or with one of ``allowed_schemes`` (MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES).
    A local path is accepted, as in MLflow: clients on the same machine write to it themselves.
    """
    if len(uri) > max_length:
        raise InvalidParameterValue(
            "Invalid artifact path length. The length of the artifact path cannot be "
            f"greater than {max_length} characters. To configure this limit, please set the "
            "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable."
        )
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in uri):
        raise InvalidParameterValue("'artifact_location' can't include control characters.")
    try:
        parts = urllib.parse.urlparse(uri)
    except ValueError:
        raise InvalidParameterValue(f"'artifact_location' is not a valid URI: '{uri}'") from None
    if parts.fragment or parts.params:
        raise InvalidParameterValue("'artifact_location' URL can't include fragments or params.")
    _check_query(parts.query)
    check_named_host("artifact_location", uri, trusted_uris, allowed_schemes)
    if parts.scheme == "runs":
        raise InvalidParameterValue(f"Artifact location cannot be a runs:/ URI. Given: '{uri}'")


def check_named_host(
    field: str, uri: str, trusted_uris: Collection[str] = (), allowed_schemes: Collection[str] = ()
) -> None:
    """Refuses a URI that names a host to connect to, unless it is one of ``trusted_uris`` or its scheme is allowed."""
    if _names_a_foreign_host(uri, trusted_uris, allowed_schemes):
        scheme = urllib.parse.urlsplit(uri).scheme
        raise InvalidParameterValue(
            f"'{field}' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host "
            "other than the tracking server's configured artifact storage, so the server would connect to the host "
            "named in the URI. Set the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the "
            "server to allow it."
        )


def resolve_local_location(uri: str) -> str:
    """A relative local path or file URI made absolute against the working directory; any other URI as it is.

    Raises InvalidParameterValue for a file URI of another host.
    """
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return uri
    host = parts.hostname or ""
    if parts.scheme == "file" and host not in ("", ".") and not host.startswith(("localhost", "127.0.0.1")):
        raise InvalidParameterValue(
            f"{uri} is not a valid remote uri. For remote access on windows, please consider using a different scheme "
            "such as SMB (e.g. smb://<hostname>/<path>)."
        )
    path = urllib.request.url2pathname(parts.path if parts.scheme else uri)
    if posixpath.isabs(path):
        return uri
    absolute = Path.cwd().joinpath(path).as_posix()
    if not parts.scheme:
        return absolute
    return urllib.parse.urlunsplit(("file", "", absolute, parts.query, parts.fragment))


def proxied_path(artifact_uri: str) -> str | None:
    """The path below the artifacts destination that a URI served through this server stands for; None for others.

    Percent escapes are decoded once, as they are on the way of a client's request for the same URI. The path is the
    client's: the store checks it.
    """
    try:
        parts = urllib.parse.urlsplit(artifact_uri)
    except ValueError:
        return None
    if parts.scheme == "mlflow-artifacts":
        path = parts.path
    elif parts.scheme in ("http", "https") and _PROXY_ROUTE in parts.path:
        path = parts.path.partition(_PROXY_ROUTE)[2]
    else:
        return None
    return urllib.parse.unquote(path).lstrip("/")


def _check_query(query: str) -> None:
    for _ in range(_MAX_DECODINGS):
        if ".." in query:
            break
        decoded = urllib.parse.unquote(query)
        if decoded == query:
            return
        query = decoded
    raise InvalidParameterValue("Invalid query string")


def _names_a_foreign_host(uri: str, trusted_uris: Collection[str], allowed_schemes: Collection[str]) -> bool:
    if urllib.parse.urlsplit(uri).scheme in allowed_schemes:
        return False
    targets = _targets(uri)
    return targets is not None and not any(targets & (_targets(trusted) or set()) for trusted in trusted_uris)


def _targets(uri: str) -> set[tuple[str, str, int | None]] | None:
    """The (service, host, port) triples a URI may lead to; None when it names no host, empty when it is malformed."""
    parts = urllib.parse.urlsplit(uri)
    scheme = parts.scheme
    if scheme not in _HOST_ADDRESSED_SCHEMES or (scheme == "mlflow-artifacts" and not parts.netloc):
        return None
    # HTTP clients end the host at a backslash where urlsplit does not: such a host is nobody's.
    if "\\" in parts.netloc or any(character.isspace() for character in parts.netloc):
        return set()
    try:
        port = parts.port
    except ValueError:
        return set()
    # A missing host is one as well: ftp:///path is on this machine.
    host = parts.hostname or ""
    ports = (port,) if port is not None else _DEFAULT_PORTS.get(scheme, (None,))
    return {(_SAME_SERVICE.get(scheme, scheme), host, port) for port in ports}


def is_local(uri: str) -> bool:
    """Whether a URI is a path or file URI of this machine."""
    return urllib.parse.urlsplit(uri).scheme in ("", "file")


def is_s3(uri: str) -> bool:
    """Whether a URI names a place in S3."""
    return urllib.parse.urlsplit(uri).scheme == "s3"


def path_below(root_uri: str, artifact_uri: str) -> str | None:
    """The path of ``artifact_uri`` below ``root_uri``, both local or both in S3; None when it lies elsewhere.

    The path is the client's: the store checks it.
    """
    if is_s3(root_uri) and is_s3(artifact_uri):
        return _key_below(root_uri, artifact_uri)
    if not (is_local(root_uri) and is_local(artifact_uri)):
        return None
    root, path = (
        posixpath.normpath(urllib.request.url2pathname(urllib.parse.urlsplit(resolve_local_location(uri)).path))
        for uri in (root_uri, artifact_uri)
    )
    return path[len(root) + 1 :] if path.startswith(f"{root.rstrip('/')}/") else None


def _key_below(root_uri: str, artifact_uri: str) -> str | None:
    root, artifact = urllib.parse.urlsplit(root_uri), urllib.parse.urlsplit(artifact_uri)
    if root.netloc != artifact.netloc or artifact.query or artifact.fragment:
        return None
    prefix = f"{root.path.strip('/')}/".lstrip("/")
    # A key is not decoded, and has no dots that lead up: clients take it as it is written, and so does the store.
    key = artifact.path.strip("/")
    return key[len(prefix) :] or None if key.startswith(prefix) else None
