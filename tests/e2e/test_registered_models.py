"""Registered models: create, read, rename, delete; their descriptions, tags and aliases. (Search is elsewhere.)"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, pairs, unique_name
from tests.e2e.registry import (
    IS_PROMPT,
    MODELS,
    VERSIONS,
    change,
    change_refused,
    model,
    new_model,
    new_version,
    numbers,
    tags,
    version,
)


@pytest.fixture
def name(api: Api) -> str:
    """A new model."""
    return new_model(api)


def exists(message: str) -> Refusal:
    return Refusal(400, "RESOURCE_ALREADY_EXISTS", message)


# Create and read


def test_a_model_is_read_back_as_it_was_created(api: Api) -> None:
    name = unique_name("modèle")
    before = int(time.time() * 1000)
    created = api.post(f"{MODELS}/create", name=name, description="what it is", tags=pairs(team="blue", empty=""))[
        "registered_model"
    ]
    assert before <= created["creation_timestamp"] == created["last_updated_timestamp"]
    assert created == {
        "name": name,
        "creation_timestamp": created["creation_timestamp"],
        "last_updated_timestamp": created["creation_timestamp"],
        "description": "what it is",
        "tags": [{"key": "empty", "value": ""}, {"key": "team", "value": "blue"}],
    }
    assert model(api, name) == created


def test_a_model_without_anything_has_its_name_and_times_only(api: Api, name: str) -> None:
    assert set(model(api, name)) == {"name", "creation_timestamp", "last_updated_timestamp"}


def test_of_a_tag_that_is_given_twice_the_last_value_counts(api: Api) -> None:
    name = new_model(api, tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}])
    assert tags(model(api, name)) == {"k": "2"}


def test_models_and_prompts_share_their_names(api: Api, name: str) -> None:
    prompt = new_model(api, tags=[IS_PROMPT])
    create = f"{MODELS}/create"
    taken = "but the name is already taken by a"
    hint = "MLflow does not allow creating a model and a prompt with the same name."
    assert api.post_refused(create, name=name) == exists(f"Registered Model (name={name}) already exists.")
    assert api.post_refused(create, name=prompt, tags=[IS_PROMPT]) == exists(f"Prompt (name={prompt}) already exists.")
    assert api.post_refused(create, name=name, tags=[IS_PROMPT]) == exists(
        f"Tried to create a prompt with name '{name}', {taken} registered model. {hint}"
    )
    assert api.post_refused(create, name=prompt) == exists(
        f"Tried to create a registered model with name '{prompt}', {taken} prompt. {hint}"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("  ", "Missing value for required parameter 'name'."),
        ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ("a:b", "Invalid model name 'a:b'. Names cannot contain '/' or ':'."),
        ("x" * 257, "'name' exceeds the maximum length of 256 characters"),
        (
            "..",
            "Invalid value \"..\" for parameter 'name' supplied: Names may be treated as files in certain cases, and "
            "must not resolve to other names when treated as such. This name would resolve to '..'",
        ),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(api: Api, name: str, problem: str) -> None:
    assert api.post_refused(f"{MODELS}/create", name=name) == invalid(problem)
    assert api.get_refused(f"{MODELS}/get", name=name) == invalid(problem)


def test_a_model_needs_a_name(api: Api) -> None:
    assert api.post_refused(f"{MODELS}/create") == missing("name")
    assert api.get_refused(f"{MODELS}/get") == missing("name")


def test_descriptions_and_tags_past_their_limits_are_refused(api: Api) -> None:
    for fields, problem in (
        ({"description": "x" * 5_001}, "'description' exceeds the maximum length of 5000 characters"),
        ({"tags": pairs(k="x" * 100_001)}, "'value' exceeds the maximum length of 100000 characters"),
        ({"tags": [{"key": "x" * 251}]}, "'key' exceeds the maximum length of 250 characters"),
    ):
        assert api.post_refused(f"{MODELS}/create", name=unique_name(), **fields) == invalid(problem)


def test_what_is_not_there_is_said_to_be_so_by_every_endpoint(api: Api) -> None:
    name = unique_name("nobody")
    problem = not_there(f"Registered Model with name={name} not found")
    assert api.get_refused(f"{MODELS}/get", name=name) == problem
    assert change_refused(api, "PATCH", f"{MODELS}/update", name=name, description="d") == problem
    assert api.post_refused(f"{MODELS}/rename", name=name, new_name="other") == problem
    assert change_refused(api, "DELETE", f"{MODELS}/delete", name=name) == problem
    assert api.post_refused(f"{MODELS}/get-latest-versions", name=name) == problem
    assert api.post_refused(f"{MODELS}/set-tag", name=name, key="k", value="v") == problem
    assert change_refused(api, "DELETE", f"{MODELS}/delete-tag", name=name, key="k") == problem
    assert change_refused(api, "DELETE", f"{MODELS}/alias", name=name, alias="a") == problem
    assert api.get_refused(f"{MODELS}/alias", name=name, alias="a") == problem
    no_version = not_there(f"Model Version (name={name}, version=1) not found")
    assert api.post_refused(f"{MODELS}/alias", name=name, alias="a", version="1") == no_version


# Change


def test_a_description_is_set_and_taken_away(api: Api, name: str) -> None:
    changed = change(api, "PATCH", f"{MODELS}/update", name=name, description="better")["registered_model"]
    assert changed["description"] == "better"
    assert changed["last_updated_timestamp"] >= changed["creation_timestamp"]
    assert model(api, name) == changed
    assert "description" not in change(api, "PATCH", f"{MODELS}/update", name=name)["registered_model"]


def test_a_renamed_model_takes_everything_with_it(api: Api, name: str) -> None:
    new_version(api, name, tags=pairs(k="v"))
    api.post(f"{MODELS}/set-tag", name=name, key="team", value="red")
    api.post(f"{MODELS}/alias", name=name, alias="best", version="1")
    new_name = unique_name("renamed")
    renamed = api.post(f"{MODELS}/rename", name=name, new_name=new_name)["registered_model"]
    assert renamed == model(api, new_name)
    assert (renamed["name"], tags(renamed)) == (new_name, {"team": "red"})
    assert renamed["aliases"] == [{"alias": "best", "version": "1"}]
    assert [(of["name"], tags(of)) for of in renamed["latest_versions"]] == [(new_name, {"k": "v"})]
    assert version(api, new_name, 1)["name"] == new_name
    assert numbers(api.get(f"{VERSIONS}/search", filter=f"name = '{new_name}'")) == [1]
    assert api.get_refused(f"{MODELS}/get", name=name).status == 404
    assert new_version(api, new_name)["version"] == "2"
    assert new_model(api, name=name) == name  # the old name is free


def test_a_model_cannot_take_the_name_of_another(api: Api, name: str) -> None:
    other = new_model(api)
    rename = f"{MODELS}/rename"
    problem = exists(f"Registered Model (name={other}) already exists.")
    assert api.post_refused(rename, name=name, new_name=other) == problem
    assert api.post(rename, name=name, new_name=name)["registered_model"]["name"] == name
    assert api.post_refused(rename, name=name) == missing("new_name")
    assert api.post_refused(rename, name=name, new_name=" ") == invalid(
        "Missing value for required parameter 'new_name'."
    )


def test_of_many_that_take_the_same_name_one_gets_it(api: Api) -> None:
    models = [new_model(api) for _ in range(8)]
    wanted = unique_name("wanted")

    def rename(name: str) -> int:
        return api.send("POST", f"{MODELS}/rename", json={"name": name, "new_name": wanted}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(rename, models)) == [200] + [400] * 7


def test_a_deleted_model_is_gone_with_all_that_belonged_to_it(api: Api, name: str) -> None:
    new_version(api, name, tags=pairs(k="v"))
    api.post(f"{MODELS}/set-tag", name=name, key="team", value="red")
    api.post(f"{MODELS}/alias", name=name, alias="best", version="1")
    assert change(api, "DELETE", f"{MODELS}/delete", name=name) == {}
    assert api.get_refused(f"{MODELS}/get", name=name).status == 404
    assert api.get_refused(f"{VERSIONS}/get", name=name, version="1").status == 404
    assert api.get(f"{VERSIONS}/search", filter=f"name = '{name}'") == {}
    new_model(api, name=name)
    assert set(model(api, name)) == {"name", "creation_timestamp", "last_updated_timestamp"}
    assert "tags" not in new_version(api, name)


# Tags


def test_tags_are_set_overwritten_and_removed(api: Api, name: str) -> None:
    for key, value in (("a", "1"), ("a", "2"), ("b", "x" * 100_000)):
        assert api.post(f"{MODELS}/set-tag", name=name, key=key, value=value) == {}
    assert tags(model(api, name)) == {"a": "2", "b": "x" * 100_000}
    for key in ("b", "b", "never there"):
        assert change(api, "DELETE", f"{MODELS}/delete-tag", name=name, key=key) == {}
    assert tags(model(api, name)) == {"a": "2"}
    assert api.post_refused(f"{MODELS}/set-tag", name=name, value="v") == missing("key")
    assert api.post_refused(f"{MODELS}/set-tag", name=name, key="bad!", value="v").error_code == (
        "INVALID_PARAMETER_VALUE"
    )


# Aliases


def test_an_alias_leads_to_one_version(api: Api, name: str) -> None:
    for _ in range(2):
        new_version(api, name)
    for number in ("1", "2"):
        assert api.post(f"{MODELS}/alias", name=name, alias="best", version=number) == {}
        found = api.get(f"{MODELS}/alias", name=name, alias="best")["model_version"]
        assert (found["version"], found["aliases"]) == (number, ["best"])
    api.post(f"{MODELS}/alias", name=name, alias="also", version="2")
    assert version(api, name, 2)["aliases"] == ["also", "best"]
    assert "aliases" not in version(api, name, 1)
    assert model(api, name)["aliases"] == [{"alias": "also", "version": "2"}, {"alias": "best", "version": "2"}]
    for _ in range(2):
        assert change(api, "DELETE", f"{MODELS}/alias", name=name, alias="best") == {}
    assert api.get_refused(f"{MODELS}/alias", name=name, alias="best") == invalid(
        "Registered model alias best not found."
    )


def test_the_alias_latest_leads_to_the_highest_number(api: Api, name: str) -> None:
    assert api.get_refused(f"{MODELS}/alias", name=name, alias="latest") == not_there(
        f"Latest version not found for model {name}."
    )
    for _ in range(3):
        new_version(api, name)
    api.post(f"{VERSIONS}/transition-stage", name=name, version="3", stage="Staging")
    assert api.get(f"{MODELS}/alias", name=name, alias="Latest")["model_version"]["version"] == "3"
    change(api, "DELETE", f"{VERSIONS}/delete", name=name, version="3")
    assert api.get(f"{MODELS}/alias", name=name, alias="latest")["model_version"]["version"] == "2"


@pytest.mark.parametrize(
    ("alias", "problem"),
    [
        ("latest", "'latest' alias name (case insensitive) is reserved."),
        ("LATEST", "'latest' alias name (case insensitive) is reserved."),
        ("v12", "Version alias name 'v12' is reserved."),
        ("a b", "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and dashes (-)."),
        ("x" * 256, "'Registered model alias name' exceeds the maximum length of 255 characters"),
    ],
)
def test_an_alias_that_cannot_be_one_is_refused(api: Api, name: str, alias: str, problem: str) -> None:
    new_version(api, name)
    assert api.post_refused(f"{MODELS}/alias", name=name, alias=alias, version="1") == invalid(problem)


def test_an_alias_goes_with_its_version(api: Api, name: str) -> None:
    for _ in range(2):
        new_version(api, name)
    api.post(f"{MODELS}/alias", name=name, alias="one", version="1")
    api.post(f"{MODELS}/alias", name=name, alias="two", version="2")
    change(api, "DELETE", f"{VERSIONS}/delete", name=name, version="1")
    assert model(api, name)["aliases"] == [{"alias": "two", "version": "2"}]
