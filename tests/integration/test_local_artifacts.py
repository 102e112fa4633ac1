"""The artifact store in a folder: its root, kills, leftovers, and others who work in the same folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from runnel.artifacts.destinations import open_store
from runnel.artifacts.local import ABANDONED_AFTER_SECONDS
from runnel.artifacts.store import RESERVED_PREFIX, ArtifactStore
from runnel.domain.errors import (
    InvalidParameterValue,
    InvalidState,
    MlflowError,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(root: Path) -> ArtifactStore:
    return open_store(str(root))


def put(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    writer = store.open_writer(path)
    writer.write(content)
    writer.commit()


def hidden_files(root: Path) -> list[Path]:
    return [path for path in root.rglob(f"{RESERVED_PREFIX}*") if path.is_file()]


def make_older(paths: list[Path]) -> None:
    then = time.time() - ABANDONED_AFTER_SECONDS - 60
    for path in paths:
        os.utime(path, (then, then))


# The destination


def test_a_destination_is_a_path_or_a_file_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my artifacts"
    put(open_store("./my artifacts"), "a")
    for destination in (
        str(folder),
        f"file://{tmp_path}/my%20artifacts",
        f"file://localhost{tmp_path}/my%20artifacts/",
    ):
        assert [info.path for info in open_store(destination).list("")] == ["a"]


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("gs://user:password@bucket/x", "cannot use the scheme 'gs'"),
        ("http://host/x", "cannot use the scheme 'http'"),
        ("file://host/x", "file URI of this host"),
        ("", "names no folder"),
        ("  ", "names no folder"),
        ("file://", "names no folder"),
        ("/dev/null/x", "'/dev/null/x' is not a usable folder: Not a directory"),
    ],
)
def test_any_other_destination_is_refused_with_the_reason(destination: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        open_store(destination)
    assert "password" not in str(raised.value)


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    put(open_store(str(tmp_path / "link")), "a/b")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"x"


def test_a_root_that_was_removed_comes_back_with_the_next_upload(store: ArtifactStore, root: Path) -> None:
    root.rmdir()
    assert store.list("") == []
    store.delete("a")
    with pytest.raises(ResourceDoesNotExist):
        store.open_reader("a")
    put(store, "a/b")
    assert (root / "a" / "b").read_bytes() == b"x"


# What is not a file


def test_a_pipe_or_a_socket_is_no_artifact_and_hangs_nobody(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(root))
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's address has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert store.list("") == []
        for name in ("pipe", "socket"):
            with pytest.raises(ResourceDoesNotExist):
                store.open_reader(name)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no file names that are not Unicode")
def test_a_file_name_that_is_not_unicode_is_not_listed(store: ArtifactStore, root: Path) -> None:
    put(store, "a")
    (root / os.fsdecode(b"\xff")).write_bytes(b"x")
    assert [info.path for info in store.list("")] == ["a"]


# Kills and leftovers

UPLOADS_WITHOUT_END = """
import itertools, sys
from runnel.artifacts.destinations import open_store
store = open_store(sys.argv[1])
for number in itertools.count(1):
    writer = store.open_writer("run/file")
    for _ in range(64):
        writer.write(bytes([number % 256]) * 16384)
    writer.commit()
    print(number, flush=True)
