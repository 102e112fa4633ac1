"""A server whose artifacts are in S3: through the server, and by clients that go to S3 themselves."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api_client import Api, Refusal, invalid, not_there, refusal
from tests.conftest import NewDatabase, StartServer
from tests.s3_process import OWNER, S3Process
from tests.server_process import ServerProcess, free_port

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MULTIPART = "/api/2.0/mlflow-artifacts/mpu"
PRESIGNED = "/api/2.0/mlflow-artifacts/presigned"
MIB = 1024 * 1024
LARGE = 200 * MIB
ALLOWED_GROWTH = 16 * MIB


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    process = S3Process(tmp_path_factory.mktemp("s3"))
    yield process
    process.kill()


@pytest.fixture(scope="module")
def bucket(s3: S3Process) -> str:
    return s3.new_bucket()


@pytest.fixture(scope="module")
def s3_server(
    s3: S3Process, bucket: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    flags = ("--backend-store-uri", new_database(), "--artifacts-destination", f"s3://{bucket}/team/mlflow")
    process = ServerProcess(tmp_path_factory.mktemp("server"), *flags, environment=s3.environment)
    try:
        yield process
        process.check_ends_well()
    finally:
        process.kill()


@pytest.fixture
def s3_api(s3_server: ServerProcess) -> Iterator[Api]:
    client = Api(s3_server.url)
    yield client
    client.close()


@pytest.fixture
def root(s3_api: Api) -> str:
    """Where the artifacts of a new run are, below the destination."""
    run = s3_api.run(s3_api.new_run(s3_api.new_experiment()))
    uri: str = run["info"]["artifact_uri"]
    return uri.removeprefix("mlflow-artifacts:/")


def stored(s3: S3Process, bucket: str, key: str) -> httpx.Response:
    """An object as another program finds it."""
    return httpx.get(f"{s3.url}/{bucket}/{key}", headers=OWNER)


# Through the server


def test_artifacts_are_kept_in_the_bucket(s3_api: Api, root: str, s3: S3Process, bucket: str) -> None:
    path = f"{ARTIFACTS}/{root}/model/a%20b.txt"
    assert s3_api.send("PUT", path, content=b"0123456789").json() == {}
    assert stored(s3, bucket, f"team/mlflow/{root}/model/a%20b.txt").content == b"0123456789"
    found = s3_api.send("GET", path)
    assert (found.content, found.headers["content-type"]) == (b"0123456789", "text/plain")
    assert s3_api.send("GET", path, headers={"Range": "bytes=2-4"}).content == b"234"
    assert s3_api.send("GET", path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert s3_api.send("HEAD", path).headers["content-length"] == "10"
    listed = s3_api.get(ARTIFACTS, path=f"{root}/model")
    assert listed == {"files": [{"path": "a b.txt", "is_dir": False, "file_size": 10}]}
    assert s3_api.send("DELETE", f"{ARTIFACTS}/{root}/model").json() == {}
    assert s3_api.get(ARTIFACTS, path=root) == {"files": []}
    assert refusal(s3_api.send("GET", path)) == not_there(f"No such artifact: '{root}/model/a b.txt'")


def test_the_artifacts_of_a_run_are_those_in_the_bucket(s3_api: Api) -> None:
    run_id = s3_api.new_run(s3_api.new_experiment())
    upload = s3_api.send("POST", "upload-artifact", params={"run_uuid": run_id, "path": "d/a.json"}, content=b"{}")
    assert upload.status_code == 200
    files = s3_api.get("artifacts/list", run_id=run_id, path="d")["files"]
    assert files == [{"path": "d/a.json", "is_dir": False, "file_size": 2}]
    assert s3_api.send("GET", "/get-artifact", params={"run_id": run_id, "path": "d/a.json"}).content == b"{}"


def test_a_large_file_takes_no_memory_of_the_server_on_its_way(
    s3_server: ServerProcess, s3_api: Api, root: str, tmp_path: Path
) -> None:
    block = bytes(range(256)) * (MIB // 256)

    def blocks() -> Iterator[bytes]:
        for _ in range(LARGE // MIB):
            yield block

    # Connections and threads are there; what they take is not that of a file.
    s3_api.send("PUT", f"{ARTIFACTS}/{root}/small", content=block).raise_for_status()
    s3_api.send("GET", f"{ARTIFACTS}/{root}/small").raise_for_status()
    before = proportional_memory(s3_server.process.pid)
    peak = before

    headers = {"Content-Length": str(LARGE)}
    with watched(s3_server.process.pid) as highest:
        s3_api.send("PUT", f"{ARTIFACTS}/{root}/large", content=blocks(), headers=headers).raise_for_status()
        digest = hashlib.sha256()
        with s3_api.http.stream("GET", f"{ARTIFACTS}/{root}/large") as found:
            for chunk in found.iter_bytes():
                digest.update(chunk)
    assert digest.digest() == hashlib.sha256(block * (LARGE // MIB)).digest()
    assert highest() - before <= ALLOWED_GROWTH, f"{(highest() - before) / MIB:.1f} MiB more"
