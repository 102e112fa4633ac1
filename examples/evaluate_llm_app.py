"""Evaluates a small question-answering application: every prompt template at every temperature, and which is best.

    pip install mlflow
    export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
    python evaluate_llm_app.py

Everything is the ordinary mlflow client (2.9 or newer); nothing here knows which server it talks to. The language
model is a stub without a network, the same in every run: put your own call in `ask_model`.
"""

import hashlib
import itertools
import os
import random

import mlflow
import pandas as pd
from matplotlib.figure import Figure

EXPERIMENT = "qa-assistant"
MODEL = "stub-1"
TEMPERATURES = [0.0, 0.5, 1.0]
TEMPLATES = {
    "bare": "{question}",
    "short": "Answer with one word.\n{question}",
    "context": "Use the context. Answer with one word.\nContext: {context}\nQuestion: {question}",
}
QUESTIONS = [
    ("What is the capital of Norway?", "Oslo has been the capital of Norway since 1814.", "Oslo"),
    ("Which planet is the largest?", "Jupiter is the largest planet of the solar system.", "Jupiter"),
    ("Who wrote 'Dead Souls'?", "Nikolai Gogol published Dead Souls in 1842.", "Gogol"),
    ("Which metal is liquid at room temperature?", "Mercury is a metal that melts at -39 °C.", "Mercury"),
    ("What is the boiling point of water in °C?", "At sea level water boils at 100 °C.", "100"),
    ("Which ocean is the deepest?", "The Mariana Trench lies in the Pacific.", "Pacific"),
    ("What does HTTP status 404 say?", "HTTP 404: the resource was not found.", "not found"),
    ("Which language has the most native speakers?", "Mandarin has some 900 million native speakers.", "Mandarin"),
]


def ask_model(template: str, temperature: float, prompt: str, expected: str) -> str:
    """Stands in for a language model: context and a low temperature make the right answer likelier."""
    digest = hashlib.sha256(f"{temperature}{prompt}".encode()).hexdigest()
    chance = {"bare": 0.45, "short": 0.65, "context": 0.95}[template] - 0.25 * temperature
    if random.Random(digest).random() >= chance:
        return "I do not know."
    return f"The answer is {expected}, as far as I know." if template == "bare" else expected


def evaluate_variant(template: str, temperature: float, questions: pd.DataFrame) -> float:
    """Asks every question, logs what came back into the active run, and returns the share of right answers."""
    mlflow.log_params({"model": MODEL, "template": template, "temperature": temperature})
    mlflow.set_tag("variant", f"{template}@{temperature}")
    dataset = mlflow.data.from_pandas(questions, name="general-knowledge", targets="expected")
    mlflow.log_input(dataset, context="evaluation")

    rows = []
    for step, (question, context, expected) in enumerate(questions.itertuples(index=False)):
        prompt = TEMPLATES[template].format(question=question, context=context)
        answer = ask_model(template, temperature, prompt, expected)
        correct = expected.lower() in answer.lower()
        rows.append({"question": question, "answer": answer, "expected": expected, "score": int(correct)})
        scores = [row["score"] for row in rows]
        tokens = len((prompt + " " + answer).split())
        mlflow.log_metrics({"accuracy": sum(scores) / len(scores), "tokens": tokens}, step=step)

    mlflow.log_table(pd.DataFrame(rows), artifact_file="answers.json")
    mlflow.log_dict({"template": TEMPLATES[template], "temperature": temperature}, "prompt.json")
    return sum(scores) / len(scores)


def draw(accuracies: dict[tuple[str, float], float]) -> Figure:
    """Accuracy by temperature, a line per template."""
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for template in TEMPLATES:
        axes.plot(TEMPERATURES, [accuracies[template, t] for t in TEMPERATURES], marker="o", label=template)
    axes.set(xlabel="temperature", ylabel="accuracy", ylim=(0, 1.05))
    axes.legend()
    return figure


def main() -> None:
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"))
    experiment = mlflow.set_experiment(EXPERIMENT)
    questions = pd.DataFrame(QUESTIONS, columns=["question", "context", "expected"])

    with mlflow.start_run(run_name="prompt sweep") as sweep:
        mlflow.set_tags(
            {
                "mlflow.note.content": f"{len(TEMPLATES)} templates at {len(TEMPERATURES)} temperatures, "
                f"each asked the same **{len(questions)} questions**.",
                "team": "assistants",
            }
        )
        mlflow.log_params({"model": MODEL, "questions": len(questions)})
        accuracies = {}
        for template, temperature in itertools.product(TEMPLATES, TEMPERATURES):
            with mlflow.start_run(run_name=f"{template} at {temperature}", nested=True):
                accuracies[template, temperature] = evaluate_variant(template, temperature, questions)
        mlflow.log_metric("best_accuracy", max(accuracies.values()))
        mlflow.log_text("\n\n".join(TEMPLATES.values()), "templates.txt")
        mlflow.log_figure(draw(accuracies), "accuracy.png")

    best = mlflow.search_runs(
        experiment_ids=[experiment.experiment_id],
        filter_string=f"tags.mlflow.parentRunId = '{sweep.info.run_id}' AND metrics.accuracy > 0.5",
        order_by=["metrics.accuracy DESC", "metrics.tokens ASC"],
        max_results=5,
    )
    columns = ["tags.mlflow.runName", "params.template", "params.temperature", "metrics.accuracy", "metrics.tokens"]
    print(best[columns].rename(columns=lambda name: name.split(".")[-1]).to_string(index=False))


if __name__ == "__main__":
    main()
