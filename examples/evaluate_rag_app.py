"""Traces a small RAG application, collects what people say about it, and evaluates two variants of it side by side.

    pip install mlflow
    export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
    python evaluate_rag_app.py

Everything is the ordinary mlflow client (3.4 or newer). The language model is a stub without a network, the same in
every run. With OPENAI_BASE_URL it is a model of yours instead, behind any server that speaks the chat API of OpenAI
(vLLM, TGI, Triton, Ollama, llama.cpp, ...):

    export OPENAI_BASE_URL=http://127.0.0.1:8000/v1    # where /chat/completions is
    export OPENAI_MODEL=...                            # default: the first that the server lists
    export OPENAI_API_KEY=...                          # if it wants one
    export OPENAI_TIMEOUT=120                          # how many seconds an answer may take; default: 60
"""

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

import mlflow
import pandas as pd
import requests
from mlflow.entities import AssessmentSource, Feedback, SpanType, Trace
from mlflow.genai import datasets, scorer

EXPERIMENT = "handbook-assistant"
HANDBOOK = {
    "returns": "A new bike can be returned within 30 days. A bike that was ridden cannot be returned.",
    "warranty": "The frame has a warranty of ten years. The battery has a warranty of two years.",
    "battery": "Charge it indoors. The battery of the Tern lasts for 80 km. In the cold it lasts for 60 km.",
    "service": "The first service is free and takes two days. Every later service costs 60 euros.",
    "shipping": "Shipping within the country is free and takes three days. Shipping abroad costs 90 euros.",
    "sizes": "The Tern comes in the sizes S, M and L. The Heron comes in size M only.",
}


# --- the application: find documents, put them into a prompt, ask the model --------------------------------------


@dataclass(frozen=True)
class Variant:
    """What is tried: how many documents the prompt holds, and what it asks for."""

    name: str
    depth: int
    instruction: str


NARROW = Variant("narrow", 1, "Answer from the context.")
WIDE = Variant("wide", 3, "Answer from the context, in one short sentence. Say 'I do not know.' if it is not there.")


def words(text: str) -> set[str]:
    """What makes texts alike: the beginnings of their words, so that "returns" is like "returned"."""
    return set(re.findall(r"\b[a-z]{3,4}", text.lower())) - {"the", "and", "for", "how", "can", "what", "does"}


@mlflow.trace(span_type=SpanType.RETRIEVER)
def retrieve(question: str, depth: int) -> list[dict[str, Any]]:
    """The documents that share the most words with the question."""
    ranked = sorted(HANDBOOK, key=lambda name: -len(words(question) & words(HANDBOOK[name])))
    return [{"page_content": HANDBOOK[name], "metadata": {"doc_uri": name}} for name in ranked[:depth]]


@mlflow.trace(span_type=SpanType.CHAT_MODEL)
def ask_model(messages: list[dict[str, str]]) -> str:
    """The answer of the model; how many tokens it took becomes part of the trace."""
    reply = call_server(messages) if "OPENAI_BASE_URL" in os.environ else stub(messages)
    usage = reply.get("usage") or {}
    span = mlflow.get_current_active_span()
    if span is not None and usage:
        counts = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
        span.set_attribute("mlflow.chat.tokenUsage", counts | {"total_tokens": sum(counts.values())})
    return reply["choices"][0]["message"]["content"] or ""


@mlflow.trace(name="answer", span_type=SpanType.CHAIN)
def answer(question: str, variant: Variant) -> str:
    documents = retrieve(question, variant.depth)
    context = "\n".join(f"[{doc['metadata']['doc_uri']}] {doc['page_content']}" for doc in documents)
    return ask_model(
        [
            {"role": "system", "content": variant.instruction},
            {"role": "user", "content": f"Context:\n{context}\n\nQuestion: {question}"},
        ]
    )


# --- the model ----------------------------------------------------------------------------------------------------


class ModelError(Exception):
    """The model did not answer; the message says where and why."""


