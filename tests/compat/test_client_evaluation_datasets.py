"""mlflow.genai.datasets and mlflow.genai.evaluate work with evaluation datasets, as people who evaluate LLM apps do."""

import json
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import AssessmentSource
from mlflow.exceptions import MlflowException, RestException
from mlflow.genai import datasets
from mlflow.genai.datasets import EvaluationDataset
from mlflow.genai.scorers import scorer

from tests.api_client import unique_name

BACKENDS = ["sqlite"]

QUESTIONS: list[dict[str, Any]] = [
    {"inputs": {"question": "2 + 2?"}, "expectations": {"answer": "4"}},
    {"inputs": {"question": "capital of France?"}, "expectations": {"answer": "Paris"}, "tags": {"topic": "geo"}},
]


@pytest.fixture
def dataset(experiment_id: str) -> EvaluationDataset:
    """A new dataset, linked with the experiment of the test."""
    return datasets.create_dataset(unique_name(), experiment_id, tags={"stage": "dev"})


def read(dataset: EvaluationDataset) -> list[dict[str, Any]]:
    """The records as the server has them."""
    records: list[dict[str, Any]] = datasets.get_dataset(dataset_id=dataset.dataset_id).to_df().to_dict("records")
    return records


def named(**fields: Any) -> list[str]:
    return [found.name for found in datasets.search_datasets(**fields)]


def answer(question: str) -> str:
    return {"2 + 2?": "4"}.get(question, "no idea")


# The dataset


def test_a_dataset_is_found_again_by_its_id_and_its_name(dataset: EvaluationDataset, experiment_id: str) -> None:
    for found in (datasets.get_dataset(dataset_id=dataset.dataset_id), datasets.get_dataset(name=dataset.name)):
        assert (found.dataset_id, found.name, found.digest) == (dataset.dataset_id, dataset.name, dataset.digest)
        assert found.tags["stage"] == "dev"
        assert found.created_by == found.last_updated_by == dataset.tags["mlflow.user"]
        assert found.experiment_ids == [experiment_id]
        assert (found.schema, found.profile) == (None, None)
        assert found.to_df().empty


def test_a_name_with_quotes_is_found(experiment_id: str) -> None:
    for quotes in ("it's", 'say "hi"', 'it\'s "both"'):
        name = unique_name(quotes)
        datasets.create_dataset(name)
        assert datasets.get_dataset(name=name).name == name


def test_a_name_must_mean_one_dataset(dataset: EvaluationDataset) -> None:
    datasets.create_dataset(dataset.name)
    with pytest.raises(MlflowException, match="Multiple datasets found with name"):
        datasets.get_dataset(name=dataset.name)
    with pytest.raises(MlflowException, match="not found"):
        datasets.get_dataset(name=unique_name())


def test_datasets_are_searched(experiment_id: str) -> None:
    for name in ("alpha", "beta", "gamma"):
        datasets.create_dataset(name, experiment_id, tags={"first": name[:1], "mlflow.user": f"{name}-user"})
    everything = {"experiment_ids": experiment_id}
    assert named(**everything) == ["gamma", "beta", "alpha"]
    assert named(**everything, order_by=["name ASC"], max_results=2) == ["alpha", "beta"]
    assert named(**everything, filter_string="name LIKE '%eta'") == ["beta"]
    assert named(**everything, filter_string="tags.first = 'g' AND created_by = 'gamma-user'") == ["gamma"]
    assert named(experiment_ids=["987654321"]) == []
    with pytest.raises(RestException, match="Invalid attribute key 'color' specified"):
        named(filter_string="color = 'red'")


def test_a_search_reads_all_its_pages(client: mlflow.MlflowClient, experiment_id: str) -> None:
    names = [f"dataset-{number:03}" for number in range(120)]
    for name in names:
        client.create_dataset(name, experiment_id)
    assert named(experiment_ids=[experiment_id], order_by=["name"]) == names


def test_a_deleted_dataset_is_gone(dataset: EvaluationDataset) -> None:
    dataset.merge_records(QUESTIONS)
    datasets.delete_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(RestException, match=f"Evaluation dataset with id '{dataset.dataset_id}' not found"):
        datasets.get_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(MlflowException, match="Dataset not found"):
        dataset.merge_records(QUESTIONS)


def test_tags_are_set_and_removed(dataset: EvaluationDataset) -> None:
    datasets.set_dataset_tags(dataset.dataset_id, {"stage": "prod", "version": 2, "note": "x", "old": "y"})
    datasets.set_dataset_tags(dataset.dataset_id, {"old": None})  # as the client's documentation has it
    datasets.delete_dataset_tag(dataset.dataset_id, "note")
    tags = datasets.get_dataset(dataset_id=dataset.dataset_id).tags
    del tags["mlflow.user"]
    assert tags == {"stage": "prod", "version": "2"}


def test_a_dataset_moves_between_experiments(dataset: EvaluationDataset, experiment_id: str) -> None:
    other = mlflow.create_experiment(unique_name())
    assert datasets.add_dataset_to_experiments(dataset.dataset_id, [other]).experiment_ids == [experiment_id, other]
    assert named(experiment_ids=other) == [dataset.name]
    assert datasets.remove_dataset_from_experiments(dataset.dataset_id, [experiment_id]).experiment_ids == [other]
    assert named(experiment_ids=experiment_id) == []
    with pytest.raises(RestException, match="No Experiment with id=987654321"):
        datasets.add_dataset_to_experiments(dataset.dataset_id, ["987654321"])


