"""What the client raises: the types and error codes that programs tell apart, and sentences that say what to do."""

import mlflow
import pytest
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException, RestException

from tests.api_client import unique_name

BACKENDS = ["sqlite"]


def test_a_run_that_is_not_there(client: mlflow.MlflowClient) -> None:
    with pytest.raises(RestException, match=f"Run with id={'0' * 32} not found") as raised:
        client.get_run("0" * 32)
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert raised.value.get_http_status_code() == 404


def test_an_experiment_that_is_not_there(client: mlflow.MlflowClient) -> None:
    with pytest.raises(RestException, match="No Experiment with id=987654 exists") as raised:
        client.get_experiment("987654")
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_experiment_by_name(unique_name()) is None


def test_an_experiment_name_that_is_taken(client: mlflow.MlflowClient) -> None:
    name = unique_name()
    client.create_experiment(name)
    with pytest.raises(RestException, match="already exists") as raised:
        client.create_experiment(name)
    assert raised.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_a_deleted_experiment_that_a_script_wants_to_use(client: mlflow.MlflowClient) -> None:
    name = unique_name()
    client.delete_experiment(client.create_experiment(name))
    with pytest.raises(MlflowException, match="Cannot set a deleted experiment"):
        mlflow.set_experiment(name)


def test_a_param_that_changes_its_value(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run():
        mlflow.log_param("model", "small")
        mlflow.log_param("model", "small")
        with pytest.raises(
            MlflowException, match="(?s)Changing param values is not allowed.*'small'.*'large'"
        ) as raised:
            mlflow.log_param("model", "large")
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_batch_with_a_param_that_changes_is_refused_whole(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    client.log_param(run_id, "model", "small")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 0)], params=[Param("new", "x"), Param("model", "large")])
    found = client.get_run(run_id).data
    assert (found.params, found.metrics) == ({"model": "small"}, {})


def test_a_deleted_run_takes_nothing(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_run(run_id)
    for log in (
        lambda: client.log_metric(run_id, "m", 1),
        lambda: client.log_param(run_id, "p", "x"),
        lambda: client.set_tag(run_id, "t", "x"),
        lambda: client.log_batch(run_id, metrics=[Metric("m", 1.0, 1, 0)]),
    ):
        with pytest.raises(MlflowException, match="must be in the 'active' state") as raised:
            log()
        assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_filter_that_cannot_be_read(client: mlflow.MlflowClient, experiment_id: str) -> None:
    for filter, said in {
        "metrics.a >": "Invalid clause",
        "colours.red = 'x'": "Invalid entity type 'colours'",
        "attributes.colour = 'x'": "Invalid attribute key 'colour'",
        "metrics.a = 'x'": "Expected numeric value type for metric",
        "params.a = 1": "Expected a quoted string value for param",
        "params.a = 'x' OR params.b = 'y'": "Invalid clause",
    }.items():
        with pytest.raises(MlflowException, match=said) as raised:
            client.search_runs([experiment_id], filter)
        assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_page_token_that_is_forged(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with pytest.raises(MlflowException, match="Invalid page token") as raised:
        client.search_runs([experiment_id], page_token="forged")
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_search_for_too_much(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with pytest.raises(MlflowException, match="Invalid value 50001 for parameter 'max_results'") as raised:
        client.search_runs([experiment_id], max_results=50_001)
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_tag_that_is_not_there_is_not_removed(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    with pytest.raises(MlflowException, match="No tag with name: none") as raised:
        client.delete_tag(run_id, "none")
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_prompt_longer_than_a_param_may_be_does_not_stop_the_script(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("prompt", "p" * 7000)
        mlflow.set_tag("answer", "a" * 9000)
    data = client.get_run(run.info.run_id).data
    assert data.params["prompt"] == "p" * 6000
    assert data.tags["answer"] == "a" * 8000
