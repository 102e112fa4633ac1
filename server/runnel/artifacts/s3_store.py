"""Artifacts in a bucket of S3: the key of an object is the store's prefix and the artifact's path.

A folder is what keys have in common before a slash. S3 itself would hold a file ``a`` and a file ``a/b`` side by side;
uploads refuse that, as a folder of this machine does, as far as they can see.
"""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from runnel.artifacts.content_types import content_type, download_headers
from runnel.artifacts.s3 import S3Bucket, S3Error
from runnel.artifacts.s3_streams import S3ArtifactReader, S3ArtifactWriter
from runnel.artifacts.store import (
    MAX_PATH_BYTES,
    RESERVED_PREFIX,
    FileInfo,
    MultipartUpload,
    PresignedRequest,
    UploadedPart,
    clean_artifact_path,
    clean_file_path,
    clean_path_below_root,
    is_a_folder,
    is_below_a_file,
    no_such_artifact,
)
from runnel.domain.errors import (
    InvalidParameterValue,
    MlflowError,
    PermissionDenied,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
)

# Clients get the URLs of all parts at once and use the last when they have sent the rest.
PART_URL_SECONDS = 12 * 60 * 60

_MAX_DELETED_AT_ONCE = 1000
_MAX_KNOWN_FOLDERS = 10_000


