"""What an artifact store in S3 does beyond what every store does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from runnel.artifacts.destinations import open_store
from runnel.artifacts.s3 import S3Bucket, S3Settings
from runnel.artifacts.s3_store import S3ArtifactStore
from runnel.artifacts.s3_streams import PART_BYTES
from runnel.artifacts.store import ArtifactStore, UploadedPart
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from tests.s3_process import OWNER, S3Process

PREFIX = "some/prefix"
MANY = 1500


@pytest.fixture
def objects(s3: S3Process, s3_bucket: str) -> Iterator[httpx.Client]:
    """The bucket of ``s3_store`` as another program sees it."""
    with httpx.Client(base_url=f"{s3.url}/{s3_bucket}/", headers=OWNER, timeout=60) as client:
        yield client


def put(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    writer = store.open_writer(path)
    writer.write(content)
    writer.commit()


def get(store: ArtifactStore, path: str) -> bytes:
    reader = store.open_reader(path)
    parts = []
    while part := reader.read(1024 * 1024):
        parts.append(part)
    reader.close()
    return b"".join(parts)


def put_directly(objects: httpx.Client, *keys: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for response in pool.map(lambda key: objects.put(key, content=b"x"), keys):
            response.raise_for_status()


def uploads_under_way(objects: httpx.Client) -> int:
    return objects.get("", params={"uploads": ""}).raise_for_status().text.count("<UploadId>")


# Many objects


def test_a_folder_of_more_than_a_thousand_files_is_listed_whole(
    s3_store: S3ArtifactStore, objects: httpx.Client
) -> None:
    put_directly(objects, *(f"{PREFIX}/many/{number:04}" for number in range(MANY)))
    infos = s3_store.list("many")
    assert [info.path for info in infos] == [f"many/{number:04}" for number in range(MANY)]
    assert all(info.file_size == 1 for info in infos)


def test_a_folder_of_more_than_a_thousand_files_is_deleted_whole(
    s3_store: S3ArtifactStore, objects: httpx.Client
) -> None:
    put_directly(objects, *(f"{PREFIX}/many/{number % 7}/{number:04}" for number in range(MANY)))
    put_directly(objects, f"{PREFIX}/many.txt", f"{PREFIX}/many0/x", "many/x")
    s3_store.delete("many")
    assert s3_store.list("many") == []
    assert [info.path for info in s3_store.list("")] == ["many.txt", "many0"]
    assert objects.get("many/x").status_code == 200


# The prefix


def test_the_prefix_is_never_left(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    put_directly(objects, "outside", "some/prefixed", "some/prefix.txt", f"{PREFIX}/inside")
    assert [info.path for info in s3_store.list("")] == ["inside"]
    s3_store.delete("inside")
    s3_store.delete("outside")
    for key in ("outside", "some/prefixed", "some/prefix.txt"):
        assert objects.get(key).status_code == 200
    for method in (s3_store.list, s3_store.open_reader, s3_store.open_writer, s3_store.delete):
        with pytest.raises(InvalidParameterValue):
            method("../prefixed")


def test_a_store_may_be_a_whole_bucket(s3_settings: S3Settings, s3_bucket: str, objects: httpx.Client) -> None:
    store = open_store(f"s3://{s3_bucket}", s3_settings)
    put(store, "a/b")
    assert objects.get("a/b").content == b"x"
    assert [info.path for info in store.list("")] == ["a"]
    store.delete("a")
    assert store.list("") == []


def test_names_that_mislead_clients_are_not_shown(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    # A console's mark of a folder, an empty segment, a hidden upload.
    put_directly(objects, f"{PREFIX}/d/", f"{PREFIX}/d//x", f"{PREFIX}/d/.artifact.uploading.1", f"{PREFIX}/d/real")
    assert [info.path for info in s3_store.list("d")] == ["d/real"]


def test_a_path_that_is_too_long_with_the_prefix_is_refused(s3_store: S3ArtifactStore) -> None:
    path = "/".join(["n" * 200] * 5)  # 1,004 bytes of 1,024, and the prefix takes 12
    put(s3_store, path)
    with pytest.raises(InvalidParameterValue, match="more than the 1012 bytes that an S3 key has left"):
        s3_store.open_writer(f"{path}{'n' * 9}")


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://key:secret@bucket/x", "s3://b?x=1", "s3://b:80/x"])
def test_a_destination_without_a_plain_bucket_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="must be written as s3://bucket or s3://bucket/prefix"):
        open_store(uri)


# Uploads


@pytest.mark.parametrize(
    ("size", "parts"), [(PART_BYTES, None), (PART_BYTES + 1, 2), (2 * PART_BYTES, 2), (2 * PART_BYTES + 5, 3)]
)
def test_an_upload_has_parts_when_it_is_larger_than_one(
    s3_store: S3ArtifactStore, objects: httpx.Client, size: int, parts: int | None
) -> None:
    content = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    writer = s3_store.open_writer("big")
    for start in range(0, size, 1_000_000):
        writer.write(content[start : start + 1_000_000])
    writer.commit()
    found = objects.get(f"{PREFIX}/big")
    assert found.content == content
    assert found.headers["etag"].strip('"').partition("-")[2] == (str(parts) if parts else "")
    assert get(s3_store, "big") == content
    assert uploads_under_way(objects) == 0


def test_an_aborted_upload_leaves_no_parts(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    writer = s3_store.open_writer("big")
    writer.write(b"x" * (PART_BYTES + 1))
    assert uploads_under_way(objects) == 1
    writer.abort()
    writer.abort()
    assert uploads_under_way(objects) == 0
    assert s3_store.list("") == []


def test_objects_have_the_type_of_their_name(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    put(s3_store, "a.png")
    put(s3_store, "b.csv", b"x" * (PART_BYTES + 1))
    assert objects.head(f"{PREFIX}/a.png").headers["content-type"] == "image/png"
    assert objects.head(f"{PREFIX}/b.csv").headers["content-type"] == "text/plain"


def test_uploads_are_encrypted_and_marked_as_the_settings_say(
    s3_settings: S3Settings, s3_bucket: str, objects: httpx.Client
) -> None:
    extra = {"ServerSideEncryption": "AES256", "Metadata": {"team": "blue"}}
    settings = dataclasses.replace(s3_settings, upload_extra_args=extra)
    store = open_store(f"s3://{s3_bucket}", settings)
    assert isinstance(store, S3ArtifactStore)
    put(store, "small")
    put(store, "large", b"x" * (PART_BYTES + 1))
    request = store.presigned_upload("presigned", 60)
    httpx.put(request.url, content=b"x", headers=request.headers).raise_for_status()
    upload = store.create_multipart_upload("parts", 1)
    sent = httpx.put(upload.requests[0].url, content=b"x", headers=upload.requests[0].headers)
    store.complete_multipart_upload("parts", upload.upload_id, [UploadedPart(1, sent.headers["etag"])])
    for key in ("small", "large", "presigned", "parts"):
        headers = objects.head(key).headers
        assert (headers.get("x-amz-server-side-encryption"), headers.get("x-amz-meta-team")) == ("AES256", "blue"), key


# Clients that go to S3 themselves


def test_a_presigned_download_can_be_followed_in_ranges(s3_store: S3ArtifactStore) -> None:
    put(s3_store, "d/ä b%20c.html", b"0123456789")
    request, size = s3_store.presigned_download("d/ä b%20c.html", 60)
    assert (size, request.headers) == (10, {})
    whole = httpx.get(request.url)
    assert whole.content == b"0123456789"
    # A browser that follows the URL saves the file and shows nothing of it.
    assert whole.headers["content-disposition"].startswith("attachment; filename=")
    assert httpx.get(request.url, headers={"Range": "bytes=3-5"}).content == b"345"


def test_a_presigned_url_says_how_long_it_is_valid(s3_store: S3ArtifactStore) -> None:
    put(s3_store, "a")
    assert httpx.URL(s3_store.presigned_download("a", 77)[0].url).params["X-Amz-Expires"] == "77"
    assert httpx.URL(s3_store.presigned_download("a")[0].url).params["X-Amz-Expires"] == "300"
    assert httpx.URL(s3_store.presigned_upload("b", 78).url).params["X-Amz-Expires"] == "78"


def test_a_presigned_download_needs_a_file(s3_store: S3ArtifactStore) -> None:
    put(s3_store, "a/b")
    with pytest.raises(ResourceDoesNotExist, match="^No such artifact: 'a/c'$"):
        s3_store.presigned_download("a/c", 60)
    with pytest.raises(InvalidParameterValue, match="refers to a directory"):
        s3_store.presigned_download("a", 60)


def test_a_presigned_upload_becomes_the_file(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    request = s3_store.presigned_upload("d/a.json", 60)
    assert request.headers == {"Content-Type": "text/plain"}
    httpx.put(request.url, content=b"{}", headers=request.headers).raise_for_status()
    assert get(s3_store, "d/a.json") == b"{}"
    with pytest.raises(InvalidParameterValue, match="is below a file"):
        s3_store.presigned_upload("d/a.json/b", 60)


def test_the_headers_of_a_presigned_request_are_those_that_are_signed(s3_settings: S3Settings) -> None:
    extra = {"BucketKeyEnabled": True, "SSEKMSKeyId": "key", "Tagging": "a=b", "Metadata": {"x": "y"}}
    settings = dataclasses.replace(s3_settings, upload_extra_args=extra, expected_bucket_owner="111122223333")
    bucket = S3Bucket("bucket", settings)
    arguments = bucket.upload_arguments("put_object")
    url, headers = bucket.presign("put_object", 60, Key="k", ContentType="image/png", **arguments)
    signed = set(httpx.URL(url).params["X-Amz-SignedHeaders"].split(";"))
    assert {name.lower() for name in headers} == signed - {"host"}
    assert headers["x-amz-server-side-encryption-bucket-key-enabled"] == "true"
    assert bucket.presign("get_object", 60, Key="k")[1] == {"x-amz-expected-bucket-owner": "111122223333"}


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("auto", "http://s3.example:9000/bucket/k"),
        ("path", "http://s3.example:9000/bucket/k"),
        ("virtual", "http://bucket.s3.example:9000/k"),
    ],
)
def test_buckets_of_another_endpoint_are_addressed_as_the_settings_say(
    s3_settings: S3Settings, style: str, expected: str
) -> None:
    settings = dataclasses.replace(s3_settings, endpoint_url="http://s3.example:9000", addressing_style=style)
    url, _ = S3Bucket("bucket", settings).presign("get_object", 60, Key="k")
    assert url.partition("?")[0] == expected


def test_a_client_sends_the_parts_of_an_upload_itself(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    upload = s3_store.create_multipart_upload("d/big", 2)
    contents = [b"a" * 5 * 1024 * 1024, b"b"]
    parts = [
        UploadedPart(number, httpx.put(request.url, content=content, headers=request.headers).headers["etag"])
        for number, (request, content) in enumerate(zip(upload.requests, contents, strict=True), start=1)
    ]
    assert s3_store.list("d") == []
    s3_store.complete_multipart_upload("d/big", upload.upload_id, parts[::-1])
    assert get(s3_store, "d/big") == b"".join(contents)
    assert uploads_under_way(objects) == 0


def test_an_upload_in_parts_can_be_given_up_more_than_once(s3_store: S3ArtifactStore, objects: httpx.Client) -> None:
    upload = s3_store.create_multipart_upload("d/big", 1)
    httpx.put(upload.requests[0].url, content=b"x").raise_for_status()
    s3_store.abort_multipart_upload("d/big", upload.upload_id)
    s3_store.abort_multipart_upload("d/big", upload.upload_id)
    assert uploads_under_way(objects) == 0
    assert s3_store.list("") == []


def test_parts_that_do_not_fit_are_refused(s3_store: S3ArtifactStore) -> None:
    upload = s3_store.create_multipart_upload("big", 2)
    httpx.put(upload.requests[0].url, content=b"x").raise_for_status()
    with pytest.raises(InvalidParameterValue, match="S3 cannot complete the upload of 'big'"):
        s3_store.complete_multipart_upload("big", upload.upload_id, [UploadedPart(1, '"0123"')])


def test_an_upload_in_parts_obeys_the_rules_of_other_uploads(s3_store: S3ArtifactStore) -> None:
    put(s3_store, "a/b")
    with pytest.raises(InvalidParameterValue, match="refers to a directory"):
        s3_store.create_multipart_upload("a", 1)
    with pytest.raises(InvalidParameterValue, match="is below a file"):
        s3_store.create_multipart_upload("a/b/c", 1)
    for path in ("", "../x", "a/"):
        with pytest.raises(InvalidParameterValue):
            s3_store.create_multipart_upload(path, 1)
        with pytest.raises(InvalidParameterValue):
            s3_store.complete_multipart_upload(path, "id", [UploadedPart(1, "x")])
        with pytest.raises(InvalidParameterValue):
            s3_store.abort_multipart_upload(path, "id")
