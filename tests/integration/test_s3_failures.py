"""S3 that refuses, breaks off or is away: what the store makes of it, and what the check at the start says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from runnel.artifacts import s3_streams
from runnel.artifacts.destinations import open_store
from runnel.artifacts.s3 import AWAY_SECONDS, S3Settings
from runnel.artifacts.s3_store import S3ArtifactStore
from runnel.artifacts.s3_streams import PART_BYTES
from runnel.artifacts.store import StoreUnusable, UploadedPart
from runnel.domain.errors import (
    InvalidParameterValue,
    PermissionDenied,
    RequestTooLarge,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
)
from tests.s3_process import REGION, S3Process
from tests.server_process import free_port


@dataclass
class Answer:
    """What a scripted S3 says; of ``body`` it sends ``sent`` bytes and then closes the connection, if that is less."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


class ScriptedS3:
    """An HTTP server that answers with what it was given, the last answer again and again."""

    def __init__(self, port: int, answers: list[Answer]) -> None:
        self.requests: list[Request] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                script.requests.append(Request(self.command, self.path, dict(self.headers)))
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(answer.status)
                for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.sent])
                self.close_connection = answer.sent is not None

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


Script = Callable[..., ScriptedS3]


@pytest.fixture
def script() -> Iterator[Script]:
    """Starts servers that give these answers."""
    started: list[ScriptedS3] = []

    def start(*answers: Answer, port: int = 0) -> ScriptedS3:
        started.append(ScriptedS3(port, list(answers)))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture(autouse=True)
def credentials(s3_settings: S3Settings) -> None:
    """boto3 finds credentials."""


def store_at(url: str, bucket: str = "bucket", **settings: object) -> S3ArtifactStore:
    store = open_store(f"s3://{bucket}/prefix", S3Settings(endpoint_url=url, **settings))  # type: ignore[arg-type]
    assert isinstance(store, S3ArtifactStore)
    return store


def refusal(status: int, code: str, message: str = "because", extra: str = "") -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


def content(body: bytes, sent: int | None = None, span: str | None = None) -> Answer:
    headers = {"ETag": '"e1"', "Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT"}
    if span is not None:
        return Answer(206, body, headers | {"Content-Range": span}, sent)
    return Answer(200, body, headers, sent)


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", PermissionDenied),
        (403, "InvalidAccessKeyId", PermissionDenied),
        (400, "ExpiredToken", PermissionDenied),
        (404, "NoSuchBucket", ResourceDoesNotExist),
        (503, "SlowDown", TemporarilyUnavailable),
        (500, "InternalError", TemporarilyUnavailable),
    ],
)
def test_a_refusal_of_s3_is_an_error_that_says_whose_it_is(
    script: Script, status: int, code: str, expected: type[Exception]
) -> None:
    store = store_at(script(refusal(status, code)).url)
    with pytest.raises(expected, match="(The artifact store .*|The bucket of the artifact store )"):
        store.list("a")


def test_a_request_is_tried_again_when_s3_asks_to_slow_down(script: Script) -> None:
    server = script(refusal(503, "SlowDown"), content(b"0123"))
    reader = store_at(server.url).open_reader("a")
    assert reader.read(100) == b"0123"
    reader.close()
    assert len(server.requests) == 2


def test_objects_that_s3_does_not_delete_are_an_error(script: Script) -> None:
    listed = b"<ListBucketResult><KeyCount>1</KeyCount><Contents><Key>prefix/a/b</Key></Contents></ListBucketResult>"
    for code, expected in (("AccessDenied", PermissionDenied), ("InternalError", TemporarilyUnavailable)):
        failed = f"<DeleteResult><Error><Key>prefix/a/b</Key><Code>{code}</Code></Error></DeleteResult>"
        server = script(Answer(200, listed), Answer(200, failed.encode()))
        with pytest.raises(expected):
            store_at(server.url).delete("a")


def test_an_unknown_upload_is_not_found(script: Script) -> None:
    store = store_at(script(refusal(404, "NoSuchUpload")).url)
    with pytest.raises(ResourceDoesNotExist, match="No such multipart upload of 'a': 'unknown'"):
        store.complete_multipart_upload("a", "unknown", [UploadedPart(1, "x")])
    store.abort_multipart_upload("a", "unknown")


