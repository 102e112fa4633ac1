"""What the server holds that the tests of the pages look at, logged over the API."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from tests.api_client import Api, metric, pairs
from tests.trace_requests import new_otel_id

SCRIPT = "<script>document.title='owned'</script>"
RIGHT_TO_LEFT = "\u202eabc\u05e9\u05dc\u05d5\u05dd"
LONG_WORD = "pneumono" * 30
NOTE = f"""# What we compare
Three prompts on **40 questions**, judged by [a rubric](https://example.org/rubric).

- higher is better, but for latency
- {SCRIPT}
- [do not click](javascript:alert(1))
- ![pixel](https://example.org/pixel.png)

| prompt | idea |
| --- | --- |
| short | answer at once |
"""
MODELS = ["small", "medium", "large"]
PROMPTS = ["Answer.", "Answer in one sentence, and name the document.", "Think step by step, then answer. " * 12]


@dataclass
class Sample:
    """The ids of what is there."""

    evaluation: str
    runs: list[str] = field(default_factory=list)
    parent: str = ""
    children: list[str] = field(default_factory=list)
    empty: str = ""
    hostile: str = ""
    hostile_run: str = ""
    wide: str = ""
    wide_run: str = ""
    many: str = ""
    trace: str = ""


def log_sample(api: Api) -> Sample:
    """Logs everything: an evaluation with nested runs, hostile names, 12,000 metrics, 250 runs."""
    rng = random.Random(7)
    now = int(time.time() * 1_000)
    note = [{"key": "mlflow.note.content", "value": NOTE}]
    made = Sample(api.new_experiment(name="qa-assistant", tags=note))
    _log_evaluation(api, made, rng, now)
    made.empty = api.new_experiment(name="nothing yet")
    _log_hostile(api, made, now)
    _log_wide(api, made, now)
    made.many = api.new_experiment(name="many runs")
    for number in range(130):
        run_id = api.new_run(made.many, run_name=f"run-{number:03}", start_time=now - number * 60_000)
        api.post("runs/log-batch", run_id=run_id, metrics=[metric("score", number / 130)])
    return made


def _log_evaluation(api: Api, made: Sample, rng: random.Random, now: int) -> None:
    made.parent = api.new_run(made.evaluation, run_name="sweep", start_time=now - 7_200_000)
    for number in range(9):
        model, prompt = MODELS[number % 3], PROMPTS[number // 3]
        start = now - 7_000_000 + number * 400_000
        tags = pairs(**{"mlflow.parentRunId": made.parent}) if number < 3 else []
        tags += pairs(
            **{
                "mlflow.source.name": "evaluate.py",
                "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
                "mlflow.source.git.branch": "main",
                "mlflow.note.content": "The **best** so far.",
                "team": "search",
            }
        )
        run_id = api.new_run(made.evaluation, run_name=f"{model}-{number}", start_time=start, user_id="ada", tags=tags)
        values = {
            "accuracy": round(0.5 + 0.05 * number, 6) / 1.000001,
            "answer_relevance/mean": rng.random(),
            "latency_s": rng.random() * 3,
            "learning_rate": 1.5e-5 * (number + 1),
            "tokens": float(rng.randrange(900, 90_000)),
        }
        if number == 4:
            values["accuracy"] = float("nan")
        batch = [metric(key, str(value) if value != value else value, now, 3) for key, value in values.items()]
        params = pairs(model=model, prompt=prompt, temperature=str(number % 2), dataset="qa-40", judge="rubric-2")
        api.post("runs/log-batch", run_id=run_id, metrics=batch, params=params)
        status = "FAILED" if number == 5 else "RUNNING" if number == 8 else "FINISHED"
        end = {} if status == "RUNNING" else {"end_time": start + 83_000 + number * 1_000}
        api.post("runs/update", run_id=run_id, status=status, **end)
        (made.children if number < 3 else made.runs).append(run_id)
    run_id = made.runs[0]
    dataset = {"name": "qa-40", "digest": "d1", "source_type": "local", "source": '{"uri": "qa.csv"}'}
    tags = [{"key": "mlflow.data.context", "value": "eval"}]
    api.post("runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset, "tags": tags}])
    model = api.post("logged-models", experiment_id=made.evaluation, name="rag-chain")["model"]["info"]["model_id"]
    api.post("runs/outputs", run_id=run_id, models=[{"model_id": model, "step": 1}])
    root = api.run(run_id)["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    for path in ("report.md", "tables/answers.json", "plots/a b.txt"):
        answer = api.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{root}/{path}", content=b"hello" * 300)
        assert answer.status_code == 200, answer.text
    made.trace = f"tr-{new_otel_id()}"
    info = {
        "trace_id": made.trace,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": made.evaluation},
        },
        "request_time": "2026-01-02T03:04:05.678Z",
        "execution_duration": "1.250s",
        "state": "OK",
        "request_preview": '{"question": "What is a runnel?"}',
        "response_preview": "A small stream.",
        "trace_metadata": {"mlflow.sourceRun": run_id},
    }
    api.post("/api/3.0/mlflow/traces", trace={"trace_info": info})


def _log_hostile(api: Api, made: Sample, now: int) -> None:
    made.hostile = api.new_experiment(name=f"{SCRIPT} {RIGHT_TO_LEFT} {LONG_WORD}")
    tags = pairs(**{"mlflow.note.content": NOTE})
    made.hostile_run = api.new_run(made.hostile, run_name=f"{SCRIPT}\"'&", start_time=now, tags=tags)
    odd = [
        metric("nan", "NaN"),
        metric("great", 1e308),
        metric("small", -1.5e-9),
        metric("zero", 0),
        metric("a/b c:d", 1 / 3),
    ]
    many = [{"key": f"param-{number:03}", "value": LONG_WORD if number % 7 else SCRIPT} for number in range(300)]
    for start in range(0, 300, 100):
        api.post("runs/log-batch", run_id=made.hostile_run, params=many[start : start + 100])
    formula = [{"key": "formula", "value": '=HYPERLINK("https://example.org")'}]
    api.post("runs/log-batch", run_id=made.hostile_run, metrics=odd, params=formula)
    other = api.new_run(made.hostile, run_name=RIGHT_TO_LEFT, start_time=now - 1)
    changed = [{"key": f"param-{number:03}", "value": str(number)} for number in range(100)]
    api.post("runs/log-batch", run_id=other, params=changed, metrics=[metric("zero", 0), metric("nan", 1)])


def _log_wide(api: Api, made: Sample, now: int) -> None:
    made.wide = api.new_experiment(name="12,000 metrics")
    made.wide_run = api.new_run(made.wide, run_name="wide", start_time=now)
    for start in range(0, 12_000, 1_000):
        values = [metric(f"metric-{number:05}", number) for number in range(start, start + 1_000)]
        api.post("runs/log-batch", run_id=made.wide_run, metrics=values)
