"""Evaluation datasets: create, read, delete; their tags and experiments; search. (Their records are elsewhere.)"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import httpx
import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal, unique_name, wrong_type

PATH = "/api/3.0/mlflow/datasets"
NO_SUCH_DATASET = f"d-{'0' * 32}"
NOT_FOUND = not_there(f"Evaluation dataset with id '{NO_SUCH_DATASET}' not found")


def create(api: Api, *, tags: dict[str, Any] | None = None, **fields: Any) -> Any:
    text = {} if tags is None else {"tags": json.dumps(tags)}
    return api.post(f"{PATH}/create", **{"name": "questions"} | text | fields)["dataset"]


def new_dataset(api: Api, **fields: Any) -> str:
    dataset_id: str = create(api, **fields)["dataset_id"]
    return dataset_id


def get(api: Api, dataset_id: str) -> Any:
    return api.get(f"{PATH}/{dataset_id}")["dataset"]


def tags(api: Api, dataset_id: str) -> Any:
    return json.loads(get(api, dataset_id)["tags"])


def experiment_ids(api: Api, dataset_id: str) -> Any:
    return api.get(f"{PATH}/{dataset_id}/experiment-ids").get("experiment_ids", [])


def set_tags(api: Api, dataset_id: str, text: Any) -> httpx.Response:
    return api.send("PATCH", f"{PATH}/{dataset_id}/tags", json={"tags": text})


def set_tags_well(api: Api, dataset_id: str, values: dict[str, Any]) -> None:
    response = set_tags(api, dataset_id, json.dumps(values))
    assert (response.status_code, response.json()) == (200, {}), response.text


def delete(api: Api, path: str) -> None:
    response = api.send("DELETE", f"{PATH}/{path}")
    assert (response.status_code, response.json()) == (200, {}), response.text


@pytest.fixture
def dataset_id(api: Api) -> str:
    """A new dataset."""
    return new_dataset(api)


# Create, read, delete


def test_a_dataset_is_read_back_as_it_was_created(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    created = create(
        api, name="my questions", experiment_ids=[other, experiment_id], tags={"team": "blue", "mlflow.user": "ann"}
    )
    assert re.fullmatch(r"d-[0-9a-f]{32}", created["dataset_id"])
    time = created["created_time"]
    assert created.pop("experiment_ids") == [other, experiment_id]
    assert created == {
        "dataset_id": created["dataset_id"],
        "name": "my questions",
        "tags": '{"mlflow.user": "ann", "team": "blue"}',
        "digest": hashlib.sha256(f"my questions:{time}".encode()).hexdigest()[:8],
        "created_time": time,
        "last_update_time": time,
        "created_by": "ann",
        "last_updated_by": "ann",
    }
    assert get(api, created["dataset_id"]) == created
    assert sorted(experiment_ids(api, created["dataset_id"])) == sorted([other, experiment_id])


def test_a_dataset_needs_no_more_than_a_name(api: Api) -> None:
    created = create(api, name="n" * 255)
    assert set(created) == {"dataset_id", "name", "tags", "digest", "created_time", "last_update_time"}
    assert created["tags"] == "{}"
    assert experiment_ids(api, created["dataset_id"]) == []


def test_two_datasets_may_have_one_name(api: Api) -> None:
    name = unique_name()
    assert new_dataset(api, name=name) != new_dataset(api, name=name)


def test_an_experiment_that_is_given_twice_is_linked_once(api: Api, experiment_id: str) -> None:
    created = create(api, experiment_ids=[experiment_id, experiment_id])
    assert created["experiment_ids"] == experiment_ids(api, created["dataset_id"]) == [experiment_id]


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"name": ""}, missing("name")),
        ({"name": "n" * 256}, invalid("'name' exceeds the maximum length of 255 characters")),
        ({"name": 5}, wrong_type("name", "5", "int")),
        ({"experiment_ids": ["987654321"]}, not_there("No Experiment with id=987654321")),
        ({"experiment_ids": ["x"]}, invalid("Invalid experiment ID 'x'. Experiment ID must be a valid integer.")),
        ({"experiment_ids": "1"}, wrong_type("experiment_ids", '"1"', "str")),
    ],
)
def test_a_dataset_that_cannot_be_is_not_created(api: Api, fields: dict[str, Any], refused: Refusal) -> None:
    name = unique_name()
    assert api.post_refused(f"{PATH}/create", **{"name": name} | fields) == refused
    assert "datasets" not in api.post(f"{PATH}/search", filter_string=f"name = '{name}'")


WRONG_TAGS = [
    ("{", "'tags' is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ("[1]", "Invalid value \"[1]\" for parameter 'tags' supplied: It must be a JSON object, as text."),
    ("[" * 100_000, "'tags' is nested too deeply"),
    (json.dumps({"k" * 256: ""}), "'key' exceeds the maximum length of 255 characters"),
    (json.dumps({"k": "v" * 5_001}), "'tags.k' exceeds the maximum length of 5000 characters"),
    (json.dumps({"k": "\0"}), "'tags.k' must not contain NUL characters or lone surrogates"),
    (json.dumps({"\ud800": "v"}), "'key' must not contain NUL characters or lone surrogates"),
    (json.dumps(dict.fromkeys(map(str, range(1_001)), "v")), "'tags' can contain at most 1000 tags, got 1001"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_TAGS)
def test_tags_that_cannot_be_are_refused(api: Api, dataset_id: str, text: str, message: str) -> None:
    assert refusal(set_tags(api, dataset_id, text)) == invalid(message)
    assert api.post_refused(f"{PATH}/create", name="q", tags=text) == invalid(message)
    assert tags(api, dataset_id) == {}


def test_the_name_of_a_user_is_bounded(api: Api) -> None:
    refused = api.post_refused(f"{PATH}/create", name="q", tags=json.dumps({"mlflow.user": "u" * 256}))
    assert refused == invalid("'tags.mlflow.user' exceeds the maximum length of 255 characters")


def test_a_deleted_dataset_is_gone_for_good(api: Api, experiment_id: str) -> None:
    dataset_id = new_dataset(api, experiment_ids=[experiment_id], tags={"a": "1"})
    api.post(f"{PATH}/{dataset_id}/records", records=json.dumps([{"inputs": {"q": "?"}}]))
    delete(api, dataset_id)
    assert api.get_refused(f"{PATH}/{dataset_id}") == not_there(f"Evaluation dataset with id '{dataset_id}' not found")
    assert api.get(f"{PATH}/{dataset_id}/records") == {"records": "[]"}
    assert experiment_ids(api, dataset_id) == []
    assert "datasets" not in api.post(f"{PATH}/search", experiment_ids=[experiment_id])
    delete(api, dataset_id)  # again


def test_a_dataset_that_is_not_there_is_not_found(api: Api, experiment_id: str) -> None:
    assert api.get_refused(f"{PATH}/{NO_SUCH_DATASET}") == NOT_FOUND
    assert refusal(set_tags(api, NO_SUCH_DATASET, "{}")) == not_there(
        f"Could not find evaluation dataset with ID {NO_SUCH_DATASET}"
    )
    for change in ("add-experiments", "remove-experiments"):
        refused = api.post_refused(f"{PATH}/{NO_SUCH_DATASET}/{change}", experiment_ids=[experiment_id])
        assert refused == not_there(f"Dataset '{NO_SUCH_DATASET}' not found")
    assert experiment_ids(api, NO_SUCH_DATASET) == []
    delete(api, f"{NO_SUCH_DATASET}/tags/a")


# Tags


def test_tags_are_added_overwritten_and_removed(api: Api) -> None:
    dataset_id = new_dataset(api, tags={"stays": "1", "changes": "1", "goes": "1"})
    before = get(api, dataset_id)
    set_tags_well(api, dataset_id, {"changes": "2", "new": "", "goes": None, "never was": None})
    assert tags(api, dataset_id) == {"stays": "1", "changes": "2", "new": ""}
    assert get(api, dataset_id) | {"tags": ""} == before | {"tags": ""}  # the digest and the times stay too
    set_tags_well(api, dataset_id, {})
    assert tags(api, dataset_id) == {"stays": "1", "changes": "2", "new": ""}


def test_values_of_other_types_become_their_text(api: Api) -> None:
    values = {"number": 5, "fraction": 0.5, "flag": True, "list": [1, "x"], "nothing": None}
    texts = {"number": "5", "fraction": "0.5", "flag": "True", "list": "[1, 'x']"}
    dataset_id = new_dataset(api, tags=values)
    assert tags(api, dataset_id) == texts
    set_tags_well(api, dataset_id, values)
    assert tags(api, dataset_id) == texts


@pytest.mark.parametrize("key", ["plain", "with.dots and spaces", "a/b", "ключ"])
def test_a_tag_is_deleted_by_its_key(api: Api, key: str) -> None:
    dataset_id = new_dataset(api, tags={key: "1", "other": "2"})
    for _ in range(2):
        delete(api, f"{dataset_id}/tags/{key}")
        assert tags(api, dataset_id) == {"other": "2"}


def test_tags_must_be_given_as_text(api: Api, dataset_id: str) -> None:
    assert refusal(api.send("PATCH", f"{PATH}/{dataset_id}/tags", json={})) == missing("tags")
    assert refusal(set_tags(api, dataset_id, {"a": "b"})) == wrong_type("tags", '{"a":"b"}', "dict")


# Experiments


def test_a_dataset_is_linked_with_more_experiments(api: Api, experiment_id: str) -> None:
    created = create(api, experiment_ids=[experiment_id])
    path, others = f"{PATH}/{created['dataset_id']}", [api.new_experiment() for _ in range(2)]
    answer = api.post(f"{path}/add-experiments", experiment_ids=[*others, experiment_id, others[0]])["dataset"]
    assert experiment_ids(api, created["dataset_id"]) == [experiment_id, *sorted(others, key=int)]
    assert answer["last_update_time"] >= created["last_update_time"]
    assert answer == get(api, created["dataset_id"])


def test_experiments_are_linked_all_or_none(api: Api, dataset_id: str, experiment_id: str) -> None:
    refused = api.post_refused(f"{PATH}/{dataset_id}/add-experiments", experiment_ids=[experiment_id, "987654321"])
    assert refused == not_there("No Experiment with id=987654321")
    assert experiment_ids(api, dataset_id) == []


def test_a_dataset_is_taken_out_of_experiments(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    dataset_id = new_dataset(api, experiment_ids=[experiment_id, other])
    path = f"{PATH}/{dataset_id}/remove-experiments"
    for _ in range(2):
        answer = api.post(path, experiment_ids=[experiment_id, "987654321"])["dataset"]
        assert experiment_ids(api, dataset_id) == [other]
        assert answer == get(api, dataset_id)


def test_a_deleted_experiment_keeps_its_datasets(api: Api, experiment_id: str) -> None:
    dataset_id = new_dataset(api, experiment_ids=[experiment_id])
    api.post("experiments/delete", experiment_id=experiment_id)
    assert experiment_ids(api, dataset_id) == [experiment_id]
    assert found(api, experiment_ids=[experiment_id]) == ["questions"]


# Search


def found(api: Api, **fields: Any) -> list[str]:
    return [dataset["name"] for dataset in api.post(f"{PATH}/search", **fields).get("datasets", [])]


@pytest.fixture(scope="module")
def searched(api: Api) -> list[str]:
    """Two experiments: alpha is in the first, Beta in both, gamma in the second."""
    first, second = api.new_experiment(), api.new_experiment()
    create(api, name="alpha", experiment_ids=[first], tags={"a": "1", "user": "x"})
    create(api, name="Beta", experiment_ids=[first, second], tags={"a": "2", "mlflow.user": "bob"})
    last = create(api, name="gamma it's", experiment_ids=[second], tags={"my.tag": "q", "with space": "w" * 200})
    api.post(f"{PATH}/{last['dataset_id']}/records", records=json.dumps([{"tags": {"mlflow.user": "ann"}}]))
    return [first, second]


@pytest.mark.parametrize(
    ("filter_string", "names"),
    [
        ("", ["gamma it's", "Beta", "alpha"]),
        ("name = 'alpha'", ["alpha"]),
        ('name = "gamma it\'s"', ["gamma it's"]),
        ("name = 'gamma it''s'", ["gamma it's"]),
        ("name != 'alpha'", ["gamma it's", "Beta"]),
        ("name LIKE '%a'", ["Beta", "alpha"]),
        ("name LIKE 'b%'", []),
        ("name ILIKE 'b%'", ["Beta"]),
        ("name IN ('alpha', 'Beta', 'other')", ["Beta", "alpha"]),
        ("created_by = 'bob'", ["Beta"]),
        ("created_by != 'ann'", ["Beta"]),
        ("last_updated_by LIKE '%n%'", ["gamma it's"]),
        ("created_time > 1", ["gamma it's", "Beta", "alpha"]),
        ("created_time < 1", []),
        ("last_update_time >= 1 AND name = 'alpha'", ["alpha"]),
        ("tags.a = '1'", ["alpha"]),
        ("tags.a != '1'", ["Beta"]),
        ("tags.a LIKE '_'", ["Beta", "alpha"]),
        ("tags.my.tag = 'q'", ["gamma it's"]),
        ("tags.`my.tag` = 'q'", ["gamma it's"]),
        (f"tags.`with space` = '{'w' * 200}'", ["gamma it's"]),
        (f"tags.`with space` = '{'w' * 199}'", []),
        ("tags.a = '1' AND tags.user = 'x'", ["alpha"]),
        ("tags.a = '1' AND tags.user = 'y'", []),
    ],
)
def test_a_search_finds_what_its_filter_says(
    api: Api, searched: list[str], filter_string: str, names: list[str]
) -> None:
    assert found(api, experiment_ids=searched, filter_string=filter_string) == names


@pytest.mark.parametrize(
    ("order_by", "names"),
    [
        ([], ["gamma it's", "Beta", "alpha"]),
        (["created_time"], ["alpha", "Beta", "gamma it's"]),
        (["name"], ["Beta", "alpha", "gamma it's"]),
        (["name DESC"], ["gamma it's", "alpha", "Beta"]),
        (["last_update_time DESC", "name ASC"], ["gamma it's", "Beta", "alpha"]),
    ],
)
def test_a_search_is_in_the_order_it_asks_for(
    api: Api, searched: list[str], order_by: list[str], names: list[str]
) -> None:
    assert found(api, experiment_ids=searched, order_by=order_by) == names
    pages = api.pages("POST", f"{PATH}/search", experiment_ids=searched, order_by=order_by, max_results=1)
    assert [[dataset["name"] for dataset in page["datasets"]] for page in pages] == [[name] for name in names]


def test_a_search_is_in_some_experiments_or_in_all(api: Api, searched: list[str]) -> None:
    assert found(api, experiment_ids=searched[:1]) == ["Beta", "alpha"]
    assert found(api, experiment_ids=searched[1:]) == ["gamma it's", "Beta"]
    assert found(api, experiment_ids=["987654321"]) == []
    assert {"alpha", "Beta", "gamma it's"} <= set(found(api))


def test_a_search_can_be_a_get(api: Api, searched: list[str]) -> None:
    fields = {"experiment_ids": searched, "filter_string": "tags.a = '1'"}
    assert api.get(f"{PATH}/search", **fields) == api.post(f"{PATH}/search", **fields)


def test_a_search_gives_whole_datasets(api: Api, experiment_id: str) -> None:
    dataset_id = new_dataset(api, experiment_ids=[experiment_id], tags={"a": "1"})
    api.post(f"{PATH}/{dataset_id}/records", records=json.dumps([{"inputs": {"q": "?"}}]))
    assert api.post(f"{PATH}/search", experiment_ids=[experiment_id]) == {"datasets": [get(api, dataset_id)]}


def test_pages_do_not_repeat_what_came_meanwhile(api: Api, experiment_id: str) -> None:
    for number in range(5):
        create(api, name=f"d{number}", experiment_ids=[experiment_id])
    names = []
    for page in api.pages("POST", f"{PATH}/search", experiment_ids=[experiment_id], max_results=2):
        names += [dataset["name"] for dataset in page["datasets"]]
        create(api, name="late", experiment_ids=[experiment_id])
    assert names == ["d4", "d3", "d2", "d1", "d0"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
        ({"order_by": ["tags.a"]}, "Invalid order_by entity: tag"),
        (
            {"order_by": ["created_by"]},
            "Invalid attribute key 'created_by' specified. Valid keys are 'created_time', 'last_update_time', 'name'",
        ),
        (
            {"filter_string": "created_by IN ('a')"},
            "Only ['name'] attributes support comparison with a list of quoted string values.",
        ),
        (
            {"filter_string": "created_time > 'x'"},
            "Expected numeric value type for numeric attribute: created_time. Found 'x'",
        ),
        (
            {"filter_string": "created_time > 1.5"},
            "Invalid value for numeric attribute 'created_time': '1.5'. It must be an integer of 64 bits.",
        ),
        (
            {"filter_string": "digest = 'x'"},
            "Invalid attribute key 'digest' specified. Valid keys are 'created_by', 'created_time', "
            "'last_update_time', 'last_updated_by', 'name'",
        ),
        ({"filter_string": "tags.a = 1"}, "Expected a quoted string value for tag (e.g. 'my-value'). Got value 1"),
        ({"filter_string": "tags.a IS NULL"}, "Invalid comparator 'IS NULL' not one of '!=', '=', 'ILIKE', 'LIKE'"),
        (
            {"page_token": "x"},
            "Invalid page token 'x': it is damaged, or belongs to a request with another filter or order",
        ),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(api: Api, fields: dict[str, Any], message: str) -> None:
    assert api.post_refused(f"{PATH}/search", **fields) == invalid(message)


def test_a_page_token_belongs_to_its_search(api: Api, searched: list[str]) -> None:
    token = api.post(f"{PATH}/search", experiment_ids=searched, max_results=1)["next_page_token"]
    for other in ({"experiment_ids": searched[:1]}, {"order_by": ["name"]}, {"filter_string": "name != ''"}):
        refused = api.post_refused(f"{PATH}/search", **{"experiment_ids": searched, "page_token": token} | other)
        assert refused.message.startswith("Invalid page token")