def stub(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Stands in for a language model: the sentence of the context that shares the most words with the question."""
    context, question = messages[-1]["content"].split("\n\nQuestion: ")
    sentences = re.findall(r"(?<=[\].] )[A-Z][^.]+\.", context)
    best = max(sentences, key=lambda sentence: len(words(sentence) & words(question)))
    text = best if len(words(best) & words(question)) > 1 else "I do not know."
    sizes = {"prompt_tokens": sum(len(m["content"].split()) for m in messages), "completion_tokens": len(text.split())}
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": sizes}


def call_server(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Asks the model behind OPENAI_BASE_URL for one answer."""
    body = {"model": os.environ.get("OPENAI_MODEL") or first_model(), "messages": messages, "temperature": 0}
    reply = ask_server("POST", "/chat/completions", body)
    if not reply.get("choices"):
        raise ModelError(f"The model server sent no answer: {str(reply)[:500]}")
    return reply


def first_model() -> str:
    """The model that a server with one model lists."""
    models = ask_server("GET", "/models").get("data")
    if not models:
        raise ModelError("The model server lists no model; name one in OPENAI_MODEL")
    return models[0]["id"]


def ask_server(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    url = os.environ["OPENAI_BASE_URL"].rstrip("/") + path
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    seconds = float(os.environ.get("OPENAI_TIMEOUT", "60"))
    try:
        response = requests.request(method, url, json=body, headers=headers, timeout=seconds)
    except requests.Timeout:
        raise ModelError(f"{method} {url}: no answer within {seconds:g} seconds (see OPENAI_TIMEOUT)") from None
    except requests.RequestException as error:
        raise ModelError(f"{method} {url}: {error}") from None
    if not response.ok:
        raise ModelError(f"{method} {url}: HTTP {response.status_code}: {response.text[:500]}")
    try:
        return response.json()
    except ValueError:
        raise ModelError(f"{method} {url}: not JSON: {response.text[:500]}") from None


# --- people use it: traces, with what they and an expert say about them -------------------------------------------

CONVERSATION = [
    ("How long does the battery of the Tern last?", True, {"fact": "80 km", "document": "battery"}),
    (
        "Does the warranty cover a battery that I charge in the cold?",
        False,
        {"fact": "two years", "document": "warranty"},
    ),
]


def chat_with_a_user(variant: Variant) -> None:
    """Two questions of one user in one session; she gives a thumb up or down, an expert adds what would be right."""
    user = AssessmentSource(source_type="HUMAN", source_id="ann@example.org")
    expert = AssessmentSource(source_type="HUMAN", source_id="service-desk@example.org")

    @mlflow.trace
    def turn(question: str) -> str:
        mlflow.update_current_trace(
            tags={"variant": variant.name},
            metadata={"mlflow.trace.session": "chat-1", "mlflow.trace.user": user.source_id},
        )
        return answer(question, variant)

    for question, satisfied, right in CONVERSATION:
        turn(question)
        mlflow.flush_trace_async_logging()  # assessments need the trace on the server
        trace_id = mlflow.get_last_active_trace_id()
        assert trace_id is not None
        mlflow.log_feedback(trace_id=trace_id, name="thumb_up", value=satisfied, source=user)
        for name, value in right.items():
            mlflow.log_expectation(trace_id=trace_id, name=name, value=value, source=expert)


# --- the evaluation: a dataset, scorers, and a run for each variant -----------------------------------------------

QUESTIONS = [
    ("Can a bike be returned that was ridden?", "cannot", "returns"),
    ("What does a later service cost?", "60 euros", "service"),
    ("Which sizes has the Heron?", "size M", "sizes"),
    ("How many years of warranty has the frame?", "ten years", "warranty"),
    ("What must I pay for the first service of a new Tern, ridden for 30 days?", "free", "service"),
    ("What does shipping cost abroad?", "90 euros", "shipping"),
]


def make_dataset(experiment_id: str) -> datasets.EvaluationDataset:
    """What was asked in the chat and what an expert expects, and more questions. The server keeps it; it may grow."""
    name = "handbook questions"
    known = datasets.search_datasets(experiment_ids=[experiment_id], filter_string=f"name = '{name}'")
    dataset = known[0] if known else datasets.create_dataset(name, experiment_id, tags={"language": "en"})
    asked = mlflow.search_traces(
        locations=[experiment_id], filter_string="metadata.`mlflow.trace.session` = 'chat-1'", return_type="list"
    )
    dataset.merge_records(asked)
    dataset.merge_records(
        [
            {"inputs": {"question": question}, "expectations": {"fact": fact, "document": document}}
            for question, fact, document in QUESTIONS
        ]
    )
    return datasets.get_dataset(dataset_id=dataset.dataset_id)


@scorer
def correct(outputs: str, expectations: dict[str, str]) -> Feedback:
    """Whether the answer holds the fact that it should."""
    right = expectations["fact"].lower() in (outputs or "").lower()
    return Feedback(value=right, rationale=f"{expectations['fact']!r} is {'' if right else 'not '}in the answer.")


@scorer
def found(trace: Trace, expectations: dict[str, str]) -> bool:
    """Whether the retriever found the document that has the answer."""
    (retriever,) = trace.search_spans(span_type=SpanType.RETRIEVER)
    return expectations["document"] in [document["metadata"]["doc_uri"] for document in retriever.outputs]


@scorer
def length(outputs: str) -> int:
    """How many words the answer has."""
    return len((outputs or "").split())


@scorer
def tokens(trace: Trace) -> int:
    """How many tokens prompt and answer had; 0 if the model's server does not count them."""
    return (trace.info.token_usage or {}).get("total_tokens", 0)


SCORERS = [correct, found, length, tokens]


def evaluate(variant: Variant, dataset: datasets.EvaluationDataset) -> dict[str, Any]:
    """Evaluates a variant in a run of its own, and returns its row of the comparison."""
    with mlflow.start_run(run_name=variant.name):
        mlflow.log_params({"depth": variant.depth, "instruction": variant.instruction})
        result = mlflow.genai.evaluate(
            data=dataset, predict_fn=lambda question: answer(question, variant), scorers=SCORERS
        )
    failed = mlflow.search_traces(run_id=result.run_id, filter_string="trace.status = 'ERROR'", return_type="list")
    scores = {each.name: round(result.metrics.get(f"{each.name}/mean", float("nan")), 2) for each in SCORERS}
    return {"variant": variant.name, **scores, "failed": len(failed)}


def main() -> None:
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"))
    experiment = mlflow.set_experiment(EXPERIMENT)
    try:
        chat_with_a_user(NARROW)
    except ModelError as error:
        sys.exit(f"The model does not answer. {error}")
    dataset = make_dataset(experiment.experiment_id)
    comparison = pd.DataFrame([evaluate(variant, dataset) for variant in (NARROW, WIDE)])
    print(f"\n{len(dataset.to_df())} questions of the dataset '{dataset.name}', means of the scores:\n")
    print(comparison.to_string(index=False))


if __name__ == "__main__":
    main()
