"""The process: how it starts, what it says, how it stops, and what several of them do on one database."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from runnel import __version__
from tests.api_client import Api, Refusal, metric, refusal
from tests.conftest import NewDatabase, StartServer
from tests.server_process import ServerProcess, clean_environment, free_port

UPLOAD = "/api/2.0/mlflow-artifacts/artifacts/slow"


def run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "runnel", *arguments],
        cwd=folder,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


# Start


def test_a_start_says_where_data_lives_and_what_to_paste_into_a_client(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    try:
        assert server.log.splitlines()[:5] == [
            f"Runnel listens on {server.url}",
            f"  database   {tmp_path}/mlflow.db",
            f"  artifacts  {tmp_path}/mlartifacts",
            "In a client:",
            f"  export MLFLOW_TRACKING_URI={server.url}",
        ]
        assert (tmp_path / "mlflow.db").exists()
    finally:
        server.check_ends_well()


def test_settings_come_from_mlflows_variables_too(start_server: StartServer, new_database: NewDatabase) -> None:
    port, prefix = str(free_port()), "/ml"
    server = start_server(
        "--port", port, environment={"MLFLOW_STATIC_PREFIX": prefix, "MLFLOW_PORT": "1", "RUNNEL_LOG_FORMAT": "json"}
    )
    assert server.url == f"http://127.0.0.1:{port}{prefix}"
    assert json.loads(server.logged('"path"')[0])["path"] == f"{prefix}/health"


def test_everything_answers_below_the_static_prefix_too(start_server: StartServer) -> None:
    server = start_server("--static-prefix", "/team/ml")
    assert server.url.endswith("/team/ml")
    with Api(server.url) as below, Api(server.url.removesuffix("/team/ml")) as above:
        run_id = below.new_run(below.new_experiment())
        below.post("runs/log-metric", run_id=run_id, key="k", value=1, timestamp=1)
        assert below.run(run_id) == above.run(run_id)
        assert below.send("GET", "/version").text == above.send("GET", "/version").text
        assert below.send("PUT", "/api/2.0/mlflow-artifacts/artifacts/a/b", content=b"x").status_code == 200
        assert above.get("/api/2.0/mlflow-artifacts/artifacts", path="a")["files"][0]["path"] == "b"
        assert above.send("GET", "/team/mlx/health").status_code == 404


def test_log_lines_are_json_where_that_is_wanted(start_server: StartServer) -> None:
    server = start_server("--log-format", "json")
    with Api(server.url) as api:
        api.new_run(api.new_experiment())
    server.stop()
    lines = server.log.splitlines()
    said = next(number for number, line in enumerate(lines) if "MLFLOW_TRACKING_URI" in line) + 1
    records = [json.loads(line) for line in lines[said:]]
    assert {record["path"] for record in records if "path" in record} >= {"/health", "/api/2.0/mlflow/runs/create"}


def test_a_port_that_is_taken_is_one_clear_sentence(start_server: StartServer, tmp_path: Path) -> None:
    port = str(start_server().port)
    for workers in ("1", "2"):
        ended = run("server", "--port", port, "--workers", workers, folder=tmp_path)
        assert ended.returncode == 1
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"Error: The server cannot listen on 127.0.0.1:{port}: Address already in use.")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--port", "70000"], "Invalid value for '--port' / '-p': 70000 is not in the range 0<=x<=65535."),
        (["--port", "http"], "Invalid value for '--port' / '-p': 'http' is not a valid integer range."),
        (["--workers", "0"], "Invalid value for '--workers' / '-w': 0 is not in the range x>=1."),
        (["--workers", "2", "--port", "0"], "--workers: several processes need a --port that is named, not 0"),
        (["--backend-store-uri", "mysql://u:secret@h/d"], "Invalid value for '--backend-store-uri': "),
        (["--backend-store-uri", "sqlite://"], "Invalid value for '--backend-store-uri': "),
        (["--static-prefix", "ml"], "Invalid value for '--static-prefix': it must begin with a '/' and not end with "),
        (
            ["--static-prefix", "/ml/"],
            "Invalid value for '--static-prefix': it must begin with a '/' and not end with ",
        ),
        (["--artifacts-destination", "ftp://h/p"], "artifacts destination"),
        (["--log-format", "xml"], "Invalid value for '--log-format': 'xml' is not one of 'text', 'json'."),
        (["--max-request-bytes", "5"], "Invalid value for '--max-request-bytes': 5 is not in the range x>=1024."),
        (["--no-such-flag"], "No such option"),
        (["stray"], "Got unexpected extra argument"),
    ],
)
def test_a_wrong_flag_is_named_and_nothing_starts(tmp_path: Path, flags: list[str], problem: str) -> None:
    ended = run("server", *flags, folder=tmp_path)
    assert ended.returncode == 2
    assert problem in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
    assert ended.stdout == ""


def test_a_wrong_variable_is_named_too(tmp_path: Path) -> None:
    ended = run("server", folder=tmp_path, MLFLOW_PORT="http")
    assert (ended.returncode, "MLFLOW_PORT" in ended.stderr or "--port" in ended.stderr) == (2, True)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, and long enough to have a header of its own: " + "x" * 5000)
    before = file.read_bytes()
    ended = run("server", "--backend-store-uri", f"sqlite:///{file}", folder=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {file} is not a SQLite database.")
    assert len(ended.stderr.splitlines()) == 1
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("server", "--backend-store-uri", f"sqlite:///{tmp_path}/file/mlflow.db", folder=tmp_path)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert str(tmp_path / "file") in ended.stderr


def test_the_command_alone_prints_help(tmp_path: Path) -> None:
    shown = run(folder=tmp_path)
    assert "Run the tracking server." in shown.stdout + shown.stderr
    assert run("--version", folder=tmp_path).stdout == f"runnel {__version__}\n"
    assert "--backend-store-uri" in run("server", "--help", folder=tmp_path).stdout
    assert os.listdir(tmp_path) == []


# Failures inside


def test_a_failure_inside_tells_only_where_to_look(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db")
    server.fails_on_purpose = True
    with Api(server.url) as api:
        experiment_id = api.new_experiment()
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
            connection.execute("DROP TABLE runs")
        for response in (
            api.send("GET", "runs/get?run_id=x"),
            api.send("POST", "runs/create", json={"experiment_id": experiment_id}),
        ):
            request_id = response.headers["x-request-id"]
            assert refusal(response) == Refusal(
                500, "INTERNAL_ERROR", f"The server failed to answer (request id {request_id}). Its log says why."
            )
        assert server.logged("no such table: runs")
        # The rest goes on.
        assert api.experiment(experiment_id)["lifecycle_stage"] == "active"
        api.post("experiments/set-experiment-tag", experiment_id=experiment_id, key="k", value="v")


# Stop


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_asked_to_stop_ends_well(start_server: StartServer, stop_signal: signal.Signals) -> None:
    server = start_server()
    # A connection that nobody uses does not hold it up.
    with Api(server.url) as api, socket.create_connection(("127.0.0.1", server.port)):
        run_id = api.new_run(api.new_experiment())
        started = time.monotonic()
        assert server.stop(stop_signal) == 0
        assert time.monotonic() - started < 10
    port = server.port
    server.command[server.command.index("--port") + 1] = str(port)
    server.start()
    with Api(server.url) as api:
        assert (server.port, api.run(run_id)["info"]["run_id"]) == (port, run_id)


def test_a_request_that_has_begun_is_finished(start_server: StartServer) -> None:
    server = start_server()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"PUT {UPLOAD} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
        connection.sendall(head.encode() + b"01234")
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health", timeout=1)
        connection.sendall(b"56789")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(10) == 0
    server.start()
    assert httpx.get(f"{server.url}{UPLOAD}").content == b"0123456789"


def test_what_was_accepted_before_a_stop_is_there_after_it(start_server: StartServer) -> None:
    server = start_server()
    with Api(server.url) as api:
        run_id = api.new_run(api.new_experiment())
    accepted: list[int] = []
    statuses: set[int] = set()

    def log(client: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as http:
            for number in range(client, 100_000, 8):
                point = metric("k", number, number, number) | {"run_id": run_id}
                try:
                    response = http.post("/api/2.0/mlflow/runs/log-metric", json=point)
                except httpx.TransportError:
                    return
                statuses.add(response.status_code)
                if response.status_code == 200:
                    accepted.append(number)

    clients = [threading.Thread(target=log, args=(client,)) for client in range(8)]
    for thread in clients:
        thread.start()
    time.sleep(0.7)
    assert server.stop() == 0
    for thread in clients:
        thread.join()
    server.start()
    with Api(server.url) as api:
        kept = {point["step"] for point in api.get("metrics/get-history", run_id=run_id, metric_key="k")["metrics"]}
    assert len(accepted) > 50
    assert set(accepted) <= kept
    assert statuses <= {200, 503}


# Several processes on one database


def remaining_processes(group: int) -> bool:
    """Whether a process group has members, a moment after its first has ended."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def test_two_workers_share_one_database(start_server: StartServer) -> None:
    server = start_server("--workers", "2", "--port", str(free_port()))
    ids: set[str] = set()

    def work(client: int) -> str:
        with Api(server.url) as api:
            run_id = api.new_run(experiment_id, run_name=f"client {client}")
            for step in range(15):
                point = metric("k", client, step, step) | {"run_id": run_id}
                response = api.send("POST", "runs/log-metric", json=point)
                assert response.status_code == 200, response.text
                ids.add(response.headers["x-request-id"].split("-")[0])
            # What one process has answered, every other one shows.
            assert api.metrics(run_id) == {"k": client}
            return run_id

    with Api(server.url) as api:
        experiment_id = api.new_experiment()
        with ThreadPoolExecutor(12) as clients:
            run_ids = list(clients.map(work, range(12)))
        answer = api.post("runs/search", experiment_ids=[experiment_id])
        assert {run["info"]["run_id"] for run in answer["runs"]} == set(run_ids)
        for client, run_id in enumerate(run_ids):
            points = api.get("metrics/get-history", run_id=run_id, metric_key="k")["metrics"]
            assert points == [metric("k", client, step, step) for step in range(15)]
    deadline = time.monotonic() + 20
    while len(ids) < 2 and time.monotonic() < deadline:  # who takes a connection is up to the system
        with Api(server.url) as api:
            ids.add(api.send("GET", "/health").headers["x-request-id"].split("-")[0])
    assert len(ids) == 2, "both processes have answered"
    assert server.stop() == 0
    assert not remaining_processes(server.process.pid)
    assert not re.search("locked|busy", server.log)


def test_servers_that_start_together_on_an_empty_database_all_come_up(
    start_server: StartServer, new_database: NewDatabase
) -> None:
    database = new_database()
    with ThreadPoolExecutor(3) as starters:
        servers = list(starters.map(lambda _: start_server("--backend-store-uri", database), range(3)))
    with Api(servers[0].url) as api:
        run_id = api.new_run("0")
    for server in servers:
        with Api(server.url) as api:
            assert api.run(run_id)["info"]["experiment_id"] == "0"
