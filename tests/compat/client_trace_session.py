"""What users of mlflow do with traces and evaluations, as one script that runs with old and new clients.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python client_trace_session.py
"""

import contextlib
import sys
import time
from typing import Any

import mlflow
import pandas as pd
from client_checks import VERSION, flush_traces, run_checks, since
from client_trace_exchange import leave_a_trace, read_traces


def trace_ids(traces: Any) -> list[str]:
    """The ids of traces, whatever their name is in this version."""
    return [trace.info.trace_id if VERSION >= (3, 0) else trace.info.request_id for trace in traces]


def search(client: mlflow.MlflowClient, experiment_id: str, *arguments: Any, **options: Any) -> list[Any]:
    flush_traces()
    return list(client.search_traces([experiment_id], *arguments, **options))


@since(2, 9)
def tables_are_evaluated_with_metrics_of_ones_own(client: mlflow.MlflowClient, experiment_id: str) -> None:
    def count_right(predictions: Any, targets: Any, metrics: Any) -> Any:
        scores = [int(given == expected) for given, expected in zip(predictions, targets, strict=True)]
        return mlflow.metrics.MetricValue(scores=scores, aggregate_results={"mean": sum(scores) / len(scores)})

    right = mlflow.metrics.make_metric(eval_fn=count_right, greater_is_better=True, name="right")
    table = pd.DataFrame({"question": ["a?", "b?"], "answer": ["A", "X"], "expected": ["A", "B"]})
    evaluate = mlflow.models.evaluate if VERSION >= (3, 0) else mlflow.evaluate
    with mlflow.start_run() as run:
        result = evaluate(data=table, predictions="answer", targets="expected", extra_metrics=[right])
    assert result.metrics["right/mean"] == 0.5
    found = client.get_run(run.info.run_id)
    assert found.data.metrics["right/mean"] == 0.5
    loaded = mlflow.load_table("eval_results_table.json", run_ids=[run.info.run_id])
    assert loaded["right/score"].tolist() == [1, 0] and loaded["question"].tolist() == ["a?", "b?"]


@since(2, 14)
def traces_are_kept_with_their_spans(client: mlflow.MlflowClient, experiment_id: str) -> None:
    @mlflow.trace(name="answer", span_type="CHAIN", attributes={"depth": 3})
    def answer(question: str) -> str:
        with mlflow.start_span(name="look up", span_type="RETRIEVER") as span:
            span.set_inputs({"query": question})
            span.set_outputs(["a document"])
        return "because"

    answer("why?")
    (trace,) = search(client, experiment_id)
    root, inner = trace.data.spans
    assert (root.name, root.inputs, root.outputs) == ("answer", {"question": "why?"}, "because")
    assert (inner.name, inner.inputs, inner.outputs) == ("look up", {"query": "why?"}, ["a document"])
    assert (root.parent_id, inner.parent_id) == (None, root.span_id)
    types = [span.attributes["mlflow.spanType"] for span in (root, inner)]
    assert (types, root.attributes["depth"]) == (["CHAIN", "RETRIEVER"], 3)
    (same,) = trace_ids([client.get_trace(*trace_ids([trace]))])
    assert [same] == trace_ids([trace])


@since(2, 14)
def failures_are_traced(client: mlflow.MlflowClient, experiment_id: str) -> None:
    @mlflow.trace
    def fail() -> None:
        raise ValueError("too long")

    with contextlib.suppress(ValueError):
        fail()
    (trace,) = search(client, experiment_id, filter_string="status = 'ERROR'")
    (span,) = trace.data.spans
    assert str(span.status.status_code).endswith("ERROR") and "too long" in span.status.description
    assert span.events[0].attributes["exception.message"] == "too long"


