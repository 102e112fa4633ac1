"""Params, which never change, and tags, which do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, pairs, wrong_type

PARAM = "runs/log-parameter"
SET_TAG = "runs/set-tag"
DELETE_TAG = "runs/delete-tag"

BAD_CHARACTERS = (
    "Invalid value \"a?\" for parameter 'key' supplied: Names may only contain alphanumerics, underscores (_), dashes "
    "(-), periods (.), spaces ( ), colon(:) and slashes (/)."
)
PATH_LIKE = (
    "Invalid value \"a/../b\" for parameter 'key' supplied: Names may be treated as files in certain cases, and must "
    "not resolve to other names when treated as such. This name would resolve to 'b'"
)
WRONG_KEYS: list[tuple[Any, Refusal]] = [
    (None, missing("key")),
    ("", missing("key")),
    (5, wrong_type("key", "5", "int")),
    (["k"], wrong_type("key", '["k"]', "list")),
    ("a?", invalid(BAD_CHARACTERS)),
    ("a/../b", invalid(PATH_LIKE)),
]
TEXTS = ["0.1", "", " ", "日本 🚀", "line\nbreak\ttab", "\"quoted\" \\ 'text'", "%_", "x" * 6000, "null", "\x01\x7f"]


# Params


@pytest.mark.parametrize("value", TEXTS)
def test_a_param_is_read_back_as_it_was_logged(api: Api, run_id: str, value: str) -> None:
    assert api.post(PARAM, run_id=run_id, key="a/key: with.all-kinds_of", value=value) == {}
    assert api.params(run_id) == {"a/key: with.all-kinds_of": value}


def test_a_param_without_a_value_is_empty(api: Api, run_id: str) -> None:
    api.post(PARAM, run_id=run_id, key="a")
    api.post(PARAM, run_id=run_id, key="b", value=None)
    assert api.params(run_id) == {"a": "", "b": ""}


def test_a_param_keeps_its_first_value(api: Api, run_id: str) -> None:
    api.post(PARAM, run_id=run_id, key="lr", value="0.1")
    assert api.post_refused(PARAM, run_id=run_id, key="lr", value="0.2") == invalid(
        "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for run "
        f"ID='{run_id}'. Attempted logging new value '0.2'."
    )
    api.post(PARAM, run_id=run_id, key="lr", value="0.1")
    assert api.params(run_id) == {"lr": "0.1"}


def test_a_param_that_is_too_long_is_cut_as_mlflow_cuts_it(api: Api, run_id: str) -> None:
    for tail in ("", "another end"):
        api.post(PARAM, run_id=run_id, key="prompt", value="é" * 6001 + tail)
    assert api.params(run_id) == {"prompt": "é" * 6000}


def test_the_old_name_of_the_run_id_is_taken(api: Api, run_id: str) -> None:
    api.post(PARAM, run_uuid=run_id, key="k", value="v")
    api.post(SET_TAG, run_uuid=run_id, key="k", value="v")
    assert api.params(run_id) == {"k": "v"}
    assert api.tags(run_id)["k"] == "v"


@pytest.mark.parametrize(("key", "refused"), [*WRONG_KEYS, ("k" * 251, "'Param key'")])
def test_a_param_with_a_wrong_key_is_refused(api: Api, run_id: str, key: Any, refused: Any) -> None:
    if isinstance(refused, str):
        refused = invalid(f"{refused} exceeds the maximum length of 250 characters")
    assert api.post_refused(PARAM, run_id=run_id, key=key, value="v") == refused
    assert api.params(run_id) == {}


def test_a_param_is_text(api: Api, run_id: str) -> None:
    assert api.post_refused(PARAM, run_id=run_id, key="k", value=5) == wrong_type("value", "5", "int")
    assert api.params(run_id) == {}


def test_of_clients_that_disagree_about_a_param_one_wins(api: Api, run_id: str) -> None:
    def log(number: int) -> int:
        return api.send("POST", PARAM, json={"run_id": run_id, "key": "k", "value": str(number)}).status_code

    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(log, range(24)))
    assert sorted(statuses) == [200] + [400] * 23
    assert api.params(run_id) == {"k": str(statuses.index(200))}


# Tags


@pytest.mark.parametrize("value", TEXTS)
def test_a_tag_is_read_back_as_it_was_set(api: Api, run_id: str, value: str) -> None:
    assert api.post(SET_TAG, run_id=run_id, key="a/key: with.all-kinds_of", value=value) == {}
    assert api.tags(run_id)["a/key: with.all-kinds_of"] == value


def test_a_tag_is_overwritten(api: Api, run_id: str) -> None:
    for value in ("1", "2", ""):
        api.post(SET_TAG, run_id=run_id, key="k", value=value)
        assert api.tags(run_id)["k"] == value


def test_a_tag_that_is_too_long_is_cut_as_mlflow_cuts_it(api: Api, run_id: str) -> None:
    api.post(SET_TAG, run_id=run_id, key="note", value="é" * 8001)
    assert api.tags(run_id)["note"] == "é" * 8000


def test_the_tag_of_the_name_renames_the_run(api: Api, run_id: str) -> None:
    api.post(SET_TAG, run_id=run_id, key="mlflow.runName", value="renamed")
    assert api.run(run_id)["info"]["run_name"] == "renamed"
    # MLflow takes no empty name this way.
    api.post(SET_TAG, run_id=run_id, key="mlflow.runName", value="")
    assert api.run(run_id)["info"]["run_name"] == api.tags(run_id)["mlflow.runName"] == "renamed"


def test_a_tag_is_deleted_once(api: Api, run_id: str) -> None:
    before = api.tags(run_id)
    api.post(SET_TAG, run_id=run_id, key="k", value="v")
    assert api.post(DELETE_TAG, run_id=run_id, key="k") == {}
    assert api.tags(run_id) == before
    assert api.post_refused(DELETE_TAG, run_id=run_id, key="k") == not_there(
        f"No tag with name: k in run with id {run_id}"
    )


def test_deleting_the_tag_of_the_name_leaves_the_name(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id, run_name="kept")
    api.post(DELETE_TAG, run_id=run_id, key="mlflow.runName")
    assert api.run(run_id)["info"]["run_name"] == "kept"
    assert api.tags(run_id) == {}


@pytest.mark.parametrize(("key", "refused"), [*WRONG_KEYS, ("k" * 251, "'key'")])
def test_a_tag_with_a_wrong_key_is_refused(api: Api, run_id: str, key: Any, refused: Any) -> None:
    if isinstance(refused, str):
        refused = invalid(f"{refused} exceeds the maximum length of 250 characters")
    before = api.tags(run_id)
    assert api.post_refused(SET_TAG, run_id=run_id, key=key, value="v") == refused
    assert api.tags(run_id) == before


def test_tags_and_params_of_two_runs_are_apart(api: Api, experiment_id: str) -> None:
    one, other = (api.new_run(experiment_id, run_name="n") for _ in range(2))
    api.post("runs/log-batch", run_id=one, params=pairs(p="1"), tags=pairs(t="1"))
    api.post("runs/log-batch", run_id=other, params=pairs(p="2"), tags=pairs(t="2"))
    api.post(DELETE_TAG, run_id=other, key="t")
    assert (api.params(one), api.params(other)) == ({"p": "1"}, {"p": "2"})
    assert (api.tags(one), api.tags(other)) == ({"t": "1", "mlflow.runName": "n"}, {"mlflow.runName": "n"})
