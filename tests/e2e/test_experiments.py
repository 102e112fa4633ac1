"""Experiments: create, read, rename, tag, delete, restore."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, pairs, unique_name, wrong_type

BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
    "slashes (/)."
)
NO_PATH = "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
NO_SUCH_ID = "987654321"


def tags_of(experiment: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}


# Create and read


def test_an_experiment_is_read_back_as_it_was_created(api: Api) -> None:
    name = unique_name("Ünï côdé / 日本 'quoted' \"")
    before = time.time_ns() // 1_000_000
    experiment_id = api.new_experiment(name=name, tags=pairs(team="blue", empty=""))
    after = time.time_ns() // 1_000_000
    experiment = api.experiment(experiment_id)
    assert before <= experiment["creation_time"] == experiment["last_update_time"] <= after
    assert tags_of(experiment) == {"team": "blue", "empty": ""}
    del experiment["creation_time"], experiment["last_update_time"], experiment["tags"]
    assert experiment == {
        "experiment_id": experiment_id,
        "name": name,
        "artifact_location": f"mlflow-artifacts:/{experiment_id}",
        "lifecycle_stage": "active",
    }


def test_an_experiment_is_found_by_its_name(api: Api) -> None:
    name = unique_name("by name & more?")
    experiment_id = api.new_experiment(name=name)
    found = api.get("experiments/get-by-name", experiment_name=name)["experiment"]
    assert found == api.experiment(experiment_id)


def test_a_new_database_has_the_default_experiment(api: Api) -> None:
    experiment = api.experiment("0")
    assert (experiment["name"], experiment["artifact_location"]) == ("Default", "mlflow-artifacts:/0")


def test_an_experiment_without_tags_is_shown_without_the_field(api: Api) -> None:
    assert "tags" not in api.experiment(api.new_experiment())


def test_the_name_of_an_experiment_is_new_also_among_deleted_ones(api: Api) -> None:
    name = unique_name()
    taken = Refusal(400, "RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists.")
    experiment_id = api.new_experiment(name=name)
    assert api.post_refused("experiments/create", name=name) == taken
    api.post("experiments/delete", experiment_id=experiment_id)
    assert api.post_refused("experiments/create", name=name) == taken


def test_names_that_differ_in_case_are_different(api: Api) -> None:
    name = unique_name("case")
    assert api.new_experiment(name=name) != api.new_experiment(name=name.upper())


def test_a_name_has_500_characters_at_most(api: Api) -> None:
    name = unique_name().ljust(500, "é")
    assert api.experiment(api.new_experiment(name=name))["name"] == name
    assert api.post_refused("experiments/create", name=name + "x") == invalid(
        "'name' exceeds the maximum length of 500 characters"
    )


@pytest.mark.parametrize("fields", [{}, {"name": ""}, {"name": None}])
def test_an_experiment_needs_a_name(api: Api, fields: dict[str, Any]) -> None:
    assert api.post_refused("experiments/create", **fields) == missing("name")


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ({"key": "k" * 251}, "'key' exceeds the maximum length of 250 characters"),
        ({"key": "k", "value": "v" * 20_001}, "'value' exceeds the maximum length of 20000 characters"),
        ({"key": "a?"}, f"Invalid value \"a?\" for parameter 'key' supplied: {BAD_CHARACTERS}"),
        (
            {"key": "a/../b"},
            f"Invalid value \"a/../b\" for parameter 'key' supplied: {NO_PATH}This name would resolve to 'b'",
        ),
        ({"key": "/a"}, f"Invalid value \"/a\" for parameter 'key' supplied: {NO_PATH}This name would resolve to '/a'"),
    ],
)
def test_a_wrong_tag_is_refused_and_nothing_is_created(api: Api, tag: dict[str, str], message: str) -> None:
    name = unique_name()
    assert api.post_refused("experiments/create", name=name, tags=[*pairs(fine="x"), tag]) == invalid(message)
    assert api.get_refused("experiments/get-by-name", experiment_name=name).status == 404


def test_the_longest_tag_is_kept_whole(api: Api, experiment_id: str) -> None:
    key, value = "k" * 250, "v" * 20_000
    api.post("experiments/set-experiment-tag", experiment_id=experiment_id, key=key, value=value)
    assert tags_of(api.experiment(experiment_id)) == {key: value}


@pytest.mark.parametrize(
    "location", ["s3://bucket/prefix", "/mnt/shared/artifacts", "file:///mnt/artifacts", "gs://b/p"]
)
def test_an_experiment_keeps_the_artifact_location_it_was_given(api: Api, location: str) -> None:
    experiment_id = api.new_experiment(artifact_location=location)
    assert api.experiment(experiment_id)["artifact_location"] == location
    run = api.run(api.new_run(experiment_id))["info"]
    assert run["artifact_uri"] == f"{location}/{run['run_id']}/artifacts"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("runs:/abc/model", "Artifact location cannot be a runs:/ URI. Given: 'runs:/abc/model'"),
        ("s3://bucket/a#b", "'artifact_location' URL can't include fragments or params."),
        ("s3://bucket/a?b=%2e%2e", "Invalid query string"),
        ("s3://bucket/a\nb", "'artifact_location' can't include control characters."),
        ("http://10.0.0.1/x", "'artifact_location' cannot use the 'http' scheme: "),
        ("s3://bucket/" + "a" * 2048, "Invalid artifact path length. "),
    ],
)
def test_an_artifact_location_that_could_mislead_the_server_is_refused(api: Api, location: str, message: str) -> None:
    refused = api.post_refused("experiments/create", name=unique_name(), artifact_location=location)
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(message)


# An experiment that is not there

READS = [("GET", "experiments/get", {})]
WRITES = [
    ("POST", "experiments/update", {"new_name": "x"}),
    ("POST", "experiments/delete", {}),
    ("POST", "experiments/restore", {}),
    ("POST", "experiments/set-experiment-tag", {"key": "k", "value": "v"}),
    ("POST", "experiments/delete-experiment-tag", {"key": "k"}),
    ("POST", "runs/create", {}),
]


@pytest.mark.parametrize(("method", "path", "fields"), READS + WRITES)
def test_an_experiment_that_is_not_there_is_a_404(api: Api, method: str, path: str, fields: dict[str, str]) -> None:
    refused = api.get_refused if method == "GET" else api.post_refused
    assert refused(path, experiment_id=NO_SUCH_ID, **fields) == not_there(f"No Experiment with id={NO_SUCH_ID} exists")


@pytest.mark.parametrize(("method", "path", "fields"), READS + WRITES)
@pytest.mark.parametrize("wrong", ["abc", "1.5", "9" * 30, "9" * 5000])
def test_an_experiment_id_is_an_integer(api: Api, method: str, path: str, fields: dict[str, str], wrong: str) -> None:
    refused = api.get_refused if method == "GET" else api.post_refused
    assert refused(path, experiment_id=wrong, **fields) == invalid(
        f"Invalid experiment ID '{wrong[:100]}'. Experiment ID must be a valid integer."
    )


def test_a_name_that_is_not_there_is_a_404(api: Api) -> None:
    assert api.get_refused("experiments/get-by-name", experiment_name="nobody's") == not_there(
        "Could not find experiment with name 'nobody's'"
    )
    assert api.get_refused("experiments/get-by-name") == missing("experiment_name")


# Rename


def test_renaming_changes_the_name_and_the_time_of_the_last_update(api: Api, experiment_id: str) -> None:
    before = api.experiment(experiment_id)
    new_name = unique_name()
    time.sleep(0.002)
    assert api.post("experiments/update", experiment_id=experiment_id, new_name=new_name) == {}
    after = api.experiment(experiment_id)
    assert after.pop("last_update_time") > before.pop("last_update_time")
    assert after == before | {"name": new_name}
    assert api.get_refused("experiments/get-by-name", experiment_name=before["name"]).status == 404


def test_renaming_to_another_experiments_name_is_refused(api: Api, experiment_id: str) -> None:
    taken = api.experiment(api.new_experiment())["name"]
    own = api.experiment(experiment_id)["name"]
    assert api.post_refused("experiments/update", experiment_id=experiment_id, new_name=taken) == Refusal(
        400, "RESOURCE_ALREADY_EXISTS", f"Experiment(name={taken}) already exists."
    )
    api.post("experiments/update", experiment_id=experiment_id, new_name=own)


def test_renaming_needs_a_name(api: Api, experiment_id: str) -> None:
    assert api.post_refused("experiments/update", experiment_id=experiment_id) == missing("new_name")
    assert api.post_refused("experiments/update", experiment_id=experiment_id, new_name="") == missing("new_name")
    assert api.post_refused("experiments/update", experiment_id=experiment_id, new_name="x" * 501) == invalid(
        "'name' exceeds the maximum length of 500 characters"
    )


# Tags


def test_a_tag_is_set_overwritten_and_deleted(api: Api, experiment_id: str) -> None:
    def set_tag(key: str, **value: str) -> None:
        assert api.post("experiments/set-experiment-tag", experiment_id=experiment_id, key=key, **value) == {}

    set_tag("a", value="1")
    set_tag("b", value="2")
    set_tag("a", value="3")
    set_tag("no value")
    assert tags_of(api.experiment(experiment_id)) == {"a": "3", "b": "2", "no value": ""}
    assert api.post("experiments/delete-experiment-tag", experiment_id=experiment_id, key="a") == {}
    assert tags_of(api.experiment(experiment_id)) == {"b": "2", "no value": ""}
    assert api.post_refused("experiments/delete-experiment-tag", experiment_id=experiment_id, key="a") == not_there(
        f"No tag with name: a in experiment with id {experiment_id}"
    )


def test_a_tag_needs_a_key(api: Api, experiment_id: str) -> None:
    for path in ("experiments/set-experiment-tag", "experiments/delete-experiment-tag"):
        assert api.post_refused(path, experiment_id=experiment_id, value="v") == missing("key")
        assert api.post_refused(path, experiment_id=experiment_id, key="", value="v") == missing("key")
        assert api.post_refused(path, experiment_id=experiment_id, key=7) == wrong_type("key", "7", "int")


def test_an_experiment_has_50_saved_views_at_most(api: Api) -> None:
    views = {f"mlflow.customView.view{number}": "x" for number in range(50)}
    experiment_id = api.new_experiment(tags=pairs(**views))
    refused = api.post_refused(
        "experiments/set-experiment-tag", experiment_id=experiment_id, key="mlflow.customView.viewMore", value="x"
    )
    assert refused.message.startswith("Unable to create another custom view")
    # One that is there can be changed, and other tags do not count.
    api.post(
        "experiments/set-experiment-tag", experiment_id=experiment_id, key="mlflow.customView.view7", value="changed"
    )
    api.post("experiments/set-experiment-tag", experiment_id=experiment_id, key="another", value="x")
    assert len(api.experiment(experiment_id)["tags"]) == 51


# Delete and restore


def test_deleting_an_experiment_marks_it_and_its_runs(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id)
    assert api.post("experiments/delete", experiment_id=experiment_id) == {}
    assert api.experiment(experiment_id)["lifecycle_stage"] == "deleted"
    assert api.run(run_id)["info"]["lifecycle_stage"] == "deleted"
    assert api.post("experiments/restore", experiment_id=experiment_id) == {}
    assert api.experiment(experiment_id)["lifecycle_stage"] == "active"
    assert api.run(run_id)["info"]["lifecycle_stage"] == "active"


def test_restoring_an_experiment_restores_the_runs_that_were_deleted_before_it(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id)
    api.post("runs/delete", run_id=run_id)
    api.post("experiments/delete", experiment_id=experiment_id)
    api.post("experiments/restore", experiment_id=experiment_id)
    assert api.run(run_id)["info"]["lifecycle_stage"] == "active"


def test_deleting_leaves_other_experiments_alone(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    run_id = api.new_run(other)
    api.post("experiments/delete", experiment_id=experiment_id)
    assert api.experiment(other)["lifecycle_stage"] == "active"
    assert api.run(run_id)["info"]["lifecycle_stage"] == "active"


def test_an_experiment_is_deleted_and_restored_once(api: Api, experiment_id: str) -> None:
    refused = not_there(f"No Experiment with id={experiment_id} exists")
    assert api.post_refused("experiments/restore", experiment_id=experiment_id) == refused
    api.post("experiments/delete", experiment_id=experiment_id)
    assert api.post_refused("experiments/delete", experiment_id=experiment_id) == refused


def test_a_deleted_experiment_takes_no_changes(api: Api, experiment_id: str) -> None:
    api.post("experiments/delete", experiment_id=experiment_id)
    before = api.experiment(experiment_id)
    inactive = invalid(f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted.")
    tag = {"experiment_id": experiment_id, "key": "k", "value": "v"}
    assert api.post_refused("experiments/set-experiment-tag", **tag) == inactive
    assert api.post_refused("experiments/delete-experiment-tag", **tag) == inactive
    assert api.post_refused("runs/create", experiment_id=experiment_id) == inactive
    # 400, not MLflow's 500: its clients retry a 500 for minutes.
    assert api.post_refused("experiments/update", experiment_id=experiment_id, new_name=unique_name()) == Refusal(
        400, "INVALID_STATE", "Cannot rename a non-active experiment."
    )
    assert api.experiment(experiment_id) == before
