"""Versions of registered models: create, read, delete; stages, tags, and what they show of their logged model."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, invalid, missing, not_there, pairs, refusal
from tests.e2e.registry import MODELS, VERSIONS, change, change_refused, model, new_model, new_version, tags, version


@pytest.fixture
def name(api: Api) -> str:
    """A new model."""
    return new_model(api)


def stages(api: Api, name: str) -> dict[str, str]:
    """The stages that have a version, and the number of the latest."""
    return {of["current_stage"]: of["version"] for of in model(api, name).get("latest_versions", [])}


def move(api: Api, name: str, number: int, stage: str, archive: bool = False) -> Any:
    return api.post(
        f"{VERSIONS}/transition-stage",
        name=name,
        version=str(number),
        stage=stage,
        archive_existing_versions=archive,
    )["model_version"]


# Create and read


def test_a_version_is_read_back_as_it_was_created(api: Api, name: str, run_id: str) -> None:
    before = int(time.time() * 1000)
    created = new_version(
        api,
        name,
        f"runs:/{run_id}/model",
        run_id=run_id,
        run_link="http://elsewhere/run",
        description="the first",
        tags=pairs(k="v", empty=""),
    )
    assert before <= created["creation_timestamp"] == created["last_updated_timestamp"]
    assert created == {
        "name": name,
        "version": "1",
        "creation_timestamp": created["creation_timestamp"],
        "last_updated_timestamp": created["creation_timestamp"],
        "current_stage": "None",
        "description": "the first",
        "source": f"runs:/{run_id}/model",
        "run_id": run_id,
        "status": "READY",
        "run_link": "http://elsewhere/run",
        "tags": [{"key": "empty", "value": ""}, {"key": "k", "value": "v"}],
    }
    assert version(api, name, 1) == created
    of_model = model(api, name)
    assert of_model["latest_versions"] == [created]
    assert of_model["last_updated_timestamp"] == created["creation_timestamp"]


def test_the_number_of_a_deleted_version_is_not_given_again(api: Api, name: str) -> None:
    assert [new_version(api, name)["version"] for _ in range(2)] == ["1", "2"]
    assert change(api, "DELETE", f"{VERSIONS}/delete", name=name, version="2") == {}
    assert new_version(api, name)["version"] == "3"
    gone = not_there(f"Model Version (name={name}, version=2) not found")
    assert api.get_refused(f"{VERSIONS}/get", name=name, version="2") == gone
    assert change_refused(api, "DELETE", f"{VERSIONS}/delete", name=name, version="2") == gone


def test_versions_that_come_at_once_are_numbered_one_after_another(api: Api, name: str) -> None:
    with ThreadPoolExecutor(16) as threads:
        given = list(threads.map(lambda _: new_version(api, name)["version"], range(60)))
    assert sorted(map(int, given)) == list(range(1, 61))


def test_what_is_not_there_is_said_to_be_so_by_every_endpoint(api: Api, name: str) -> None:
    assert api.post_refused(f"{VERSIONS}/create", name="nobody", source="s3://b/x") == not_there(
        "Registered Model with name=nobody not found"
    )
    for of, number in ((name, "7"), ("nobody", "1")):
        problem = not_there(f"Model Version (name={of}, version={number}) not found")
        which = {"name": of, "version": number}
        assert api.get_refused(f"{VERSIONS}/get", **which) == problem
        assert api.get_refused(f"{VERSIONS}/get-download-uri", **which) == problem
        assert change_refused(api, "PATCH", f"{VERSIONS}/update", **which, description="d") == problem
        assert change_refused(api, "DELETE", f"{VERSIONS}/delete", **which) == problem
        assert api.post_refused(f"{VERSIONS}/transition-stage", **which, stage="Staging") == problem
        assert api.post_refused(f"{VERSIONS}/set-tag", **which, key="k", value="v") == problem
        assert change_refused(api, "DELETE", f"{VERSIONS}/delete-tag", **which, key="k") == problem
        assert refusal(api.send("GET", "/model-versions/get-artifact", params={**which, "path": "x"})) == problem


@pytest.mark.parametrize("number", ["x", "1.5", "9" * 19, "1" * 5000, "١"])
def test_a_version_must_be_a_number(api: Api, name: str, number: str) -> None:
    problem = invalid(f"Parameter 'version' must be an integer, got '{number[:100]}'.")
    assert api.get_refused(f"{VERSIONS}/get", name=name, version=number) == problem
    assert api.post_refused(f"{MODELS}/alias", name=name, alias="a", version=number) == problem


def test_a_version_needs_a_name_and_a_source(api: Api, name: str) -> None:
    assert api.post_refused(f"{VERSIONS}/create", source="s3://b/x") == missing("name")
    assert api.post_refused(f"{VERSIONS}/create", name=name) == missing("source")
    assert api.get_refused(f"{VERSIONS}/get", name=name) == missing("version")


def test_a_description_is_set_and_taken_away(api: Api, name: str) -> None:
    assert new_version(api, name)["description"] == ""
    which = {"name": name, "version": "1"}
    changed = change(api, "PATCH", f"{VERSIONS}/update", **which, description="better")["model_version"]
    assert changed["description"] == "better"
    assert version(api, name, 1) == changed
    assert "description" not in change(api, "PATCH", f"{VERSIONS}/update", **which)["model_version"]


def test_tags_are_set_overwritten_and_removed(api: Api, name: str) -> None:
    new_version(api, name)
    which = {"name": name, "version": "1"}
    for key, value in (("a", "1"), ("a", "2"), ("b", "x" * 100_000)):
        assert api.post(f"{VERSIONS}/set-tag", **which, key=key, value=value) == {}
    assert tags(version(api, name, 1)) == {"a": "2", "b": "x" * 100_000}
    for key in ("b", "b", "never there"):
        assert change(api, "DELETE", f"{VERSIONS}/delete-tag", **which, key=key) == {}
    assert tags(version(api, name, 1)) == {"a": "2"}
    assert api.post_refused(f"{VERSIONS}/set-tag", **which, key="k", value="x" * 100_001) == invalid(
        "'value' exceeds the maximum length of 100000 characters"
    )
    assert api.post_refused(f"{VERSIONS}/set-tag", **which, key="mlflow.prompt.text", value="x" * 100_001) == invalid(
        "Prompt text exceeds max length of 100000 characters."
    )


# Stages


def test_the_latest_of_each_stage_is_the_one_with_the_highest_number(api: Api, name: str) -> None:
    for _ in range(6):
        new_version(api, name)
    for number, stage in ((1, "staging"), (3, "STAGING"), (2, "Production"), (5, "Archived")):
        moved = move(api, name, number, stage)
        assert moved["current_stage"] == stage.capitalize()
        assert moved["last_updated_timestamp"] == model(api, name)["last_updated_timestamp"]
    assert stages(api, name) == {"Staging": "3", "Production": "2", "Archived": "5", "None": "6"}
    for method in ("GET", "POST"):
        call = api.get if method == "GET" else api.post
        everything = call(f"{MODELS}/get-latest-versions", name=name)["model_versions"]
        assert {of["current_stage"]: of["version"] for of in everything} == stages(api, name)
        some = call(f"{MODELS}/get-latest-versions", name=name, stages=["none", "Production"])["model_versions"]
        assert sorted(of["version"] for of in some) == ["2", "6"]
    change(api, "DELETE", f"{VERSIONS}/delete", name=name, version="3")
    assert stages(api, name)["Staging"] == "1"


def test_latest_versions_come_with_their_aliases(api: Api, name: str) -> None:
    new_version(api, name)
    api.post(f"{MODELS}/alias", name=name, alias="best", version="1")
    (latest,) = api.get(f"{MODELS}/get-latest-versions", name=name)["model_versions"]
    assert latest == version(api, name, 1)


def test_those_in_a_stage_are_archived_on_demand(api: Api, name: str) -> None:
    for _ in range(3):
        new_version(api, name)
    move(api, name, 1, "Production")
    move(api, name, 2, "Production")
    move(api, name, 3, "Production", archive=True)
    assert [version(api, name, number)["current_stage"] for number in (1, 2, 3)] == [
        "Archived",
        "Archived",
        "Production",
    ]
    problem = (
        "Model version transition cannot archive existing model versions because 'none' is not an Active stage. "
        "Valid stages are ['Staging', 'Production']"
    )
    transition = {"name": name, "version": "1", "archive_existing_versions": True}
    assert api.post_refused(f"{VERSIONS}/transition-stage", **transition, stage="none") == invalid(problem)


def test_a_stage_must_exist(api: Api, name: str) -> None:
    new_version(api, name)
    problem = invalid("Invalid Model Version stage: Prod. Value must be one of None, Staging, Production, Archived.")
    assert api.post_refused(f"{VERSIONS}/transition-stage", name=name, version="1", stage="Prod") == problem
    assert api.get_refused(f"{MODELS}/get-latest-versions", name=name, stages=["Prod"]) == problem


# Of logged models


@pytest.fixture
def logged(api: Api, experiment_id: str, run_id: str) -> Any:
    """A logged model of a run, with a param and a metric."""
    fields = {"experiment_id": experiment_id, "source_run_id": run_id, "params": pairs(temperature="0.5")}
    created = api.post("logged-models", **fields)["model"]
    api.post(
        "runs/log-metric",
        run_id=run_id,
        key="accuracy",
        value=0.75,
        timestamp=5,
        step=1,
        model_id=created["info"]["model_id"],
        dataset_name="questions",
        dataset_digest="abc",
    )
    return created["info"]


def test_a_version_of_a_logged_model_shows_its_params_and_metrics(
    api: Api, name: str, logged: Any, run_id: str
) -> None:
    model_id = logged["model_id"]
    created = new_version(api, name, f"models:/{model_id}", model_id=model_id)
    assert (created["run_id"], created["model_id"]) == (run_id, model_id)
    read = version(api, name, 1)
    assert read["model_params"] == [{"name": "temperature", "value": "0.5"}]
    assert read["model_metrics"] == [
        {
            "key": "accuracy",
            "value": 0.75,
            "timestamp": 5,
            "step": 1,
            "model_id": model_id,
            "run_id": run_id,
            "dataset_name": "questions",
            "dataset_digest": "abc",
        }
    ]
    uri = api.get(f"{VERSIONS}/get-download-uri", name=name, version="1")["artifact_uri"]
    assert uri == logged["artifact_uri"]


def test_a_logged_model_lists_its_versions(api: Api, name: str, logged: Any) -> None:
    model_id, other = logged["model_id"], new_model(api)
    new_version(api, name, f"models:/{model_id}", model_id=model_id)
    new_version(api, other, logged["artifact_uri"], model_id=model_id)
    listed = [{"name": name, "version": 1}, {"name": other, "version": 1}]
    assert json.loads(tags(api.get(f"logged-models/{model_id}")["model"]["info"])["mlflow.modelVersions"]) == listed


def test_a_logged_model_of_many_versions_at_once_lists_them_all(api: Api, name: str, logged: Any) -> None:
    model_id = logged["model_id"]
    models = [new_model(api) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda name: new_version(api, name, f"models:/{model_id}", model_id=model_id), models))
    listed = json.loads(tags(api.get(f"logged-models/{model_id}")["model"]["info"])["mlflow.modelVersions"])
    assert sorted(of["name"] for of in listed) == sorted(models)


def test_a_copy_of_a_version_is_of_the_same_run_and_model(api: Api, name: str, logged: Any, run_id: str) -> None:
    model_id = logged["model_id"]
    new_version(api, name, f"models:/{model_id}", model_id=model_id)
    new_version(api, name, f"models:/{model_id}", model_id=model_id)
    move(api, name, 1, "Production")
    api.post(f"{MODELS}/alias", name=name, alias="best", version="1")
    copies = new_model(api)
    for form, number in (("/1", 1), ("/latest", 2), ("/production", 1), ("@best", 1)):
        copy = new_version(api, copies, f"models:/{name}{form}")
        assert copy["source"] == f"models:/{name}/{number}"
        assert (copy["run_id"], copy["model_id"]) == (run_id, model_id)
        uri = api.get(f"{VERSIONS}/get-download-uri", name=copies, version=copy["version"])["artifact_uri"]
        assert uri == logged["artifact_uri"]
    of = f"models:/{name}/1"
    assert api.post_refused(f"{VERSIONS}/create", name=copies, source=of, run_id="another") == invalid(
        f"Invalid model version source: '{of}'. The run_id and model_id request parameters must match the referenced "
        "model version."
    )
    assert api.post_refused(f"{VERSIONS}/create", name=copies, source=f"models:/{name}/9") == not_there(
        f"Model Version (name={name}, version=9) not found"
    )
