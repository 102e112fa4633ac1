"""mlflow's functions and its client handle logged models: models with files, models kept elsewhere, active models."""

import math
from typing import Any

import mlflow
import pandas
import pytest
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import RestException

BACKENDS = ["sqlite"]


class Shouting(mlflow.pyfunc.PythonModel):
    """A model that answers in capitals."""

    def predict(self, context: Any, model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]


@pytest.fixture(autouse=True)
def no_active_model() -> Any:
    """mlflow keeps its active model in the process: a test begins and ends without one."""
    mlflow.clear_active_model()
    yield
    mlflow.clear_active_model()


def found(**fields: Any) -> list[str]:
    return [model.name for model in mlflow.search_logged_models(output_format="list", **fields)]


def test_a_model_is_logged_with_its_files_and_loaded_back(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        info = mlflow.pyfunc.log_model(name="shouting", python_model=Shouting(), pip_requirements=[])
    model = mlflow.get_logged_model(info.model_id)
    assert (model.name, model.status) == ("shouting", LoggedModelStatus.READY)
    assert model.source_run_id == run.info.run_id
    assert model.experiment_id == run.info.experiment_id
    assert client.get_run(run.info.run_id).outputs.model_outputs == [LoggedModelOutput(info.model_id, step=0)]
    assert mlflow.pyfunc.load_model(info.model_uri).predict(["a"]) == ["A"]
    assert mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/shouting").predict(["b"]) == ["B"]
    assert "MLmodel" in [file.path for file in client.list_logged_model_artifacts(info.model_id)]
    assert "shouting/MLmodel" in [file.path for file in client.list_artifacts(run.info.run_id, "shouting")]


def test_a_model_is_initialized_described_and_finalized(client: mlflow.MlflowClient, experiment_id: str) -> None:
    many = {f"p{number}": number for number in range(250)}  # more than the client sends at once
    model = mlflow.initialize_logged_model(name="init", model_type="agent", params=many, tags={"team": "red"})
    assert (model.status, model.model_type, model.experiment_id) == (LoggedModelStatus.PENDING, "agent", experiment_id)
    assert model.params == {key: str(value) for key, value in many.items()}
    assert mlflow.finalize_logged_model(model.model_id, "FAILED").status == LoggedModelStatus.FAILED
    mlflow.log_model_params({"more": "1"}, model_id=model.model_id)
    mlflow.set_logged_model_tags(model.model_id, {"team": "blue", "note": "x"})
    mlflow.delete_logged_model_tag(model.model_id, "note")
    read = client.get_logged_model(model.model_id)
    assert read.params["more"] == "1"
    assert {key: value for key, value in read.tags.items() if not key.startswith("mlflow.")} == {"team": "blue"}
    with pytest.raises(RestException, match="Changing param values is not allowed"):
        mlflow.log_model_params({"more": "2"}, model_id=model.model_id)


def test_a_model_kept_elsewhere_is_ready_at_once(client: mlflow.MlflowClient) -> None:
    model = mlflow.create_external_model(name="elsewhere", params={"size": "8b"}, model_type="llm")
    read = mlflow.get_logged_model(model.model_id)
    assert (read.status, read.params, read.model_type) == (LoggedModelStatus.READY, {"size": "8b"}, "llm")


def test_metrics_are_logged_for_a_model_and_a_dataset(client: mlflow.MlflowClient) -> None:
    model = mlflow.create_external_model(name="evaluated")
    dataset = mlflow.data.from_pandas(pandas.DataFrame({"q": ["a"]}), name="questions")
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy", 0.5, step=1, model_id=model.model_id, dataset=dataset)
        mlflow.log_metric("accuracy", 0.7, step=2, model_id=model.model_id, dataset=dataset)
        mlflow.log_metrics({"cost": math.nan}, model_id=model.model_id)
    accuracy, later, cost = sorted(mlflow.get_logged_model(model.model_id).metrics, key=lambda m: (m.key, m.step))
    assert (accuracy.key, accuracy.value, accuracy.step) == ("accuracy", 0.5, 1)
    assert (accuracy.dataset_name, accuracy.dataset_digest) == ("questions", dataset.digest)
    assert (accuracy.run_id, accuracy.model_id) == (run.info.run_id, model.model_id)
    assert later.value == 0.7
    assert (math.isnan(cost.value), cost.dataset_name) == (True, None)
    (model_input,) = client.get_run(run.info.run_id).inputs.model_inputs
    assert model_input.model_id == model.model_id


def test_models_are_searched_by_what_was_logged_for_them(client: mlflow.MlflowClient) -> None:
    dataset = mlflow.data.from_pandas(pandas.DataFrame({"q": ["a"]}), name="questions")
    for name, accuracy in (("low", 0.2), ("high", 0.9), ("unknown", None)):
        model = mlflow.create_external_model(name=name, params={"kind": name[:1]}, tags={"stage": "dev"})
        if accuracy is not None:
            with mlflow.start_run():
                mlflow.log_metric("accuracy", accuracy, model_id=model.model_id, dataset=dataset)
    assert sorted(found()) == ["high", "low", "unknown"]
    assert found(filter_string="name = 'low'") == ["low"]
    assert found(filter_string="metrics.accuracy > 0.5 AND tags.stage = 'dev'") == ["high"]
    assert found(filter_string="params.kind IN ('h', 'u')", order_by=[{"field_name": "name"}]) == ["high", "unknown"]
    by_accuracy = [{"field_name": "metrics.accuracy", "ascending": False}]
    assert found(order_by=by_accuracy) == ["high", "low", "unknown"]
    assert found(order_by=by_accuracy, max_results=1) == ["high"]
    on_dataset = {"dataset_name": "questions", "dataset_digest": dataset.digest}
    assert found(datasets=[on_dataset], filter_string="metrics.accuracy < 0.5") == ["low"]
    assert found(datasets=[on_dataset], order_by=[by_accuracy[0] | on_dataset]) == ["high", "low"]
    assert list(mlflow.search_logged_models(order_by=by_accuracy)["name"]) == ["high", "low", "unknown"]


def test_a_search_reads_all_its_pages(client: mlflow.MlflowClient, experiment_id: str) -> None:
    names = [f"model-{number:03}" for number in range(120)]
    for name in names:
        client.create_logged_model(experiment_id, name=name)
    assert found(order_by=[{"field_name": "name"}]) == names


def test_a_deleted_model_is_gone(client: mlflow.MlflowClient) -> None:
    model = mlflow.create_external_model(name="short-lived")
    client.delete_logged_model(model.model_id)
    assert found() == []
    with pytest.raises(RestException, match=f"Logged model with ID '{model.model_id}' not found"):
        mlflow.get_logged_model(model.model_id)


def test_the_active_model_is_found_again_by_its_name(client: mlflow.MlflowClient) -> None:
    first = mlflow.set_active_model(name="app")
    mlflow.log_model_params({"prompt": "v1"})
    mlflow.clear_active_model()
    again = mlflow.set_active_model(name="app")
    assert again.model_id == first.model_id
    assert mlflow.get_logged_model(again.model_id).params == {"prompt": "v1"}