def test_an_upload_that_s3_cannot_complete_is_taken_back(script: Script) -> None:
    nothing_there = Answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
    begun = Answer(200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
    part = Answer(200, headers={"ETag": '"p"'})
    server = script(nothing_there, begun, part, part, refusal(403, "AccessDenied"), Answer(204))
    writer = store_at(server.url).open_writer("a")
    writer.write(b"x" * (PART_BYTES + 1))
    with pytest.raises(PermissionDenied):
        writer.commit()
    assert (server.requests[-1].method, server.requests[-1].path) == ("DELETE", "/bucket/prefix/a?uploadId=u1")


def test_an_upload_of_more_parts_than_s3_takes_is_too_large(
    s3_store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_streams, "MAX_PARTS", 1)
    writer = s3_store.open_writer("a")
    writer.write(b"x" * 2 * PART_BYTES)
    with pytest.raises(RequestTooLarge, match=f"at most {PART_BYTES} bytes"):
        writer.write(b"x")
    writer.abort()


# Transfers that break


def test_a_download_goes_on_where_the_connection_broke(script: Script) -> None:
    server = script(content(b"0123456789", sent=4), content(b"456789", sent=3, span="bytes 4-9/10"), content(b"789"))
    reader = store_at(server.url).open_reader("a")
    parts = []
    while part := reader.read(4):
        parts.append(part)
    reader.close()
    assert b"".join(parts) == b"0123456789"
    resumed = [(request.headers.get("Range"), request.headers.get("If-Match")) for request in server.requests]
    assert resumed == [(None, None), ("bytes=4-9", '"e1"'), ("bytes=7-9", '"e1"')]


def test_a_range_goes_on_within_the_range(script: Script) -> None:
    server = script(content(b"3456", sent=1, span="bytes 3-6/10"), content(b"456", span="bytes 4-6/10"))
    reader = store_at(server.url).open_reader("a", start=3, length=4)
    assert reader.size == 10
    assert reader.read(1) + reader.read(10) + reader.read(10) == b"3456"
    reader.close()
    assert server.requests[-1].headers["Range"] == "bytes=4-6"


def test_a_download_that_cannot_go_on_is_an_error(script: Script) -> None:
    replaced = script(content(b"0123456789", sent=4), refusal(412, "PreconditionFailed"))
    reader = store_at(replaced.url).open_reader("a")
    assert reader.read(4) == b"0123"
    with pytest.raises(TemporarilyUnavailable, match="replaced while it was read"):
        reader.read(4)
    reader.close()
    broken = script(content(b"0123456789", sent=0))
    reader = store_at(broken.url).open_reader("a")
    with pytest.raises(TemporarilyUnavailable, match="connection to the artifact store broke"):
        reader.read(4)
    reader.close()


# Away


def test_an_endpoint_that_is_away_is_found_again(script: Script) -> None:
    port = free_port()
    store = store_at(f"http://127.0.0.1:{port}")
    with pytest.raises(TemporarilyUnavailable, match="does not answer"):
        store.open_writer("a")
    server = script(content(b"0123"), port=port)
    # For a moment nobody tries: the threads that wait for an endpoint are few.
    with pytest.raises(TemporarilyUnavailable, match="does not answer"):
        store.open_reader("a")
    assert server.requests == []
    time.sleep(AWAY_SECONDS)
    reader = store.open_reader("a")
    assert reader.read(10) == b"0123"
    reader.close()


def test_an_upload_is_given_up_without_a_word_when_s3_goes_away(script: Script) -> None:
    nothing_there = Answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
    begun = Answer(200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
    server = script(nothing_there, begun, Answer(200, headers={"ETag": '"p"'}))
    writer = store_at(server.url).open_writer("a")
    writer.write(b"x" * (PART_BYTES + 1))
    server.close()
    writer.abort()


# The check at the start


def sentence(store: S3ArtifactStore) -> str:
    with pytest.raises(StoreUnusable) as raised:
        store.check()
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_store_that_can_be_used_passes_and_nothing_is_left(s3_store: S3ArtifactStore, s3: S3Process) -> None:
    s3_store.check()
    assert s3_store.list("") == []


def test_a_missing_bucket_is_named(s3: S3Process) -> None:
    store = store_at(s3.url, "no-such-bucket")
    assert sentence(store) == (
        f"The bucket 'no-such-bucket' does not exist at {s3.url}: create it, or correct the artifacts destination"
    )


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    text = sentence(store_at(url))
    assert text.startswith(f"S3 at {url} does not answer: correct MLFLOW_S3_ENDPOINT_URL or start it")


def test_an_endpoint_without_tls_is_named(s3: S3Process) -> None:
    text = sentence(store_at(s3.url.replace("http:", "https:")))
    assert "no trusted TLS connection" in text
    assert "correct MLFLOW_S3_ENDPOINT_URL" in text


def test_an_endpoint_that_is_something_else_is_named(script: Script) -> None:
    for answer in (Answer(200, b"<html>Console</html>"), Answer(405, b"<html>no"), Answer(404, b"not xml")):
        assert "MLFLOW_S3_ENDPOINT_URL" in sentence(store_at(script(answer).url))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(403, "InvalidAccessKeyId"), "correct AWS_ACCESS_KEY_ID"),
        (refusal(403, "SignatureDoesNotMatch"), "correct AWS_SECRET_ACCESS_KEY"),
        (refusal(400, "ExpiredToken"), "have expired"),
        (refusal(403, "RequestTimeTooSkewed"), "The clock of this machine"),
        (
            refusal(403, "AccessDenied", "no"),
            "does not allow to write an object in the bucket 'bucket' (AccessDenied: no)",
        ),
        (
            refusal(400, "AuthorizationHeaderMalformed", extra="<Region>eu-north-1</Region>"),
            f"'bucket' is in the region eu-north-1, not in {REGION}: set AWS_DEFAULT_REGION",
        ),
        (refusal(400, "InvalidStorageClass", "no such class"), "InvalidStorageClass: no such class"),
    ],
)
def test_a_refusal_names_the_setting(script: Script, answer: Answer, expected: str) -> None:
    assert expected in sentence(store_at(script(answer).url, region=REGION))


