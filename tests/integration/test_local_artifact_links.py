"""The artifact store in a folder: symbolic links below its root lead nowhere."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runnel.artifacts.destinations import open_store
from runnel.artifacts.store import ArtifactStore
from runnel.domain.errors import InvalidParameterValue, MlflowError

SECRET = b"not an artifact"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(root: Path) -> ArtifactStore:
    return open_store(str(root))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root, with a file and a folder in it."""
    folder = tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    (folder / "secret").write_bytes(SECRET)
    (folder / "folder" / "secret").write_bytes(SECRET)
    return folder


def put(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    writer = store.open_writer(path)
    writer.write(content)
    writer.commit()


def everything_in(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


LINKS: dict[str, Callable[[Path], str]] = {
    "absolute": lambda outside: str(outside),
    "relative": lambda _: "../outside",
    "dangling": lambda _: "../nowhere",
}


@pytest.mark.parametrize("target", LINKS.values(), ids=LINKS.keys())
def test_a_link_to_a_folder_leads_nowhere(
    store: ArtifactStore, root: Path, outside: Path, target: Callable[[Path], str]
) -> None:
    (root / "link").symlink_to(target(outside))
    before = everything_in(outside.parent / "outside")
    attempts: list[Callable[[], object]] = [
        lambda: store.list("link"),
        lambda: store.list("link/folder"),
        lambda: store.open_reader("link"),
        lambda: store.open_reader("link/secret"),
        lambda: store.open_writer("link"),
        lambda: store.open_writer("link/new"),
        lambda: store.open_writer("link/secret"),
        lambda: store.open_writer("link/new/deep"),
        lambda: store.delete("link/secret"),
        lambda: store.delete("link/folder"),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidParameterValue, match="is a symbolic link, and links are not followed"):
            attempt()
    assert everything_in(outside) == before
    assert not (outside.parent / "nowhere").exists()


@pytest.mark.parametrize("target", ["../outside/secret", "../outside/missing", "inside"])
def test_a_link_to_a_file_is_neither_read_nor_written_through(
    store: ArtifactStore, root: Path, outside: Path, target: str
) -> None:
    put(store, "inside")
    (root / "link").symlink_to(target)
    for attempt in (store.open_reader, store.open_writer):
        with pytest.raises(InvalidParameterValue, match="is a symbolic link"):
            attempt("link")
    assert (outside / "secret").read_bytes() == SECRET
    assert not (outside / "missing").exists()


def test_a_link_that_appears_during_an_upload_is_replaced_and_not_followed(
    store: ArtifactStore, root: Path, outside: Path
) -> None:
    writer = store.open_writer("a")
    writer.write(b"new")
    (root / "a").symlink_to(outside / "secret")
    writer.commit()
    assert not (root / "a").is_symlink()
    assert (root / "a").read_bytes() == b"new"
    assert (outside / "secret").read_bytes() == SECRET


def test_links_are_not_listed(store: ArtifactStore, root: Path, outside: Path) -> None:
    put(store, "d/file")
    (root / "d" / "to a folder").symlink_to(outside)
    (root / "d" / "to a file").symlink_to(outside / "secret")
    (root / "d" / "to its neighbour").symlink_to("file")
    assert [info.path for info in store.list("d")] == ["d/file"]


def test_deleting_a_link_or_a_folder_of_links_spares_what_they_point_to(
    store: ArtifactStore, root: Path, outside: Path
) -> None:
    before = everything_in(outside)
    put(store, "d/e/file")
    (root / "link").symlink_to(outside)
    (root / "d" / "link").symlink_to(outside)
    (root / "d" / "e" / "link").symlink_to("../../../outside/secret")
    store.delete("link")
    store.delete("d")
    assert store.list("") == []
    assert not (root / "link").is_symlink()
    assert everything_in(outside) == before


def test_a_folder_swapped_for_a_link_at_any_moment_leads_nowhere(
    store: ArtifactStore, root: Path, outside: Path
) -> None:
    before = everything_in(outside)
    put(store, "real/secret", b"inside")
    (root / "link").symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("real", "link"):
                try:
                    (root / name).rename(root / "a")
                    (root / "a").rename(root / name)
                except OSError:  # an upload found the name free, and made a folder of it
                    shutil.rmtree(root / "a", ignore_errors=True)

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes = set()
    try:
        for number in range(3000):
            try:
                if number % 3 == 0:
                    reader = store.open_reader("a/secret")
                    outcomes.add(reader.read(100))
                    reader.close()
                elif number % 3 == 1:
                    put(store, "a/secret", b"inside")
                else:
                    store.delete("a/folder")
                    outcomes.update(info.path.encode() for info in store.list("a"))
            except MlflowError as error:
                outcomes.add(type(error).__name__.encode())
    finally:
        stop.set()
        swapper.join()
    assert outcomes <= {
        b"inside",
        b"a/secret",
        b"InvalidParameterValue",
        b"ResourceDoesNotExist",
        b"InvalidState",
        b"TemporarilyUnavailable",
    }
    assert {b"inside", b"InvalidParameterValue"} <= outcomes  # the folder and the link were both met
    assert everything_in(outside) == before
