"""One large artifact through the server: the rate, and what it costs in memory."""

import http.client
import os
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.memory import MIB, PeakMemory, process_tree, pss_bytes
from benchmarks.servers import HOST
from benchmarks.session import Session

BLOCK = 1024 * 1024
SCHEME = "mlflow-artifacts:/"


def artifacts(session: Session) -> Iterator[Figure]:
    """PUT and GET of 200 MB: MB/s, and the peak of PSS over what the tree took before."""
    size = session.settings.artifact_bytes
    titles = {
        method: f"artifact of {size // 1_000_000} MB, {word}" for method, word in (("PUT", "up"), ("GET", "down"))
    }
    run = session.rest.create_run(session.experiment("artifacts"), "artifacts")
    if not run["artifact_uri"].startswith(SCHEME):
        reason = "not offered: clients reach the store themselves"
        for title in titles.values():
            yield session.figure("artifacts", title, "MB/s", None, invalid=reason)
        return
    folder = f"/api/2.0/mlflow-artifacts/artifacts/{run['artifact_uri'].removeprefix(SCHEME).lstrip('/')}"
    source = session.server.folder / "upload.bin"
    crc = _write_random(source, size)
    paths = [f"{folder}/large-{number}.bin" for number in range(session.settings.repeats)]
    port = session.server.port
    yield from _measure(session, titles["PUT"], [partial(_upload, port, path, source) for path in paths])
    invalid = "" if _download(port, paths[0], check=True) == crc else "the file came back changed"
    downloads = [partial(_download, port, path) for path in paths]
    yield from _measure(session, titles["GET"], downloads, invalid)


def _measure(
    session: Session, title: str, transfers: Sequence[Callable[[], object]], invalid: str = ""
) -> Iterator[Figure]:
    session.server.settle()
    before = pss_bytes(process_tree(session.server.pid))
    seconds = []
    with PeakMemory(session.server.pid) as memory:
        for transfer in transfers:
            began = time.perf_counter()
            transfer()
            seconds.append(time.perf_counter() - began)
    rate = session.settings.artifact_bytes / 1e6 / statistics.median(seconds)
    extra = max(memory.peak - before, 0) / MIB
    yield session.figure("artifacts", title, "MB/s", rate, invalid=invalid)
    memory_title = f"{title}, peak memory above idle"
    yield session.figure("artifacts", memory_title, "MiB", extra, lower_is_better=True, invalid=invalid)


def _write_random(path: Path, size: int) -> int:
    """A file that does not compress; returns its checksum."""
    crc = 0
    with path.open("wb") as file:
        for first in range(0, size, BLOCK):
            block = os.urandom(min(BLOCK, size - first))
            crc = zlib.crc32(block, crc)
            file.write(block)
    return crc


def _upload(port: int, path: str, source: Path) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    connection.putrequest("PUT", path)
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(source.stat().st_size))
    connection.endheaders()
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    _expect_ok(connection.getresponse())
    connection.close()


def _download(port: int, path: str, check: bool = False) -> int:
    """Read the file and throw it away; with `check`, return its checksum (which takes time of its own)."""
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    connection.request("GET", path)
    response = connection.getresponse()
    _expect_ok(response)
    buffer = bytearray(BLOCK)
    crc = 0
    while count := response.readinto(buffer):
        if check:
            crc = zlib.crc32(memoryview(buffer)[:count], crc)
    connection.close()
    return crc


def _expect_ok(response: http.client.HTTPResponse) -> None:
    if response.status != 200:
        raise OSError(f"status {response.status}: {response.read(200)!r}")
