"""What every artifact store does, whatever is behind it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runnel.artifacts.destinations import open_store
from runnel.artifacts.store import ArtifactReader, ArtifactStore, FileInfo
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist


@pytest.fixture(params=["folder", "s3"])
def artifact_store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return open_store(str(tmp_path / "artifacts"))
    store: ArtifactStore = request.getfixturevalue("s3_store")
    return store


def put(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    writer = store.open_writer(path)
    writer.write(content)
    writer.commit()


def read_all(reader: ArtifactReader, chunk: int = 65536) -> bytes:
    try:
        parts = []
        while part := reader.read(chunk):
            assert len(part) <= chunk
            parts.append(part)
        return b"".join(parts)
    finally:
        reader.close()


def get(store: ArtifactStore, path: str) -> bytes:
    return read_all(store.open_reader(path))


def paths(store: ArtifactStore, path: str) -> list[str]:
    return [info.path for info in store.list(path)]


def test_what_was_written_is_read_back(artifact_store: ArtifactStore) -> None:
    writer = artifact_store.open_writer("1/run/artifacts/model.pkl")
    chunks = [b"", b"a" * 100_000, b"b", b"c" * 70_000]
    for chunk in chunks:
        writer.write(chunk)
    writer.commit()
    assert get(artifact_store, "1/run/artifacts/model.pkl") == b"".join(chunks)


def test_an_empty_file_is_a_file(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/empty", b"")
    assert get(artifact_store, "a/empty") == b""
    assert artifact_store.list("a") == [FileInfo("a/empty", is_dir=False, file_size=0)]


def test_names_are_kept_literally(artifact_store: ArtifactStore) -> None:
    names = sorted(["a%20b.txt", "a b.txt", "日本語 😀.txt", "50%.csv", "a;b&c=d?e.txt", "...", "a+b", "é"])
    for name in names:
        put(artifact_store, f"d/{name}", name.encode())
    assert paths(artifact_store, "d") == [f"d/{name}" for name in names]
    for name in names:
        assert get(artifact_store, f"d/{name}") == name.encode()
    for name in names:
        artifact_store.delete(f"d/{name}")
    assert paths(artifact_store, "d") == []


def test_a_list_shows_one_level_sorted_by_path(artifact_store: ArtifactStore) -> None:
    for path in ("r/b.txt", "r/a/deep/x", "r/a.txt", "r/a/y", "other"):
        put(artifact_store, path, b"123")
    expected = [
        FileInfo("r/a", is_dir=True, file_size=None),
        FileInfo("r/a.txt", is_dir=False, file_size=3),
        FileInfo("r/b.txt", is_dir=False, file_size=3),
    ]
    assert artifact_store.list("r") == expected
    assert artifact_store.list("r/") == expected
    assert artifact_store.list("./r//.") == expected
    assert paths(artifact_store, "") == ["other", "r"]
    assert paths(artifact_store, ".") == ["other", "r"]


def test_a_file_and_a_missing_path_list_as_empty(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b")
    for path in ("a/b", "a/b/c", "missing", "missing/too"):
        assert artifact_store.list(path) == []


def test_a_missing_file_is_not_found(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b")
    for path in ("missing", "missing/b", "a/c", "a/b/c"):
        with pytest.raises(ResourceDoesNotExist, match=f"^No such artifact: '{path}'$"):
            artifact_store.open_reader(path)


def test_a_folder_cannot_be_read_as_a_file(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b/c")
    for path in ("a", "a/b", "a/b/", "", "."):
        with pytest.raises(InvalidParameterValue, match="refers to a directory, not a file"):
            artifact_store.open_reader(path)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 4, b"3456"),
        (8, 100, b"89"),
        (0, 0, b""),
        (9, 1, b"9"),
    ],
)
def test_a_range_is_read_and_the_size_is_that_of_the_whole(
    artifact_store: ArtifactStore, start: int, length: int | None, expected: bytes
) -> None:
    put(artifact_store, "a", b"0123456789")
    reader = artifact_store.open_reader("a", start=start, length=length)
    assert reader.size == 10
    assert read_all(reader, chunk=3) == expected


def test_a_reader_may_be_closed_before_its_end_and_twice(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a", b"0123456789")
    reader = artifact_store.open_reader("a")
    assert reader.read(4) == b"0123"
    reader.close()
    reader.close()


def test_the_etag_changes_with_the_content_only(artifact_store: ArtifactStore) -> None:
    etags = []
    for content in (b"one", b"two", b"three"):
        put(artifact_store, "a", content)
        for _ in range(2):
            reader = artifact_store.open_reader("a")
            etags.append(reader.etag)
            assert reader.last_modified > 1_600_000_000
            reader.close()
    assert etags[0::2] == etags[1::2]
    assert len(set(etags)) == 3
    assert all(etag.startswith('"') and etag.endswith('"') and etag.count('"') == 2 for etag in etags)


def test_nothing_is_seen_of_an_upload_before_its_commit(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "d/old", b"old")
    replacing, new = artifact_store.open_writer("d/old"), artifact_store.open_writer("d/new")
    replacing.write(b"replaced")
    new.write(b"new")
    assert paths(artifact_store, "d") == ["d/old"]
    assert paths(artifact_store, "") == ["d"]
    assert get(artifact_store, "d/old") == b"old"
    with pytest.raises(ResourceDoesNotExist):
        artifact_store.open_reader("d/new")
    replacing.commit()
    new.commit()
    assert get(artifact_store, "d/old") == b"replaced"
    assert get(artifact_store, "d/new") == b"new"


def test_an_aborted_upload_leaves_everything_as_it_was(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "d/old", b"old")
    for path in ("d/old", "d/new"):
        writer = artifact_store.open_writer(path)
        writer.write(b"half")
        writer.abort()
        writer.abort()
    assert paths(artifact_store, "d") == ["d/old"]
    assert get(artifact_store, "d/old") == b"old"


def test_an_abort_after_the_commit_changes_nothing(artifact_store: ArtifactStore) -> None:
    writer = artifact_store.open_writer("a")
    writer.write(b"whole")
    writer.commit()
    writer.abort()
    assert get(artifact_store, "a") == b"whole"


def test_an_open_reader_keeps_its_version_when_the_file_is_replaced_or_deleted(artifact_store: ArtifactStore) -> None:
    old = b"old" * 50_000
    put(artifact_store, "a", old)
    first, second = artifact_store.open_reader("a"), artifact_store.open_reader("a")
    begin = first.read(10)
    put(artifact_store, "a", b"new" * 50_000)
    assert begin + read_all(first) == old
    artifact_store.delete("a")
    assert read_all(second) == old


def test_concurrent_uploads_to_one_path_end_with_one_whole_file(artifact_store: ArtifactStore) -> None:
    barrier = threading.Barrier(8)

    def upload(number: int) -> None:
        writer = artifact_store.open_writer("new/folder/file")
        barrier.wait()
        for _ in range(50):
            writer.write(bytes([number]) * 1000)
        writer.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(8)))
    content = get(artifact_store, "new/folder/file")
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert paths(artifact_store, "new/folder") == ["new/folder/file"]


def test_concurrent_uploads_into_one_new_folder_all_arrive(artifact_store: ArtifactStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: put(artifact_store, f"new/deep/folder/{number:02}"), range(40)))
    assert paths(artifact_store, "new/deep/folder") == [f"new/deep/folder/{number:02}" for number in range(40)]


def test_a_file_is_deleted_and_its_neighbours_stay(artifact_store: ArtifactStore) -> None:
    for path in ("d/a", "d/ab", "d/a.txt"):
        put(artifact_store, path)
    artifact_store.delete("d/a")
    assert paths(artifact_store, "d") == ["d/a.txt", "d/ab"]


def test_a_folder_is_deleted_with_all_in_it_and_its_neighbours_stay(artifact_store: ArtifactStore) -> None:
    for path in ("1/a/x", "1/a/b/c/y", "1/ab/z", "1/a.txt"):
        put(artifact_store, path)
    artifact_store.delete("1/a/")
    assert paths(artifact_store, "1") == ["1/a.txt", "1/ab"]
    assert artifact_store.list("1/a") == []


def test_deleting_what_is_not_there_is_no_error(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b")
    for path in ("missing", "missing/too", "a/c", "a/b/c"):
        artifact_store.delete(path)
    assert paths(artifact_store, "a") == ["a/b"]


@pytest.mark.parametrize("path", ["", ".", "./", "././.", "/", "//", "%2e", "%252e", " ", "%20", "a/..", "\u00a0"])
def test_the_root_can_neither_be_deleted_nor_written_in_any_spelling(artifact_store: ArtifactStore, path: str) -> None:
    put(artifact_store, "a/b")
    with pytest.raises(InvalidParameterValue):
        artifact_store.delete(path)
    with pytest.raises(InvalidParameterValue):
        artifact_store.open_writer(path)
    assert get(artifact_store, "a/b") == b"x"


@pytest.mark.parametrize("path", ["../x", "a/%2e%2e/x", "a/%252e%252e/x", "/etc/passwd", "a\\x", "a\0b", "C:/x", "a#b"])
def test_every_method_refuses_a_path_that_could_lead_elsewhere(artifact_store: ArtifactStore, path: str) -> None:
    for method in (artifact_store.list, artifact_store.open_reader, artifact_store.open_writer, artifact_store.delete):
        with pytest.raises(InvalidParameterValue, match="^Invalid path$"):
            method(path)


def test_an_upload_over_a_folder_is_refused_at_its_start(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b/c")
    with pytest.raises(InvalidParameterValue, match="^Artifact path refers to a directory, not a file: 'a/b'$"):
        artifact_store.open_writer("a/b")
    with pytest.raises(InvalidParameterValue, match="must include a filename"):
        artifact_store.open_writer("a/b/")
    assert get(artifact_store, "a/b/c") == b"x"


def test_an_upload_below_a_file_is_refused_at_its_start(artifact_store: ArtifactStore) -> None:
    put(artifact_store, "a/b")
    for path in ("a/b/c", "a/b/c/d"):
        with pytest.raises(InvalidParameterValue, match=f"^Invalid path: '{path}' is below a file$"):
            artifact_store.open_writer(path)
    assert get(artifact_store, "a/b") == b"x"
