"""What a user's script does: one run with 20 params and 100 metrics, logged one by one by the real mlflow client.

Runs in the environment that has mlflow; prints the seconds of each timed run as a JSON list. The first run, in which
the client imports what it needs, is not timed.
"""

import json
import sys
import time

import mlflow

PARAMS, METRICS = 20, 100


def one_run() -> float:
    """Log one run from start to end; the time it took, in seconds."""
    began = time.perf_counter()
    with mlflow.start_run():
        for number in range(PARAMS):
            mlflow.log_param(f"param_{number}", number)
        for step in range(METRICS):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
    return time.perf_counter() - began


if __name__ == "__main__":
    uri, repeats = sys.argv[1], int(sys.argv[2])
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("client")
    one_run()
    print(json.dumps([one_run() for _ in range(repeats)]))
