"""The real mlflow client and a server whose artifacts are in S3: through the server, in parts, and directly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.api_client import unique_name
from tests.conftest import StartServer
from tests.s3_process import S3Process
from tests.server_process import ServerProcess

BACKENDS = ["sqlite"]

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    process = S3Process(tmp_path_factory.mktemp("s3"))
    yield process
    process.kill()


@pytest.fixture(autouse=True)
def client_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(6 * MIB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MIB))
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(5 * MIB))
    monkeypatch.chdir(tmp_path)


def log_and_read_back(server: ServerProcess, folder: Path) -> str:
    """Logs a small and a large file, reads both back, and says where the run keeps its artifacts."""
    source = folder / "large file.bin"
    source.write_bytes(os.urandom(11 * MIB))
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment(unique_name())
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(source), "sub folder")
        mlflow.log_text("small", "texts/ä.txt")
    client = mlflow.MlflowClient()
    listed = client.list_artifacts(run.info.run_id, "sub folder")
    assert [(info.path, info.file_size) for info in listed] == [("sub folder/large file.bin", 11 * MIB)]
    found = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(folder / "found")))
    assert (found / "sub folder/large file.bin").read_bytes() == source.read_bytes()
    assert (found / "texts/ä.txt").read_text() == "small"
    uri: str = run.info.artifact_uri
    return uri


def requests_for_artifacts(server: ServerProcess) -> list[str]:
    """The lines of the access log about artifacts; the server has ended then."""
    server.stop()
    return [line for line in server.log.splitlines() if "/mlflow-artifacts/" in line]


@pytest.mark.parametrize("enabled", ["true", "false", None])
def test_files_arrive_with_and_without_the_way_past_the_server(
    s3: S3Process, start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: str | None
) -> None:
    server = start_server("--artifacts-destination", f"s3://{s3.new_bucket()}/p", environment=s3.environment)
    if enabled is not None:
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", enabled)
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", enabled)
    assert log_and_read_back(server, tmp_path).startswith("mlflow-artifacts:/")
    of_large_file = [line for line in requests_for_artifacts(server) if "large" in line]
    sent = [line for line in of_large_file if " PUT " in line]
    read = [line for line in of_large_file if " GET " in line]
    past_the_server = enabled != "false"  # a client that is not told asks the server
    assert sent == [] if past_the_server else len(sent) == 1
    assert all(("/presigned/" in line) == past_the_server for line in read)
    assert read


def test_a_client_reaches_the_default_artifact_root_itself(
    s3: S3Process, start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.new_bucket()
    server = start_server("--default-artifact-root", f"s3://{bucket}/root", environment=s3.environment)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    assert log_and_read_back(server, tmp_path).startswith(f"s3://{bucket}/root/")
    assert requests_for_artifacts(server) == []
