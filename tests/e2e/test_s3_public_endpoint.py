"""Whether clients are sent to S3: only where they can reach it, by the name under which they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.api_client import Api
from tests.conftest import StartServer
from tests.s3_process import S3Process

BACKENDS = ["sqlite"]

PUBLIC = "RUNNEL_S3_PUBLIC_ENDPOINT_URL"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    process = S3Process(tmp_path_factory.mktemp("s3"))
    yield process
    process.kill()


@pytest.fixture
def start(start_server: StartServer, s3: S3Process) -> Iterator[Callable[[str], Api]]:
    """Starts a server that is told of a public endpoint."""
    with ExitStack() as clients:

        def start_with(public_url: str) -> Api:
            environment = s3.environment | {PUBLIC: public_url}
            server = start_server("--artifacts-destination", f"s3://{s3.new_bucket()}", environment=environment)
            api = Api(server.url)
            clients.callback(api.close)
            return api

        yield start_with


def sends_clients_to_s3(api: Api) -> set[bool]:
    info = api.get("/api/3.0/mlflow/server-info")
    return {info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]}


def test_clients_are_not_sent_to_an_endpoint_that_only_the_server_may_know(start: Callable[[str], Api]) -> None:
    api = start("")
    assert sends_clients_to_s3(api) == {False}
    path = "/api/2.0/mlflow-artifacts/artifacts/1/file"
    assert api.send("PUT", path, content=b"through the server").status_code == 200
    assert api.send("GET", path).content == b"through the server"


def test_clients_are_sent_to_the_public_name_of_the_endpoint(start: Callable[[str], Api], s3: S3Process) -> None:
    public_url = s3.url.replace("127.0.0.1", "localhost")
    api = start(public_url)
    assert sends_clients_to_s3(api) == {True}
    api.send("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/file", content=b"through the server").raise_for_status()
    answer = api.get("/api/2.0/mlflow-artifacts/presigned/1/file")
    assert answer["url"].startswith(f"{public_url}/")
    assert httpx.get(answer["url"], headers=answer["headers"]).content == b"through the server"


def test_a_public_endpoint_that_is_no_url_stops_the_start(start: Callable[[str], Api]) -> None:
    with pytest.raises(AssertionError, match=f"{PUBLIC} must be a URL that begins with http:// or https://"):
        start("s3.example.com")
