"""S3 for the tests of artifact stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runnel.artifacts.destinations import open_store
from runnel.artifacts.s3 import S3Settings
from runnel.artifacts.s3_store import S3ArtifactStore
from tests.s3_process import S3Process


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """S3 over HTTP."""
    process = S3Process(tmp_path_factory.mktemp("s3"))
    yield process
    process.kill()


@pytest.fixture
def s3_settings(s3: S3Process, monkeypatch: pytest.MonkeyPatch) -> S3Settings:
    """How S3 is reached; the credentials are in the environment, where boto3 looks for them."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return S3Settings(endpoint_url=s3.url)


@pytest.fixture
def s3_bucket(s3: S3Process) -> str:
    """A new bucket."""
    return s3.new_bucket()


@pytest.fixture
def s3_store(s3_settings: S3Settings, s3_bucket: str) -> S3ArtifactStore:
    """A store below a prefix of a new bucket."""
    store = open_store(f"s3://{s3_bucket}/some/prefix", s3_settings)
    assert isinstance(store, S3ArtifactStore)
    return store
