"""Runs `client_session.py` and the example with older mlflow clients, each in an environment of its own.

    python -m tests.compat.client_versions [version ...]

The environments are made once, in `.compat/` (which ignores itself in git), by uv. All clients talk to one Runnel
server, which is started for them. Ends with 1 if a version failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uv

from tests.server_process import ServerProcess, clean_environment

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".compat"
SCRIPTS = {
    "session": ROOT / "tests" / "compat" / "client_session.py",
    "example": ROOT / "examples" / "evaluate_llm_app.py",
}
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


def try_version(version: str, url: str) -> bool:
    """Whether every script succeeded with this version; the output of one that did not is printed."""
    python = environment(version)
    settings = {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    fine = True
    for name, script in SCRIPTS.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [str(python), "-W", "ignore", str(script)],
                cwd=folder,
                env=clean_environment() | settings,
                capture_output=True,
                text=True,
                timeout=SCRIPT_SECONDS,
            )
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"mlflow {version:8} {name:8} {verdict}  ({time.monotonic() - began:.1f} s)", flush=True)
        if done.returncode != 0:
            fine = False
            # The session prints what failed; only where it could not even begin is the rest of use.
            print(done.stdout, done.stderr[-3000:] if "FAILED" not in done.stdout else "")
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
            server.check_ends_well()
        finally:
            server.kill()
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