# Its records


def test_records_are_merged_from_dicts(dataset: EvaluationDataset) -> None:
    dataset.merge_records(QUESTIONS)
    first, second = read(dataset)
    assert (first["inputs"], first["expectations"]) == ({"question": "2 + 2?"}, {"answer": "4"})
    assert (first["source_type"], first["source"].source_type.value) == ("HUMAN", "HUMAN")
    assert second["tags"]["topic"] == "geo"
    again = datasets.get_dataset(dataset_id=dataset.dataset_id)
    again.merge_records([{"inputs": {"question": "2 + 2?"}, "outputs": "4", "expectations": {"kind": "sum"}}])
    changed, unchanged = read(dataset)
    assert changed["dataset_record_id"] == first["dataset_record_id"]
    assert (changed["outputs"], changed["expectations"]) == ("4", {"answer": "4", "kind": "sum"})
    assert unchanged["dataset_record_id"] == second["dataset_record_id"]
    now = datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert json.loads(now.profile) == {"num_records": 2}
    assert json.loads(now.schema) == {
        "inputs": {"question": "string"},
        "outputs": "string",
        "expectations": {"answer": "string", "kind": "string"},
        "version": "1.0",
    }
    assert now.digest != dataset.digest


def test_records_are_merged_from_a_frame(dataset: EvaluationDataset) -> None:
    frame = pd.DataFrame(
        {"inputs": [{"q": 1}, {"q": 2}], "expectations": [{"a": 1}, {"a": 2}], "outputs": [["x"], {"y": 1}]}
    )
    dataset.merge_records(frame)
    records = read(dataset)
    assert [record["inputs"] for record in records] == [{"q": 1}, {"q": 2}]
    assert [record["outputs"] for record in records] == [["x"], {"y": 1}]
    assert [record["expectations"] for record in records] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("kind", ["list", "pandas"])
def test_records_are_merged_from_traces(dataset: EvaluationDataset, experiment_id: str, kind: Any) -> None:
    traced = mlflow.trace(answer)
    traced("2 + 2?")
    trace_id = mlflow.get_last_active_trace_id()
    assert trace_id is not None
    mlflow.flush_trace_async_logging()
    source = AssessmentSource(source_type="HUMAN", source_id="ann")
    mlflow.log_expectation(trace_id=trace_id, name="answer", value="4", source=source)
    dataset.merge_records(mlflow.search_traces(locations=[experiment_id], return_type=kind))
    (record,) = read(dataset)
    assert (record["inputs"], record["outputs"]) == ({"question": "2 + 2?"}, "4")
    assert record["expectations"] == {"answer": "4"}
    assert (record["source_type"], record["source_id"]) == ("TRACE", trace_id)
    assert record["source"].source_data == {"trace_id": trace_id}


def test_conversations_and_questions_do_not_mix(dataset: EvaluationDataset) -> None:
    dataset.merge_records([{"inputs": {"persona": "student", "goal": "find papers", "context": {"id": 1}}}])
    with pytest.raises(MlflowException, match="Cannot mix granularities"):
        datasets.get_dataset(dataset_id=dataset.dataset_id).merge_records(QUESTIONS)


def test_thousands_of_records_are_read_page_by_page(dataset: EvaluationDataset) -> None:
    dataset.merge_records([{"inputs": {"number": number}} for number in range(2_345)])
    assert [record["inputs"]["number"] for record in read(dataset)] == list(range(2_345))


def test_records_are_deleted(dataset: EvaluationDataset) -> None:
    dataset.merge_records(QUESTIONS)
    first, second = read(dataset)
    assert dataset.delete_records([first["dataset_record_id"], "dr-none"]) == 1
    assert [record["dataset_record_id"] for record in dataset.to_df().to_dict("records")] == [
        second["dataset_record_id"]
    ]


# Evaluation


def test_an_app_is_evaluated_on_a_dataset(dataset: EvaluationDataset, client: mlflow.MlflowClient) -> None:
    @scorer
    def is_right(outputs: str, expectations: dict[str, str]) -> bool:
        return outputs == expectations["answer"]

    dataset.merge_records(QUESTIONS)
    dataset = datasets.get_dataset(dataset_id=dataset.dataset_id)
    result = mlflow.genai.evaluate(data=dataset, predict_fn=answer, scorers=[is_right])
    assert result.metrics == {"is_right/mean": 0.5}
    (used,) = client.get_run(result.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == (dataset.name, dataset.digest)
    assert json.loads(used.dataset.source) == {"dataset_id": dataset.dataset_id}
    traces = mlflow.search_traces(run_id=result.run_id, return_type="list")
    assert {trace.data.spans[0].inputs["question"] for trace in traces} == {"2 + 2?", "capital of France?"}
    given = {trace.search_assessments(type="expectation")[0].value for trace in traces}
    assert given == {"4", "Paris"}
