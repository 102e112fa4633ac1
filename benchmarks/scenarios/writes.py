"""The write loops: each request carries new values, none repeats another. After a loop, what it wrote must be there."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.figures import Figure
from benchmarks.rest import RestError
from benchmarks.session import Session
from benchmarks.settings import CLIENTS

MANY_RUNS = 100


def create_run(session: Session) -> Iterator[Figure]:
    """runs/create in one experiment, with a name and a tag."""
    experiment = session.experiment("created")
    for clients in CLIENTS:
        yield session.loop("create_run", "create run", clients, "create_run.lua", [experiment])


def log_metric(session: Session) -> Iterator[Figure]:
    """runs/log-metric: one point a request, to one run and to 100 runs in turn."""
    for title, count in (("log-metric, one run", 1), (f"log-metric, {MANY_RUNS} runs", MANY_RUNS)):
        for clients in CLIENTS:
            figure = session.loop("log_metric", title, clients, "log_metric.lua", session.runs(count))
            yield _checked(session, figure, session.runs(count), "loss")


def log_batch(session: Session) -> Iterator[Figure]:
    """runs/log-batch: 100 metrics at one step (100 at ten steps in the batch of 1,000), to 16 runs in turn."""
    for size in (100, 1_000):
        for clients in CLIENTS:
            figure = session.loop(
                "log_batch", f"log-batch of {size:,} metrics", clients, "log_batch.lua",
                [str(size), *session.runs(16)], unit="metrics/s", worth=size,
            )  # fmt: skip
            yield _checked(session, figure, session.runs(16), "metric_100")


def _checked(session: Session, figure: Figure, run_ids: list[str], key: str) -> Figure:
    """The figure, marked invalid if none of the runs holds a point that this loop wrote."""
    if not session.server.spec.speaks_mlflow:
        return figure
    try:
        latest = max(_step(session, run_id, key) for run_id in run_ids)
    except RestError as error:
        # A server may be so deep in the loop's requests that it answers no other for a while.
        return replace(figure, invalid=figure.invalid or f"after the loop: {error}"[:200])
    if latest > session.loop_start:
        return figure
    return replace(figure, invalid=figure.invalid or "what was logged cannot be read back")


def _step(session: Session, run_id: str, key: str) -> int:
    """The step of the run's latest point of a metric, 0 where it has none."""
    metrics = session.rest.get("runs/get", run_id=run_id)["run"]["data"].get("metrics", [])
    return max((int(metric.get("step", 0)) for metric in metrics if metric["key"] == key), default=0)
