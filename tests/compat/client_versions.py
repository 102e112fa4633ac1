"""Runs the client sessions and the examples with mlflow clients of several versions, each in an environment of its own.

    python -m tests.compat.client_versions [version ...]

The environments are made once, in `.compat/` (which ignores itself in git), by uv. All clients talk to one Runnel
server, which is started for them; in the end each reads the traces that the others left. Ends with 1 if a version
failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import uv

from tests.server_process import ServerProcess, clean_environment

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".compat"
HERE = ROOT / "tests" / "compat"


class Script(NamedTuple):
    """A program, and the first version of mlflow that it runs with."""

    path: Path
    since: tuple[int, int] = (2, 9)


SCRIPTS = {
    "session": Script(HERE / "client_session.py"),
    "traces": Script(HERE / "client_trace_session.py"),
    "example": Script(ROOT / "examples" / "evaluate_llm_app.py"),
    "rag": Script(ROOT / "examples" / "evaluate_rag_app.py", since=(3, 4)),
}
EXCHANGE = Script(HERE / "client_trace_exchange.py", since=(2, 14))
PYTHON = "3.11"  # the newest that mlflow 2.9 and its dependencies of the time have wheels for
SCRIPT_SECONDS = 300

# What each version needs beside itself: a client of its time does not know the packages of today.
_OLD = ["pandas<3", "opentelemetry-api<1.31", "opentelemetry-sdk<1.31"]
VERSIONS = {
    "2.9.2": [*_OLD, "setuptools<81"],
    "2.14.3": [*_OLD, "setuptools<81"],
    "2.17.2": _OLD,
    "2.22.1": _OLD,
    "3.1.4": _OLD,
    "3.6.0": ["pandas<3"],
    "3.17.2": ["pandas<3"],
}


def environment(version: str) -> Path:
    """The interpreter of the environment with this version of mlflow, which is made when it is not there."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    folder = ENVIRONMENTS / version
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join([f"mlflow=={version}", *VERSIONS[version]])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making the environment of mlflow {version} ...", flush=True)
        interpreter = sys.executable if sys.version_info[:2] == (3, 11) else PYTHON
        _run([uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", interpreter, str(folder)])
        _run([uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *wanted.split("\n")])
        stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    # Without VIRTUAL_ENV, or uv may think of the environment this program runs in.
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(command, env=clean, check=True)


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def run(script: Script, version: str, url: str) -> subprocess.CompletedProcess[str]:
    """Runs a script with this version, in an empty folder."""
    settings = {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [str(environment(version)), "-W", "ignore", str(script.path)],
            cwd=folder,
            env=clean_environment() | settings,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )


def try_version(version: str, url: str) -> bool:
    """Whether every script succeeded with this version; the output of one that did not is printed."""
    fine = True
    environment(version)
    for name, script in SCRIPTS.items():
        if script.since > release(version):
            continue
        began = time.monotonic()
        done = run(script, version, url)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"mlflow {version:8} {name:8} {verdict}  ({time.monotonic() - began:.1f} s)", flush=True)
        if done.returncode != 0:
            fine = False
            # The session prints what failed; only where it could not even begin is the rest of use.
            print(done.stdout, done.stderr[-3000:] if "FAILED" not in done.stdout else "")
    return fine


def readable(reader: str, writer: str) -> bool:
    """Whether a client can read the traces of another, as far as its own code goes (see `client_trace_exchange.py`)."""
    if release(writer) < (3, 0) or release(reader) >= (3, 4):
        return release(writer) >= EXCHANGE.since
    return release(reader) >= (3, 0) and release(writer) < (3, 4)


def try_exchange(reader: str, writers: list[str], url: str) -> bool:
    """Whether a version reads the traces of the others, those that it can read at all."""
    if release(reader) < EXCHANGE.since:
        return True
    done = run(EXCHANGE, reader, url)
    expected = {writer for writer in writers if readable(reader, writer)}
    missing = sorted(expected - set(done.stdout.split()))
    fine = done.returncode == 0 and not missing
    what = (
        f"reads the traces of {', '.join(sorted(expected))}"
        if fine
        else f"FAILED, missing: {missing}\n{done.stderr[-3000:]}"
    )
    print(f"mlflow {reader:8} {what}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description="Try mlflow clients of several versions against Runnel.")
    parser.add_argument("versions", nargs="*", help=f"default: {' '.join(VERSIONS)}")
    versions = parser.parse_args().versions or list(VERSIONS)
    unknown = sorted(set(versions) - set(VERSIONS))
    if unknown:
        parser.error(f"no such version here: {', '.join(unknown)}; known are {', '.join(VERSIONS)}")
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        try:
            failed = [version for version in versions if not try_version(version, server.url)]
            failed += [version for version in versions if not try_exchange(version, versions, server.url)]
            server.check_ends_well()
        finally:
            server.kill()
    if failed:
        print(f"failed: {', '.join(dict.fromkeys(failed))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