"""

HALF_AN_UPLOAD = """
import sys, time
from runnel.artifacts.destinations import open_store
writer = open_store(sys.argv[1]).open_writer("run/artifacts/file")
writer.write(b"x" * 1_000_000)
print("half", flush=True)
time.sleep(60)
"""


def kill_while_it_uploads(program: str, root: Path, after_lines: int, delay: float = 0.0) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    with process.stdout:
        for _ in range(after_lines):
            assert process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01])
def test_a_kill_at_any_moment_leaves_a_whole_file(root: Path, delay: float) -> None:
    kill_while_it_uploads(UPLOADS_WITHOUT_END, root, after_lines=3, delay=delay)
    content = (root / "run" / "file").read_bytes()
    assert len(content) == 64 * 16384
    assert len(set(content)) == 1
    assert [info.path for info in open_store(str(root)).list("run")] == ["run/file"]


def test_a_kill_in_the_middle_of_an_upload_leaves_no_visible_file(root: Path) -> None:
    kill_while_it_uploads(HALF_AN_UPLOAD, root, after_lines=1)
    store = open_store(str(root))
    assert store.list("run/artifacts") == []
    assert [info.path for info in store.list("")] == ["run"]
    with pytest.raises(ResourceDoesNotExist):
        store.open_reader("run/artifacts/file")


def test_what_a_killed_server_left_is_removed_after_a_day_when_a_store_is_opened(root: Path) -> None:
    kill_while_it_uploads(HALF_AN_UPLOAD, root, after_lines=1)
    put(open_store(str(root)), "run/artifacts/whole")
    assert len(hidden_files(root)) == 2  # the upload and the note of it
    make_older(hidden_files(root))
    open_store(str(root))
    assert hidden_files(root) == []
    assert (root / "run" / "artifacts" / "whole").read_bytes() == b"x"


def test_a_slow_upload_of_another_server_is_left_alone(store: ArtifactStore, root: Path) -> None:
    writer = store.open_writer("run/file")
    make_older(hidden_files(root))
    writer.write(b"a byte after a day")
    open_store(str(root))
    writer.commit()
    assert (root / "run" / "file").read_bytes() == b"a byte after a day"
    assert hidden_files(root) == []


def test_leftovers_of_a_folder_that_is_gone_or_a_link_by_now_are_forgotten(
    store: ArtifactStore, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    writers = [store.open_writer("gone/file"), store.open_writer("moved/file")]
    hidden = [path for path in hidden_files(root) if path.parent.name == "moved"]
    (outside / hidden[0].name).write_bytes(b"not an artifact")
    make_older([*hidden_files(root), outside / hidden[0].name])
    store.delete("gone")
    store.delete("moved")
    (root / "moved").symlink_to(outside)
    open_store(str(root))
    assert hidden_files(root) == []
    assert (outside / hidden[0].name).read_bytes() == b"not an artifact"
    for writer in writers:
        writer.abort()


def test_a_failed_upload_leaves_no_hidden_file_and_no_open_file(store: ArtifactStore, root: Path) -> None:
    put(store, "d/file")
    open_files = len(os.listdir("/dev/fd"))
    store.open_writer("d/new").abort()
    put(store, "d/new")
    for path in ("d", "d/file/below", "d/..", "e" * 256):
        with pytest.raises(InvalidParameterValue):
            store.open_writer(path)
        with pytest.raises(MlflowError):
            store.open_reader(path)
        with suppress(InvalidParameterValue):
            store.list(path)
    store.delete("d")
    assert hidden_files(root) == []
    assert len(os.listdir("/dev/fd")) == open_files


# Others in the same folder


def test_a_folder_that_takes_the_name_during_an_upload_is_kept(store: ArtifactStore, root: Path) -> None:
    writer = store.open_writer("a")
    put(store, "a/b")
    with pytest.raises(InvalidParameterValue, match="refers to a directory"):
        writer.commit()
    assert (root / "a" / "b").read_bytes() == b"x"
    assert hidden_files(root) == []


def test_an_upload_whose_folder_is_deleted_fails_with_the_reason(store: ArtifactStore, root: Path) -> None:
    writer = store.open_writer("d/file")
    writer.write(b"x")
    store.delete("d")
    writer.write(b"x")
    with pytest.raises(InvalidState, match="^The folder of 'd/file' was deleted during the upload$"):
        writer.commit()
    assert store.list("") == []
    assert hidden_files(root) == []


def test_uploads_deletes_and_lists_at_once_give_only_clear_answers(store: ArtifactStore, root: Path) -> None:
    def work(number: int) -> None:
        for step in range(60):
            with suppress(InvalidState, TemporarilyUnavailable):
                if number % 4 == 0:
                    store.delete("d")
                elif number % 4 == 1:
                    store.list("d/e")
                else:
                    put(store, f"d/e/{number}-{step}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    store.delete("d")
    assert store.list("") == []
    assert hidden_files(root) == []


def test_a_folder_deleted_by_several_at_once_is_gone_when_the_first_delete_returns(
    store: ArtifactStore, root: Path
) -> None:
    for _ in range(5):
        (root / "d").mkdir()
        for number in range(300):
            (root / "d" / str(number)).write_bytes(b"x")
        barrier = threading.Barrier(3)

        def delete(barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            store.delete("d")
            return (root / "d").exists()

        with ThreadPoolExecutor(3) as pool:
            deletes = [pool.submit(delete) for _ in range(3)]
        assert [done.result() for done in deletes] == [False] * 3


def test_a_list_shows_what_stays_while_other_files_come_and_go(store: ArtifactStore, root: Path) -> None:
    put(store, "d/stays")
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            names = [root / "d" / str(number) for number in range(50)]
            for name in names:
                name.write_bytes(b"x")
            for name in names:
                name.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            assert "d/stays" in [info.path for info in store.list("d")]
    finally:
        stop.set()
        other.join()
