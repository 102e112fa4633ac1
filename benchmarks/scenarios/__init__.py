"""The table of scenarios, in the order in which a server goes through them."""

from collections.abc import Callable, Iterator

from benchmarks.figures import Figure
from benchmarks.scenarios import artifacts, client, process, reads, registry, traces, writes
from benchmarks.session import Session

Scenario = Callable[[Session], Iterator[Figure]]

SCENARIOS: dict[str, Scenario] = {
    "cold_start": process.cold_start,
    "memory_idle": process.memory_idle,
    "create_run": writes.create_run,
    "log_metric": writes.log_metric,
    "log_batch": writes.log_batch,
    "get_run": reads.get_run,
    "history": reads.history,
    "search_few": reads.search_few,
    "log_spans": traces.log_spans,
    "get_trace": traces.get_trace,
    "search_few_traces": traces.search_few_traces,
    "search_models": registry.search_models,
    "memory_loaded": process.memory_loaded,
    "artifacts": artifacts.artifacts,
    "client_run": client.client_run,
    "client_traces": traces.client_traces,
    "search_many": reads.search_many,
    "search_many_traces": traces.search_many_traces,
    "restart": process.restart,
}
# The ceiling answers `{}` to everything: only what does not read the answer makes sense there.
WITHOUT_API = ("cold_start", "memory_idle", "create_run", "log_metric", "log_batch", "get_run", "memory_loaded")