class S3ArtifactStore:
    """A `RemoteArtifactStore` below ``prefix`` (without slashes at its ends; "" for the whole bucket)."""

    def __init__(self, bucket: S3Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        # Folders above the uploads so far, which were no files then: S3 is not asked again for each upload.
        self._known_folders: set[str] = set()

    @property
    def is_public(self) -> bool:
        """Whether clients of the server can reach S3."""
        return self._bucket.settings.is_public

    def check(self) -> None:
        """Writes, reads, lists and deletes one small object; raises StoreUnusable, which names the wrong setting."""
        self._bucket.check(f"{self._prefix}{RESERVED_PREFIX}check-{uuid.uuid4().hex}")

    def probe(self) -> None:
        """Asks for one key: that needs the endpoint, the credentials and the bucket."""
        self._bucket.call("list_objects_v2", Prefix=self._prefix, MaxKeys=1)

    def list(self, path: str) -> builtins.list[FileInfo]:
        """The files and folders in a folder; keys that no path stands for are not shown."""
        path = clean_artifact_path(path)
        prefix = f"{self._key(path)}/" if path else self._prefix
        infos: builtins.list[tuple[str, int | None]] = []
        for page in self._pages(prefix, Delimiter="/"):
            for folder in page.get("CommonPrefixes", ()):
                infos.append((folder["Prefix"][len(prefix) : -1], None))
            for found in page.get("Contents", ()):
                infos.append((found["Key"][len(prefix) :], int(found["Size"])))
        start = f"{path}/" if path else ""
        return sorted(
            (FileInfo(start + name, is_dir=size is None, file_size=size) for name, size in infos if _is_shown(name)),
            key=lambda info: info.path,
        )

    def open_reader(self, path: str, *, start: int = 0, length: int | None = None) -> S3ArtifactReader:
        """Opens an object for reading ``length`` bytes from ``start`` on: the transfer begins."""
        path = clean_artifact_path(path)
        if not path:
            raise is_a_folder(path)
        key = self._key(path)
        try:
            return S3ArtifactReader(self._bucket, key, self._get(key, start, length))
        except S3Error as error:
            raise self._not_found(path, error) from error

    def open_writer(self, path: str) -> S3ArtifactWriter:
        """Starts an upload; S3 learns of it when a part is full, or at the end."""
        path = clean_file_path(path)
        self._check_target(path)
        return S3ArtifactWriter(self._bucket, self._key(path))

    def delete(self, path: str) -> None:
        """Removes an object and all below it, a thousand at a time."""
        path = clean_path_below_root(path)
        key = self._key(path)
        below = (found["Key"] for page in self._pages(f"{key}/") for found in page.get("Contents", ()))
        batch: builtins.list[str] = []
        for one in chain([key], below):
            batch.append(one)
            if len(batch) == _MAX_DELETED_AT_ONCE:
                self._delete(batch)
                batch.clear()
        self._delete(batch)

    # For clients that go to S3 themselves

    def presigned_download(self, path: str, expires_in: int | None = None) -> tuple[PresignedRequest, int]:
        """A request that reads an object, and its size; a browser that follows it saves a file."""
        path = clean_path_below_root(path)
        key = self._key(path)
        try:
            size = int(self._bucket.call("head_object", Key=key)["ContentLength"])
        except S3Error as error:
            raise self._not_found(path, error) from error
        expires_in = expires_in or self._bucket.settings.download_url_seconds
        disposition = download_headers(path)["Content-Disposition"]
        url, headers = self._bucket.presign("get_object", expires_in, Key=key, ResponseContentDisposition=disposition)
        return PresignedRequest(url, headers), size

    def presigned_upload(self, path: str, expires_in: int) -> PresignedRequest:
        """A request that writes an object when its body is sent with it."""
        path = clean_file_path(path)
        self._check_target(path)
        arguments = {"ContentType": content_type(path)} | self._bucket.upload_arguments("put_object")
        return PresignedRequest(*self._bucket.presign("put_object", expires_in, Key=self._key(path), **arguments))

    def create_multipart_upload(self, path: str, parts: int) -> MultipartUpload:
        """Starts an upload whose parts a client sends, and makes the requests for them."""
        path = clean_file_path(path)
        self._check_target(path)
        key = self._key(path)
        arguments = {"ContentType": content_type(path)} | self._bucket.upload_arguments("create_multipart_upload")
        upload_id = self._bucket.call("create_multipart_upload", Key=key, **arguments)["UploadId"]
        arguments = {"Key": key, "UploadId": upload_id} | self._bucket.upload_arguments("upload_part")
        requests = [
            PresignedRequest(*self._bucket.presign("upload_part", PART_URL_SECONDS, PartNumber=number, **arguments))
            for number in range(1, parts + 1)
        ]
        return MultipartUpload(upload_id, requests)

    def complete_multipart_upload(self, path: str, upload_id: str, parts: Sequence[UploadedPart]) -> None:
        """Makes one object of the parts, in the order of their numbers."""
        path = clean_file_path(path)
        arguments = self._bucket.upload_arguments("complete_multipart_upload")
        numbered = sorted(parts, key=lambda part: part.part_number)
        listed = [{"PartNumber": part.part_number, "ETag": part.etag} for part in numbered]
        try:
            self._bucket.call(
                "complete_multipart_upload",
                Key=self._key(path),
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
                **arguments,
            )
        except S3Error as error:
            if error.code == "NoSuchUpload":
                raise ResourceDoesNotExist(f"No such multipart upload of '{path}': '{upload_id}'") from None
            raise InvalidParameterValue(f"S3 cannot complete the upload of '{path}': {error.message}") from None

    def abort_multipart_upload(self, path: str, upload_id: str) -> None:
        """Forgets an upload and its parts; one that is over already is no error."""
        path = clean_file_path(path)
        try:
            self._bucket.call("abort_multipart_upload", Key=self._key(path), UploadId=upload_id)
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise

    # Requests

    def _key(self, path: str) -> str:
        key = self._prefix + path
        if len(key.encode()) > MAX_PATH_BYTES:
            left = MAX_PATH_BYTES - len(self._prefix.encode())
            raise InvalidParameterValue(f"Invalid path: it has more than the {left} bytes that an S3 key has left")
        return key

    def _get(self, key: str, start: int, length: int | None) -> dict[str, Any]:
        if length == 0:
            return self._bucket.call("head_object", Key=key)
        if start == 0 and length is None:
            return self._bucket.call("get_object", Key=key)
        stop = "" if length is None else start + length - 1
        try:
            return self._bucket.call("get_object", Key=key, Range=f"bytes={start}-{stop}")
        except S3Error as error:
            if error.code != "InvalidRange":  # it begins past the end
                raise
            return self._bucket.call("head_object", Key=key)

    def _not_found(self, path: str, error: S3Error) -> MlflowError | S3Error:
        if not error.is_not_found:
            return error
        return is_a_folder(path) if self._is_folder(path) else no_such_artifact(path)

    def _check_target(self, path: str) -> None:
        """Refuses an upload over a folder or below a file before its bytes are sent."""
        if self._is_folder(path):
            raise is_a_folder(path)
        self._known_folders.discard(path)
        names = path.split("/")
        for folder in ("/".join(names[:count]) for count in range(1, len(names))):
            if folder in self._known_folders:
                continue
            if self._is_file(folder):
                raise is_below_a_file(path)
            if len(self._known_folders) >= _MAX_KNOWN_FOLDERS:
                self._known_folders.clear()
            self._known_folders.add(folder)

    def _is_folder(self, path: str) -> bool:
        answer = self._bucket.call("list_objects_v2", Prefix=f"{self._key(path)}/", MaxKeys=1)
        return bool(answer.get("KeyCount"))

    def _is_file(self, path: str) -> bool:
        try:
            self._bucket.call("head_object", Key=self._key(path))
        except S3Error as error:
            if error.is_not_found:
                return False
            raise
        return True

    def _pages(self, prefix: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._bucket.call("list_objects_v2", Prefix=prefix, **parameters)
            yield page
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def _delete(self, keys: Iterable[str]) -> None:
        objects = [{"Key": key} for key in keys]
        if len(objects) == 1:
            self._bucket.call("delete_object", **objects[0])
        elif objects:
            answer = self._bucket.call("delete_objects", Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                if error.get("Code") == "AccessDenied":
                    raise PermissionDenied("The artifact store does not allow this server to delete")
                raise TemporarilyUnavailable(f"The artifact store could not delete all objects ({error.get('Code')})")


def _is_shown(name: str) -> bool:
    # Consoles mark a folder with an empty object of the folder's own name; other names are reserved or mislead clients.
    return name not in ("", ".", "..") and not name.lower().startswith(RESERVED_PREFIX)
