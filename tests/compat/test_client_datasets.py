"""The client links datasets to the runs that used them."""

import json

import mlflow
import numpy as np
import pandas as pd

BACKENDS = ["sqlite"]


def test_a_dataset_is_an_input_of_its_run(client: mlflow.MlflowClient) -> None:
    frame = pd.DataFrame({"question": ["a?", "b?"], "expected": ["a", "b"]})
    dataset = mlflow.data.from_pandas(frame, name="questions", targets="expected")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="evaluation", tags={"split": "test"})
    (found,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("questions", dataset.digest)
    assert json.loads(found.dataset.profile) == {"num_rows": 2, "num_elements": 4}
    assert [column["name"] for column in json.loads(found.dataset.schema)["mlflow_colspec"]] == ["question", "expected"]
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "evaluation", "split": "test"}


def test_a_dataset_logged_twice_is_one_input(client: mlflow.MlflowClient) -> None:
    dataset = mlflow.data.from_numpy(np.arange(6), name="numbers")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="training")
        mlflow.log_input(dataset, context="training")
    assert len(client.get_run(run.info.run_id).inputs.dataset_inputs) == 1


def test_runs_that_used_a_dataset_are_found_by_it(client: mlflow.MlflowClient, experiment_id: str) -> None:
    datasets = [mlflow.data.from_pandas(pd.DataFrame({"a": [number]}), name=f"d{number}") for number in range(2)]
    with mlflow.start_run() as first:
        mlflow.log_input(datasets[0], context="train")
    with mlflow.start_run() as second:
        mlflow.log_inputs(datasets, contexts=["train", "eval"], tags_list=[None, None])

    def found(filter: str) -> set[str]:
        return {run.info.run_id for run in client.search_runs([experiment_id], filter)}

    assert found("dataset.name = 'd0'") == {first.info.run_id, second.info.run_id}
    assert found("dataset.context = 'eval'") == {second.info.run_id}
    assert found(f"dataset.digest = '{datasets[1].digest}'") == {second.info.run_id}
    assert found("datasets.name LIKE 'x%'") == set()


def test_a_metric_may_name_the_dataset_it_was_measured_on(client: mlflow.MlflowClient) -> None:
    dataset = mlflow.data.from_pandas(pd.DataFrame({"a": [1]}), name="measured")
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.5, dataset=dataset)
        mlflow.log_metrics({"recall": 0.25}, dataset=dataset)
    assert client.get_run(run.info.run_id).data.metrics == {"accuracy": 0.5, "recall": 0.25}
