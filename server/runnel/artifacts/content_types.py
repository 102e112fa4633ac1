"""What an artifact is called in HTTP headers, and what a browser may do with it."""

from __future__ import annotations

import mimetypes
import posixpath
import re
import unicodedata
import urllib.parse

# MLflow shows these as text, whatever the system's table of types says (mlflow/utils/mime_type_utils.py 3.17).
_TEXT_EXTENSIONS = frozenset(
    {"txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml"}
    | {"xml", "json", "js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "MLmodel", "mlproject"}
)
# A browser shows these, or saves them, without running anything in them.
_PASSIVE_TYPES = frozenset({"text/plain", "text/csv", "application/json", "application/octet-stream"})
_PASSIVE_KINDS = ("image/", "audio/", "video/")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 5987, beside letters and digits
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def content_type(name: str) -> str:
    """The media type of a file by its name, as MLflow guesses it; ``application/octet-stream`` when nothing fits."""
    base = posixpath.basename(name)
    extension = posixpath.splitext(base)[1].removeprefix(".") or base
    if extension in _TEXT_EXTENSIONS:
        return "text/plain"
    return mimetypes.guess_type(base)[0] or "application/octet-stream"


def download_headers(name: str) -> dict[str, str]:
    """The headers that make a browser save the file ``name`` and never run it on this server's origin."""
    headers = {
        "Content-Disposition": _attachment(posixpath.basename(name)),
        "X-Content-Type-Options": "nosniff",
    }
    if not _is_passive(content_type(name)):
        headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return headers


def _is_passive(media_type: str) -> bool:
    # An SVG image may hold scripts.
    return media_type in _PASSIVE_TYPES or (media_type.startswith(_PASSIVE_KINDS) and media_type != "image/svg+xml")


def _attachment(name: str) -> str:
    """A ``Content-Disposition`` of RFC 6266: an ASCII name for all, and the true name (RFC 5987) if it differs."""
    name = _CONTROL.sub("_", name.encode("utf-8", "replace").decode())
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    # Folding can make a slash out of a full-width one.
    plain = re.sub(r"[/\\]", "_", folded) or "download"
    quoted = plain if _TOKEN.fullmatch(plain) else '"' + plain.replace('"', '\\"') + '"'
    if plain == name and "%" not in name:  # some browsers decode a percent sign in the plain form
        return f"attachment; filename={quoted}"
    return f"attachment; filename={quoted}; filename*=UTF-8''{urllib.parse.quote(name, safe=_ATTRIBUTE_CHARACTERS)}"
