"""Requests about artifacts, in the order in which they are sent."""

from tests.compat.exchange import Ask

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
RUN = f"{PROXY}/$first/$run/artifacts"

ARTIFACTS = [
    Ask("list artifacts of a run without any", "GET", "artifacts/list", query={"run_id": "$run"}),
    Ask("put a text", "PUT", f"{RUN}/note.txt", b"hello"),
    Ask("put a file in a folder", "PUT", f"{RUN}/eval/table.json", b'{"columns": []}'),
    Ask("put an empty file", "PUT", f"{RUN}/eval/empty.bin", b""),
    Ask("put over it", "PUT", f"{RUN}/note.txt", b"hello again"),
    Ask("put a name with spaces and letters", "PUT", f"{RUN}/n%C3%B6te%20one.md", b"# note"),
    Ask("put a page", "PUT", f"{RUN}/page.html", b"<script>alert(1)</script>"),
    Ask("put above the root", "PUT", f"{PROXY}/%2E%2E/x.txt", b"x"),
    Ask("put above the root, encoded twice", "PUT", f"{PROXY}/a/%252E%252E/%252E%252E/%252E%252E/x.txt", b"x"),
    Ask("get a text", "GET", f"{RUN}/note.txt"),
    Ask("get JSON", "GET", f"{RUN}/eval/table.json"),
    Ask("get an empty file", "GET", f"{RUN}/eval/empty.bin"),
    Ask("get a page", "GET", f"{RUN}/page.html"),
    Ask("get a file not there", "GET", f"{RUN}/none.txt"),
    Ask("get above the root", "GET", f"{PROXY}/%2E%2E/x.txt"),
    Ask("list the served root", "GET", PROXY, query={"path": "$first"}),
    Ask("list a served folder", "GET", PROXY, query={"path": "$first/$run/artifacts/eval"}),
    Ask("list a served folder not there", "GET", PROXY, query={"path": "nowhere"}),
    Ask("list above the root", "GET", PROXY, query={"path": "../"}),
    Ask("list an absolute path", "GET", PROXY, query={"path": "/etc"}),
    Ask("list artifacts of a run", "GET", "artifacts/list", query={"run_id": "$run"}),
    Ask("list a folder of a run", "GET", "artifacts/list", query={"run_id": "$run", "path": "eval"}),
    Ask("list a folder of a run not there", "GET", "artifacts/list", query={"run_id": "$run", "path": "none"}),
    Ask("list a file of a run", "GET", "artifacts/list", query={"run_id": "$run", "path": "note.txt"}),
    Ask("list above a run", "GET", "artifacts/list", query={"run_id": "$run", "path": "../.."}),
    Ask("list artifacts of a run not there", "GET", "artifacts/list", query={"run_id": "0" * 32}),
    Ask("get artifact of a run", "GET", "/get-artifact", query={"run_id": "$run", "path": "note.txt"}),
    Ask("get artifact of a run not there", "GET", "/get-artifact", query={"run_id": "0" * 32, "path": "x"}),
    Ask("get artifact without a path", "GET", "/get-artifact", query={"run_id": "$run"}),
    Ask("get artifact above a run", "GET", "/get-artifact", query={"run_id": "$run", "path": "../../x"}),
    Ask(
        "upload artifact from a page",
        "POST",
        "/ajax-api/2.0/mlflow/upload-artifact",
        b"from a page",
        query={"run_uuid": "$run", "path": "up/loaded.txt"},
    ),
    Ask("upload artifact without a path", "POST", "/ajax-api/2.0/mlflow/upload-artifact", b"x", {"run_uuid": "$run"}),
    Ask("upload artifact without a run", "POST", "/ajax-api/2.0/mlflow/upload-artifact", b"x", {"path": "x"}),
    Ask("get what a page uploaded", "GET", f"{RUN}/up/loaded.txt"),
    Ask("delete a file", "DELETE", f"{RUN}/note.txt"),
    Ask("delete a file not there", "DELETE", f"{RUN}/note.txt"),
    Ask("delete a folder", "DELETE", f"{RUN}/eval"),
    Ask("delete above the root", "DELETE", f"{PROXY}/%2E%2E/x.txt"),
    Ask("list artifacts after deletes", "GET", "artifacts/list", query={"run_id": "$run"}),
]
