"""Traces: spans by OpenTelemetry's protocol, searches, and the real client's traced functions."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.figures import Figure
from benchmarks.otlp import SPANS, TraceSeed, otlp_body
from benchmarks.rest import RestClient, RestError
from benchmarks.scenarios.client import run_client
from benchmarks.session import Session
from benchmarks.settings import CLIENTS

TRACES_API = "/api/3.0/mlflow/traces"
SEARCH_PAGE = 100
READ_TRACES = 100
# One export request of the seeding, and how many connections send them.
TRACES_PER_BODY = 20
CONNECTIONS = 4


def has_no_traces(session: Session) -> bool:
    """Whether the server answers that it knows no traces."""
    try:
        session.rest.post("search", _search_body("0"), api=f"{TRACES_API}/")
    except RestError:
        return True
    return False


def log_spans(session: Session) -> Iterator[Figure]:
    """/v1/traces: one trace of 10 spans a request, in protobuf."""
    title = f"OTLP, traces of {SPANS} spans"
    if has_no_traces(session):
        yield session.figure("log_spans", title, "spans/s", None, note="not offered")
        return
    experiment = session.experiment("spans")
    for clients in CLIENTS:
        figure = session.loop(
            "log_spans", title, clients, "log_spans.lua", [experiment], unit="spans/s", worth=SPANS
        )  # fmt: skip
        yield replace(figure, invalid=figure.invalid or _wrong_newest(session, experiment))


def get_trace(session: Session) -> Iterator[Figure]:
    """traces/get of 100 traces with 10 spans each, in turn."""
    if has_no_traces(session):
        yield session.figure("get_trace", "get trace", "per s", None, note="not offered")
        return
    seeded = seed_traces(session, session.experiment("get trace"), READ_TRACES, SPANS)
    paths = [f"{TRACES_API}/get?trace_id=tr-{seed.otel_id}" for seed in seeded.traces]
    spans = session.rest.get("get", api=f"{TRACES_API}/", trace_id=f"tr-{seeded.traces[0].otel_id}")["trace"]["spans"]
    wrong = "" if len(spans) == SPANS else f"a trace came back with {len(spans)} spans"
    for clients in CLIENTS:
        figure = session.loop("get_trace", "get trace", clients, "get.lua", paths)
        yield replace(figure, invalid=figure.invalid or wrong)


def search_few_traces(session: Session) -> Iterator[Figure]:
    """traces/search for 100 of 5,000 traces of two spans each."""
    yield from _search(session, "search_few_traces", session.settings.few_traces)


def search_many_traces(session: Session) -> Iterator[Figure]:
    """traces/search for 100 of 100,000 traces of two spans each."""
    yield from _search(session, "search_many_traces", session.settings.many_traces)


def client_traces(session: Session) -> Iterator[Figure]:
    """200 calls of a function that the mlflow client traces, until the server has all of them."""
    title = "mlflow client: 200 traced calls"
    if has_no_traces(session):
        yield session.figure("client_traces", title, "s", None, note="not offered")
        return
    yield run_client(session, "client_traces", title, "client_traces.py")


def _search(session: Session, scenario: str, count: int) -> Iterator[Figure]:
    if has_no_traces(session):
        yield session.figure(scenario, f"search {count:,} traces", "per s", None, note="not offered")
        return
    seeded = seed_traces(session, session.experiment(scenario), count, 2)
    session.server.settle()
    for kind, title in (("all", "newest"), ("filtered", "filtered and ordered")):
        wrong = _wrong_search(session, seeded, kind)
        for clients in CLIENTS:
            figure = session.loop(
                scenario, f"search {count:,} traces, {title}", clients, "search_traces.lua",
                [seeded.experiment_id, kind], note=seeded.note,
            )  # fmt: skip
            yield replace(figure, invalid=figure.invalid or wrong)


def _search_body(experiment_id: str, filter: str = "", order_by: str = "timestamp_ms DESC") -> dict[str, Any]:
    location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}}
    body = {"locations": [location], "max_results": SEARCH_PAGE, "order_by": [order_by]}
    return body | ({"filter": filter} if filter else {})


def _wrong_newest(session: Session, experiment_id: str) -> str:
    """What is wrong with the newest trace of a loop that wrote traces, or nothing."""
    try:
        answer = session.rest.post("search", _search_body(experiment_id), api=f"{TRACES_API}/")
        trace_id = answer["traces"][0]["trace_id"]
        spans = session.rest.get("get", api=f"{TRACES_API}/", trace_id=trace_id)["trace"]["spans"]
    except (RestError, LookupError) as error:
        return f"after the loop: {error!r}"[:200]
    return "" if len(spans) == SPANS else f"a trace came back with {len(spans)} spans"


def _wrong_search(session: Session, seeded: "SeededTraces", kind: str) -> str:
    """What is wrong with the answer to one search such as wrk/search_traces.lua sends, or nothing."""
    body = _search_body(seeded.experiment_id)
    wanted = sorted(seeded.traces, key=lambda seed: -seed.start_ms)
    if kind == "filtered":
        filter = "trace.execution_time_ms > 500 AND tag.category = 'category_3'"
        body = _search_body(seeded.experiment_id, filter, "execution_time_ms DESC")
        wanted = [seed for seed in wanted if seed.duration_ms > 500 and seed.category == "category_3"]
        wanted.sort(key=lambda seed: -seed.duration_ms)
    found = [trace["trace_id"] for trace in session.rest.post("search", body, api=f"{TRACES_API}/").get("traces", [])]
    if kind == "all":
        return (
            "" if found == [f"tr-{seed.otel_id}" for seed in wanted[:SEARCH_PAGE]] else "the search found other traces"
        )
    # Of equal durations either may be first.
    durations = {f"tr-{seed.otel_id}": seed.duration_ms for seed in wanted}
    is_right = [durations.get(trace_id) for trace_id in found] == [seed.duration_ms for seed in wanted[:SEARCH_PAGE]]
    return "" if is_right else "the search found other traces, or in another order"


@dataclass
class SeededTraces:
    """The traces that a server took, and how long it needed."""

    wanted: int
    experiment_id: str
    traces: list[TraceSeed] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def note(self) -> str:
        """What the table must say about the number, or nothing when all are there."""
        if len(self.traces) == self.wanted:
            return ""
        return f"over {len(self.traces):,} traces: it took no more in {self.seconds:.0f} s"


def seed_traces(session: Session, experiment_id: str, count: int, spans: int) -> SeededTraces:
    """Sends traces over several connections: all, or as many as the server takes in the time there is."""
    seeded = SeededTraces(count, experiment_id)
    began = time.monotonic()
    numbers = iter(range(0, count, TRACES_PER_BODY))
    lock = threading.Lock()

    def work() -> None:
        client = session.server.client()
        while time.monotonic() - began < session.settings.seed_seconds:
            with lock:
                first = next(numbers, None)
            if first is None:
                break
            seeds = [TraceSeed.of(number) for number in range(first, min(first + TRACES_PER_BODY, count))]
            if _send(client, experiment_id, otlp_body(seeds, spans)):
                with lock:
                    seeded.traces += seeds
        client.close()

    workers = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seeded.seconds = time.monotonic() - began
    return seeded


def _send(client: RestClient, experiment_id: str, body: bytes) -> bool:
    try:
        client.post_spans(experiment_id, body)
    except RestError:
        return False
    return True
