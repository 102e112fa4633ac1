"""The files that pages load: style sheet and modules, served for good under names that change with what is in them.

All of them lie in one folder named by a hash over all of them, so that modules import each other by relative names.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file, and the same compressed."""

    content: bytes
    compressed: bytes
    media_type: str


class Assets(NamedTuple):
    """All files by their paths below ``static/``, and the name of the folder they are served in."""

    version: str
    files: dict[str, Asset]


@lru_cache(maxsize=1)
def assets() -> Assets:
    """Reads the files, when the first page is asked for."""
    found = {
        file.relative_to(FOLDER).as_posix(): file.read_bytes()
        for file in sorted(FOLDER.rglob("*"))
        if file.suffix in MEDIA_TYPES
    }
    digest = hashlib.sha256()
    for name, content in found.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    files = {
        name: Asset(content, gzip.compress(content, 9, mtime=0), MEDIA_TYPES[Path(name).suffix])
        for name, content in found.items()
    }
    return Assets(digest.hexdigest()[:12], files)


def asset_path(name: str) -> str:
    """The path of a file within the site."""
    if name not in assets().files:
        raise KeyError(name)
    return f"static/{assets().version}/{name}"


def asset_response(path: str, scope: Scope) -> Response | None:
    """The answer for a path below ``/static/``; None if there is no such file."""
    version, _, name = path.partition("/")
    asset = assets().files.get(name)
    # A page of an older version may still be open: it gets the file of today, which must not be kept for long.
    if asset is None:
        return None
    is_current = version == assets().version
    etag = f'"{assets().version}"'
    headers = {"Cache-Control": FOREVER if is_current else "no-cache", "ETag": etag, "Vary": "Accept-Encoding"}
    names = {name: value for name, value in scope["headers"] if name in (b"if-none-match", b"accept-encoding")}
    if etag.encode() in names.get(b"if-none-match", b""):
        return Response(status_code=304, headers=headers)
    if accepts_gzip(names.get(b"accept-encoding", b"")):
        return Response(asset.compressed, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether a client takes gzip."""
    for item in accept_encoding.lower().split(b","):
        name, _, weight = item.partition(b";")
        if name.strip() == b"gzip":
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0")
    return False
