"""mlflow's functions and its client handle the model registry: models, versions, stages, aliases, copies."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException, RestException

from tests.api_client import unique_name

BACKENDS = ["sqlite"]


class Shouting(mlflow.pyfunc.PythonModel):
    """A model that answers in capitals."""

    def predict(self, context: Any, model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]


@pytest.fixture
def name() -> str:
    return unique_name("model")


@pytest.fixture(autouse=True)
def no_active_model() -> Any:
    """mlflow keeps its active model in the process: a test begins and ends without one."""
    mlflow.clear_active_model()
    yield
    mlflow.clear_active_model()


def log(name: str | None = None) -> Any:
    with mlflow.start_run():
        mlflow.log_metric("seen", 1)
        return mlflow.pyfunc.log_model(
            name="shouting",
            python_model=Shouting(),
            pip_requirements=[],
            params={"volume": 11},
            registered_model_name=name,
        )


def test_a_model_is_logged_and_registered_at_once(client: mlflow.MlflowClient, name: str) -> None:
    info = log(name)
    assert int(info.registered_model_version) == 1
    version = client.get_model_version(name, "1")
    assert (version.source, version.run_id, version.status) == (f"models:/{info.model_id}", info.run_id, "READY")
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict(["a"]) == ["A"]
    assert mlflow.pyfunc.load_model(f"models:/{name}/latest").predict(["a"]) == ["A"]
    assert f'"name": "{name}"' in mlflow.get_logged_model(info.model_id).tags["mlflow.modelVersions"]
    assert int(log(name).registered_model_version) == 2


def test_a_logged_model_is_registered_later(client: mlflow.MlflowClient, name: str, tmp_path: Path) -> None:
    info = log()
    for uri in (info.model_uri, f"runs:/{info.run_id}/shouting"):
        version = mlflow.register_model(uri, name, tags={"from": uri})
        assert (version.name, version.run_id, version.tags) == (name, info.run_id, {"from": uri})
        assert mlflow.pyfunc.load_model(f"models:/{name}/{version.version}").predict(["b"]) == ["B"]
        folder = tmp_path / str(version.version)
        mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=str(folder))
        assert (folder / "MLmodel").exists()
    assert client.get_model_version_download_uri(name, "1").startswith("mlflow-artifacts:/")


def test_models_are_created_described_searched_renamed_and_deleted(client: mlflow.MlflowClient, name: str) -> None:
    created = client.create_registered_model(name, tags={"team": "red"}, description="first")
    assert (created.name, created.tags, created.description) == (name, {"team": "red"}, "first")
    with pytest.raises(RestException, match=r"Registered Model \(name=.*\) already exists"):
        client.create_registered_model(name)
    assert client.update_registered_model(name, "second").description == "second"
    client.set_registered_model_tag(name, "n", 1)
    client.delete_registered_model_tag(name, "team")
    assert client.get_registered_model(name).tags == {"n": "1"}
    found = mlflow.search_registered_models(filter_string=f"name = '{name}' and tags.n = '1'")
    assert [model.name for model in found] == [name]
    client.rename_registered_model(name, f"{name}-2")
    assert client.get_registered_model(f"{name}-2").tags == {"n": "1"}
    client.delete_registered_model(f"{name}-2")
    with pytest.raises(RestException, match=f"Registered Model with name={name}-2 not found"):
        client.get_registered_model(f"{name}-2")


def test_pages_of_models_and_versions_follow_each_other(client: mlflow.MlflowClient, name: str) -> None:
    for number in range(5):
        client.create_registered_model(f"{name}-{number}")
        client.create_model_version(f"{name}-0", "s3://bucket/model")
    seen, token = [], None
    while True:
        page = client.search_registered_models(f"name LIKE '{name}%'", max_results=2, page_token=token)
        seen += [model.name for model in page]
        if not (token := page.token):
            break
    assert seen == [f"{name}-{number}" for number in range(5)]
    versions = mlflow.search_model_versions(filter_string=f"name = '{name}-0'", order_by=["version_number ASC"])
    assert [int(version.version) for version in versions] == [1, 2, 3, 4, 5]
    first = client.search_model_versions(f"name = '{name}-0'", max_results=3)
    assert (len(first), bool(first.token)) == (3, True)


def test_aliases_and_stages_lead_to_versions(client: mlflow.MlflowClient, name: str) -> None:
    info = log(name)
    mlflow.register_model(info.model_uri, name)
    client.set_registered_model_alias(name, "champion", "1")
    assert client.get_model_version_by_alias(name, "champion").version == "1"
    assert client.get_registered_model(name).aliases == {"champion": "1"}
    assert mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(["c"]) == ["C"]
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(RestException, match="Registered model alias champion not found"):
        client.get_model_version_by_alias(name, "champion")
    client.transition_model_version_stage(name, "1", "Production")
    moved = client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert moved.current_stage == "Production"
    assert client.get_model_version(name, "1").current_stage == "Archived"
    latest = client.get_latest_versions(name, stages=["Production", "Archived"])
    assert {version.current_stage: version.version for version in latest} == {"Production": "2", "Archived": "1"}
    assert mlflow.pyfunc.load_model(f"models:/{name}/Production").predict(["d"]) == ["D"]


def test_versions_are_described_tagged_copied_and_deleted(client: mlflow.MlflowClient, name: str) -> None:
    info = log(name)
    assert client.update_model_version(name, "1", "better").description == "better"
    client.set_model_version_tag(name, "1", "k", "v")
    client.set_model_version_tag(name, "1", "gone", "x")
    client.delete_model_version_tag(name, "1", "gone")
    assert client.get_model_version(name, "1").tags == {"k": "v"}
    copy = client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    assert (copy.name, copy.version, copy.source, copy.tags) == (f"{name}-copy", "1", f"models:/{name}/1", {"k": "v"})
    assert copy.run_id == info.run_id
    assert mlflow.pyfunc.load_model(f"models:/{name}-copy/1").predict(["e"]) == ["E"]
    client.delete_model_version(name, "1")
    with pytest.raises(RestException, match=rf"Model Version \(name={name}, version=1\) not found"):
        client.get_model_version(name, "1")
    with pytest.raises(MlflowException, match="not an Active stage"):
        client.transition_model_version_stage(f"{name}-copy", "1", "None", archive_existing_versions=True)
