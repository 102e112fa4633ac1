"""README.md is true: its tables, its commands and flags, its links, and the scripts that it asks readers to run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from docs.generate_tables import README, with_tables
from runnel.cli import main
from tests.server_process import ServerProcess, clean_environment

ROOT = README.parent
DEFAULT_URL = "http://127.0.0.1:5000"
# Importing mlflow alone takes seconds, and more on a machine that is busy.
SCRIPT_SECONDS = 120

pytestmark = pytest.mark.timeout(SCRIPT_SECONDS + 60)


def run_script(script: str, folder: Path, **environment: str) -> str:
    """What a client script printed, in an environment like that of a reader who has just begun."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=folder,
        env=clean_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"} | environment,
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def experiment_named(server: ServerProcess, name: str) -> str:
    answer = httpx.get(f"{server.url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
    experiment_id: str = answer.json()["experiment"]["experiment_id"]
    return experiment_id


def test_the_tables_are_what_the_code_says_now() -> None:
    text = README.read_text()
    assert text == with_tables(text), "run `make docs`"


def test_the_script_to_paste_runs(server: ServerProcess, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert DEFAULT_URL in script
    printed = run_script(script.replace(DEFAULT_URL, server.url), tmp_path)
    assert re.search(r"hello +0\.2 +0\.3\s*$", printed), printed
    assert experiment_named(server, "first steps") != "0"
    assert os.listdir(tmp_path) == []


def test_the_example_runs_and_finds_the_best_variant(server: ServerProcess, tmp_path: Path) -> None:
    script = (ROOT / "examples" / "evaluate_llm_app.py").read_text()
    printed = run_script(script, tmp_path, MLFLOW_TRACKING_URI=server.url)
    table = [line.split() for line in printed.splitlines()[-6:]]
    assert table[0] == ["runName", "template", "temperature", "accuracy", "tokens"]
    assert table[1][:5] == ["context", "at", "0.0", "context", "0.0"]
    accuracies = [float(row[-2]) for row in table[1:]]
    assert accuracies == sorted(accuracies, reverse=True) and accuracies[0] == 1.0
    found = httpx.post(
        f"{server.url}/api/2.0/mlflow/runs/search",
        json={"experiment_ids": [experiment_named(server, "qa-assistant")], "filter": "status = 'FINISHED'"},
    ).json()["runs"]
    assert len(found) == 1 + 9
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_links_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not path or ((ROOT / file).parent / path).exists(), target
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert path or anchor in anchors, target


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_make_commands_exist(file: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / file).read_text(), re.MULTILINE)
    assert named
    assert set(named) <= targets


def test_commands_of_runnel_exist() -> None:
    named = re.findall(r"(?:`|^)runnel ([a-z]+)", README.read_text(), re.MULTILINE)
    assert "server" in named
    assert set(named) <= set(main.commands)
