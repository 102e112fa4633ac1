"""mlflow's functions and its client log runs, as training and evaluation scripts do."""

import math
import sys
import time

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tests.api_client import unique_name

BACKENDS = ["sqlite"]


def test_a_finished_run_holds_what_was_logged_into_it(client: mlflow.MlflowClient, experiment_id: str) -> None:
    before = int(time.time() * 1000)
    with mlflow.start_run(run_name="first", description="what it is about", tags={"team": "red"}) as run:
        mlflow.log_param("model", "small")
        mlflow.log_params({"temperature": 0.7, "tools": ["search"], "nothing": None})
        mlflow.log_metric("loss", 0.5)
        mlflow.log_metrics({"accuracy": 0.9, "tokens": 120})
        mlflow.set_tag("stage", "dev")
        mlflow.set_tags({"a": 1, "b": True})
    found = client.get_run(run.info.run_id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "first"
    assert found.info.experiment_id == experiment_id
    assert before <= found.info.start_time <= found.info.end_time <= int(time.time() * 1000)
    assert found.data.params == {
        "model": "small",
        "temperature": "0.7",
        "tools": "['search']",
        "nothing": "None",
    }
    assert found.data.metrics == {"loss": 0.5, "accuracy": 0.9, "tokens": 120.0}
    own_tags = {key: value for key, value in found.data.tags.items() if not key.startswith("mlflow.")}
    assert own_tags == {"team": "red", "stage": "dev", "a": "1", "b": "True"}


def test_a_run_carries_the_tags_that_the_client_sets_by_itself(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run(run_name="named", description="a note") as run:
        pass
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["mlflow.runName"] == "named"
    assert tags["mlflow.note.content"] == "a note"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.name"]
    assert tags["mlflow.user"] == client.get_run(run.info.run_id).info.user_id


def test_a_run_without_a_name_is_given_one(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        pass
    found = client.get_run(run.info.run_id)
    assert found.info.run_name == found.data.tags["mlflow.runName"] == run.info.run_name
    assert found.info.run_name


def test_a_run_whose_script_fails_is_marked_as_failed(client: mlflow.MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        mlflow.log_metric("progress", 1)
        raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_nested_runs_are_found_by_their_parent(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run(run_name="sweep") as parent:
        children = []
        for temperature in (0.0, 0.5):
            with mlflow.start_run(run_name=f"t={temperature}", nested=True) as child:
                mlflow.log_param("temperature", temperature)
                children.append(child.info.run_id)
                with mlflow.start_run(nested=True) as grandchild:
                    pass
    found = client.search_runs([experiment_id], f"tags.{MLFLOW_PARENT_RUN_ID} = '{parent.info.run_id}'")
    assert {run.info.run_id for run in found} == set(children)
    assert client.get_run(grandchild.info.run_id).data.tags[MLFLOW_PARENT_RUN_ID] == children[1]
    above = client.get_parent_run(grandchild.info.run_id)
    assert above is not None and above.info.run_id == children[1]


def test_a_run_is_taken_up_again(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 1, step=0)
    with mlflow.start_run(run_id=run.info.run_id):
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("loss", 0.5, step=1)
    found = client.get_run(run.info.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"loss": 0.5}


def test_the_history_of_a_metric_is_complete_and_in_order(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        for step in range(30):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("loss", 2.0, step=-3, timestamp=5)
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [
        (-3, 2.0),
        *((step, 1 / (step + 1)) for step in range(30)),
    ]
    assert history[0].timestamp == 5
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 1 / 30}


def test_a_long_history_is_read_over_several_pages(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    for start in range(0, 30_000, 1000):
        points = [Metric("loss", float(step), 1000 + step, step) for step in range(start, start + 1000)]
        client.log_batch(run_id, metrics=points)
    history = client.get_metric_history(run_id, "loss")
    assert [point.step for point in history] == list(range(30_000))


def test_values_that_are_no_numbers_survive(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metrics({"nan": math.nan, "up": math.inf, "down": -math.inf})
    metrics = client.get_run(run.info.run_id).data.metrics
    assert math.isnan(metrics["nan"])
    # As from MLflow's SQL store: infinities are the greatest numbers.
    assert (metrics["up"], metrics["down"]) == (sys.float_info.max, -sys.float_info.max)
    (point,) = client.get_metric_history(run.info.run_id, "nan")
    assert math.isnan(point.value)


def test_a_batch_holds_metrics_params_and_tags(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id, run_name="by hand", start_time=123, tags={"t": "0"}).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric("m", 1.5, 100, 0), Metric("m", 2.5, 200, 1), Metric("n", 3.0, 100, 0)],
        params=[Param("p", "x"), Param("q", "ü" * 6000)],
        tags=[RunTag("t", "1"), RunTag("mlflow.note.content", "# Note\n" + "long " * 1000)],
    )
    client.set_terminated(run_id, "KILLED", end_time=456)
    found = client.get_run(run_id)
    assert (found.info.start_time, found.info.end_time, found.info.status) == (123, 456, "KILLED")
    assert found.data.metrics == {"m": 2.5, "n": 3.0}
    assert found.data.params == {"p": "x", "q": "ü" * 6000}
    assert found.data.tags["t"] == "1"
    assert found.data.tags["mlflow.note.content"].startswith("# Note\nlong long")


def test_a_run_logged_in_the_background_is_complete(client: mlflow.MlflowClient) -> None:
    with mlflow.start_run() as run:
        for step in range(50):
            mlflow.log_metric("loss", step, step=step, synchronous=False)
        mlflow.log_params({f"p{number}": number for number in range(50)}, synchronous=False)
        mlflow.flush_async_logging()
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 50
    assert len(client.get_run(run.info.run_id).data.params) == 50


def test_a_run_is_renamed_and_its_tag_removed(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id, run_name="old", tags={"gone": "soon"}).info.run_id
    client.update_run(run_id, name="new", status="FINISHED")
    client.delete_tag(run_id, "gone")
    found = client.get_run(run_id)
    assert (found.info.run_name, found.data.tags["mlflow.runName"]) == ("new", "new")
    assert "gone" not in found.data.tags
    client.set_tag(run_id, "mlflow.runName", "newest")
    assert client.get_run(run_id).info.run_name == "newest"


def test_a_deleted_run_is_gone_from_searches_until_it_is_restored(
    client: mlflow.MlflowClient, experiment_id: str
) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment_id]) == []
    assert [run.info.run_id for run in client.search_runs([experiment_id], run_view_type=2)] == [run_id]
    client.restore_run(run_id)
    assert [run.info.run_id for run in client.search_runs([experiment_id])] == [run_id]


def test_an_experiment_has_tags_a_name_and_a_life(client: mlflow.MlflowClient) -> None:
    name = unique_name()
    experiment_id = client.create_experiment(name, tags={"team": "red"})
    client.set_experiment_tag(experiment_id, "mlflow.note.content", "about it")
    client.rename_experiment(experiment_id, f"{name}-new")
    run_id = client.create_run(experiment_id).info.run_id
    found = client.get_experiment_by_name(f"{name}-new")
    assert found is not None
    assert found.experiment_id == experiment_id
    assert found.tags == {"team": "red", "mlflow.note.content": "about it"}
    assert found.artifact_location == f"mlflow-artifacts:/{experiment_id}"
    assert found.creation_time <= found.last_update_time
    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    client.restore_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"
    assert client.get_experiment_by_name(name) is None


def test_an_experiment_is_made_by_its_name_when_it_is_first_used(client: mlflow.MlflowClient) -> None:
    name = unique_name()
    created = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == created.experiment_id
    with mlflow.start_run() as run:
        pass
    assert run.info.experiment_id == created.experiment_id
    mlflow.set_experiment_tags({"owner": "eve"})
    assert client.get_experiment(created.experiment_id).tags == {"owner": "eve"}
