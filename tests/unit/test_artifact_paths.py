"""What a client may name as the path of an artifact."""

from __future__ import annotations

import pytest

from runnel.artifacts.store import (
    MAX_PATH_BYTES,
    MAX_SEGMENT_BYTES,
    MAX_SEGMENTS,
    RESERVED_PREFIX,
    clean_artifact_path,
    clean_file_path,
    clean_path_below_root,
)
from runnel.domain.errors import InvalidParameterValue


@pytest.mark.parametrize(
    "path",
    [
        "model.pkl",
        "1/0af3/artifacts/model/MLmodel",
        "a b/ c.txt",
        "a%20b.txt",
        "50%.csv",
        "100%25.csv",
        "100%25252525.csv",
        "images/sample%step%0%timestamp%1795532473533%97be023d-070e-4e39.png",
        "images/sample%step%23%timestamp%1795532473533%0a5c3f1e-070e-4e39+compressed.webp",
        "images/sample%step%13%timestamp%1795532473533%5c0d2f1e-070e-4e39.png",
        "naïve/日本語/😀.png",
        "plot;v=1,2&x=y?.png",
        ".hidden/...",
        "a..b/..c/d..",
        "quote\"d and 'quoted'",
        "a b:c.txt",
        "~/x",
        "-rf",
        "C/a",
    ],
)
def test_an_ordinary_path_is_kept_literally(path: str) -> None:
    assert clean_artifact_path(path) == path


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("a//b", "a/b"),
        ("./a/./b", "a/b"),
        ("a/b/", "a/b"),
        ("a/.", "a"),
        ("", ""),
        (".", ""),
        ("./", ""),
        ("././/.", ""),
    ],
)
def test_empty_and_dot_segments_go_away(path: str, normal: str) -> None:
    assert clean_artifact_path(path) == normal
    assert clean_artifact_path(normal) == normal


TRAVERSALS = [
    "..",
    "../a",
    "a/..",
    "a/../b",
    "a/../../b",
    "./..",
    "a/./../b",
    "..%2fa",
    "a/%2e%2e/b",
    "a/%2E%2E/b",
    "a/.%2e/b",
    "a/%2e./b",
    "a/%252e%252e/b",
    "a%2f..%2fb",
    "a%252f%252e%252e%252fb",
    "%25252e%25252e%25252fa",
    "a/.. /b",
    "a/ ../b",
    "a/..%20/b",
    "a\\..\\b",
    "..\\a",
    "a%5c..%5cb",
    "a%255c..",
    "a\\b",
]
ABSOLUTES = [
    "/",
    "//",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc/passwd",
    "%252fetc/passwd",
    "C:/a",
    "c:a",
    "C:",
    "C%3a/a",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "file%3a///etc/passwd",
]
ROOT_IN_CODE = [
    "%2e",
    "%252e",
    "%2f",
    "%20",
    " ",
    "\u00a0",
    "\u3000",
    " /a",
    "a/ ",
    "a/%20/b",
    ". ",
    "a/%2e",
    "a/%2f/b",
    "a%2f",
]
CONTROLS = [
    "a\0b",
    "a\nb",
    "\ta",
    "a\x7f",
    "a\x85b",
    "a#b",
    "\ud800",
    "a\udcffb",
]


@pytest.mark.parametrize("path", TRAVERSALS + ABSOLUTES + ROOT_IN_CODE + CONTROLS)
def test_a_path_that_could_lead_elsewhere_is_refused_in_every_spelling(path: str) -> None:
    with pytest.raises(InvalidParameterValue, match="^Invalid path$"):
        clean_artifact_path(path)


def test_a_path_encoded_without_end_is_refused() -> None:
    with pytest.raises(InvalidParameterValue, match="^Invalid path$"):
        clean_artifact_path("%" + "25" * 50 + "2e")


@pytest.mark.parametrize("name", [RESERVED_PREFIX + "x", RESERVED_PREFIX.upper() + "x", "%2e" + RESERVED_PREFIX[1:]])
def test_a_name_of_the_uploads_under_way_is_refused(name: str) -> None:
    for path in (name, f"a/{name}", f"{name}/b"):
        with pytest.raises(InvalidParameterValue, match="^Invalid path: names that start with .* are reserved$"):
            clean_artifact_path(path)


def test_a_segment_may_have_255_bytes_and_no_more() -> None:
    longest = "é" * 127 + "x"
    assert clean_artifact_path(f"a/{longest}") == f"a/{longest}"
    with pytest.raises(InvalidParameterValue, match=f"segment has 256 bytes, at most {MAX_SEGMENT_BYTES} are allowed"):
        clean_artifact_path(f"a/{longest}y/b")


def test_a_path_may_have_1024_bytes_in_100_segments_and_no_more() -> None:
    longest = "/".join(["nine bytes"[:9]] * 99) + "/" + "x" * 34
    assert len(longest) == MAX_PATH_BYTES
    assert clean_artifact_path(longest) == longest
    with pytest.raises(InvalidParameterValue, match=f"has 1025 bytes, at most {MAX_PATH_BYTES} are allowed"):
        clean_artifact_path(longest + "x")
    with pytest.raises(InvalidParameterValue, match=f"has 101 segments, at most {MAX_SEGMENTS} are allowed"):
        clean_artifact_path("/".join("x" * 101))


@pytest.mark.parametrize("path", ["", ".", "./", "././.", ".//"])
def test_the_root_is_nothing_to_write_or_delete(path: str) -> None:
    with pytest.raises(InvalidParameterValue, match="^Invalid path: the root"):
        clean_path_below_root(path)


def test_a_file_needs_a_name() -> None:
    with pytest.raises(InvalidParameterValue, match="must include a filename"):
        clean_file_path("a/b/")
    assert clean_file_path("a/b") == "a/b"
