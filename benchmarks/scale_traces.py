"""How Runnel holds up with very many traces: rates and answers on a database that is filled on the way.

    python -m benchmarks.scale_traces --store-uri sqlite:////some/folder/scale.db --traces 100000 --spans 10

from an environment in which Runnel is installed. The database must be empty, or one that an earlier run filled
(``--measure-only``). Takes 8 to 10 GB for a million traces of ten spans.
"""

import argparse
import json
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from benchmarks.trace_fill import fill

START_MS = 1_700_000_000_000
TEMPLATES = 400
RARE = 5  # the oldest traces of all, with what no other trace has
BIG = 30_000  # spans of one trace
TEXT = "The quick brown fox answers what was asked about the order of the customer, in a sentence or two. "


class Refused(Exception):
    """An answer other than 200."""


class Client:
    """One connection for each thread that uses it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON."""
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection("127.0.0.1", self._port, timeout=300)
        connection: HTTPConnection = self._local.connection
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"Content-Type": "application/json"} | headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise Refused(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def send_spans(self, experiment_id: str, body: bytes) -> None:
        """Sends an OTLP request."""
        headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment_id}
        self.call("POST", "/v1/traces", body, **headers)


@contextmanager
def server(store_uri: str, folder: Path, port: int) -> Iterator[Client]:
    """A server on the database."""
    command = [sys.executable, "-m", "runnel", "server", "--backend-store-uri", store_uri, "--port", str(port)]
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    client = Client(port)
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise SystemExit((folder / "server.log").read_text())
            time.sleep(0.05)
        yield client
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def export(traces: int, spans: int, start_ms: int, *, rare: bool = False, number: int = 0) -> tuple[bytes, list[str]]:
    """An OTLP request with some traces, and their ids."""
    request = ExportTraceServiceRequest()
    sent = request.resource_spans.add().scope_spans.add().spans
    ids = []
    for trace in range(traces):
        trace_id = secrets.token_bytes(16)
        ids.append(f"tr-{trace_id.hex()}")
        for index in range(spans):
            is_llm = index % 5 == 4
            span = sent.add(trace_id=trace_id, span_id=(index + 1).to_bytes(8, "big"))
            if index:
                span.parent_span_id = (1 if index % 3 else index).to_bytes(8, "big")
            span.name = "few" if rare and index == 1 else ("llm" if is_llm else "answer" if index == 0 else "step")
            span.start_time_unix_nano = (start_ms + trace * 1000 + index) * 1_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 40_000_000
            span.status.code = 2 if (number + trace) % 10 == 9 and index == 0 else 1
            values: dict[str, Any] = {"mlflow.spanType": "LLM" if is_llm else "CHAIN", "step": index}
            if is_llm:
                values |= {
                    "mlflow.spanInputs": TEXT,
                    "mlflow.spanOutputs": TEXT[:60],
                    "model": f"model-{(number + trace) % 3}",
                }
            if rare and index == 1:
                values |= {"few": "yes", "mlflow.spanType": "FEW", "mlflow.spanInputs": "a needle in the hay"}
            for key, value in values.items():
                held = AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)
                span.attributes.append(KeyValue(key=key, value=held))
    return request.SerializeToString(), ids


def feedback(name: str, value: Any) -> dict[str, Any]:
    source = {"source_type": "CODE", "source_id": "benchmark"}
    return {"assessment_name": name, "source": source, "feedback": {"value": value}}


