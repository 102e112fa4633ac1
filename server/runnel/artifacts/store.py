"""The artifact store as the rest of the server sees it, and the rules for a path that comes from a client."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist

MAX_SEGMENT_BYTES = 255  # what Linux and macOS file systems take
MAX_PATH_BYTES = 1024  # the length of an S3 key
MAX_SEGMENTS = 100  # bounds the open folders and the recursion of a walk

# MLflow's own prefix for files still being written: leftovers of either server in one folder stay hidden.
RESERVED_PREFIX = ".artifact.uploading."

_MAX_DECODINGS = 10
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\#]")  # control characters, backslash, and MLflow's '#'
_DRIVE_OR_FILE_URI = re.compile(r"(?:[a-z]|file):", re.IGNORECASE)


class StoreUnusable(Exception):
    """A store cannot do what the server needs; one sentence that names the setting to correct."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One entry of a folder: its path below the store's root, and its size in bytes (None for a folder)."""

    path: str
    is_dir: bool
    file_size: int | None


class ArtifactReader(Protocol):
    """One open artifact; what is read is one version of it, even when it is replaced meanwhile."""

    @property
    def size(self) -> int:
        """Bytes of the whole artifact, whatever range of it was asked for."""

    @property
    def last_modified(self) -> float:
        """Seconds since the epoch."""

    @property
    def etag(self) -> str:
        """Changes with the content; in double quotes, as HTTP and S3 write it."""

    def read(self, max_bytes: int) -> bytes:
        """The next bytes of the range, at most ``max_bytes`` of them; ``b""`` at its end."""

    def close(self) -> None:
        """Lets go of the artifact; may be called again."""


class ArtifactWriter(Protocol):
    """One upload. Until ``commit`` the path shows what it showed before."""

    def write(self, chunk: bytes) -> None:
        """Appends to the artifact. Raises TemporarilyUnavailable when the store is full."""

    def commit(self) -> None:
        """Makes the artifact durable and visible, as a whole or not at all; called once, then the upload is over.

        Of two uploads to one path the later commit wins.
        """

    def abort(self) -> None:
        """Removes what was written; does nothing after ``commit`` or a second time."""


class ArtifactStore(Protocol):
    """Files below one root. Paths are relative to it and are checked by every method.

    Methods block; they are called in threads, by many at once. A path that `clean_artifact_path` refuses is an
    InvalidParameterValue.
    """

    def list(self, path: str) -> list[FileInfo]:
        """The entries of a folder ("" is the root), sorted by path; empty for a file and for a missing path."""

    def open_reader(self, path: str, *, start: int = 0, length: int | None = None) -> ArtifactReader:
        """Opens a file for reading ``length`` bytes from ``start`` on; a range past the end is cut short.

        Raises ResourceDoesNotExist for a missing file and InvalidParameterValue for a folder.
        """

    def open_writer(self, path: str) -> ArtifactWriter:
        """Starts an upload; folders that are missing come with it.

        Raises InvalidParameterValue for the root, for a folder and for a path below a file.
        """

    def delete(self, path: str) -> None:
        """Removes a file, or a folder with all in it; a missing path is no error (as in MLflow).

        Raises InvalidParameterValue for the root.
        """

    def probe(self) -> None:
        """A cheap try whether the store can be used now; raises StoreUnusable, or what its other methods raise."""


@dataclass(frozen=True, slots=True)
class PresignedRequest:
    """One request that a client may send to where the store is; it must carry these headers."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """An upload in parts that has begun: part 1 goes out by the first request, and so on."""

    upload_id: str
    requests: list[PresignedRequest]


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that a client has sent, and the ETag that it was answered with."""

    part_number: int
    etag: str


