"""From the destination that a setting names to the artifact store that keeps its files there."""

from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request

from runnel.artifacts.local import LocalArtifactStore
from runnel.artifacts.s3 import S3Bucket, S3Settings
from runnel.artifacts.s3_store import S3ArtifactStore
from runnel.artifacts.store import ArtifactStore

_SCHEME = re.compile(r"([a-z][a-z0-9+.\-]*):", re.IGNORECASE)
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._\-]{1,254}")


def open_store(destination: str, s3: S3Settings | None = None) -> ArtifactStore:
    """The store at ``destination``: a folder's path, a ``file://`` URI, or ``s3://bucket/prefix``.

    ``s3`` says how S3 is reached; it is not asked yet. Raises ValueError for any other destination.
    """
    scheme = _SCHEME.match(destination)
    if scheme is None:
        folder = destination
    elif scheme[1].lower() == "file":
        uri = urllib.parse.urlsplit(destination)
        if uri.hostname not in (None, "localhost") or uri.query or uri.fragment:
            raise ValueError("The artifacts destination must be a file URI of this host: file:///path/to/folder")
        folder = urllib.request.url2pathname(uri.path)
    elif scheme[1].lower() == "s3":
        return _open_s3_store(destination, s3)
    else:
        # The scheme alone: a URI may hold a password.
        raise ValueError(
            f"The artifacts destination cannot use the scheme '{scheme[1]}'; give a folder, a file:// URI or "
            "s3://bucket/prefix"
        )
    if not folder.strip() or "\0" in folder:
        raise ValueError("The artifacts destination names no folder")
    return LocalArtifactStore(os.path.abspath(folder))


def _open_s3_store(destination: str, settings: S3Settings | None) -> ArtifactStore:
    uri = urllib.parse.urlsplit(destination)
    if not _BUCKET.fullmatch(uri.netloc) or uri.query or uri.fragment:
        raise ValueError("The artifacts destination in S3 must be written as s3://bucket or s3://bucket/prefix")
    return S3ArtifactStore(S3Bucket(uri.netloc, settings or S3Settings()), uri.path.strip("/"))
