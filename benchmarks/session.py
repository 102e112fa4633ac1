"""What every scenario is handed: the running server, the settings, and the loop that makes a figure."""

import math
import uuid
from typing import Any

from benchmarks.environments import Environments
from benchmarks.figures import Figure
from benchmarks.load import LoopResult, run_loop
from benchmarks.rest import RestClient
from benchmarks.servers import RunningServer
from benchmarks.settings import Settings

# Every loop counts from a number of its own, so that no request repeats an earlier one.
NUMBERS_PER_LOOP = 10_000_000


class Session:
    """One server's turn in the benchmark."""

    def __init__(
        self, server: RunningServer, start_times: list[float], settings: Settings, environments: Environments
    ) -> None:
        self.server = server
        self.start_times = start_times
        self.settings = settings
        self.environments = environments
        self.rest: RestClient = server.client()
        # The number that the latest loop counts from: a step above it was written by that loop.
        self.loop_start = 0
        self._experiments: dict[str, str] = {}
        self._runs: list[str] = []

    def experiment(self, name: str) -> str:
        """The id of the experiment with that name, created at the first call."""
        if name not in self._experiments:
            known = self.server.spec.speaks_mlflow
            self._experiments[name] = self.rest.create_experiment(name) if known else "0"
        return self._experiments[name]

    def runs(self, count: int) -> list[str]:
        """The ids of `count` runs to log to; the ceiling, which knows no runs, gets made-up ones."""
        while len(self._runs) < count:
            if self.server.spec.speaks_mlflow:
                run = self.rest.create_run(self.experiment("loops"), f"loop-{len(self._runs)}")
                self._runs.append(run["run_id"])
            else:
                self._runs.append(uuid.uuid4().hex)
        return self._runs[:count]

    def figure(self, scenario: str, title: str, unit: str, value: float | None, **more: Any) -> Figure:
        """A figure of this session's server."""
        return Figure(scenario, self.server.spec.name, title, unit, value, **more)

    def loop(
        self, scenario: str, title: str, clients: int, script: str, arguments: list[str],
        unit: str = "per s", worth: float = 1.0, note: str = "",
    ) -> Figure:  # fmt: skip
        """Warm up, then run the loop; the figure is answers per second times what one answer is `worth`."""
        warm = self._run(script, clients, self.settings.warm_up_seconds, arguments)
        if warm.requests < clients:
            self.server.settle()
        result = self._run(script, clients, self._long_enough(warm), arguments)
        # What was still on its way when the loop ended must not slow the next one.
        self.server.settle()
        value: float | None = result.per_second * worth
        invalid = ""
        if result.requests == 0:
            value, invalid = None, f"no answer within {result.seconds:.0f} s"
        elif result.errors:
            invalid = f"{result.errors:,} of {result.requests:,} answers were errors"
        return self.figure(
            scenario, title, unit, value, clients=clients, p50_ms=result.p50_ms, p99_ms=result.p99_ms,
            requests=result.requests, errors=result.errors, note=note, invalid=invalid,
        )  # fmt: skip

    def _run(self, script: str, clients: int, seconds: int, arguments: list[str]) -> LoopResult:
        self.loop_start += NUMBERS_PER_LOOP
        return run_loop(self.server.url, script, clients, seconds, [str(self.loop_start), *arguments])

    def _long_enough(self, warm: LoopResult) -> int:
        settings = self.settings
        if warm.requests == 0:
            return settings.longest_seconds
        needed = math.ceil(settings.fewest_answers / warm.per_second)
        return min(max(settings.seconds, needed), settings.longest_seconds)