@since(2, 14)
def traces_are_tagged_searched_and_deleted(client: mlflow.MlflowClient, experiment_id: str) -> None:
    for number in range(5):
        with mlflow.start_span(name=f"span {number}") as span:
            span.set_inputs({"number": number})
        time.sleep(0.01)  # a time of its own for each
    found = search(client, experiment_id, order_by=["timestamp_ms ASC"])
    first, second, *rest = trace_ids(found)
    client.set_trace_tag(first, "topic", "birds")
    client.set_trace_tag(second, "topic", "bees")
    client.set_trace_tag(second, "old", "yes")
    client.delete_trace_tag(second, "old")
    assert trace_ids(search(client, experiment_id, filter_string="tags.topic = 'birds'")) == [first]
    (tagged,) = search(client, experiment_id, filter_string="tags.topic = 'bees'")
    assert "old" not in tagged.info.tags
    pages = client.search_traces([experiment_id], max_results=2, order_by=["timestamp_ms ASC"])
    following = client.search_traces(
        [experiment_id], max_results=9, order_by=["timestamp_ms ASC"], page_token=pages.token
    )
    assert trace_ids(pages) + trace_ids(following) == [first, second, *rest]
    ids = {"trace_ids" if VERSION >= (3, 0) else "request_ids": [first]}
    assert client.delete_traces(experiment_id, **ids) == 1
    assert client.delete_traces(experiment_id, max_timestamp_millis=int(time.time() * 1000), max_traces=2) == 2
    assert trace_ids(search(client, experiment_id, order_by=["timestamp_ms ASC"])) == rest[1:]


