"""What bounds the memory and the threads that artifacts take, however many clients come."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from starlette.requests import Request

from runnel.api import artifact_threads, artifacts
from runnel.api.artifact_threads import THREADS, ArtifactThreads
from runnel.api.request_bodies import BodyMemory
from runnel.api.services import Services
from runnel.artifacts.destinations import open_store
from runnel.artifacts.s3_store import S3ArtifactStore
from runnel.artifacts.store import ArtifactStore
from runnel.config import Settings
from runnel.domain.errors import TemporarilyUnavailable

LARGE = b"x" * 2 * artifacts.CHUNK_BYTES


def services_of(store: ArtifactStore) -> Services:
    return Services(
        settings=Settings(),
        bodies=BodyMemory(1024),
        database=None,  # type: ignore[arg-type]
        artifacts=store,
        default_root_artifacts=None,
        artifact_threads=ArtifactThreads(),
        upload_slots=asyncio.Semaphore(1),
        span_intake=None,  # type: ignore[arg-type]
        webhooks=None,  # type: ignore[arg-type]
    )


def upload_of(content: bytes, until: asyncio.Event | None = None) -> Request:
    """A request that sends its body at once, and ends when ``until`` is set."""
    rest = [content, b""]

    async def receive() -> dict[str, Any]:
        if len(rest) == 1 and until is not None:
            await until.wait()
        return {"type": "http.request", "body": rest.pop(0), "more_body": bool(rest)}

    return Request({"type": "http", "headers": [], "method": "PUT", "path": "/"}, receive)


def test_large_uploads_to_s3_wait_for_each_other_and_small_ones_do_not(
    s3_store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "UPLOAD_SLOT_SECONDS", 0.2)

    async def scenario() -> None:
        services = services_of(s3_store)
        end = asyncio.Event()
        first = asyncio.create_task(artifacts.upload_artifact(upload_of(LARGE, end), services, "first"))
        while not services.upload_slots.locked():
            await asyncio.sleep(0.01)
        with pytest.raises(TemporarilyUnavailable, match="Too many large uploads"):
            await artifacts.upload_artifact(upload_of(LARGE), services, "second")
        await artifacts.upload_artifact(upload_of(b"small"), services, "small")
        end.set()
        await first
        await artifacts.upload_artifact(upload_of(LARGE), services, "second")
        services.artifact_threads.shutdown()

    asyncio.run(scenario())
    assert [info.path for info in s3_store.list("")] == ["first", "second", "small"]


def test_uploads_to_a_folder_do_not_wait(tmp_path: Any) -> None:
    async def scenario() -> None:
        services = services_of(open_store(str(tmp_path)))
        await services.upload_slots.acquire()
        await artifacts.upload_artifact(upload_of(LARGE), services, "a")
        services.artifact_threads.shutdown()

    asyncio.run(scenario())


def test_requests_are_refused_when_too_many_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_threads, "MAX_WAITING", 2)

    async def scenario() -> None:
        threads = ArtifactThreads()
        end = threading.Event()
        begun = [asyncio.create_task(threads.begin(end.wait)) for _ in range(THREADS + 2)]
        await asyncio.sleep(0)
        with pytest.raises(TemporarilyUnavailable, match="Too many requests wait"):
            await threads.begin(end.wait)
        further = asyncio.create_task(threads.run(end.wait))  # of a request that has begun
        end.set()
        assert await asyncio.gather(*begun, further) == [True] * (THREADS + 3)
        assert await threads.begin(end.wait) is True
        threads.shutdown()

    asyncio.run(scenario())
