"""Run the scenarios against each server in turn and print the table: `python benchmarks/run.py --help`."""

import argparse
import datetime
import fnmatch
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

# Started by its path, this file finds the package that it belongs to all the same.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.environments import EnvironmentFailed, Environments, bench_folder
from benchmarks.figures import Figure
from benchmarks.load import LoadFailed, require_wrk
from benchmarks.memory import machine_cpu_seconds
from benchmarks.report import render
from benchmarks.rest import RestError
from benchmarks.scenarios import SCENARIOS, WITHOUT_API
from benchmarks.servers import SERVERS, RunningServer, ServerFailed, ServerSpec
from benchmarks.session import Session
from benchmarks.settings import Settings

# A server slower to start than this is not started again only to take a median.
SLOW_START_SECONDS = 10.0


def main() -> int:
    """Parse the command line, run, write the results and print the table."""
    # Ended from outside, too, the server is stopped and its data removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options = _parse_arguments()
    settings = Settings.quick_check() if options.quick else Settings()
    if options.seconds:
        settings = replace(settings, seconds=options.seconds)
    if options.seed_seconds:
        settings = replace(settings, seed_seconds=options.seed_seconds)
    environments = Environments(dict(options.environment))
    store_uris = dict(options.store_uri)
    try:
        require_wrk()
        for name in options.servers:
            environments.folder(SERVERS[name].environment)
        if {"client_run", "client_traces"} & set(options.scenarios):
            environments.folder("mlflow")
    except (LoadFailed, EnvironmentFailed) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "settings": asdict(settings),
        "servers": {},
        "figures": [],
    }
    for name in options.servers:
        spec = SERVERS[name]
        busy = _others_cpu_share()
        _say(f"{name} (the rest of the machine uses {busy:.0%} of its processors)")
        results["servers"][name] = {
            "version": environments.version(spec.environment),
            "store": "given" if name in store_uris else "sqlite",
            "busy_before": round(busy, 3),
        }
        for figure in _measure(spec, environments, settings, options.scenarios, store_uris.get(name)):
            results["figures"].append(figure.as_json())
            _say(f"  {_line(figure)}")
            # After every figure: a run that is cut short keeps what it has.
            options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(render(results))
    return 0


def _measure(
    spec: ServerSpec, environments: Environments, settings: Settings, scenarios: list[str], store_uri: str | None
) -> Iterator[Figure]:
    """All figures of one server; a scenario that fails leaves a figure that says why."""
    start_times: list[float] = []
    try:
        # Starting again needs an empty database each time: a folder of our own has one, a given store has not.
        for _ in range(settings.repeats - 1 if store_uri is None and "cold_start" in scenarios else 0):
            with _data_folder() as folder:
                server = RunningServer.start(spec, environments, folder)
                server.stop()
            start_times.append(server.start_seconds)
            if server.start_seconds > SLOW_START_SECONDS:
                break
        with _data_folder() as folder:
            server = RunningServer.start(spec, environments, folder, store_uri)
            start_times.append(server.start_seconds)
            try:
                session = Session(server, start_times, settings, environments)
                for name in scenarios:
                    yield from _scenario(session, name)
            finally:
                server.stop()
    except ServerFailed as error:
        yield Figure("cold_start", spec.name, "cold start, new database", "s", None, invalid=str(error))


def _scenario(session: Session, name: str) -> Iterator[Figure]:
    spec = session.server.spec
    if not spec.speaks_mlflow and name not in WITHOUT_API:
        return
    try:
        yield from SCENARIOS[name](session)
    except (LoadFailed, RestError, OSError, KeyError, ValueError) as error:
        ended = "" if session.server.alive else " (the server has ended)"
        yield session.figure(name, name, "", None, invalid=f"failed{ended}: {error!r}"[:300])


@contextmanager
def _data_folder() -> Iterator[Path]:
    """A fresh folder on the disk of the checkout (/tmp may be memory, where an fsync costs nothing)."""
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=bench_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _others_cpu_share() -> float:
    """How much of all processors is in use while no server of ours runs, over two seconds."""
    before, began = machine_cpu_seconds(), time.monotonic()
    time.sleep(2.0)
    return (machine_cpu_seconds() - before) / ((time.monotonic() - began) * (os.cpu_count() or 1))


def _machine() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _line(figure: Figure) -> str:
    clients = f", clients: {figure.clients}" if figure.clients else ""
    value = "–" if figure.value is None else f"{figure.value:,.3f} {figure.unit}"
    remark = " ".join(part for part in (figure.note, f"INVALID: {figure.invalid}" if figure.invalid else "") if part)
    return f"{figure.title}{clients}: {value} {remark}".rstrip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("--servers", type=_names(SERVERS), default=list(SERVERS), help=f"of {', '.join(SERVERS)}")
    parser.add_argument(
        "--scenarios", type=_names(SCENARIOS), default=list(SCENARIOS),
        help=f"names or patterns such as 'log_*', of {', '.join(SCENARIOS)}",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small sizes and short loops, to see that it works")
    parser.add_argument("--seconds", type=int, help="length of each loop (default: 5)")
    parser.add_argument("--seed-seconds", type=int, help="longest time to fill a server with data (default: 600)")
    parser.add_argument("--output", type=Path, help="where the figures go (default: .bench/results.json)")
    parser.add_argument(
        "--environment", type=_pair, action="append", default=[], metavar="NAME=FOLDER",
        help="use this Python environment instead of making one under .bench/",
    )  # fmt: skip
    parser.add_argument(
        "--store-uri", type=_pair, action="append", default=[], metavar="SERVER=URI",
        help="give the server this empty database instead of an SQLite file",
    )  # fmt: skip
    options = parser.parse_args()
    options.output = options.output or bench_folder() / "results.json"
    options.environment = [(name, Path(folder)) for name, folder in options.environment]
    return options


def _names(table: dict[str, Any]) -> Any:
    def parse(text: str) -> list[str]:
        patterns = text.split(",")
        unknown = [pattern for pattern in patterns if not fnmatch.filter(table, pattern)]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are: {', '.join(table)}")
        return [name for name in table if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    return parse


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
