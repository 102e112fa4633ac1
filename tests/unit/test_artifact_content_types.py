"""The headers of a download."""

from __future__ import annotations

import pytest

from runnel.artifacts.content_types import content_type, download_headers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain"),
        ("conf/a.yaml", "text/plain"),
        ("a.json", "text/plain"),
        ("model/MLmodel", "text/plain"),
        ("a.js", "text/plain"),
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.pkl", "application/octet-stream"),
        ("no extension", "application/octet-stream"),
        (".txt", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_media_type_is_the_one_mlflow_guesses(name: str, expected: str) -> None:
    assert content_type(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.txt", "attachment; filename=b.txt"),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("a;b.txt", 'attachment; filename="a;b.txt"'),
        ('a"b.txt', 'attachment; filename="a\\"b.txt"'),
        ("é.txt", "attachment; filename=e.txt; filename*=UTF-8''%C3%A9.txt"),
        ("日本", "attachment; filename=download; filename*=UTF-8''%E6%97%A5%E6%9C%AC"),
        ("50%20.txt", "attachment; filename=50%20.txt; filename*=UTF-8''50%2520.txt"),
        ("a\r\nSet-Cookie: x.txt", 'attachment; filename="a__Set-Cookie: x.txt"'),
        ("a\\b.txt", "attachment; filename=a_b.txt; filename*=UTF-8''a%5Cb.txt"),
        ("．．／x", "attachment; filename=.._x; filename*=UTF-8''%EF%BC%8E%EF%BC%8E%EF%BC%8Fx"),
        ("＂; x=y", 'attachment; filename="\\"; x=y"; filename*=UTF-8\'\'%EF%BC%82%3B%20x%3Dy'),
        ("\ud800.txt", 'attachment; filename="?.txt"'),
    ],
)
def test_a_download_is_saved_under_its_name_whatever_the_name(name: str, expected: str) -> None:
    headers = download_headers(name)
    assert headers["Content-Disposition"] == expected
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.xhtml", "A.HTM", "a.rdf", "a.swf"])
def test_what_a_browser_could_run_is_sandboxed(name: str) -> None:
    assert download_headers(name)["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.png", "a.mp4", "a.json", "a.pkl"])
def test_what_no_browser_runs_is_not_sandboxed(name: str) -> None:
    assert "Content-Security-Policy" not in download_headers(name)