def test_a_store_that_can_be_written_but_not_deleted_is_refused(script: Script) -> None:
    written = Answer(200, headers={"ETag": '"e"'})
    read = content(b"A check that the server can write, read and delete here.")
    listed = Answer(200, b"<ListBucketResult><KeyCount>1</KeyCount></ListBucketResult>")
    server = script(written, read, listed, refusal(403, "AccessDenied"))
    assert "does not allow to delete an object" in sentence(store_at(server.url))


def test_arguments_of_uploads_that_do_not_exist_are_named(s3: S3Process) -> None:
    text = sentence(store_at(s3.url, s3.new_bucket(), upload_extra_args={"Encryption": "yes"}))
    assert text.startswith("MLFLOW_S3_UPLOAD_EXTRA_ARGS cannot be used: ")
    assert "Encryption" in text


def test_a_region_that_is_none_is_named(s3: S3Process) -> None:
    assert "correct AWS_DEFAULT_REGION" in sentence(store_at(s3.url, region="eu west"))


def test_missing_credentials_are_named(s3: S3Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    store = store_at(s3.url, s3.new_bucket())
    assert sentence(store) == "No S3 credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    with pytest.raises(PermissionDenied, match="no credentials for the artifact store"):
        store.list("")


def test_a_bucket_of_aws_in_another_region_is_named(s3: S3Process, monkeypatch: pytest.MonkeyPatch) -> None:
    # The name of AWS leads to the S3 of the tests: AWS tells where a bucket is, and so does moto.
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    store = store_at(f"http://s3.us-east-1.amazonaws.com:{httpx.URL(s3.url).port}", s3.new_bucket(), region="us-east-1")
    assert f"is in the region {REGION}, not in us-east-1: set AWS_DEFAULT_REGION" in sentence(store)


def test_a_bucket_elsewhere_may_have_any_region(s3: S3Process) -> None:
    store_at(s3.url, s3.new_bucket(), region="us-east-1").check()


def test_a_path_is_checked_before_s3_is_asked(script: Script) -> None:
    server = script(refusal(500, "InternalError"))
    with pytest.raises(InvalidParameterValue):
        store_at(server.url).list("../x")
    assert server.requests == []
