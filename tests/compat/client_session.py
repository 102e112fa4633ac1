"""What users of mlflow do, as one script that runs with old and new clients: its environment has mlflow and no pytest.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python client_session.py
"""

import json
import math
import sys
import tempfile
import time
import uuid
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from client_checks import run_checks, since
from matplotlib.figure import Figure
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


@since(2, 9)
def runs_are_logged_and_read(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run(run_name="first", description="a note", tags={"team": "red"}) as run:
        mlflow.log_params({"model": "small", "temperature": 0.7})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.9, "nan": math.nan})
        mlflow.set_tags({"stage": "dev"})
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "first")
    assert found.data.params == {"model": "small", "temperature": "0.7"}
    assert found.data.metrics["loss"] == 0.2 and math.isnan(found.data.metrics["nan"])
    assert found.data.tags["mlflow.note.content"] == "a note" and found.data.tags["team"] == "red"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / (step + 1)) for step in range(5)]


@since(2, 9)
def runs_nest(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    (found,) = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert found.info.run_id == child.info.run_id
    above = client.get_parent_run(child.info.run_id)
    assert above is not None and above.info.run_id == parent.info.run_id


@since(2, 9)
def a_failing_script_leaves_a_failed_run(client: mlflow.MlflowClient, experiment_id: str) -> None:
    try:
        with mlflow.start_run() as run:
            raise ValueError
    except ValueError:
        pass
    assert client.get_run(run.info.run_id).info.status == "FAILED"


@since(2, 9)
def batches_are_logged(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric("m", float(step), now + step, step) for step in range(1000)],
        params=[Param(f"p{number}", str(number)) for number in range(100)],
        tags=[RunTag("t", "1")],
    )
    client.set_terminated(run_id)
    found = client.get_run(run_id)
    assert found.data.metrics == {"m": 999.0} and len(found.data.params) == 100
    assert len(client.get_metric_history(run_id, "m")) == 1000


@since(2, 9)
def metrics_are_logged_in_the_background(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run() as run:
        operations = [mlflow.log_metric("loss", step, step=step, synchronous=False) for step in range(20)]
        for operation in operations:
            operation.wait()
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 20


@since(2, 9)
def searches_filter_order_and_page(client: mlflow.MlflowClient, experiment_id: str) -> None:
    for number in range(11):
        run_id = client.create_run(experiment_id, start_time=1000 + number).info.run_id
        client.log_metric(run_id, "n", number)
        client.log_param(run_id, "parity", "even" if number % 2 == 0 else "odd")
    found, token = [], None
    while True:
        page = client.search_runs([experiment_id], order_by=["metrics.n DESC"], max_results=4, page_token=token)
        found += [run.data.metrics["n"] for run in page]
        token = page.token
        if not token:
            break
    assert found == list(range(10, -1, -1))
    table = mlflow.search_runs([experiment_id], "params.parity = 'odd' AND metrics.n > 4", order_by=["metrics.n"])
    assert table["metrics.n"].tolist() == [5, 7, 9]
    assert table["params.parity"].unique().tolist() == ["odd"]


@since(2, 9)
def experiments_live_and_are_found(client: mlflow.MlflowClient, experiment_id: str) -> None:
    name = uuid.uuid4().hex
    made = client.create_experiment(name, tags={"team": name})
    client.set_experiment_tag(made, "owner", "eve")
    client.rename_experiment(made, f"{name}-new")
    (found,) = mlflow.search_experiments(filter_string=f"tags.team = '{name}'")
    assert (found.experiment_id, found.name, found.tags["owner"]) == (made, f"{name}-new", "eve")
    client.delete_experiment(made)
    assert client.search_experiments(filter_string=f"name LIKE '{name}%'") == []
    assert client.search_experiments(filter_string=f"name LIKE '{name}%'", view_type=ViewType.DELETED_ONLY)
    client.restore_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "active"


@since(2, 9)
def runs_are_deleted_and_restored(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_run(run_id)
    assert client.search_runs([experiment_id]) == []
    client.restore_run(run_id)
    assert [run.info.run_id for run in client.search_runs([experiment_id])] == [run_id]


@since(2, 9)
def artifacts_come_back_as_they_were(client: mlflow.MlflowClient, experiment_id: str) -> None:
    content = bytes(range(256)) * 10_000
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
        (Path(folder) / "sub").mkdir()
        (Path(folder) / "sub" / "data.bin").write_bytes(content)
        (Path(folder) / "note ü.txt").write_text("grüße")
        mlflow.log_artifacts(folder, "all")
        mlflow.log_artifact(str(Path(folder) / "note ü.txt"))
    run_id, uri = run.info.run_id, run.info.artifact_uri
    assert [file.path for file in client.list_artifacts(run_id)] == ["all", "note ü.txt"]
    with tempfile.TemporaryDirectory() as folder:
        got = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="all", dst_path=folder))
        assert (got / "sub" / "data.bin").read_bytes() == content
        assert (got / "note ü.txt").read_text() == "grüße"
        got = Path(client.download_artifacts(run_id, "note ü.txt", folder))
        assert got.read_text() == "grüße"
    assert mlflow.artifacts.load_text(f"{uri}/note ü.txt") == "grüße"