@runtime_checkable
class RemoteArtifactStore(ArtifactStore, Protocol):
    """A store across the network: it may be away, uploads to it wait in memory, and clients may go there themselves.

    Any method may raise TemporarilyUnavailable, or PermissionDenied where the store does not let the server in.
    """

    @property
    def is_public(self) -> bool:
        """Whether clients of the server can reach the store, so that they should be sent there."""

    def check(self) -> None:
        """Tries what the server will do; raises StoreUnusable."""

    def presigned_download(self, path: str, expires_in: int | None = None) -> tuple[PresignedRequest, int]:
        """The request that reads a file, and the file's size; errors as `open_reader`.

        It is valid for ``expires_in`` seconds, or for as long as the server's settings say.
        """

    def presigned_upload(self, path: str, expires_in: int) -> PresignedRequest:
        """The request that writes a file, valid for ``expires_in`` seconds; errors as `open_writer`."""

    def create_multipart_upload(self, path: str, parts: int) -> MultipartUpload:
        """Starts an upload in 1 to 10,000 parts; errors as `open_writer`."""

    def complete_multipart_upload(self, path: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Makes the parts one visible file.

        Raises ResourceDoesNotExist for an unknown upload and InvalidParameterValue for parts that do not fit.
        """

    def abort_multipart_upload(self, path: str, upload_id: str) -> None:
        """Removes an upload and its parts; one that is not there is no error."""


def clean_artifact_path(path: str) -> str:
    """The normal form of a client's relative path, "" for the root; raises InvalidParameterValue ("Invalid path").

    Empty segments, ``.`` segments and trailing slashes go away; everything else stays as it was written: ``a%20b``
    names a file with a percent sign. A path that somebody on the way could decode into one that leads elsewhere is
    refused: the normal form and each of its percent-decodings are checked. Cleaning twice changes nothing.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        raise InvalidParameterValue("Invalid path") from None
    if size > MAX_PATH_BYTES:
        raise InvalidParameterValue(f"Invalid path: it has {size} bytes, at most {MAX_PATH_BYTES} are allowed")
    if path.startswith("/"):
        raise InvalidParameterValue("Invalid path")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if not segments:
        return ""
    _check_sizes(segments)
    normal = form = "/".join(segments)
    if _FORBIDDEN.search(normal):
        raise InvalidParameterValue("Invalid path")
    for _ in range(_MAX_DECODINGS):
        _check_form(form)
        decoded = urllib.parse.unquote(form)
        if decoded == form:
            return normal
        form = decoded
    raise InvalidParameterValue("Invalid path")


def clean_path_below_root(path: str) -> str:
    """As `clean_artifact_path`, for what is written or deleted: the root itself is refused in every spelling."""
    normal = clean_artifact_path(path)
    if not normal:
        raise InvalidParameterValue("Invalid path: the root of the artifact store cannot be written or deleted")
    return normal


def clean_file_path(path: str) -> str:
    """As `clean_path_below_root`, for a new file: a path that ends like a folder's is refused too."""
    if path.endswith("/"):
        raise InvalidParameterValue("Artifact path must include a filename (cannot end with '/').")
    return clean_path_below_root(path)


def no_such_artifact(path: str) -> ResourceDoesNotExist:
    """MLflow's answer to a read of a missing file."""
    return ResourceDoesNotExist(f"No such artifact: '{path}'")


def is_a_folder(path: str) -> InvalidParameterValue:
    """MLflow's answer to a read of a folder; ours to a write over one as well."""
    return InvalidParameterValue(f"Artifact path refers to a directory, not a file: '{path}'")


def is_below_a_file(path: str) -> InvalidParameterValue:
    """Our answer to a write below a file."""
    return InvalidParameterValue(f"Invalid path: '{path}' is below a file")


def _check_sizes(segments: list[str]) -> None:
    if len(segments) > MAX_SEGMENTS:
        raise InvalidParameterValue(
            f"Invalid path: it has {len(segments)} segments, at most {MAX_SEGMENTS} are allowed"
        )
    longest = max(len(segment.encode()) for segment in segments)
    if longest > MAX_SEGMENT_BYTES:
        raise InvalidParameterValue(
            f"Invalid path: a segment has {longest} bytes, at most {MAX_SEGMENT_BYTES} are allowed"
        )


def _check_form(form: str) -> None:
    """Refuses a normal form, or a decoding of one, that some reader could take for a path outside its folder.

    What is only forbidden in the normal form may come out of a decoding: clients of MLflow 2.13 to 3.6 (at least) name
    the images of steps ``sample%step%23%timestamp%1700000000000%5c3f...``: a '#', a control character, a backslash.
    """
    if _DRIVE_OR_FILE_URI.match(form):
        raise InvalidParameterValue("Invalid path")
    for segment in re.split(r"[/\\]", form):
        # Spaces around dots are ignored by Windows, and a lone space by URL parsers; a client may be either.
        if segment.strip() in ("", ".", ".."):
            raise InvalidParameterValue("Invalid path")
        if segment.lower().startswith(RESERVED_PREFIX):  # lower: a file system may ignore case
            raise InvalidParameterValue(f"Invalid path: names that start with '{RESERVED_PREFIX}' are reserved")
