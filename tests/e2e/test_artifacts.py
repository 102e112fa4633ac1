"""Artifacts over HTTP: through the server (mlflow-artifacts:) and by run."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal
from tests.conftest import StartServer
from tests.server_process import ServerProcess

BACKENDS = ["sqlite"]

FILES = "/api/2.0/mlflow-artifacts/artifacts"
LIST = "artifacts/list"
GET = "/get-artifact"
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"
INVALID_PATH = invalid("Invalid path")


@pytest.fixture
def root(experiment_id: str, run_id: str) -> str:
    """Where the artifacts of the run are below the artifacts destination."""
    return f"{experiment_id}/{run_id}/artifacts"


def put(api: Api, path: str, content: bytes | Iterator[bytes] = b"x") -> httpx.Response:
    return api.send("PUT", f"{FILES}/{path}", content=content)


def stored(api: Api, path: str, content: bytes = b"x") -> None:
    response = put(api, path, content)
    assert (response.status_code, response.json()) == (200, {})


def get(api: Api, path: str, **headers: str) -> httpx.Response:
    return api.send("GET", f"{FILES}/{path}", headers={name.replace("_", "-"): text for name, text in headers.items()})


def file(path: str, size: int) -> dict[str, Any]:
    return {"path": path, "is_dir": False, "file_size": size}


def folder(path: str) -> dict[str, Any]:
    return {"path": path, "is_dir": True}


# Through the server


def test_what_was_put_is_got_back(api: Api, root: str) -> None:
    content = os.urandom(3_000_000)
    stored(api, f"{root}/model/weights.bin", content)
    response = get(api, f"{root}/model/weights.bin")
    assert response.status_code == 200
    assert response.content == content
    assert response.headers["content-length"] == str(len(content))


def test_a_file_is_replaced_as_a_whole(api: Api, root: str) -> None:
    stored(api, f"{root}/a.txt", b"the first and longer content")
    stored(api, f"{root}/a.txt", b"second")
    assert get(api, f"{root}/a.txt").content == b"second"


def test_an_upload_of_unknown_length_is_taken(api: Api, root: str) -> None:
    put(api, f"{root}/stream", iter([b"one ", b"", b"two ", b"three"]))
    assert get(api, f"{root}/stream").content == b"one two three"


def test_a_folder_is_listed_by_name_not_by_what_lies_deeper(api: Api, root: str) -> None:
    for name, content in {"b.txt": b"22", "a/x": b"1", "a/deep/er": b"1", "empty": b""}.items():
        stored(api, f"{root}/{name}", content)
    listing = api.get(FILES, path=root)
    assert listing == {"files": [folder("a"), file("b.txt", 2), file("empty", 0)]}
    assert api.get(FILES, path=f"{root}/a") == {"files": [folder("deep"), file("x", 1)]}


def test_what_is_no_folder_has_no_entries(api: Api, root: str) -> None:
    stored(api, f"{root}/a.txt")
    for path in (f"{root}/a.txt", f"{root}/nothing", "nowhere"):
        assert api.get(FILES, path=path) == {"files": []}


@pytest.mark.parametrize(
    "name", ["a b", "ü日本🚀", "100%25 sure%3F", "a+b&c=d", "'quotes\"", "semi;colon", ".hidden", "a%2525"]
)
def test_names_are_kept_as_they_are(api: Api, root: str, name: str) -> None:
    plain = httpx.URL(f"http://x/{name}").path.removeprefix("/")
    stored(api, f"{root}/{name}", b"content")
    assert get(api, f"{root}/{name}").content == b"content"
    assert api.get(FILES, path=root) == {"files": [file(plain, 7)]}


def test_a_file_and_a_folder_are_deleted(api: Api, root: str) -> None:
    for name in ("a.txt", "d/one", "d/e/two", "kept"):
        stored(api, f"{root}/{name}")
    for name in ("a.txt", "d", "not there"):
        assert api.send("DELETE", f"{FILES}/{root}/{name}").json() == {}
    assert api.get(FILES, path=root) == {"files": [file("kept", 1)]}


def test_what_is_not_there_is_a_404(api: Api, root: str) -> None:
    assert refusal(get(api, f"{root}/none")) == not_there(f"No such artifact: '{root}/none'")


def test_a_file_and_a_folder_do_not_take_each_others_place(api: Api, root: str) -> None:
    stored(api, f"{root}/d/file")
    is_folder = invalid(f"Artifact path refers to a directory, not a file: '{root}/d'")
    assert refusal(get(api, f"{root}/d")) == is_folder
    assert refusal(put(api, f"{root}/d")) == is_folder
    below = refusal(put(api, f"{root}/d/file/below"))
    assert below == invalid(f"Invalid path: '{root}/d/file/below' is below a file")
    assert refusal(put(api, f"{root}/d/")).message == "Artifact path must include a filename (cannot end with '/')."


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e/x",
        "a/%2e%2e/%2e%2e/x",
        "a/%252e%252e/%252e%252e/x",
        "%2Fetc/passwd",
        "a\\..\\..\\x",
        "C:/x",
        "file:/etc/passwd",
        "a/%20/x",
        "a/%0a",
        "a/%23b",
    ],
)
def test_no_path_leaves_the_destination(api: Api, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert refusal(api.send(method, f"{FILES}/{path}")) == INVALID_PATH
    assert api.get_refused(FILES, path=httpx.URL(f"http://x/{path}").path.removeprefix("/")) == INVALID_PATH


@pytest.mark.parametrize("path", ["/../../../etc/passwd", "/a/../../../../etc/passwd", "//etc/passwd", "/./../x"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_dots_that_no_client_has_cleaned_lead_nowhere(server: ServerProcess, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request(method, FILES + path)
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize("path", ["", "/", "/.", "/%2E", "//", "/./.", "/%20", "/%2F"])
def test_the_destination_itself_is_never_deleted(api: Api, server: ServerProcess, root: str, path: str) -> None:
    stored(api, f"{root}/kept")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("DELETE", FILES + path)
    assert connection.getresponse().status in (400, 404, 405)
    connection.close()
    assert get(api, f"{root}/kept").content == b"x"


def test_a_name_with_a_nul_character_is_refused(api: Api, root: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert refusal(api.send(method, f"{FILES}/{root}/a%00b")) == invalid(
            "Parameter 'artifact_path' must not contain NUL characters"
        )


# Downloads


def test_a_download_may_ask_for_a_part(api: Api, root: str) -> None:
    stored(api, f"{root}/digits", b"0123456789")
    for asked, content, shown in [
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
    ]:
        response = get(api, f"{root}/digits", range=asked)
        assert (response.status_code, response.content) == (206, content)
        assert response.headers["content-range"] == shown
    beyond = get(api, f"{root}/digits", range="bytes=10-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */10")
    for nonsense in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=1-2,4-5"):
        assert get(api, f"{root}/digits", range=nonsense).status_code == 200


def test_a_download_that_is_known_already_is_not_sent_again(api: Api, root: str) -> None:
    stored(api, f"{root}/a", b"first")
    etag = get(api, f"{root}/a").headers["etag"]
    again = get(api, f"{root}/a", if_none_match=etag)
    assert (again.status_code, again.content) == (304, b"")
    time.sleep(0.01)
    stored(api, f"{root}/a", b"other")
    assert get(api, f"{root}/a", if_none_match=etag).content == b"other"
    assert get(api, f"{root}/a", range="bytes=1-2", if_range=etag).status_code == 200


def test_head_tells_the_size(api: Api, root: str) -> None:
    stored(api, f"{root}/a", b"12345")
    response = api.send("HEAD", f"{FILES}/{root}/a")
    assert (response.status_code, response.headers["content-length"], response.content) == (200, "5", b"")


def test_a_browser_saves_what_it_downloads_and_runs_none_of_it(api: Api, root: str) -> None:
    for name, media_type in {"page.html": "text/html", "a.svg": "image/svg+xml", "a.json": "text/plain"}.items():
        stored(api, f"{root}/{name}", b"<script>alert(1)</script>")
        headers = get(api, f"{root}/{name}").headers
        assert headers["content-type"].split(";")[0] == media_type
        assert headers["content-disposition"] == f"attachment; filename={name}"
        assert headers["x-content-type-options"] == "nosniff"
        if media_type != "text/plain":
            assert headers["content-security-policy"] == "sandbox; default-src 'none'"


# Uploads


def test_an_upload_that_breaks_off_leaves_what_was_there(api: Api, server: ServerProcess, root: str) -> None:
    stored(api, f"{root}/a", b"whole")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PUT {FILES}/{root}/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + b"b" * 3_000_000)
        time.sleep(0.1)
    time.sleep(0.1)
    assert get(api, f"{root}/a").content == b"whole"
    assert api.get(FILES, path=root) == {"files": [file("a", 5)]}


def test_of_many_uploads_to_one_path_one_is_there_as_a_whole(api: Api, root: str) -> None:
    contents = [bytes([number]) * 700_000 for number in range(12)]
    with ThreadPoolExecutor(6) as clients:
        assert {r.status_code for r in clients.map(lambda content: put(api, f"{root}/a", content), contents)} == {200}
    assert get(api, f"{root}/a").content in contents


def test_a_large_file_passes_without_being_held_in_memory(api: Api, server: ServerProcess, root: str) -> None:
    size, chunk = 96 * 1024 * 1024, os.urandom(1024 * 1024)

    before = server.peak_memory
    assert put(api, f"{root}/large", (chunk for _ in range(size // len(chunk)))).status_code == 200
    digest, length = hashlib.sha256(), 0
    with api.http.stream("GET", f"{FILES}/{root}/large") as response:
        for part in response.iter_bytes():
            digest.update(part)
            length += len(part)
    assert (length, digest.digest()) == (size, hashlib.sha256(chunk * (size // len(chunk))).digest())
    assert server.peak_memory - before < 32 * 1024 * 1024
    api.send("DELETE", f"{FILES}/{root}/large")


# By run


def test_a_runs_artifacts_are_listed_by_their_paths_within_it(api: Api, run_id: str, root: str) -> None:
    stored(api, f"{root}/eval/table.json", b"{}")
    stored(api, f"{root}/note.txt", b"note")
    uri = f"mlflow-artifacts:/{root}"
    top = {"root_uri": uri, "files": [folder("eval"), file("note.txt", 4)]}
    assert api.get(LIST, run_id=run_id) == api.get(LIST, run_uuid=run_id) == top
    assert api.get(LIST, run_id=run_id, path="eval") == {"root_uri": uri, "files": [file("eval/table.json", 2)]}
    assert api.get(LIST, run_id=run_id, path="none") == {"root_uri": uri, "files": []}


def test_an_artifact_is_got_by_its_run(api: Api, run_id: str, root: str) -> None:
    stored(api, f"{root}/eval/table.json", b"{}")
    for name in ("run_id", "run_uuid"):
        response = api.send("GET", GET, params={name: run_id, "path": "eval/table.json"})
        assert (response.status_code, response.content) == (200, b"{}")
        assert response.headers["content-disposition"] == "attachment; filename=table.json"
    part = api.send("GET", GET, params={"run_id": run_id, "path": "eval/table.json"}, headers={"Range": "bytes=1-"})
    assert (part.status_code, part.content) == (206, b"}")


def test_a_page_uploads_an_artifact_of_a_run(api: Api, run_id: str, root: str) -> None:
    response = api.send("POST", UPLOAD, params={"run_uuid": run_id, "path": "up/loaded.txt"}, content=b"from a page")
    assert response.status_code == 200
    assert get(api, f"{root}/up/loaded.txt").content == b"from a page"


@pytest.mark.parametrize(
    ("params", "content", "refused"),
    [
        ({"path": "x"}, b"x", invalid("Request must specify run_uuid.")),
        ({"run_uuid": "{run}"}, b"x", invalid("Request must specify path.")),
        ({"run_uuid": "{run}", "path": "x"}, b"", invalid("Request must specify data.")),
        ({"run_uuid": "{run}", "path": "../x"}, b"x", INVALID_PATH),
        ({"run_uuid": "nobody", "path": "x"}, b"x", not_there("Run with id=nobody not found")),
        (
            {"run_uuid": "{run}", "path": "x"},
            b"x" * (10 * 1024 * 1024 + 1),
            Refusal(413, "BAD_REQUEST", "Artifact size is too large. Max size is 10MB."),
        ),
    ],
)
def test_a_wrong_upload_of_a_page_is_refused(
    api: Api, run_id: str, params: dict[str, str], content: bytes, refused: Refusal
) -> None:
    params = {name: value.replace("{run}", run_id) for name, value in params.items()}
    assert refusal(api.send("POST", UPLOAD, params=params, content=content)) == refused
    assert api.get(LIST, run_id=run_id)["files"] == []


@pytest.mark.parametrize("path", [LIST, GET])
def test_a_runs_artifacts_need_a_run_and_stay_within_it(api: Api, run_id: str, path: str) -> None:
    assert api.get_refused(path, path="x") == missing("run_id")
    assert api.get_refused(path, run_id="nobody", path="x") == not_there("Run with id=nobody not found")
    for outside in ("../x", "..", "/etc", "a/../../x", "%2e%2e/x"):
        assert api.get_refused(path, run_id=run_id, path=outside) == INVALID_PATH
    assert api.get_refused(GET, run_id=run_id) == missing("path")


@pytest.mark.parametrize("location", ["/etc", "file:///etc", "s3://bucket/prefix", "mlflow-artifacts:/../../etc"])
def test_no_place_that_a_client_names_is_opened(api: Api, location: str) -> None:
    run_id = api.new_run(api.new_experiment(artifact_location=location))
    for fields in ({"path": "passwd"}, {"path": "../../passwd"}):
        assert api.get_refused(LIST, run_id=run_id, **fields).status == 400
        assert api.get_refused(GET, run_id=run_id, **fields).status == 400
        response = api.send("POST", UPLOAD, params={"run_uuid": run_id, **fields}, content=b"x")
        assert refusal(response).status == 400


# Servers configured otherwise


def test_a_server_may_leave_artifacts_to_its_clients(start_server: StartServer, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    server = start_server("--no-serve-artifacts", "--default-artifact-root", str(shared))
    with Api(server.url) as api:
        run = api.run(api.new_run(api.new_experiment()))["info"]
        place = shared / run["experiment_id"] / run["run_id"] / "artifacts"
        assert run["artifact_uri"] == str(place)
        assert refusal(api.send("GET", FILES)).status == 503
        # A client wrote there itself; the server knows the place, as it was configured with it.
        place.mkdir(parents=True)
        (place / "a.txt").write_text("by the client")
        assert api.get(LIST, run_id=run["run_id"])["files"] == [file("a.txt", 13)]
        assert api.send("GET", GET, params={"run_id": run["run_id"], "path": "a.txt"}).text == "by the client"
        # A symbolic link leads nowhere else.
        (place / "link").symlink_to("/etc")
        assert api.get_refused(GET, run_id=run["run_id"], path="link/passwd").status in (400, 404)


def test_artifacts_are_kept_in_the_destination(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--artifacts-destination", f"file://{tmp_path}/kept here")
    with Api(server.url) as api:
        stored(api, "1/r/artifacts/a.txt", b"content")
    assert (tmp_path / "kept here/1/r/artifacts/a.txt").read_bytes() == b"content"
