"""The example of a RAG application runs as it says, with its stub and with a model behind an OpenAI-compatible API."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mlflow
import pytest
from mlflow.entities import Trace
from mlflow.genai import datasets

from tests.api_client import unique_name
from tests.chat_server import MODEL, ChatServer
from tests.server_process import ServerProcess, clean_environment

BACKENDS = ["sqlite"]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "evaluate_rag_app.py"
HEAD = ["variant", "correct", "found", "length", "tokens", "failed"]

pytestmark = pytest.mark.timeout(180)


def table(printed: str) -> list[list[str]]:
    """The comparison that the example prints last: its head and the rows of the two variants."""
    return [line.split() for line in printed.splitlines()[-3:]]


def traces_of(**where: object) -> list[Trace]:
    found: list[Trace] = mlflow.search_traces(return_type="list", **where)  # type: ignore[arg-type]
    return found


def values(trace: Trace) -> dict[str, object]:
    return {each.name: each.value for each in trace.info.assessments}


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A model server that the example is pointed at."""
    with ChatServer() as chat_server:
        monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
        for name in ("OPENAI_MODEL", "OPENAI_API_KEY", "OPENAI_TIMEOUT"):
            monkeypatch.delenv(name, raising=False)
        yield chat_server


@pytest.fixture
def example(server: ServerProcess, experiment_id: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module, which logs to an experiment of the test's own."""
    spec = importlib.util.spec_from_file_location("evaluate_rag_app", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for it
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "EXPERIMENT", unique_name())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    return module


def test_with_its_stub_it_compares_two_variants(server: ServerProcess, experiment_id: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLE)],
        cwd=tmp_path,
        env={name: value for name, value in clean_environment().items() if not name.startswith("OPENAI_")}
        | {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    head, narrow, wide = table(done.stdout)
    assert head == HEAD
    assert (narrow[:3], wide[:3]) == (["narrow", "0.75", "0.75"], ["wide", "1.00", "1.00"])
    assert float(narrow[4]) < float(wide[4]) and narrow[5] == wide[5] == "0"
    assert os.listdir(tmp_path) == []

    experiment = mlflow.get_experiment_by_name("handbook-assistant")
    assert experiment is not None
    (dataset,) = datasets.search_datasets(experiment_ids=[experiment.experiment_id])
    assert len(dataset.to_df()) == 8
    locations = [experiment.experiment_id]
    runs = mlflow.search_runs(locations, order_by=["start_time"], output_format="list")
    assert [run.info.run_name for run in runs] == ["narrow", "wide"]
    for run in runs:
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.digest == dataset.digest
        traces = traces_of(locations=locations, run_id=run.info.run_id)
        assert len(traces) == 8
        for trace in traces:
            assert set(values(trace)) == {"correct", "found", "length", "tokens", "fact", "document"}
            assert [span.span_type for span in trace.data.spans] == ["CHAIN", "RETRIEVER", "CHAT_MODEL"]
    chat = traces_of(locations=locations, filter_string="metadata.`mlflow.trace.user` = 'ann@example.org'")
    assert [values(trace)["thumb_up"] for trace in chat] == [False, True]


def test_with_a_model_server_it_evaluates_that_model(
    example: ModuleType, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    example.main()
    head, narrow, wide = table(capsys.readouterr().out)
    assert head == HEAD
    # This model repeats the context: it is right where the context is.
    assert (narrow[1:3], wide[1:3]) == (["0.75", "0.75"], ["1.00", "1.00"])
    assert float(wide[4]) == pytest.approx(2 * float(wide[3]), abs=0.02), "tokens are those that the server counted"
    assert {request["model"] for request in chat_server.requests} == {MODEL}
    assert chat_server.authorizations == {"Bearer s3cret"}


def test_the_model_can_be_named(example: ModuleType, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "mine")
    assert "10 km" in example.call_server([{"role": "user", "content": "10 km"}])["choices"][0]["message"]["content"]
    assert [request["model"] for request in chat_server.requests] == ["mine"]
    assert chat_server.authorizations == {None}


def test_a_model_that_does_not_answer_is_named_with_the_reason(
    example: ModuleType, chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"POST {chat_server.url}/chat/completions"
    chat_server.answers_before_errors = 0
    with pytest.raises(SystemExit, match=f"The model does not answer. {url}: HTTP 500: .*the GPU is on fire"):
        example.main()
    chat_server.error = (200, {"error": "no such model"})
    with pytest.raises(SystemExit, match="The model server sent no answer: {'error': 'no such model'}"):
        example.main()
    chat_server.models = []
    with pytest.raises(SystemExit, match="The model server lists no model; name one in OPENAI_MODEL"):
        example.main()
    chat_server.models = [MODEL]
    chat_server.seconds_to_think = 1
    monkeypatch.setenv("OPENAI_TIMEOUT", "0.2")
    with pytest.raises(SystemExit, match=f"{url}: no answer within 0.2 seconds"):
        example.main()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(SystemExit, match="GET http://127.0.0.1:1/v1/models: .*Connection refused"):
        example.main()


def test_a_model_that_fails_on_the_way_is_counted(
    example: ModuleType, chat_server: ChatServer, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two answers in the chat; in each evaluation one that mlflow tries first, and one for each of the 8 questions.
    chat_server.answers_before_errors = 2 + 9 + 1 + 5
    example.main()
    _, narrow, wide = table(capsys.readouterr().out)
    assert (narrow[5], wide[5]) == ("0", "3")
    assert float(wide[1]) < 1
