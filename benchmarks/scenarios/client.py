"""The real mlflow client as a process of its own, in its own environment."""

import json
import os
import statistics
import subprocess
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.servers import BENCHMARKS
from benchmarks.session import Session


def client_run(session: Session) -> Iterator[Figure]:
    """One run of the mlflow client with 20 log_param and 100 log_metric calls, from start_run to its end."""
    yield run_client(session, "client_run", "mlflow client: 20 params, 100 metrics", "client_run.py")


def run_client(session: Session, scenario: str, title: str, script: str) -> Figure:
    """The median of the seconds that a script with the mlflow client prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    command = [
        str(session.environments.python("mlflow")),
        str(BENCHMARKS / script),
        session.server.url,
        str(session.settings.repeats),
    ]
    done = subprocess.run(
        command, env={**kept, **quiet}, cwd=session.server.folder, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return session.figure(scenario, title, "s", None, invalid=f"the client failed: {last[:200]}")
    seconds = statistics.median(json.loads(done.stdout.splitlines()[-1]))
    return session.figure(scenario, title, "s", seconds, clients=1, lower_is_better=True)
