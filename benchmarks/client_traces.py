"""What a traced application does: 200 calls of a function with another one in it, traced by the real mlflow client.

Runs in the environment that has mlflow; prints the seconds of each timed round as a JSON list, from the first call
until the server has the last trace. The first round, in which the client imports what it needs, is not timed.
"""

import json
import sys
import time

import mlflow

CALLS = 200


@mlflow.trace(span_type="LLM")
def ask(question: str) -> str:
    """A call of a model, without the model."""
    return f"The answer to {question}"


@mlflow.trace
def answer(question: str) -> str:
    """What an application does with a question."""
    return ask(question).upper()


def one_round() -> float:
    """Make all calls and wait for what is still on its way; the time it took, in seconds."""
    began = time.perf_counter()
    for number in range(CALLS):
        answer(f"question {number}")
    mlflow.flush_trace_async_logging()
    return time.perf_counter() - began


if __name__ == "__main__":
    uri, repeats = sys.argv[1], int(sys.argv[2])
    mlflow.set_tracking_uri(uri)
    experiment = mlflow.set_experiment("client traces")
    one_round()
    seconds = [one_round() for _ in range(repeats)]
    traces = mlflow.search_traces(locations=[experiment.experiment_id], max_results=CALLS * 10, return_type="list")
    if len(traces) != CALLS * (repeats + 1):
        sys.exit(f"{len(traces)} of {CALLS * (repeats + 1)} traces came back")
    print(json.dumps(seconds))
