"""A server whose artifacts are in S3: through the server, and by clients that go to S3 themselves."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api_client import Api, Refusal, invalid, not_there, refusal
from tests.conftest import NewDatabase, StartServer
from tests.s3_process import OWNER, S3Process
from tests.server_process import ServerProcess, clean_environment, free_port

BACKENDS = ["sqlite"]

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


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells a process's memory so")
def test_a_large_file_takes_no_memory_of_the_server_on_its_way(
    s3_server: ServerProcess, s3_api: Api, root: str
) -> None:
    block = bytes(range(256)) * (MIB // 256)

    def blocks() -> Iterator[bytes]:
        for _ in range(LARGE // MIB):
            yield block

    s3_api.get(ARTIFACTS, path=root)
    before = memory_of(s3_server.process.pid)
    headers = {"Content-Length": str(LARGE)}
    with PeakMemory(s3_server.process.pid) as peak:
        s3_api.send("PUT", f"{ARTIFACTS}/{root}/large", content=blocks(), headers=headers).raise_for_status()
        digest = hashlib.sha256()
        with s3_api.http.stream("GET", f"{ARTIFACTS}/{root}/large") as found:
            for chunk in found.iter_bytes():
                digest.update(chunk)
    assert digest.digest() == hashlib.sha256(block * (LARGE // MIB)).digest()
    growth = peak.highest - before
    assert growth <= ALLOWED_GROWTH, f"{growth / MIB:.1f} MiB more"


def memory_of(pid: int) -> int:
    """The memory of a process in bytes, of what it shares its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024


class PeakMemory:
    """Watches the memory of a process for a while."""

    def __init__(self, pid: int) -> None:
        self.highest = 0
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.highest = max(self.highest, memory_of(self._pid))


# By clients that go to S3 themselves


def test_clients_are_told_that_they_may_go_to_s3(s3_api: Api) -> None:
    info = s3_api.get("/api/3.0/mlflow/server-info")
    assert info["multipart_uploads_enabled"] is True
    assert info["multipart_downloads_enabled"] is True
    assert info["presigned_upload_run_id_supported"] is True


def test_a_client_uploads_a_file_in_parts(s3_api: Api, root: str) -> None:
    local_path = "/home/me/models/big.bin"  # the client's; its name counts
    upload = s3_api.post(f"{MULTIPART}/create/{root}/models", path=local_path, num_parts=2)
    contents = [b"a" * 5 * MIB, b"b" * 7]
    parts = []
    for credential, content in zip(upload["credentials"], contents, strict=True):
        sent = httpx.put(credential["url"], content=content, headers=credential["headers"]).raise_for_status()
        parts.append({"part_number": credential["part_number"], "etag": sent.headers["etag"], "url": None})
    assert s3_api.get(ARTIFACTS, path=f"{root}/models") == {"files": []}
    complete = f"{MULTIPART}/complete/{root}/models"
    assert s3_api.post(complete, path=local_path, upload_id=upload["upload_id"], parts=parts) == {}
    assert s3_api.send("GET", f"{ARTIFACTS}/{root}/models/big.bin").content == b"".join(contents)


def test_a_client_gives_an_upload_up(s3_api: Api, root: str, s3: S3Process, bucket: str) -> None:
    upload = s3_api.post(f"{MULTIPART}/create/{root}", path=r"C:\models\big.bin", num_parts=1)
    assert upload["credentials"][0]["part_number"] == 1
    httpx.put(upload["credentials"][0]["url"], content=b"x").raise_for_status()
    abort = f"{MULTIPART}/abort/{root}"
    for _ in range(2):
        assert s3_api.post(abort, path=r"C:\models\big.bin", upload_id=upload["upload_id"]) == {}
    assert f"{root}/big.bin" not in stored(s3, bucket, "?uploads").text
    assert s3_api.get(ARTIFACTS, path=root) == {"files": []}


def test_wrong_requests_for_parts_are_refused(s3_api: Api, root: str) -> None:
    create, complete = f"{MULTIPART}/create/{root}", f"{MULTIPART}/complete/{root}"
    for number in (0, 10_001, -1):
        assert s3_api.post_refused(create, path="a", num_parts=number) == invalid(
            f"'num_parts' must be from 1 to 10000, not {number}"
        )
    assert "'path'" in s3_api.post_refused(create, num_parts=1).message
    assert "'path'" in s3_api.post_refused(create, path="folder/", num_parts=1).message
    assert s3_api.post_refused(create, path="..", num_parts=1) == invalid("Invalid path")
    assert s3_api.post_refused(complete, path="a", upload_id="u", parts=[]) == invalid(
        "'parts' must be a list of 1 to 10000 parts, not of 0"
    )
    assert "'upload_id'" in s3_api.post_refused(complete, path="a", parts=[{"part_number": 1, "etag": "x"}]).message
    response = s3_api.send("POST", create, content=b"path=a")
    assert refusal(response).status == 400