@since(2, 14)
def traces_come_as_a_frame(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run() as run:
        for number in range(3):
            with mlflow.start_span(name="ask") as span:
                span.set_inputs({"number": number})
                span.set_outputs(number * 2)
    with mlflow.start_span(name="outside a run"):
        pass
    flush_traces()
    frame = mlflow.search_traces([experiment_id])
    assert len(frame) == 4 and {"request", "response", "spans", "tags"} <= set(frame.columns)
    frame = mlflow.search_traces([experiment_id], filter_string=f"run_id = '{run.info.run_id}'")
    assert len(frame) == 3
    frame = mlflow.search_traces(
        [experiment_id], filter_string="name = 'ask'", order_by=["timestamp DESC"], max_results=2
    )
    assert len(frame) == 2


@since(2, 14)
def spans_are_logged_by_hand(client: mlflow.MlflowClient, experiment_id: str) -> None:
    root = client.start_trace("chat", inputs={"q": "why?"}, tags={"team": "red"})
    trace_id = root.trace_id if VERSION >= (3, 0) else root.request_id
    child = client.start_span("model", trace_id, parent_id=root.span_id, span_type="LLM", inputs=[1])
    client.end_span(trace_id, child.span_id, outputs={"text": "so"}, attributes={"tokens": 7})
    client.end_trace(trace_id, outputs="so", status="OK")
    (trace,) = search(client, experiment_id, filter_string="tags.team = 'red'")
    spans = {span.name: span for span in trace.data.spans}
    assert spans["model"].parent_id == spans["chat"].span_id
    assert (spans["model"].outputs, spans["model"].attributes["tokens"]) == ({"text": "so"}, 7)


@since(2, 22)
def a_trace_is_changed_while_it_runs(client: mlflow.MlflowClient, experiment_id: str) -> None:
    @mlflow.trace
    def turn() -> None:
        mlflow.update_current_trace(tags={"channel": "web"})
        if VERSION >= (3, 1):
            mlflow.update_current_trace(metadata={"mlflow.trace.session": "s-1", "mlflow.trace.user": "ann"})

    turn()
    (trace,) = search(client, experiment_id, filter_string="tags.channel = 'web'")
    if VERSION >= (3, 1):
        assert trace.info.trace_metadata["mlflow.trace.session"] == "s-1"
        assert search(client, experiment_id, filter_string="metadata.`mlflow.trace.user` = 'ann'")


@since(3, 2)
def feedback_is_kept_with_its_trace(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_span(name="answer") as span:
        pass
    flush_traces()
    source = mlflow.entities.AssessmentSource(source_type="HUMAN", source_id="ann")
    first = mlflow.log_feedback(
        trace_id=span.trace_id, name="correct", value=True, rationale="it says so", source=source, metadata={"k": "v"}
    )
    expected = mlflow.log_expectation(trace_id=span.trace_id, name="facts", value={"a": [1, 2]})
    mlflow.log_feedback(trace_id=span.trace_id, name="judge", error=ValueError("no judge"))
    (feedback,) = [each for each in client.get_trace(span.trace_id).info.assessments if each.name == "correct"]
    assert (feedback.value, feedback.rationale, feedback.source.source_id) == (True, "it says so", "ann")
    changed = mlflow.override_feedback(
        trace_id=span.trace_id, assessment_id=first.assessment_id, value=False, rationale="on second thought"
    )
    assert changed.overrides == first.assessment_id
    assert not mlflow.get_assessment(span.trace_id, first.assessment_id).valid
    mlflow.update_assessment(
        trace_id=span.trace_id,
        assessment_id=expected.assessment_id,
        assessment=mlflow.entities.Expectation(name="facts", value={"a": []}),
    )
    assert mlflow.get_assessment(span.trace_id, expected.assessment_id).value == {"a": []}
    mlflow.delete_assessment(trace_id=span.trace_id, assessment_id=expected.assessment_id)
    left = {each.name for each in client.get_trace(span.trace_id).info.assessments}
    assert left == {"correct", "judge"}


@since(3, 0)
def models_get_the_traces_of_their_calls(client: mlflow.MlflowClient, experiment_id: str) -> None:
    model = mlflow.set_active_model(name="assistant-v1")

    @mlflow.trace
    def ask(question: str) -> str:
        return question

    ask("a?")
    flush_traces()
    found = client.search_traces([experiment_id], model_id=model.model_id)
    assert len(found) == 1
    mlflow.log_model_params({"temperature": "0.5"}, model_id=model.model_id)
    (same,) = mlflow.search_logged_models([experiment_id], "params.temperature = '0.5'", output_format="list")
    assert same.model_id == model.model_id
    if VERSION >= (3, 4):
        mlflow.clear_active_model()


@since(3, 4)
def an_app_is_evaluated(client: mlflow.MlflowClient, experiment_id: str) -> None:
    from mlflow.genai.scorers import scorer

    @scorer
    def right(outputs: str, expectations: dict[str, str]) -> bool:
        return outputs == expectations["answer"]

    @scorer
    def broken(outputs: str) -> bool:
        raise RuntimeError("no such judge")

    dataset = mlflow.genai.datasets.create_dataset("questions", experiment_id=experiment_id)
    dataset.merge_records(
        [{"inputs": {"question": letter}, "expectations": {"answer": letter.upper()}} for letter in "abc"]
    )
    dataset.merge_records([{"inputs": {"question": "c"}, "expectations": {"answer": "!"}}])
    result = mlflow.genai.evaluate(data=dataset, predict_fn=lambda question: question.upper(), scorers=[right, broken])
    assert abs(result.metrics["right/mean"] - 2 / 3) < 1e-6, result.metrics
    traces = search(client, experiment_id, filter_string=f"run_id = '{result.run_id}'")
    assert len(traces) == 3
    for trace in traces:
        given = {each.name: each for each in trace.info.assessments}
        assert set(given) == {"right", "broken", "answer"}
        assert given["broken"].error is not None
    (used,) = client.get_run(result.run_id).inputs.dataset_inputs
    assert used.dataset.name == "questions"
    again = mlflow.genai.evaluate(data=mlflow.search_traces([experiment_id]), scorers=[right])
    assert abs(again.metrics["right/mean"] - 2 / 3) < 1e-6, again.metrics


@since(2, 14)
def traces_of_other_versions_are_read(client: mlflow.MlflowClient, experiment_id: str) -> None:
    leave_a_trace()
    assert mlflow.__version__ in read_traces(client)


if __name__ == "__main__":
    sys.exit(run_checks())
