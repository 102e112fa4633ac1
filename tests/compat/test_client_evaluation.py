"""mlflow.genai.evaluate as demanding users call it: asynchronous apps, failures, conversations, traces that exist."""

import asyncio
from typing import Any

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Feedback, SpanType, Trace
from mlflow.genai.scorers import scorer

BACKENDS = ["sqlite"]

QUESTIONS = [
    {"inputs": {"question": q}, "expectations": {"answer": q.upper()}, "tags": {"q": q}} for q in ("a", "b", "ü")
]


def traces_of(run_id: str, **where: Any) -> list[Trace]:
    return mlflow.search_traces(run_id=run_id, return_type="list", **where)


def assessments(trace: Trace) -> dict[str, Any]:
    return {each.name: each for each in trace.info.assessments}


@mlflow.trace(span_type=SpanType.CHAT_MODEL)
async def ask_model(question: str) -> str:
    await asyncio.sleep(0.001)
    span = mlflow.get_current_active_span()
    if span is not None:  # it is when mlflow tries the app before the evaluation
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})
    return question.upper()


@mlflow.trace
async def app(question: str) -> str:
    if question == "b":
        raise ConnectionError("the model is down")
    return await ask_model(question)


@scorer
def right(outputs: str, expectations: dict[str, str]) -> bool:
    return outputs == expectations["answer"]


def test_failures_of_app_and_scorers_stay_with_their_question(experiment_id: str) -> None:
    @scorer
    def judge(outputs: str, trace: Trace) -> list[Feedback]:
        if outputs == "Ü":
            raise RuntimeError("the judge cannot read this")
        source = AssessmentSource(source_type="LLM_JUDGE", source_id="judge-1")
        return [
            Feedback(name="tone", value="polite", rationale="it says please", source=source, metadata={"k": "v"}),
            Feedback(name="spans", value=len(trace.data.spans)),
        ]

    result = mlflow.genai.evaluate(data=QUESTIONS, predict_fn=app, scorers=[right, judge])
    assert result.metrics["right/mean"] == pytest.approx(2 / 3)
    by_question = {trace.info.tags["q"]: trace for trace in traces_of(result.run_id)}
    assert {question: trace.info.state for question, trace in by_question.items()} == {
        "a": "OK",
        "b": "ERROR",
        "ü": "OK",
    }
    failed, fine = by_question["b"], assessments(by_question["a"])
    assert failed.data.spans[0].events[0].attributes["exception.message"] == "the model is down"
    assert not assessments(failed)["right"].value and assessments(failed)["answer"].value == "B"
    assert (fine["tone"].value, fine["tone"].rationale) == ("polite", "it says please")
    assert (fine["tone"].source.source_id, fine["tone"].metadata["k"]) == ("judge-1", "v")
    assert fine["spans"].value == 2
    assert by_question["a"].info.token_usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    error = assessments(by_question["ü"])["judge"].error
    assert (error.error_code, error.error_message) == ("SCORER_ERROR", "the judge cannot read this")
    for found, where in {
        "b": "trace.status = 'ERROR'",
        "a": "feedback.tone = 'polite' AND feedback.spans > 1",
        "ü": "feedback.tone IS NULL AND expectation.answer = 'Ü'",
    }.items():
        assert [trace.info.tags["q"] for trace in traces_of(result.run_id, filter_string=where)] == [found]


def test_traces_are_evaluated_again(experiment_id: str) -> None:
    first = mlflow.genai.evaluate(data=QUESTIONS, predict_fn=app, scorers=[right])

    @scorer
    def short(outputs: str) -> bool:
        return len(outputs) < 5

    found = mlflow.search_traces(run_id=first.run_id, filter_string="trace.status = 'OK'")
    second = mlflow.genai.evaluate(data=found, scorers=[short, right])
    assert (second.metrics["short/mean"], second.metrics["right/mean"]) == (1, 1)
    again = traces_of(second.run_id)
    assert {trace.info.trace_id for trace in again} == set(found["trace_id"])
    assert all(set(assessments(trace)) == {"answer", "right", "short"} for trace in again)


def test_conversations_are_found_and_scored(experiment_id: str) -> None:
    @mlflow.trace
    def turn(message: str, session: str) -> str:
        mlflow.update_current_trace(metadata={"mlflow.trace.session": session, "mlflow.trace.user": "ann"})
        return message[::-1]

    for number in range(4):
        turn(f"message {number}", "s-long" if number else "s-short")
    mlflow.flush_trace_async_logging()

    @scorer
    def turns(session: list[Trace]) -> int:
        return len(session)

    sessions = mlflow.search_sessions(locations=[experiment_id])
    assert sorted(len(session) for session in sessions) == [1, 3]
    mlflow.genai.evaluate(
        data=mlflow.search_traces(locations=[experiment_id], filter_string="metadata.`mlflow.trace.user` = 'ann'"),
        scorers=[turns],
    )
    everything = mlflow.search_traces(locations=[experiment_id], return_type="list")
    scored = [trace for trace in everything if "turns" in assessments(trace)]
    given = {trace.info.trace_metadata["mlflow.trace.session"]: assessments(trace)["turns"].value for trace in scored}
    assert given == {"s-short": 1, "s-long": 3}
    # The score is kept with one trace of the session, and finds all of them.
    for score, length in {"> 2": 3, "< 2": 1}.items():
        found = mlflow.search_traces(locations=[experiment_id], filter_string=f"feedback.turns {score}")
        assert len(found) == length


def test_an_evaluation_within_a_run_is_that_run(experiment_id: str, client: mlflow.MlflowClient) -> None:
    with mlflow.start_span("earlier") as span:
        span.set_inputs("before the run")
    mlflow.flush_trace_async_logging()
    with mlflow.start_run(run_name="nightly") as run:
        result = mlflow.genai.evaluate(data=QUESTIONS, predict_fn=app, scorers=[right])
        client.link_traces_to_run([span.trace_id], run.info.run_id)
    assert result.run_id == run.info.run_id
    linked = traces_of(run.info.run_id)
    assert len(linked) == 4 and span.trace_id in {trace.info.trace_id for trace in linked}
    found = client.get_run(run.info.run_id)
    assert (found.info.run_name, found.info.status) == ("nightly", "FINISHED")
    assert found.data.metrics == result.metrics


def test_an_overridden_feedback_comes_back_when_the_newer_is_deleted(experiment_id: str) -> None:
    with mlflow.start_span("answer") as span:
        pass
    mlflow.flush_trace_async_logging()
    trace_id = span.trace_id
    first = mlflow.log_feedback(trace_id=trace_id, name="helpful", value={"score": 1, "label": "x"})
    human = AssessmentSource(source_type="HUMAN", source_id="bob")
    second = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=first.assessment_id, value=[1, 2], rationale="no", source=human
    )
    assert second.overrides == first.assessment_id
    validity = [mlflow.get_assessment(trace_id, each.assessment_id).valid for each in (first, second)]
    assert validity == [False, True]
    mlflow.delete_assessment(trace_id=trace_id, assessment_id=second.assessment_id)
    (left,) = mlflow.get_trace(trace_id).info.assessments
    assert (left.assessment_id, left.valid, left.value) == (first.assessment_id, True, {"score": 1, "label": "x"})
