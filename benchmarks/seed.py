"""Fills a server with data through its own API: runs with 25 entries each, or one long metric history."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.rest import RestClient, RestError
from benchmarks.servers import RunningServer

METRICS, PARAMS, TAGS = 10, 10, 5
CATEGORIES = 10
CONNECTIONS = 8
ATTEMPTS = 3
HISTORY_BATCH = 1_000


@dataclass
class Seeded:
    """What a server took: the numbers of the runs that are complete, and how long it needed."""

    wanted: int
    experiment_id: str
    indices: list[int] = field(default_factory=list)
    failures: int = 0
    seconds: float = 0.0

    @property
    def note(self) -> str:
        """What the table must say about the size, or nothing when all of it is there."""
        if len(self.indices) == self.wanted:
            return ""
        failed = f", {self.failures} failed" if self.failures else ""
        return f"over {len(self.indices):,} runs: it took no more in {self.seconds:.0f} s{failed}"

    def best(self, threshold: float, category: int, count: int) -> list[str]:
        """The names of the `count` runs that the filtered search must find, in its order."""
        matching = [
            (metrics[1], run_name(index))
            for index in self.indices
            if index % CATEGORIES == category and (metrics := metric_values(index))[0] > threshold
        ]
        return [name for _, name in sorted(matching, reverse=True)[:count]]


def run_name(index: int) -> str:
    """The name of the seeded run with that number."""
    return f"seeded-{index}"


def metric_values(index: int) -> list[float]:
    """The metrics of the seeded run with that number: uniform in [0, 1), the same for every server."""
    source = random.Random(index)
    return [source.random() for _ in range(METRICS)]


def run_entries(index: int) -> dict[str, list[dict[str, Any]]]:
    """The 25 entries of a seeded run, as log-batch takes them."""
    now = 1_700_000_000_000 + index
    params = [f"category_{index % CATEGORIES}", *(f"value {index} of {number}" for number in range(1, PARAMS))]
    return {
        "metrics": [
            {"key": f"metric_{number}", "value": value, "timestamp": now, "step": 1}
            for number, value in enumerate(metric_values(index))
        ],
        "params": [{"key": f"param_{number}", "value": value} for number, value in enumerate(params)],
        "tags": [{"key": f"tag_{number}", "value": f"tag {index % 100}"} for number in range(TAGS)],
    }


def seed_runs(server: RunningServer, experiment_id: str, count: int, seconds: float) -> Seeded:
    """Create `count` runs over several connections, or as many as the server takes in `seconds`."""
    seeded = Seeded(count, experiment_id)
    began = time.monotonic()
    numbers = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        client = server.client()
        while time.monotonic() - began < seconds:
            with lock:
                index = next(numbers, None)
            if index is None:
                break
            complete = _seed_run(client, experiment_id, index)
            with lock:
                if complete:
                    seeded.indices.append(index)
                else:
                    seeded.failures += 1
        client.close()

    workers = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seeded.seconds = time.monotonic() - began
    return seeded


def seed_history(client: RestClient, run_id: str, key: str, points: int, seconds: float) -> int:
    """Log `points` points of one metric in batches, or what the server takes in `seconds`; returns how many."""
    began = time.monotonic()
    logged = 0
    for batch in _history_batches(key, points):
        if time.monotonic() - began > seconds:
            break
        client.post("runs/log-batch", {"run_id": run_id, "metrics": batch})
        logged += len(batch)
    return logged


def _seed_run(client: RestClient, experiment_id: str, index: int) -> bool:
    for _ in range(ATTEMPTS):
        try:
            run_id = client.create_run(experiment_id, run_name(index))["run_id"]
            client.post("runs/log-batch", {"run_id": run_id, **run_entries(index)})
            return True
        except RestError:
            continue
    return False


def _history_batches(key: str, points: int) -> Iterator[list[dict[str, Any]]]:
    for first in range(0, points, HISTORY_BATCH):
        steps = range(first, min(first + HISTORY_BATCH, points))
        yield [
            {"key": key, "value": 1 / (step + 1), "timestamp": 1_700_000_000_000 + step, "step": step} for step in steps
        ]
