"""A trace that every client leaves on the server, and a look at those that the others left.

Clients of MLflow 2 cannot read what clients of MLflow 3 wrote: they say so, or leave it out. Clients before 3.4 look
for spans in a file only, and leave out the traces whose spans are in the database (with a warning).

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python client_trace_exchange.py
"""

import mlflow
from client_checks import VERSION, flush_traces

EXPERIMENT = "traces of clients {}"
MINE = EXPERIMENT.format(VERSION[0])


def leave_a_trace() -> None:
    """Logs a trace that names the version of its client."""
    mlflow.set_experiment(MINE)

    @mlflow.trace(name="answer")
    def answer(question: str) -> dict[str, str]:
        with mlflow.start_span(name="look up", span_type="RETRIEVER") as span:
            span.set_inputs({"version": mlflow.__version__})
            span.set_outputs(["ä document"])
        return {"answer": "because"}

    answer("why?")
    flush_traces()


def read_traces(client: mlflow.MlflowClient) -> set[str]:
    """Checks the traces that this client can read, each with its spans; the versions that left them."""
    versions = set()
    for experiment in (client.get_experiment_by_name(EXPERIMENT.format(major)) for major in range(2, VERSION[0] + 1)):
        for trace in client.search_traces([experiment.experiment_id]) if experiment else []:
            root, inner = trace.data.spans
            version = inner.inputs["version"]
            assert [span.name for span in trace.data.spans] == ["answer", "look up"], version
            assert (root.parent_id, inner.parent_id) == (None, root.span_id), version
            assert (root.inputs, root.outputs) == ({"question": "why?"}, {"answer": "because"}), version
            assert inner.outputs == ["ä document"], version
            assert inner.attributes["mlflow.spanType"] == "RETRIEVER", version
            versions.add(version)
    return versions


if __name__ == "__main__":
    print(*read_traces(mlflow.MlflowClient()))
