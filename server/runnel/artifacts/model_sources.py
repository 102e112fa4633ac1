"""Sources of model versions: which URIs may be one, and where the artifacts lie that they lead to.

A version's artifacts are served by the server, so a source must not lead anywhere but to the run or the logged model
that it is said to come from; and what is opened in the end are the server's own places only (see ``api.artifacts``).
"""

from __future__ import annotations

import posixpath
import re
import urllib.parse
import urllib.request
from collections.abc import Collection
from typing import Literal, NoReturn

from runnel.artifacts import locations
from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_length

# By which field of a request its sender says where a source comes from.
Origin = Literal["run_id", "model_id"]

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_PROXY_ROUTE = ("api", "2.0", "mlflow-artifacts", "artifacts")


def check_source(source: str, trusted_uris: Collection[str]) -> urllib.parse.SplitResult:
    """The parts of a source that is a URI; it may name no host but those of the server's own storage."""
    check_length("source", source, limits.MAX_MODEL_SOURCE_LENGTH)
    try:
        parts = urllib.parse.urlsplit(source)
        locations.check_named_host("source", source, trusted_uris)
    except ValueError:
        _refuse_path(source)
    if _CONTROL.search(source):
        _refuse_path(source)
    return parts


def check_no_relative_path(source: str) -> None:
    """Refuses a source whose path is not absolute, or leads up, in whatever encoding."""
    decoded = source
    while (next_form := urllib.parse.unquote_plus(decoded)) != decoded:
        decoded = next_form
    try:
        path = re.sub("/+", "/", urllib.parse.urlsplit(decoded).path.rstrip("/"))
    except ValueError:
        _refuse_path(source)
    if _CONTROL.search(decoded) or "\\" in decoded or ".." in decoded.split("/"):
        _refuse_path(source)
    if not path.startswith("/") or posixpath.normpath(path) != path:
        _refuse_path(source)


def _refuse_path(source: str) -> NoReturn:
    raise InvalidParameterValue(
        f"Invalid model version source: '{source[:500]}'. If supplying a source as an http, https, "
        "local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be "
        "provided without relative path references present. Please provide an absolute path."
    )


def refuse_origin(source: str, origin: Origin) -> NoReturn:
    """Refuses a source that is not of the run or the model that the request names."""
    raise InvalidParameterValue(
        f"Invalid model version source: '{source[:500]}'. The {origin} request parameter must identify the resource "
        "that contains the source."
    )


def check_local_source(source: str, origin: Origin, root: str | None) -> None:
    """Refuses a local path, unless it is below ``root``, where the artifacts of the run or the model are."""
    path = _local_path(source)
    if root is not None and locations.is_local(root) and ".." not in path.split("/"):
        root_path = _local_path(root)
        if path == root_path or path.startswith(f"{root_path.rstrip('/')}/"):
            return
    raise InvalidParameterValue(
        f"Invalid model version source: '{source[:500]}'. To use a local path as a model version source, the {origin} "
        "request parameter has to be specified and the local path has to be contained within the artifact directory "
        f"of the run specified by the {origin}."
    )


def _local_path(uri: str) -> str:
    path = urllib.request.url2pathname(urllib.parse.urlsplit(locations.resolve_local_location(uri)).path)
    # The dots of a path that leads up stay, for the caller to see.
    return path if ".." in path.split("/") else posixpath.normpath(path)


def is_served_source(source: str) -> bool:
    """Whether a source is an artifact that goes through an MLflow server."""
    scheme, _, segments = _comparable(source)
    size = len(_PROXY_ROUTE)
    at_route = any(segments[start : start + size] == _PROXY_ROUTE for start in range(len(segments) - size + 1))
    return scheme == "mlflow-artifacts" or (scheme in ("http", "https") and at_route)


def is_within(source: str, root: str) -> bool:
    """Whether a URI is the root or below it, both of one scheme and host."""
    *of_source, segments = _comparable(source)
    *of_root, root_segments = _comparable(root)
    return of_source == of_root and bool(root_segments) and segments[: len(root_segments)] == root_segments


def _comparable(uri: str) -> tuple[str, str, tuple[str, ...]]:
    parts = urllib.parse.urlsplit(uri)
    segments = []
    for segment in parts.path.split("/"):
        while (decoded := urllib.parse.unquote(segment)) != segment:
            segment = decoded
        if segment:
            segments.append(segment)
    return parts.scheme.lower(), parts.netloc.lower(), tuple(segments)


def run_of_source(path: str) -> tuple[str, str]:
    """The run that the path of a ``runs:/`` URI names, and the path below its artifacts."""
    run_id, _, below = path.lstrip("/").partition("/")
    return run_id, below
