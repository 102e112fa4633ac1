"""The checks of a client session, and how they are run, for scripts in environments that have mlflow and no pytest."""

import os
import sys
import traceback
import uuid
from collections.abc import Callable

import mlflow

Check = Callable[[mlflow.MlflowClient, str], None]
VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
CHECKS: list[tuple[tuple[int, int], Check]] = []


def since(major: int, minor: int) -> Callable[[Check], Check]:
    """A check of what clients can do from this version on."""

    def add(check: Check) -> Check:
        CHECKS.append(((major, minor), check))
        return check

    return add


def flush_traces() -> None:
    """Waits for the traces that clients of MLflow 3 send in the background by default; others have nothing to flush."""
    if VERSION >= (3, 6) and os.environ.get("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING") != "false":
        mlflow.flush_trace_async_logging()


def run_checks() -> int:
    """Makes every check in an experiment of its own and prints a line for it; 1 if one failed."""
    failed = 0
    client = mlflow.MlflowClient()
    for version, check in CHECKS:
        if version > VERSION:
            continue
        experiment = mlflow.set_experiment(f"{check.__name__}-{uuid.uuid4().hex[:8]}")
        try:
            check(client, experiment.experiment_id)
            print(f"ok      {check.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED  {check.__name__}\n{traceback.format_exc()}")
        while mlflow.active_run():
            mlflow.end_run()
    sys.stdout.flush()
    return 1 if failed else 0
