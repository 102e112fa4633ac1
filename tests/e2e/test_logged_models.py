"""Logged models: create, read, finalize, delete; their params, tags, metrics and artifacts. (Search is elsewhere.)"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, not_there, pairs, refusal, wrong_type

PATH = "logged-models"
NO_SUCH_MODEL = f"m-{'0' * 32}"
NOT_FOUND = not_there(f"Logged model with ID '{NO_SUCH_MODEL}' not found.")


def new_model(api: Api, experiment_id: str, **fields: Any) -> str:
    model_id: str = api.post(PATH, experiment_id=experiment_id, **fields)["model"]["info"]["model_id"]
    return model_id


def get(api: Api, model_id: str, **fields: Any) -> Any:
    return api.get(f"{PATH}/{model_id}", **fields)["model"]


def patch(api: Api, path: str, **fields: Any) -> Any:
    response = api.send("PATCH", f"{PATH}/{path}", json=fields)
    assert response.status_code == 200, response.text
    return response.json()


def patch_refused(api: Api, path: str, **fields: Any) -> Refusal:
    return refusal(api.send("PATCH", f"{PATH}/{path}", json=fields))


def delete(api: Api, path: str, **options: Any) -> None:
    response = api.send("DELETE", f"{PATH}/{path}", **options)
    assert (response.status_code, response.json()) == (200, {}), response.text


def params(api: Api, model_id: str) -> dict[str, str]:
    return {param["key"]: param["value"] for param in get(api, model_id)["data"].get("params", [])}


def tags(api: Api, model_id: str) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in get(api, model_id)["info"].get("tags", [])}


def metrics(api: Api, model_id: str) -> list[Any]:
    found: list[Any] = get(api, model_id)["data"].get("metrics", [])
    return found


@pytest.fixture
def model_id(api: Api, experiment_id: str) -> str:
    """A new model."""
    return new_model(api, experiment_id)


# Create and read


def test_a_model_is_read_back_as_it_was_created(api: Api, experiment_id: str, run_id: str) -> None:
    created = api.post(
        PATH,
        experiment_id=experiment_id,
        name="my model",
        model_type="agent",
        source_run_id=run_id,
        params=pairs(temperature="0.7", empty=""),
        tags=pairs(team="blue"),
    )["model"]
    info = created["info"]
    assert re.fullmatch(r"m-[0-9a-f]{32}", info["model_id"])
    assert info["last_updated_timestamp_ms"] == info["creation_timestamp_ms"]
    assert info == {
        "model_id": info["model_id"],
        "experiment_id": experiment_id,
        "name": "my model",
        "creation_timestamp_ms": info["creation_timestamp_ms"],
        "last_updated_timestamp_ms": info["creation_timestamp_ms"],
        "artifact_uri": f"mlflow-artifacts:/{experiment_id}/models/{info['model_id']}/artifacts",
        "status": "LOGGED_MODEL_PENDING",
        "model_type": "agent",
        "source_run_id": run_id,
        "tags": pairs(team="blue"),
    }
    assert created["data"] == {"params": pairs(empty="", temperature="0.7")}
    assert get(api, info["model_id"]) == created


@pytest.mark.parametrize("fields", [{}, {"name": ""}])
def test_a_model_without_a_name_gets_one(api: Api, experiment_id: str, fields: dict[str, str]) -> None:
    info = api.post(PATH, experiment_id=experiment_id, **fields)["model"]["info"]
    assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9]{1,3}", info["name"])
    assert (info["model_type"], info["source_run_id"]) == ("", "")


def test_the_artifacts_of_a_model_go_below_the_location_of_its_experiment(api: Api) -> None:
    experiment_id = api.new_experiment(artifact_location="s3://bucket/somewhere")
    info = api.post(PATH, experiment_id=experiment_id)["model"]["info"]
    assert info["artifact_uri"] == f"s3://bucket/somewhere/models/{info['model_id']}/artifacts"


def name_refused(name: str) -> Refusal:
    return invalid(
        f"Invalid model name ({name!r}) provided. Model name must be a non-empty string and cannot contain the "
        "following characters: ('/', ':', '.', '%', '\"', \"'\")"
    )


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"experiment_id": ""}, missing("experiment_id")),
        ({"experiment_id": "x"}, invalid("Invalid experiment ID 'x'. Experiment ID must be a valid integer.")),
        ({"experiment_id": "987654321"}, not_there("No Experiment with id=987654321 exists")),
        *(({"name": name}, name_refused(name)) for name in ("a/b", "a:b", "a.b", "a%b", 'a"b', "a'b")),
        ({"name": "n" * 501}, invalid("'name' exceeds the maximum length of 500 characters")),
        ({"model_type": "t" * 501}, invalid("'model_type' exceeds the maximum length of 500 characters")),
        ({"source_run_id": "r" * 257}, invalid("'source_run_id' exceeds the maximum length of 256 characters")),
        ({"params": [{"value": "v"}]}, missing("params[0].key")),
        ({"params": pairs(**{"k" * 256: ""})}, invalid("'params[0].key' exceeds the maximum length of 255 characters")),
        ({"tags": pairs(**{"k" * 256: ""})}, invalid("'tags[0].key' exceeds the maximum length of 255 characters")),
        ({"params": pairs(a="1") + pairs(a="2")}, invalid("The key 'a' stands in 'params' more than once")),
        ({"tags": pairs(a="1") + pairs(a="2")}, invalid("The key 'a' stands in 'tags' more than once")),
        ({"params": {"a": 1}}, wrong_type("params", '{"a":1}', "dict")),
    ],
)
def test_what_no_model_can_be_is_refused(
    api: Api, experiment_id: str, fields: dict[str, Any], refused: Refusal
) -> None:
    assert api.post_refused(PATH, **({"experiment_id": experiment_id} | fields)) == refused


def test_a_deleted_experiment_takes_no_new_models(api: Api, experiment_id: str, model_id: str) -> None:
    api.post("experiments/delete", experiment_id=experiment_id)
    assert api.post_refused(PATH, experiment_id=experiment_id) == invalid(
        f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted."
    )
    assert get(api, model_id)["info"]["model_id"] == model_id


# Status


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("LOGGED_MODEL_READY", "LOGGED_MODEL_READY"),
        ("LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_UPLOAD_FAILED"),
        ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_PENDING"),
        (1, "LOGGED_MODEL_PENDING"),
        (2, "LOGGED_MODEL_READY"),
        ("3", "LOGGED_MODEL_UPLOAD_FAILED"),
    ],
)
def test_a_model_is_finalized_by_the_name_or_number_of_its_status(
    api: Api, model_id: str, status: Any, shown: str
) -> None:
    before = get(api, model_id)
    finalized = patch(api, model_id, model_id=model_id, status=status)["model"]
    assert finalized["info"]["status"] == shown
    assert finalized["info"]["last_updated_timestamp_ms"] >= before["info"]["last_updated_timestamp_ms"]
    assert finalized["info"]["creation_timestamp_ms"] == before["info"]["creation_timestamp_ms"]
    assert get(api, model_id) == finalized


def test_a_status_that_is_none_is_refused(api: Api, model_id: str) -> None:
    assert patch_refused(api, model_id) == missing("status")
    assert patch_refused(api, model_id, status="READY") == wrong_type("status", '"READY"', "str")
    assert patch_refused(api, model_id, status=0) == wrong_type("status", "0", "int")
    assert get(api, model_id)["info"]["status"] == "LOGGED_MODEL_PENDING"


def test_the_path_says_which_model_is_meant(api: Api, experiment_id: str, model_id: str) -> None:
    other = new_model(api, experiment_id)
    patch(api, model_id, model_id=other, status="LOGGED_MODEL_READY")
    assert get(api, other)["info"]["status"] == "LOGGED_MODEL_PENDING"


# Params


def test_params_are_added_and_keep_their_first_value(api: Api, experiment_id: str) -> None:
    model_id = new_model(api, experiment_id, params=pairs(a="1"))
    many = {f"p{number}": "x" * number for number in range(300)}
    assert api.post(f"{PATH}/{model_id}/params", model_id=model_id, params=pairs(**many)) == {}
    assert api.post(f"{PATH}/{model_id}/params", params=pairs(a="1", b="2")) == {}
    assert params(api, model_id) == {"a": "1", "b": "2"} | many
    changed = api.post_refused(f"{PATH}/{model_id}/params", params=pairs(new="x", a="changed"))
    assert changed == invalid(
        "Changing param values is not allowed. Param with key='a' was already logged with value='1' for model "
        f"ID='{model_id}'. Attempted logging new value 'changed'."
    )
    assert params(api, model_id) == {"a": "1", "b": "2"} | many


def test_wrong_params_are_refused_all_together(api: Api, model_id: str) -> None:
    path = f"{PATH}/{model_id}/params"
    assert api.post_refused(path, params=pairs(a="1", **{"k" * 256: "v"})) == invalid(
        "'params[1].key' exceeds the maximum length of 255 characters"
    )
    assert api.post_refused(path, params=pairs(a="v" * 1_048_577)) == invalid(
        "'params[0].value' exceeds the maximum length of 1048576 characters"
    )
    assert api.post_refused(path, params=pairs(a="1") + pairs(a="1")) == invalid(
        "The key 'a' stands in 'params' more than once"
    )
    assert params(api, model_id) == {}
    assert api.post(path) == {}


# Tags


def test_tags_are_set_overwritten_and_deleted(api: Api, experiment_id: str) -> None:
    model_id = new_model(api, experiment_id, tags=pairs(a="1", b="2"))
    assert patch(api, f"{model_id}/tags", tags=pairs(b="3", c="4") + pairs(c="5")) == {}
    assert tags(api, model_id) == {"a": "1", "b": "3", "c": "5"}
    delete(api, f"{model_id}/tags/b")
    assert tags(api, model_id) == {"a": "1", "c": "5"}
    assert refusal(api.send("DELETE", f"{PATH}/{model_id}/tags/b")) == not_there(
        f"No tag with key 'b' found for model with ID '{model_id}'."
    )


def test_a_tag_with_a_slash_in_its_key_can_be_deleted(api: Api, model_id: str) -> None:
    patch(api, f"{model_id}/tags", tags=pairs(**{"a/b c": "1", "a": "2"}))
    delete(api, f"{model_id}/tags/a/b c")
    assert tags(api, model_id) == {"a": "2"}


def test_wrong_tags_are_refused_all_together(api: Api, model_id: str) -> None:
    assert patch_refused(api, f"{model_id}/tags", tags=[*pairs(a="1"), {"value": "v"}]) == missing("tags[1].key")
    assert patch_refused(api, f"{model_id}/tags", tags=pairs(a="1", **{"k" * 256: "v"})) == invalid(
        "'tags[1].key' exceeds the maximum length of 255 characters"
    )
    assert tags(api, model_id) == {}
    assert patch(api, f"{model_id}/tags") == {}


# Deletion


def test_a_deleted_model_is_only_shown_on_demand(api: Api, model_id: str) -> None:
    before = get(api, model_id)["info"]
    delete(api, model_id, params={"model_id": model_id})
    gone = not_there(f"Logged model with ID '{model_id}' not found.")
    assert api.get_refused(f"{PATH}/{model_id}") == gone
    assert api.get_refused(f"{PATH}/{model_id}", allow_deleted="false") == gone
    assert api.get_refused(f"{PATH}/{model_id}/artifacts/directories") == gone
    assert api.get_refused(f"{PATH}/{model_id}/artifacts/files", artifact_file_path="x") == gone
    shown = get(api, model_id, allow_deleted="true")["info"]
    assert shown | {"last_updated_timestamp_ms": 0} == before | {"last_updated_timestamp_ms": 0}


def test_a_deleted_model_can_still_be_written_to_and_deleted(api: Api, run_id: str, model_id: str) -> None:
    delete(api, model_id)
    delete(api, model_id)
    patch(api, f"{model_id}/tags", tags=pairs(a="1"))
    patch(api, model_id, status="LOGGED_MODEL_READY")
    api.post("runs/log-metric", run_id=run_id, model_id=model_id, **metric("acc", 1))
    model = get(api, model_id, allow_deleted="true")
    assert (model["info"]["status"], model["info"]["tags"]) == ("LOGGED_MODEL_READY", pairs(a="1"))
    assert len(model["data"]["metrics"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"status": "LOGGED_MODEL_READY"}),
        ("DELETE", "", None),
        ("PATCH", "/tags", {"tags": pairs(a="1")}),
        ("DELETE", "/tags/a", None),
        ("POST", "/params", {"params": pairs(a="1")}),
        ("GET", "/artifacts/directories", None),
        ("GET", "/artifacts/files?artifact_file_path=x", None),
    ],
)
def test_a_model_that_does_not_exist_is_not_found(api: Api, method: str, path: str, body: Any) -> None:
    assert refusal(api.send(method, f"{PATH}/{NO_SUCH_MODEL}{path}", json=body)) == NOT_FOUND


# Metrics


def test_every_point_that_was_logged_for_a_model_is_shown_with_it(api: Api, run_id: str, model_id: str) -> None:
    on_dataset = {"dataset_name": "ds", "dataset_digest": "abc"}
    api.post("runs/log-metric", run_id=run_id, model_id=model_id, **metric("acc", 0.5, 10, 1), **on_dataset)
    points = [metric("acc", 0.25, 20, 2), metric("acc", 0.75, 20, 2), metric("loss", "NaN"), metric("big", "Infinity")]
    others = [metric("of the run", 1), metric("acc", 0.9, 30, 3) | {"model_id": ""}]
    batch = [point | {"model_id": model_id} for point in points]
    api.post("runs/log-batch", run_id=run_id, metrics=batch + others)
    known = {"model_id": model_id, "run_id": run_id}
    assert metrics(api, model_id) == [
        metric("acc", 0.5, 10, 1) | known | on_dataset,
        metric("acc", 0.25, 20, 2) | known,
        metric("acc", 0.75, 20, 2) | known,
        metric("big", 1.7976931348623157e308) | known,
        metric("loss", "NaN") | known,
    ]
    assert set(api.metrics(run_id)) == {"acc", "loss", "big", "of the run"}


def test_a_point_that_is_logged_again_changes_nothing(api: Api, run_id: str, model_id: str) -> None:
    point = metric("acc", 0.5, 10, 1) | {"model_id": model_id, "dataset_name": "ds", "dataset_digest": "abc"}
    for _ in range(2):
        api.post("runs/log-metric", run_id=run_id, **point)
        api.post("runs/log-batch", run_id=run_id, metrics=[point, point])
    assert len(metrics(api, model_id)) == 1


def test_the_same_point_on_two_datasets_is_two_points(api: Api, run_id: str, model_id: str) -> None:
    point = metric("acc", 1.0, 10) | {"model_id": model_id, "dataset_digest": "abc"}
    api.post("runs/log-batch", run_id=run_id, metrics=[point | {"dataset_name": name} for name in ("one", "two")])
    assert sorted(found["dataset_name"] for found in metrics(api, model_id)) == ["one", "two"]


def test_a_metric_of_a_model_that_does_not_exist_is_refused_with_its_batch(
    api: Api, run_id: str, model_id: str
) -> None:
    refused = invalid(
        f"Invalid value \"{NO_SUCH_MODEL}\" for parameter 'model_id' supplied: "
        f"Logged model with ID '{NO_SUCH_MODEL}' not found."
    )
    assert api.post_refused("runs/log-metric", run_id=run_id, model_id=NO_SUCH_MODEL, **metric("acc", 1)) == refused
    batch = [metric("acc", 1), metric("acc", 1) | {"model_id": model_id}, metric("x", 1) | {"model_id": NO_SUCH_MODEL}]
    assert api.post_refused("runs/log-batch", run_id=run_id, params=pairs(p="1"), metrics=batch) == refused
    assert (api.metrics(run_id), api.params(run_id), metrics(api, model_id)) == ({}, {}, [])


def test_an_answer_holds_no_more_than_the_newest_25_000_points(api: Api, run_id: str, model_id: str) -> None:
    for start in range(0, 26_000, 1000):
        batch = [metric("loss", step, step, step) | {"model_id": model_id} for step in range(start, start + 1000)]
        api.post("runs/log-batch", run_id=run_id, metrics=batch)
    assert [point["step"] for point in metrics(api, model_id)] == list(range(1000, 26_000))


# Runs that used or made a model


def test_runs_are_found_by_the_name_of_a_model_they_used_or_made(api: Api, experiment_id: str) -> None:
    used, made, neither = (api.new_run(experiment_id) for _ in range(3))
    first, second = (new_model(api, experiment_id, name=name) for name in ("first model", "second model"))
    api.post("runs/log-inputs", run_id=used, models=[{"model_id": first}])
    api.post("runs/outputs", run_id=made, models=[{"model_id": first, "step": 3}, {"model_id": second}])
    api.post("runs/log-inputs", run_id=neither, models=[{"model_id": NO_SUCH_MODEL}])

    def found(filter: str) -> set[str]:
        answer = api.post("runs/search", experiment_ids=[experiment_id], filter=filter)
        return {run["info"]["run_id"] for run in answer["runs"]}

    assert found("models.name = 'first model'") == {used, made}
    assert found("model.name LIKE 'second%'") == {made}
    assert found("models.name IN ('second model', 'other')") == {made}
    assert found("models.name != 'first model'") == {made}
    assert found("models.name = 'no model'") == set()


# Artifacts


def test_the_artifacts_of_a_model_are_listed_and_downloaded(api: Api, experiment_id: str, model_id: str) -> None:
    root = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/models/{model_id}/artifacts"
    for path, content in (("MLmodel", b"flavors: {}"), ("data/a file.bin", b"\0\1\2")):
        assert api.send("PUT", f"{root}/{path}", content=content).status_code == 200
    uri = get(api, model_id)["info"]["artifact_uri"]
    listing = f"{PATH}/{model_id}/artifacts/directories"
    files = [{"path": "MLmodel", "is_dir": False, "file_size": 11}, {"path": "data", "is_dir": True}]
    assert api.get(listing) == {"root_uri": uri, "files": files}
    below = [{"path": "data/a file.bin", "is_dir": False, "file_size": 3}]
    assert api.get(listing, artifact_directory_path="data") == {"root_uri": uri, "files": below}
    download = f"/ajax-api/2.0/mlflow/{PATH}/{model_id}/artifacts/files"
    response = api.send("GET", download, params={"artifact_file_path": "data/a file.bin"})
    assert (response.status_code, response.content) == (200, b"\0\1\2")


@pytest.mark.parametrize("path", ["../secret", "..", "a/../../b", "%2e%2e/x", "a\\..\\b"])
def test_no_path_leads_out_of_a_model(api: Api, model_id: str, path: str) -> None:
    for endpoint, field in (("directories", "artifact_directory_path"), ("files", "artifact_file_path")):
        assert api.get_refused(f"{PATH}/{model_id}/artifacts/{endpoint}", **{field: path}) == invalid("Invalid path")


def test_a_download_needs_the_path_of_a_file_that_is_there(api: Api, model_id: str) -> None:
    path = f"{PATH}/{model_id}/artifacts/files"
    assert api.get_refused(path) == Refusal(
        400, "BAD_REQUEST", 'Request must include the "artifact_file_path" query parameter.'
    )
    assert api.get_refused(path, artifact_file_path="nothing").status == 404
    assert api.get(f"{PATH}/{model_id}/artifacts/directories")["files"] == []