def test_a_client_downloads_from_a_presigned_url(s3_api: Api, root: str) -> None:
    s3_api.send("PUT", f"{ARTIFACTS}/{root}/d/a.bin", content=b"0123456789").raise_for_status()
    answer = s3_api.get(f"{PRESIGNED}/{root}/d/a.bin")
    assert (answer["file_size"], answer["headers"]) == (10, {})
    assert httpx.get(answer["url"], headers={"Range": "bytes=5-"}).content == b"56789"
    assert s3_api.get_refused(f"{PRESIGNED}/{root}/d/b.bin") == not_there(f"No such artifact: '{root}/d/b.bin'")
    assert s3_api.get_refused(f"{PRESIGNED}/{root}/d").status == 400


def test_presigned_urls_of_a_run_need_artifacts_that_do_not_go_through_the_server(s3_api: Api) -> None:
    run_id = s3_api.new_run(s3_api.new_experiment())
    for path in ("artifacts/presigned-upload-url", "artifacts/presigned-download-url"):
        refused = s3_api.post_refused(path, run_id=run_id, path="a")
        assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
        assert "proxied artifact storage (artifact URI scheme: mlflow-artifacts)" in refused.message


# Artifacts of runs at an S3 URI


@pytest.fixture(scope="module")
def direct(
    s3: S3Process, bucket: str, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """A server whose clients write to S3 themselves; its own destination is a folder."""
    flags = ("--backend-store-uri", new_database(), "--default-artifact-root", f"s3://{bucket}/direct")
    process = ServerProcess(tmp_path_factory.mktemp("server"), *flags, environment=s3.environment)
    client = Api(process.url)
    try:
        yield client
        process.check_ends_well()
    finally:
        client.close()
        process.kill()


def test_the_server_shows_what_a_client_has_put_into_s3(direct: Api, s3: S3Process, bucket: str) -> None:
    experiment_id = direct.new_experiment()
    run_id = direct.new_run(experiment_id)
    uri = direct.run(run_id)["info"]["artifact_uri"]
    assert uri == f"s3://{bucket}/direct/{experiment_id}/{run_id}/artifacts"
    key = uri.removeprefix(f"s3://{bucket}/")
    httpx.put(f"{s3.url}/{bucket}/{key}/d/a%20b.txt", content=b"0123", headers=OWNER).raise_for_status()
    listed = direct.get("artifacts/list", run_id=run_id, path="d")
    assert listed == {"root_uri": uri, "files": [{"path": "d/a b.txt", "is_dir": False, "file_size": 4}]}
    found = direct.send("GET", "/get-artifact", params={"run_id": run_id, "path": "d/a b.txt"})
    assert found.content == b"0123"


def test_a_file_of_a_run_in_s3_is_sent_and_read_by_presigned_urls(direct: Api) -> None:
    run_id = direct.new_run(direct.new_experiment())
    upload = direct.post("artifacts/presigned-upload-url", run_id=run_id, path="d/a.txt", expiration=120)
    httpx.put(upload["presigned_url"], content=b"sent", headers=upload["headers"]).raise_for_status()
    download = direct.post("artifacts/presigned-download-url", run_id=run_id, path="d/a.txt")
    assert download["file_size"] == 4
    assert httpx.get(download["presigned_url"], headers=download["headers"]).content == b"sent"


def test_a_file_of_a_model_in_s3_is_sent_by_a_presigned_url(direct: Api) -> None:
    model = direct.post("logged-models", experiment_id=direct.new_experiment(), name="m")["model"]
    model_id = model["info"]["model_id"]
    upload = direct.post("artifacts/presigned-upload-url", model_id=model_id, path="MLmodel")
    httpx.put(upload["presigned_url"], content=b"flavors", headers=upload["headers"]).raise_for_status()
    found = direct.send("GET", f"logged-models/{model_id}/artifacts/files", params={"artifact_file_path": "MLmodel"})
    assert found.content == b"flavors"


def test_wrong_requests_for_presigned_urls_are_refused(direct: Api) -> None:
    run_id = direct.new_run(direct.new_experiment())
    upload, download = "artifacts/presigned-upload-url", "artifacts/presigned-download-url"
    one = invalid("Exactly one of run_id and model_id must be provided.")
    assert direct.post_refused(upload, path="a") == one
    assert direct.post_refused(upload, path="a", run_id=run_id, model_id="m-1") == one
    for seconds in (0, 604801):
        expected = invalid(f"expiration must be between 1 and 604800 seconds (got {seconds}).")
        assert direct.post_refused(upload, path="a", run_id=run_id, expiration=seconds) == expected
        assert direct.post_refused(download, path="a", run_id=run_id, expiration=seconds) == expected
    assert direct.post_refused(download, path="a", run_id=run_id) == not_there(
        f"No such artifact: '{direct.run(run_id)['info']['artifact_uri'].split('/', 4)[4]}/a'"
    )
    assert direct.post_refused(upload, path="../a", run_id=run_id) == invalid("Invalid path")


def test_artifacts_elsewhere_in_s3_are_never_opened(direct: Api, s3: S3Process, bucket: str) -> None:
    other = s3.new_bucket()
    for key in (f"{bucket}/secret/a", f"{bucket}/directly/a", f"{other}/direct/a"):
        httpx.put(f"{s3.url}/{key}", content=b"secret", headers=OWNER).raise_for_status()
    for location in (f"s3://{bucket}/secret", f"s3://{bucket}/directly", f"s3://{other}/direct", f"s3://{bucket}"):
        run_id = direct.new_run(direct.new_experiment(artifact_location=location))
        assert "which this server does not serve" in direct.get_refused("artifacts/list", run_id=run_id).message
        refused = direct.post_refused("artifacts/presigned-download-url", run_id=run_id, path="a")
        assert "which this server does not serve" in refused.message
    run_id = direct.new_run(direct.new_experiment(artifact_location=f"s3://{bucket}/direct/../secret"))
    assert direct.get_refused("artifacts/list", run_id=run_id) == invalid("Invalid path")


def test_a_run_whose_uri_is_below_the_destination_is_shown(s3_api: Api, s3: S3Process, bucket: str) -> None:
    run_id = s3_api.new_run(s3_api.new_experiment(artifact_location=f"s3://{bucket}/team/mlflow/own"))
    assert s3_api.get("artifacts/list", run_id=run_id)["files"] == []
    upload = s3_api.post("artifacts/presigned-upload-url", run_id=run_id, path="a")
    httpx.put(upload["presigned_url"], content=b"x", headers=upload["headers"]).raise_for_status()
    assert [file["path"] for file in s3_api.get("artifacts/list", run_id=run_id)["files"]] == ["a"]


# In a folder


def test_a_server_with_a_folder_leaves_clients_to_go_through_it(api: Api) -> None:
    def no(what: str) -> Refusal:
        return Refusal(501, "NOT_IMPLEMENTED", f"{what} is not supported for the current artifact repository")

    info = api.get("/api/3.0/mlflow/server-info")
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (False, False)
    part = {"part_number": 1, "etag": "x"}
    assert api.post_refused(f"{MULTIPART}/create/1/r", path="a", num_parts=1) == no("Multipart upload")
    complete = api.post_refused(f"{MULTIPART}/complete/1/r", path="a", upload_id="u", parts=[part])
    assert complete == no("Multipart upload")
    assert api.post_refused(f"{MULTIPART}/abort/1/r", path="a", upload_id="u") == no("Multipart upload")
    assert api.get_refused(f"{PRESIGNED}/1/r/a") == no("Multipart download")


# Away, and wrong from the start


def test_a_server_whose_s3_is_away_answers_503_and_stays_well(start_server: StartServer, tmp_path: Path) -> None:
    s3 = S3Process(tmp_path)
    bucket = s3.new_bucket()
    server = start_server("--artifacts-destination", f"s3://{bucket}", environment=s3.environment)
    api = Api(server.url)
    try:
        api.send("PUT", f"{ARTIFACTS}/1/a", content=b"x").raise_for_status()
        s3.kill()
        for method, path in (("GET", f"{ARTIFACTS}/1/a"), ("PUT", f"{ARTIFACTS}/1/b"), ("DELETE", f"{ARTIFACTS}/1/a")):
            response = api.send(method, path)
            assert refusal(response).error_code == "TEMPORARILY_UNAVAILABLE"
            assert response.status_code == 503
            assert "retry-after" in response.headers
        assert api.get_refused(ARTIFACTS, path="1").status == 503
        assert api.post_refused(f"{MULTIPART}/create/1", path="a", num_parts=1).status == 503
        assert api.send("GET", "/health").text == "OK"
        run_id = api.new_run(api.new_experiment())
        api.post("runs/log-metric", run_id=run_id, key="k", value=1.0, timestamp=1)
        assert api.metrics(run_id) == {"k": 1.0}
    finally:
        api.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_does_not_start_with_a_wrong_bucket(s3: S3Process, tmp_path: Path, workers: str) -> None:
    ended = start_and_fail(s3, tmp_path, "--artifacts-destination", "s3://no-such-bucket", "--workers", workers)
    assert ended.returncode == 1
    sentence = (
        f"The bucket 'no-such-bucket' does not exist at {s3.url}: create it, or correct the artifacts destination"
    )
    assert ended.stderr.strip() == f"Error: {sentence}"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MLFLOW_S3_ENDPOINT_URL", "localhost:9000", "MLFLOW_S3_ENDPOINT_URL must be a URL"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{", "MLFLOW_S3_UPLOAD_EXTRA_ARGS is not JSON"),
        ("MLFLOW_S3_IGNORE_TLS", "maybe", "MLFLOW_S3_IGNORE_TLS must be one of"),
    ],
)
def test_a_server_does_not_start_with_a_wrong_variable(
    s3: S3Process, bucket: str, tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    ended = start_and_fail(s3, tmp_path, "--artifacts-destination", f"s3://{bucket}", **{variable: value})
    assert ended.returncode == 2
    assert expected in ended.stderr


def start_and_fail(s3: S3Process, folder: Path, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runnel", "server", "--port", str(free_port()), *flags]
    environment = clean_environment() | s3.environment | variables
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