def add_templates(client: Client, experiment_id: str, spans: int) -> None:
    """The rare traces, then those that are copied, as clients send them: the spans, then the trace itself."""
    runs = [client.call("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": experiment_id}) for _ in range(20)]
    for number in range(-RARE, TEMPLATES):
        rare = number < 0
        start = START_MS + number * 2000
        body, (trace_id,) = export(1, spans, start, rare=rare, number=number)
        client.send_spans(experiment_id, body)
        metadata = {"team": f"team-{number % 7}", "mlflow.trace.user": f"user-{number % 50}"}
        tags = {"mlflow.traceName": "answer", "env": ("dev", "test", "prod")[number % 3], "customer": str(number % 200)}
        assessments = []
        if number % 4 == 0:
            metadata["mlflow.trace.session"] = f"session-{number}"
        if number % 5 == 0:
            metadata["mlflow.sourceRun"] = runs[number % 20]["run"]["info"]["run_id"]
        if number % 3 == 0:
            assessments = [feedback("correct", number % 2 == 0), feedback("score", number % 10 / 10)]
        if rare:
            tags |= {"few": "yes", "env": "few"}
            metadata |= {"few": "yes", "mlflow.trace.session": "few"}
            assessments = [feedback("few", "yes"), feedback("score", -1)]
        info = {
            "trace_id": trace_id,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
            "request_time": datetime.fromtimestamp(start / 1000, UTC).isoformat().replace("+00:00", "Z"),
            "execution_duration": "99s" if rare else "1.5s",
            "state": "ERROR" if number % 10 == 9 else "OK",
            "tags": tags,
            "trace_metadata": metadata,
            "assessments": assessments,
        }
        client.call("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})


def ingest(client: Client, experiment_id: str, spans: int, seconds: float, clients: int = 4) -> float:
    """Spans a second that clients get in, in requests of ten traces."""
    now = int(time.time() * 1000)
    bodies = [export(10, spans, now + n * 10_000)[0] for n in range(int(seconds * 400))]
    waiting = iter(bodies)
    deadline = time.monotonic() + seconds
    lock = threading.Lock()

    def work() -> int:
        sent = 0
        while time.monotonic() < deadline:
            with lock:
                body = next(waiting, None)
            if body is None:
                break
            client.send_spans(experiment_id, body)
            sent += 10 * spans
        return sent

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        sent = sum(pool.map(lambda _: work(), range(clients)))
    return sent / (time.monotonic() - began)


def searches(last_ms: int, run_id: str, trace_id: str) -> dict[str, dict[str, Any]]:
    """What is searched for, by what it is called in the report."""
    middle = (START_MS + last_ms) // 2
    filters = {
        "newest 100": "",
        "status": "status = 'ERROR'",
        "status, rare mix": "status = 'ERROR' AND tags.env = 'few'",
        "name": "name = 'answer'",
        "time range": f"timestamp_ms > {middle} AND timestamp_ms < {middle + 100_000}",
        "time range and status": f"timestamp_ms < {middle} AND status = 'ERROR'",
        "execution time": "execution_time_ms > 19000",
        "execution time, nobody": "execution_time_ms > 10000000",
        "execution time, few": "execution_time_ms = 99000",
        "tag": "tags.env = 'prod'",
        "tag, one in 200": "tags.customer = '17'",
        "tag, few": "tags.few = 'yes'",
        "tag, few have the key": "tags.few != 'no'",
        "tag, pattern few match": "tags.env LIKE 'fe%'",
        "tag, is there": "tags.few IS NOT NULL",
        "tag, nobody": "tags.customer = 'nobody'",
        "metadata": "metadata.team = 'team-3'",
        "metadata, few": "metadata.few = 'yes'",
        "metadata, few have the key": "metadata.few IS NOT NULL",
        "user, nobody": "metadata.`mlflow.trace.user` = 'nobody'",
        "session": "metadata.`mlflow.trace.session` = 'few'",
        "run": f"run_id = '{run_id}'",
        "trace id": f"trace_id = '{trace_id}'",
        "feedback": "feedback.correct = 'true'",
        "feedback, number": "feedback.score > 0.8",
        "feedback, few": "feedback.few = 'yes'",
        "feedback, few have it": "feedback.few IS NOT NULL",
        "feedback, number few have": "feedback.score < 0",
        "feedback, nobody": "feedback.nobody IS NOT NULL",
        "span name": "span.name = 'llm'",
        "span name, few": "span.name = 'few'",
        "span name, pattern": "span.name LIKE 'l%'",
        "span name, pattern few match": "span.name LIKE 'fe_'",
        "span type": "span.type = 'LLM'",
        "span type, few": "span.type = 'FEW'",
        "span status": "span.status = 'ERROR'",
        "span status, nobody": "span.status = 'UNSET'",
        "span attribute": "span.attributes.model = 'model-1'",
        "span attribute, few": "span.attributes.few = 'yes'",
        "span attribute, nobody": "span.attributes.nobody = 'yes'",
        "text": "trace.text ILIKE '%FOX%'",
        "text, few": "trace.text LIKE '%a needle in%'",
        "text, nobody": "trace.text ILIKE '%not there%'",
    }
    asked: dict[str, dict[str, Any]] = {name: {"filter": text} for name, text in filters.items()}
    for order in ("timestamp_ms ASC", "execution_time_ms DESC", "end_time_ms DESC", "name", "tags.customer", "status"):
        asked[f"order by {order}"] = {"order_by": [order]}
    return asked


def measure(client: Client, experiment_id: str, last_ms: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each search, and how many traces its first page has."""
    newest = search(client, experiment_id, max_results=1)[0]
    runs = client.call("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment_id]})["runs"]
    asked = searches(last_ms, runs[0]["info"]["run_id"], newest["trace_id"])
    report: dict[str, Any] = {}
    for name, fields in asked.items():
        times: list[float] = []
        while len(times) < repeats and sum(times) < 3_000:
            began = time.perf_counter()
            try:
                found = f"{len(search(client, experiment_id, **fields))} found"
            except Refused as refused:  # what no index finds is bounded in time
                found = str(refused)
            times.append((time.perf_counter() - began) * 1000)
        report[name] = {"ms": round(statistics.median(times), 1), "first_ms": round(times[0], 1), "answer": found}
        print(f"{name:32} {report[name]}", flush=True)
    began = time.perf_counter()
    for _ in range(50):
        client.call("GET", f"/api/3.0/mlflow/traces/get?trace_id={newest['trace_id']}&allow_partial=true")
    report["get trace, ms"] = round((time.perf_counter() - began) * 20, 2)
    return report


def search(client: Client, experiment_id: str, **fields: Any) -> list[Any]:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    found: list[Any] = client.call("POST", "/api/3.0/mlflow/traces/search", {"locations": [location]} | fields)[
        "traces"
    ]
    return found


def measure_big_trace(client: Client, experiment_id: str) -> dict[str, float]:
    """Seconds to store a trace of very many spans in requests of a thousand, and to read it back whole."""
    body, (trace_id,) = export(1, BIG, int(time.time() * 1000))
    whole = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    began = time.perf_counter()
    for start in range(0, BIG, 1000):
        part = ExportTraceServiceRequest()
        part.resource_spans.add().scope_spans.add().spans.extend(whole[start : start + 1000])
        client.send_spans(experiment_id, part.SerializeToString())
    stored = time.perf_counter()
    answer = client.call("GET", f"/api/3.0/mlflow/traces/get?trace_id={trace_id}&allow_partial=true")
    if len(answer["trace"]["spans"]) != BIG:
        raise SystemExit(f"the trace of {BIG} spans came back with {len(answer['trace']['spans'])}")
    return {"store, s": round(stored - began, 2), "read whole, s": round(time.perf_counter() - stored, 2)}


def size_of(store_uri: str) -> int:
    """The bytes that the database takes on the disk."""
    if store_uri.startswith("sqlite:"):
        return Path(urllib.parse.unquote(store_uri.removeprefix("sqlite:///"))).stat().st_size
    import psycopg

    with psycopg.connect(store_uri) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


def main() -> None:
    """Fills the database and prints the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store-uri", required=True)
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--spans", type=int, default=10, help="spans of each trace")
    parser.add_argument("--port", type=int, default=5399)
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement of the rate of ingestion")
    parser.add_argument("--repeats", type=int, default=5, help="of each search")
    parser.add_argument("--measure-only", action="store_true", help="the database is filled already")
    options = parser.parse_args()
    report: dict[str, Any] = {"traces": options.traces, "spans": options.spans}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.measure_only:
            with server(options.store_uri, folder, options.port) as client:
                other = client.call("POST", "/api/2.0/mlflow/experiments/create", {"name": "rate"})["experiment_id"]
                made = client.call("POST", "/api/2.0/mlflow/experiments/create", {"name": "scale"})["experiment_id"]
                add_templates(client, made, options.spans)
                report["spans/s, early"] = round(ingest(client, other, options.spans, options.seconds))
            before, began = size_of(options.store_uri), time.monotonic()
            fill(options.store_uri, int(made), TEMPLATES, options.traces, START_MS + TEMPLATES * 2000)
            report["fill, s"] = round(time.monotonic() - began)
            grown = size_of(options.store_uri) - before
            report["bytes a span"] = round(grown / options.traces / options.spans)
        with server(options.store_uri, folder, options.port) as client:
            by_name = "/api/2.0/mlflow/experiments/get-by-name?experiment_name="
            other, made = (
                client.call("GET", by_name + name)["experiment"]["experiment_id"] for name in ("rate", "scale")
            )
            report["spans/s, late"] = round(ingest(client, other, options.spans, options.seconds))
            last_ms = START_MS + (TEMPLATES + options.traces) * 2000
            report["searches"] = measure(client, made, last_ms, options.repeats)
            report[f"trace of {BIG:,} spans"] = measure_big_trace(client, other)
    report["get trace, ms"] = report.pop("searches")["get trace, ms"]  # the others have been printed
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
