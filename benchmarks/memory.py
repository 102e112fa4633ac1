"""Memory and processor time of a whole process tree, read from /proc (Linux).

Memory is PSS, the proportional set size: a page shared by four workers counts a quarter in each, so the sum over
the tree is what the server really takes. RSS would count that page four times.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
MIB = 1024 * 1024


def process_tree(root: int) -> list[int]:
    """The process `root`, its descendants, and what else lives in its process group, by process id."""
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        stat = _stat_fields(int(entry.name))
        if stat is not None and stat[0] != "Z":
            parents[int(entry.name)], groups[int(entry.name)] = int(stat[1]), int(stat[2])
    tree = {pid for pid, group in groups.items() if pid == root or group == root}
    found = True
    while found:
        children = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree |= children
        found = bool(children)
    return sorted(tree)


def pss_bytes(pids: Iterable[int]) -> int:
    """The sum of the PSS of the processes, in bytes; a process that has just ended counts nothing."""
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def cpu_seconds(pids: Iterable[int]) -> float:
    """The processor time the processes have used so far, in seconds."""
    ticks = 0
    for pid in pids:
        stat = _stat_fields(pid)
        if stat is not None:
            ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds() -> float:
    """The processor time that everything on the machine has used since it booted, in seconds, idle time left out."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in (PROC / "stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _stat_fields(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on (the name before it may hold spaces), or None for a process that has gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


class PeakMemory:
    """Samples the PSS of a process tree while the `with` block runs; `peak` is the highest sum seen, in bytes."""

    def __init__(self, root: int, interval: float = 0.02) -> None:
        self.peak = 0
        self._root = root
        self._interval = interval
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak = max(self.peak, pss_bytes(process_tree(self._root)))
            if self._done.wait(self._interval):
                return
