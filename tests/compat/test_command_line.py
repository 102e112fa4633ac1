"""`runnel server` takes the place of `mlflow server` in a command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import clean_environment

BACKENDS = ["sqlite"]

README = Path(__file__).resolve().parents[2] / "README.md"

# Where Runnel means something else by default, with the reason.
OTHER_DEFAULTS = {
    "--workers": "one process serves many clients",
    "--backend-store-uri": "mlflow decides when it starts, and takes this one unless there is a folder ./mlruns",
    "--default-artifact-root": "both decide when they start, and alike",
}

# Prints the flags of a click command as JSON. In a process of its own: mlflow's command line imports its whole server.
PROGRAM = """
import json, {module} as cli
print(json.dumps({{
    flag: {{
        "variables": [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ()),
        "default": option.default if isinstance(option.default, (str, int)) and option.default != "" else None,
    }}
    for option in cli.server.params
    for flag in (*option.opts, *option.secondary_opts)
}}))
"""

Flags = dict[str, dict[str, Any]]


def flags_of(module: str) -> Flags:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(module=module)],
        env=clean_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    flags: Flags = json.loads(done.stdout.splitlines()[-1])
    return flags


@pytest.fixture(scope="module")
def theirs() -> Flags:
    """The flags of `mlflow server`."""
    return flags_of("mlflow.cli")


@pytest.fixture(scope="module")
def ours() -> Flags:
    """The flags of `runnel server`."""
    return flags_of("runnel.cli")


def test_a_shared_flag_is_set_by_the_same_variable(theirs: Flags, ours: Flags) -> None:
    shared = theirs.keys() & ours.keys()
    assert {"--backend-store-uri", "--artifacts-destination", "--host", "-h", "--port", "-p", "-w"} <= shared
    others = {flag: theirs[flag]["variables"] for flag in shared}
    assert {flag: found for flag, found in others.items() if not set(found) <= set(ours[flag]["variables"])} == {}


def test_a_shared_flag_has_the_same_default(theirs: Flags, ours: Flags) -> None:
    shared = theirs.keys() & ours.keys()
    # The short forms are left to their long ones.
    pairs = {flag: (theirs[flag]["default"], ours[flag]["default"]) for flag in shared if flag.startswith("--")}
    differing = {flag: pair for flag, pair in pairs.items() if (pair[0] or None) != (pair[1] or None)}
    assert {flag: pair for flag, pair in differing.items() if flag not in OTHER_DEFAULTS} == {}


def test_the_readme_names_every_flag_of_mlflow_that_is_missing(theirs: Flags, ours: Flags) -> None:
    (sentence,) = re.findall(r"^- These flags have no counterpart.*?\.$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(--[a-z-]+)`", sentence)) == {
        flag for flag in theirs.keys() - ours.keys() if flag.startswith("--")
    }
