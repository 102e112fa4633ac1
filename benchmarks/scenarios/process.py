"""The server as a process: how fast it starts and how much memory it takes."""

import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.memory import MIB, process_tree, pss_bytes
from benchmarks.session import Session


def cold_start(session: Session) -> Iterator[Figure]:
    """From the start of the process, on an empty folder, to the first answer that needed the database."""
    seconds = statistics.median(session.start_times)
    yield session.figure("cold_start", "cold start, new database", "s", seconds, lower_is_better=True)


def restart(session: Session) -> Iterator[Figure]:
    """The same on the database that the other scenarios have filled."""
    session.rest.close()
    session.server.stop()
    session.server.launch()
    seconds = session.server.start_seconds
    yield session.figure("restart", "restart, filled database", "s", seconds, lower_is_better=True)


def memory_idle(session: Session) -> Iterator[Figure]:
    """PSS of the process tree after the start, before the first request that does anything."""
    yield _memory(session, "memory_idle", "memory, idle")


def memory_loaded(session: Session) -> Iterator[Figure]:
    """PSS of the process tree after the loops, once it is quiet again."""
    yield _memory(session, "memory_loaded", "memory, after load")


def _memory(session: Session, scenario: str, title: str) -> Figure:
    session.server.settle()
    tree = process_tree(session.server.pid)
    note = f"{len(tree)} processes" if len(tree) > 1 else ""
    return session.figure(scenario, title, "MiB", pss_bytes(tree) / MIB, lower_is_better=True, note=note)
