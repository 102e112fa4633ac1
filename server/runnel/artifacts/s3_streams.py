"""One object of S3 on its way: read as a stream that goes on where it broke, written as one request or in parts."""

from __future__ import annotations

import logging
import mmap
from typing import Any

from runnel.artifacts.content_types import content_type
from runnel.artifacts.s3 import S3Bucket, S3Error
from runnel.domain.errors import MlflowError, RequestTooLarge, TemporarilyUnavailable

logger = logging.getLogger("runnel")

# A part of an upload is in memory until it is sent. All but the last have this size; S3 takes at most 10,000.
PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000

# What is read or sent at once: each thread's share of memory keeps the size of the largest pieces it has seen.
_READ_BYTES = 256 * 1024
_SEND_BYTES = 64 * 1024
_RESUMES_IN_A_ROW = 3


class S3ArtifactReader:
    """An object, or a range of it. S3 sends the version that it began with, even when it is replaced meanwhile."""

    def __init__(self, bucket: S3Bucket, key: str, answer: dict[str, Any]) -> None:
        """``answer`` is that to ``get_object``, or to ``head_object`` when nothing is to be read."""
        _, _, whole = answer.get("ContentRange", "").rpartition("/")
        self.size = int(whole or answer["ContentLength"])
        self.last_modified = answer["LastModified"].timestamp()
        self.etag: str = answer["ETag"]
        self._bucket = bucket
        self._key = key
        self._body = answer.get("Body")
        self._remaining = 0 if self._body is None else int(answer["ContentLength"])
        first, _, _ = answer.get("ContentRange", "").removeprefix("bytes ").partition("-")
        self._position = int(first or 0)

    def read(self, max_bytes: int) -> bytes:
        """The next bytes of the range, at most ``max_bytes`` of them; ``b""`` at its end."""
        wanted = min(max_bytes, self._remaining, _READ_BYTES)
        if not wanted:
            return b""
        for _ in range(_RESUMES_IN_A_ROW):
            try:
                data = self._bucket.read(self._body, wanted)
                break
            except TemporarilyUnavailable:  # S3 closes connections that a slow client leaves idle
                self._resume()
        else:
            data = self._bucket.read(self._body, wanted)
        self._position += len(data)
        self._remaining -= len(data)
        return data

    def close(self) -> None:
        """Ends the transfer; may be called again."""
        if self._body is not None:
            self._body.close()

    def _resume(self) -> None:
        self.close()
        span = f"bytes={self._position}-{self._position + self._remaining - 1}"
        try:
            answer = self._bucket.call("get_object", Key=self._key, Range=span, IfMatch=self.etag)
        except S3Error as error:
            raise TemporarilyUnavailable("The artifact was replaced while it was read") from error
        self._body = answer["Body"]


class S3ArtifactWriter:
    """An upload: one request when all of it fits into a part, else a multipart upload, invisible until its end."""

    def __init__(self, bucket: S3Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        # Memory of its own, which goes back to the system at the end; what is not filled takes none.
        self._buffer = mmap.mmap(-1, PART_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._filled = 0
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, chunk: bytes) -> None:
        """Collects bytes, and sends them when a part is full and more come."""
        rest = memoryview(chunk)
        while rest:
            if self._filled == PART_BYTES:
                self._send_part()
            taken = rest[: PART_BYTES - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rest = rest[len(taken) :]

    def commit(self) -> None:
        """Sends what is left; S3 makes the object visible when it has the whole."""
        try:
            if self._upload_id is None:
                arguments = self._bucket.upload_arguments("put_object")
                arguments = {"ContentType": content_type(self._key)} | arguments
                self._bucket.call("put_object", Key=self._key, Body=self._body(), **arguments)
            else:
                self._send_part()
                arguments = self._bucket.upload_arguments("complete_multipart_upload")
                self._bucket.call(
                    "complete_multipart_upload",
                    Key=self._key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                    **arguments,
                )
                self._upload_id = None
        finally:
            self.abort()

    def abort(self) -> None:
        """Tells S3 to forget the parts it has; what it is not told stays there, unseen, as the bucket's rules say."""
        self._buffer.close()
        upload_id, self._upload_id = self._upload_id, None
        if upload_id is None:
            return
        try:
            self._bucket.call("abort_multipart_upload", Key=self._key, UploadId=upload_id)
        except (MlflowError, S3Error) as error:
            logger.warning("Parts of an upload that failed remain in S3: %s", error)

    def _send_part(self) -> None:
        if self._upload_id is None:
            arguments = self._bucket.upload_arguments("create_multipart_upload")
            arguments = {"ContentType": content_type(self._key)} | arguments
            self._upload_id = self._bucket.call("create_multipart_upload", Key=self._key, **arguments)["UploadId"]
        if len(self._parts) == MAX_PARTS:
            raise RequestTooLarge(
                f"An artifact that goes through the server may have at most {MAX_PARTS * PART_BYTES} bytes. "
                "Upload a larger one to S3 directly (MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=true)."
            )
        number = len(self._parts) + 1
        answer = self._bucket.call(
            "upload_part",
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=self._body(),
            **self._bucket.upload_arguments("upload_part"),
        )
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
        self._filled = 0

    def _body(self) -> _Body:
        return _Body(self._buffer, self._filled)


class _Body:
    """The beginning of a buffer, as a file that boto3 can read, measure and read again for a retry."""

    def __init__(self, buffer: mmap.mmap, size: int) -> None:
        self._buffer = buffer
        self._size = size
        self._position = 0

    def __len__(self) -> int:
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._size if size is None or size < 0 else min(size, _SEND_BYTES)
        stop = min(self._size, self._position + wanted)
        data = self._buffer[self._position : stop]
        self._position = stop
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position
