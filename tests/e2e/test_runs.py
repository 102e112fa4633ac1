"""Runs: create, read, update, delete, restore."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, not_there, pairs, wrong_type

NO_SUCH_RUN = "0" * 32


# Create and read


def test_a_run_is_read_back_as_it_was_created(api: Api, experiment_id: str) -> None:
    created = api.post(
        "runs/create",
        experiment_id=experiment_id,
        user_id="ann",
        run_name="first try",
        start_time=1_700_000_000_123,
        tags=pairs(team="blue", empty=""),
    )["run"]
    run_id = created["info"]["run_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", run_id)
    assert created["info"] == {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_name": "first try",
        "experiment_id": experiment_id,
        "user_id": "ann",
        "status": "RUNNING",
        "start_time": 1_700_000_000_123,
        "artifact_uri": f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts",
        "lifecycle_stage": "active",
    }
    assert api.run(run_id)["info"] == created["info"]
    assert api.tags(run_id) == {"team": "blue", "empty": "", "mlflow.runName": "first try"}
    assert api.run(run_id)["inputs"] == {}
    assert api.run(run_id)["outputs"] == {}


def test_a_run_that_says_nothing_gets_a_name_of_its_own(api: Api, experiment_id: str) -> None:
    run = api.post("runs/create", experiment_id=experiment_id)["run"]
    name = run["info"]["run_name"]
    assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9]{1,3}", name)
    assert run["data"]["tags"] == pairs(**{"mlflow.runName": name})
    assert (run["info"]["start_time"], run["info"]["user_id"]) == (0, "")


def test_a_run_without_an_experiment_belongs_to_the_default_one(api: Api) -> None:
    assert api.post("runs/create")["run"]["info"]["experiment_id"] == "0"


def test_the_name_of_a_run_may_come_as_its_tag(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id, tags=pairs(**{"mlflow.runName": "tagged"}))
    assert api.run(run_id)["info"]["run_name"] == "tagged"
    same = api.new_run(experiment_id, run_name="tagged", tags=pairs(**{"mlflow.runName": "tagged"}))
    assert api.tags(same) == {"mlflow.runName": "tagged"}
    assert api.post_refused(
        "runs/create", experiment_id=experiment_id, run_name="one", tags=pairs(**{"mlflow.runName": "other"})
    ) == invalid(
        "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
        "(run_name='one', mlflow.runName='other')."
    )


def test_a_run_is_created_with_tags_whose_keys_hold_any_characters(api: Api, experiment_id: str) -> None:
    tags = {"a=b?": "1", "user@example.org": "2", "../up": "3", "🚀": "4"}
    assert api.tags(api.new_run(experiment_id, run_name="n", tags=pairs(**tags))) == tags | {"mlflow.runName": "n"}


def test_a_run_is_created_with_long_tags_cut(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id, tags=pairs(long="v" * 9000))
    assert api.tags(run_id)["long"] == "v" * 8000


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"tags": [{"value": "v"}]}, missing("tags[0].key")),
        ({"tags": pairs(**{"k" * 251: "v"})}, invalid("'tags[0].key' exceeds the maximum length of 250 characters")),
        ({"user_id": "u" * 257}, invalid("'user_id' exceeds the maximum length of 256 characters")),
        ({"run_name": "n" * 8001}, invalid("'run_name' exceeds the maximum length of 8000 characters")),
        ({"start_time": "soon"}, wrong_type("start_time", '"soon"', "str")),
        ({"start_time": 1.5}, wrong_type("start_time", "1.5", "float")),
        ({"start_time": 2**63}, wrong_type("start_time", str(2**63), "int")),
        ({"tags": "x"}, wrong_type("tags", '"x"', "str")),
        ({"tags": ["x"]}, wrong_type("tags[0]", '"x"', "str")),
    ],
)
def test_a_run_with_a_wrong_field_is_refused(
    api: Api, experiment_id: str, fields: dict[str, Any], refused: Refusal
) -> None:
    assert api.post_refused("runs/create", experiment_id=experiment_id, **fields) == refused
    assert api.post("runs/search", experiment_ids=[experiment_id]) == {"runs": []}


def test_a_run_is_read_by_the_old_name_of_its_id(api: Api, run_id: str) -> None:
    assert api.get("runs/get", run_uuid=run_id)["run"] == api.run(run_id)
    assert api.get("runs/get", run_id=run_id, run_uuid=NO_SUCH_RUN)["run"] == api.run(run_id)


def test_reading_a_run_needs_an_id_that_is_there(api: Api) -> None:
    assert api.get_refused("runs/get") == missing("run_id")
    assert api.get_refused("runs/get", run_id="") == missing("run_id")
    assert api.get_refused("runs/get", run_id=NO_SUCH_RUN) == not_there(f"Run with id={NO_SUCH_RUN} not found")


def test_a_run_shows_all_that_was_logged_to_it(api: Api, run_id: str) -> None:
    api.post(
        "runs/log-batch",
        run_id=run_id,
        metrics=[metric("loss", 0.5, 10, 1), metric("acc", 0.9, 10, 1)],
        params=pairs(lr="0.1"),
        tags=pairs(env="dev"),
    )
    data = api.run(run_id)["data"]
    assert sorted(data["metrics"], key=lambda m: m["key"]) == [metric("acc", 0.9, 10, 1), metric("loss", 0.5, 10, 1)]
    assert data["params"] == pairs(lr="0.1")
    assert pairs(env="dev")[0] in data["tags"]


# Update


def test_updating_changes_what_is_given_and_nothing_else(api: Api, run_id: str) -> None:
    before = api.run(run_id)
    answer = api.post("runs/update", run_id=run_id, status="FINISHED", end_time="1700000000456")
    assert answer == {"run_info": before["info"] | {"status": "FINISHED", "end_time": 1_700_000_000_456}}
    assert api.run(run_id) == before | {"info": answer["run_info"]}
    assert api.post("runs/update", run_id=run_id) == answer
    assert api.post("runs/update", run_uuid=run_id, status="FAILED")["run_info"]["end_time"] == 1_700_000_000_456


@pytest.mark.parametrize(
    ("status", "expected"),
    [("SCHEDULED", "SCHEDULED"), ("KILLED", "KILLED"), (1, "RUNNING"), (3, "FINISHED"), ("4", "FAILED")],
)
def test_a_status_comes_as_its_name_or_number(api: Api, run_id: str, status: Any, expected: str) -> None:
    assert api.post("runs/update", run_id=run_id, status=status)["run_info"]["status"] == expected


def test_renaming_a_run_changes_its_tag_too(api: Api, run_id: str) -> None:
    assert api.post("runs/update", run_id=run_id, run_name="new")["run_info"]["run_name"] == "new"
    assert api.tags(run_id)["mlflow.runName"] == "new"
    api.post("runs/update", run_id=run_id, run_name="")
    assert api.run(run_id)["info"]["run_name"] == "new"


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"status": "DONE"}, wrong_type("status", '"DONE"', "str")),
        ({"status": 9}, wrong_type("status", "9", "int")),
        ({"end_time": 1.5}, wrong_type("end_time", "1.5", "float")),
        ({"run_name": "n" * 8001}, invalid("'run_name' exceeds the maximum length of 8000 characters")),
    ],
)
def test_a_wrong_update_changes_nothing(api: Api, run_id: str, fields: dict[str, Any], refused: Refusal) -> None:
    before = api.run(run_id)
    assert api.post_refused("runs/update", run_id=run_id, **({"end_time": 5} | fields)) == refused
    assert api.run(run_id) == before


# Delete and restore


def test_a_run_is_deleted_and_restored(api: Api, run_id: str) -> None:
    before = api.run(run_id)
    for _ in range(2):
        assert api.post("runs/delete", run_id=run_id) == {}
        assert api.run(run_id)["info"] == before["info"] | {"lifecycle_stage": "deleted"}
    for _ in range(2):
        assert api.post("runs/restore", run_id=run_id) == {}
        assert api.run(run_id) == before


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("runs/update", {"status": "FINISHED"}),
    ("runs/log-metric", {"key": "k", "value": 1, "timestamp": 1}),
    ("runs/log-parameter", {"key": "k", "value": "v"}),
    ("runs/set-tag", {"key": "k", "value": "v"}),
    ("runs/delete-tag", {"key": "k"}),
    ("runs/log-batch", {"params": pairs(k="v")}),
    ("runs/log-batch", {}),
    ("runs/log-inputs", {"models": [{"model_id": "m-1"}]}),
    ("runs/outputs", {"models": [{"model_id": "m-1"}]}),
]


@pytest.mark.parametrize(("path", "fields"), WRITES)
def test_a_deleted_run_takes_no_changes(api: Api, run_id: str, path: str, fields: dict[str, Any]) -> None:
    api.post("runs/delete", run_id=run_id)
    before = api.run(run_id)
    assert api.post_refused(path, run_id=run_id, **fields) == invalid(
        f"The run {run_id} must be in the 'active' state. Current state is deleted."
    )
    assert api.run(run_id) == before


@pytest.mark.parametrize(("path", "fields"), [*WRITES, ("runs/delete", {}), ("runs/restore", {})])
def test_a_run_that_is_not_there_is_a_404(api: Api, path: str, fields: dict[str, Any]) -> None:
    assert api.post_refused(path, run_id=NO_SUCH_RUN, **fields) == not_there(f"Run with id={NO_SUCH_RUN} not found")
    assert api.post_refused(path, **fields) == missing("run_id")


# The models that MLflow 2 clients log

MODEL = (
    '{"artifact_path": "model", "run_id": "r", "utc_time_created": "2026-01-01", "model_uuid": "u", '
    '"flavors": {"python_function": {"config": {"secret": 1}, "loader": "x"}}, "signature": "left out"}'
)


def test_a_logged_model_is_kept_in_the_history_tag(api: Api, run_id: str) -> None:
    kept = (
        '{"run_id":"r","artifact_path":"model","utc_time_created":"2026-01-01","model_uuid":"u",'
        '"flavors":{"python_function":{"loader":"x"}}}'
    )
    assert api.post("runs/log-model", run_id=run_id, model_json=MODEL) == {}
    assert api.tags(run_id)["mlflow.log-model.history"] == f"[{kept}]"
    api.post("runs/log-model", run_id=run_id, model_json=MODEL)
    assert api.tags(run_id)["mlflow.log-model.history"] == f"[{kept},{kept}]"


def test_a_logged_model_that_is_none_is_refused(api: Api, run_id: str) -> None:
    for text in ("{", "[]", '{"flavors": 5}'):
        assert api.post_refused("runs/log-model", run_id=run_id, model_json=text) == invalid(
            f"Malformed model info. \n {text} \n is not a valid JSON."
        )
    assert api.post_refused("runs/log-model", run_id=run_id, model_json="{}") == invalid(
        "Model json is missing mandatory fields: ['artifact_path', 'flavors', 'run_id', 'utc_time_created']"
    )
    assert "mlflow.log-model.history" not in api.tags(run_id)