@since(2, 9)
def texts_dictionaries_images_and_figures_are_kept(client: mlflow.MlflowClient, experiment_id: str) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "folder/hello.txt")
        mlflow.log_dict({"a": [1, None]}, "config.json")
        mlflow.log_image(pixels, "image.png")
        mlflow.log_figure(figure, "figure.png")
    uri = run.info.artifact_uri
    assert mlflow.artifacts.load_text(f"{uri}/folder/hello.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"{uri}/config.json") == {"a": [1, None]}
    assert np.array_equal(np.asarray(mlflow.artifacts.load_image(f"{uri}/image.png")), pixels)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "config.json", "figure.png", "folder", "image.png",
    }  # fmt: skip


@since(2, 9)
def tables_grow_and_are_loaded(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run() as run:
        mlflow.log_table({"question": ["a?"], "score": [1]}, "eval/answers.json")
        mlflow.log_table(pd.DataFrame({"question": ["b?"], "score": [0]}), "eval/answers.json")
    loaded = mlflow.load_table("eval/answers.json", run_ids=[run.info.run_id], extra_columns=["run_id"])
    assert loaded["question"].tolist() == ["a?", "b?"] and loaded["score"].tolist() == [1, 0]
    assert set(loaded["run_id"]) == {run.info.run_id}


@since(2, 13)
def images_are_kept_by_step(client: mlflow.MlflowClient, experiment_id: str) -> None:
    with mlflow.start_run() as run:
        for step in range(2):
            mlflow.log_image(np.full((8, 8, 3), step, dtype=np.uint8), key="sample", step=step, synchronous=True)
    assert len(client.list_artifacts(run.info.run_id, "images")) == 4


@since(2, 9)
def datasets_are_inputs_of_runs(client: mlflow.MlflowClient, experiment_id: str) -> None:
    dataset = mlflow.data.from_pandas(pd.DataFrame({"a": [1, 2]}), name="questions")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="eval")
    (found,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("questions", dataset.digest)
    assert json.loads(found.dataset.profile)["num_rows"] == 2
    (same,) = client.search_runs([experiment_id], "dataset.name = 'questions' AND dataset.context = 'eval'")
    assert same.info.run_id == run.info.run_id


@since(2, 9)
def errors_have_their_codes(client: mlflow.MlflowClient, experiment_id: str) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    client.log_param(run_id, "p", "1")
    name = client.get_experiment(experiment_id).name
    for code, wrong in {
        "RESOURCE_ALREADY_EXISTS": lambda: client.create_experiment(name),
        "INVALID_PARAMETER_VALUE": lambda: client.log_param(run_id, "p", "2"),
        "RESOURCE_DOES_NOT_EXIST": lambda: client.get_run("0" * 32),
    }.items():
        try:
            wrong()
        except MlflowException as error:
            assert error.error_code == code, error
        else:
            raise AssertionError(f"no {code}")


@since(3, 0)
def models_are_logged(client: mlflow.MlflowClient, experiment_id: str) -> None:
    model = mlflow.initialize_logged_model(name="app", params={"prompt": "short"}, tags={"team": "red"})
    model = mlflow.finalize_logged_model(model.model_id, "READY")
    with mlflow.start_run():
        mlflow.log_metric("accuracy", 0.5, model_id=model.model_id)
    found = mlflow.get_logged_model(model.model_id)
    assert (found.name, found.params, found.tags["team"]) == ("app", {"prompt": "short"}, "red")
    assert [(metric.key, metric.value) for metric in found.metrics] == [("accuracy", 0.5)]
    (same,) = mlflow.search_logged_models([experiment_id], "metrics.accuracy > 0.4", output_format="list")
    assert same.model_id == model.model_id


@since(2, 9)
def versions_of_models_are_registered(client: mlflow.MlflowClient, experiment_id: str) -> None:
    name = uuid.uuid4().hex
    with mlflow.start_run() as run:
        mlflow.log_text("weights", "model/weights.txt")
    client.create_registered_model(name, tags={"team": "red"}, description="it answers")
    version = client.create_model_version(
        name, f"{run.info.artifact_uri}/model", run.info.run_id, tags={"k": "v"}, description="first"
    )
    assert (version.version, version.status, version.tags, version.run_id) == (
        "1",
        "READY",
        {"k": "v"},
        run.info.run_id,
    )
    client.set_registered_model_alias(name, "best", "1")
    assert client.get_model_version_by_alias(name, "best").version == "1"
    (found,) = client.search_registered_models(f"name = '{name}'")
    assert (found.tags, found.aliases, found.latest_versions[0].version) == ({"team": "red"}, {"best": "1"}, "1")
    assert [same.version for same in client.search_model_versions(f"run_id = '{run.info.run_id}'")] == ["1"]
    with tempfile.TemporaryDirectory() as folder:
        got = Path(mlflow.artifacts.download_artifacts(f"models:/{name}@best", dst_path=folder))
        assert (got / "weights.txt").read_text() == "weights"
    client.delete_registered_model(name)


@since(3, 0)
def prompts_are_registered(client: mlflow.MlflowClient, experiment_id: str) -> None:
    name = f"p-{uuid.uuid4().hex}"
    mlflow.genai.register_prompt(name, "Answer {{question}}.", commit_message="first", tags={"team": "red"})
    mlflow.genai.set_prompt_alias(name, "best", 1)
    prompt = mlflow.genai.load_prompt(f"prompts:/{name}@best")
    assert (prompt.version, prompt.format(question="why")) == (1, "Answer why.")
    assert [found.name for found in mlflow.genai.search_prompts(f"name = '{name}'")] == [name]


if __name__ == "__main__":
    sys.exit(run_checks())
