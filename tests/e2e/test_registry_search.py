"""Searches for registered models, for their versions, and for prompts: filters, orders, pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_client import Api, invalid, pairs, unique_name
from tests.e2e.registry import IS_PROMPT, MODELS, VERSIONS, change, names, new_model, new_version, numbers

PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


@pytest.fixture
def prefix() -> str:
    """What the names of the test's models begin with."""
    return unique_name("s")


@pytest.fixture
def models(api: Api, prefix: str) -> list[str]:
    """Three models with tags, and a prompt."""
    made = [
        new_model(api, name=f"{prefix}-{end}", tags=pairs(team=team, n=str(number)))
        for number, (end, team) in enumerate((("b", "red"), ("A", "blue"), ("c", "red")))
    ]
    new_model(api, name=f"{prefix}-p", tags=[IS_PROMPT, *pairs(team="red")])
    return made


def found(api: Api, prefix: str, filter: str = "", **fields: Any) -> list[str]:
    """The ends of the names of the models that match."""
    joined = f"name LIKE '{prefix}%'" + (f" AND {filter}" if filter else "")
    return [name.removeprefix(f"{prefix}-") for name in names(api.get(f"{MODELS}/search", filter=joined, **fields))]


def pages(api: Api, path: str, **fields: Any) -> Iterator[Any]:
    return api.pages("GET", path, **fields)


# Registered models


def test_models_are_found_by_name_and_tags(api: Api, prefix: str, models: list[str]) -> None:
    assert found(api, prefix) == ["A", "b", "c"]
    for filter, expected in (
        ("tags.team = 'red'", ["b", "c"]),
        ("tag.team != 'red'", ["A"]),
        ("tags.team ILIKE 'RE%'", ["b", "c"]),
        ("tags.team = 'red' AND tags.n = '2'", ["c"]),
        ("tags.other != 'x'", []),
        (f"name = '{prefix}-A'", ["A"]),
        (f"name != '{prefix}-A'", ["b", "c"]),
        (f"name IN ('{prefix}-A', '{prefix}-c', 'x')", ["A", "c"]),
        (f"name NOT IN ('{prefix}-A')", ["b", "c"]),
        (f"name ILIKE '{prefix}-a'", ["A"]),
    ):
        assert found(api, prefix, filter) == expected, filter


def test_models_are_ordered_by_name_and_last_change(api: Api, prefix: str, models: list[str]) -> None:
    new_version(api, f"{prefix}-b")
    for order_by, expected in (
        (["name DESC"], ["c", "b", "A"]),
        (["last_updated_timestamp DESC"], ["b"]),
        (["timestamp DESC", "name DESC"], ["b"]),
    ):
        assert found(api, prefix, order_by=order_by)[: len(expected)] == expected


@pytest.mark.parametrize("order_by", [[], ["name DESC"], ["last_updated_timestamp DESC"], ["timestamp ASC"]])
def test_pages_of_models_are_the_whole_list(api: Api, prefix: str, order_by: list[str]) -> None:
    for number in range(7):
        new_model(api, name=f"{prefix}-{number}")
    whole = found(api, prefix, order_by=order_by)
    filter = f"name LIKE '{prefix}%'"
    parts = [names(page) for page in pages(api, f"{MODELS}/search", filter=filter, order_by=order_by, max_results=3)]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert [f"{prefix}-{end}" for end in whole] == sum(parts, [])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 1001}, "Invalid value 1001 for parameter 'max_results' supplied. It must be at most 1000"),
        ({"filter": "description = 'x'"}, "Invalid attribute key 'description' specified. Valid keys are 'name'"),
        ({"filter": "name > 'x'"}, "Invalid comparator '>' not one of '!=', '=', 'ILIKE', 'IN', 'LIKE', 'NOT IN'"),
        ({"filter": "name = 1"}, "Expected a quoted string value for attributes. Got value 1"),
        (
            {"order_by": ["description"]},
            "Invalid attribute key 'description' specified. Valid keys are 'last_updated_timestamp', 'name'",
        ),
        ({"order_by": ["name", "name DESC"]}, "`order_by` contains duplicate fields: ['name', 'name DESC']"),
        (
            {"page_token": "x"},
            "Invalid page token 'x': it is damaged, or belongs to a request with another filter or order",
        ),
    ],
)
def test_a_search_for_models_that_cannot_be_understood_is_refused(
    api: Api, fields: dict[str, Any], problem: str
) -> None:
    assert api.get_refused(f"{MODELS}/search", **fields) == invalid(problem)


def test_a_model_is_found_with_all_that_belongs_to_it(api: Api, prefix: str, models: list[str]) -> None:
    name = models[0]
    for _ in range(2):
        new_version(api, name, tags=pairs(k="v"))
    api.post(f"{VERSIONS}/transition-stage", name=name, version="1", stage="Production")
    api.post(f"{MODELS}/alias", name=name, alias="best", version="1")
    (listed,) = api.get(f"{MODELS}/search", filter=f"name = '{name}'")["registered_models"]
    assert listed == api.get(f"{MODELS}/get", name=name)["registered_model"]
    assert len(listed["latest_versions"]) == 2


# Prompts


def test_prompts_are_found_only_where_they_are_asked_for(api: Api, prefix: str, models: list[str]) -> None:
    assert found(api, prefix, PROMPTS) == ["p"]
    for filter in ("tags.`mlflow.prompt.is_prompt` != 'true'", "tag.`mlflow.prompt.is_prompt` = 'false'"):
        assert found(api, prefix, filter) == ["A", "b", "c"]
    assert found(api, prefix, f"{PROMPTS} AND tags.team = 'red'") == ["p"]
    assert found(api, prefix, f"{PROMPTS} AND tags.team = 'blue'") == []


def test_a_model_becomes_a_prompt_by_its_tag(api: Api, prefix: str) -> None:
    name = new_model(api, name=f"{prefix}-x")
    api.post(f"{MODELS}/set-tag", name=name, **IS_PROMPT)
    assert (found(api, prefix), found(api, prefix, PROMPTS)) == ([], ["x"])
    change(api, "DELETE", f"{MODELS}/delete-tag", name=name, key=IS_PROMPT["key"])
    assert (found(api, prefix), found(api, prefix, PROMPTS)) == (["x"], [])


def test_versions_of_prompts_are_found_only_where_they_are_asked_for(api: Api) -> None:
    name = new_model(api, tags=[IS_PROMPT])
    for _ in range(2):
        new_version(api, name, "dummy-source", tags=[IS_PROMPT, *pairs(**{"mlflow.prompt.text": "Hi {{name}}"})])
    of_name = f"name = '{name}'"
    assert numbers(api.get(f"{VERSIONS}/search", filter=of_name)) == []
    of_prompt = f"{of_name} AND tag.`mlflow.prompt.is_prompt` = 'true'"
    assert numbers(api.get(f"{VERSIONS}/search", filter=of_prompt)) == [2, 1]
    which = {"name": name, "version": "1"}
    change(api, "DELETE", f"{VERSIONS}/delete-tag", **which, key=IS_PROMPT["key"])
    assert numbers(api.get(f"{VERSIONS}/search", filter=of_name)) == [1]
    api.post(f"{VERSIONS}/set-tag", **which, **IS_PROMPT)
    assert numbers(api.get(f"{VERSIONS}/search", filter=of_prompt)) == [2, 1]


# Versions


@pytest.fixture
def name(api: Api, run_id: str) -> str:
    """A model with five versions, of which one is of a run."""
    made = new_model(api)
    for number in range(1, 6):
        of = {"run_id": run_id} if number == 2 else {}
        kind = "odd" if number % 2 else "even"
        new_version(api, made, f"s3://bucket/{made}/{number}", tags=pairs(kind=kind, n=str(number)), **of)
    return made


def test_versions_are_found_by_what_is_known_of_them(api: Api, name: str, run_id: str) -> None:
    of_name = f"name = '{name}'"
    for filter, expected in (
        (of_name, {1, 2, 3, 4, 5}),
        (f"{of_name} AND version_number = 2", {2}),
        (f"{of_name} AND version_number > 2 AND version_number <= 4", {3, 4}),
        (f"{of_name} AND version_number != '2'", {1, 3, 4, 5}),
        (f"{of_name} AND tags.kind = 'odd'", {1, 3, 5}),
        (f"{of_name} AND tags.kind != 'odd'", {2, 4}),
        (f"{of_name} AND tags.kind ILIKE 'E%'", {2, 4}),
        (f"{of_name} AND tags.kind = 'odd' AND tags.n = '3'", {3}),
        (f"run_id = '{run_id}'", {2}),
        (f"run_id IN ('{run_id}', 'x')", {2}),
        (f"{of_name} AND run_id NOT IN ('{run_id}')", {1, 3, 4, 5}),
        (f"source_path = 's3://bucket/{name}/4'", {4}),
        (f"source_path LIKE 's3://bucket/{name}/%'", {1, 2, 3, 4, 5}),
        (f"name IN ('{name}', 'x') AND run_id = '{run_id}'", {2}),
        (f"name != '{name}' AND run_id = '{run_id}'", set()),
        (f"name LIKE '{name}' AND tags.n = '1'", {1}),
    ):
        assert set(numbers(api.get(f"{VERSIONS}/search", filter=filter))) == expected, filter


def test_versions_are_ordered_by_their_last_change_unless_told_otherwise(api: Api, name: str) -> None:
    of_name = f"name = '{name}'"
    assert numbers(api.get(f"{VERSIONS}/search", filter=of_name)) == [5, 4, 3, 2, 1]
    change(api, "PATCH", f"{VERSIONS}/update", name=name, version="2", description="new")
    for order_by, expected in (
        ([], [2, 5, 4, 3, 1]),
        (["version_number ASC"], [1, 2, 3, 4, 5]),
        (["version_number DESC"], [5, 4, 3, 2, 1]),
        (["creation_timestamp ASC"], [1, 2, 3, 4, 5]),
        (["last_updated_timestamp DESC"], [2, 5, 4, 3, 1]),
        (["name", "version_number"], [1, 2, 3, 4, 5]),
        (["name DESC"], [5, 4, 3, 2, 1]),
    ):
        assert numbers(api.get(f"{VERSIONS}/search", filter=of_name, order_by=order_by)) == expected, order_by


@pytest.mark.parametrize(
    "order_by", [[], ["version_number ASC"], ["name DESC"], ["creation_timestamp DESC"], ["last_updated_timestamp"]]
)
def test_pages_of_versions_are_the_whole_list(api: Api, name: str, order_by: list[str]) -> None:
    fields = {"filter": f"name = '{name}'", "order_by": order_by}
    parts = [numbers(page) for page in pages(api, f"{VERSIONS}/search", **fields, max_results=2)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert sum(parts, []) == numbers(api.get(f"{VERSIONS}/search", **fields))


def test_versions_of_a_renamed_model_are_ordered_by_number_where_their_times_are_equal(api: Api, name: str) -> None:
    new_name = unique_name("renamed")
    api.post(f"{MODELS}/rename", name=name, new_name=new_name)
    parts = [numbers(page) for page in pages(api, f"{VERSIONS}/search", filter=f"name = '{new_name}'", max_results=2)]
    assert parts == [[5, 4], [3, 2], [1]]


def test_a_page_ends_before_it_is_too_large(api: Api) -> None:
    name = new_model(api)
    large = [{"key": str(number), "value": "x" * 100_000} for number in range(50)]
    for _ in range(6):
        new_version(api, name, tags=large)  # 5 MB each
    parts = [numbers(page) for page in pages(api, f"{VERSIONS}/search", filter=f"name = '{name}'")]
    assert parts == [[6, 5, 4], [3, 2, 1]]
    api.post(f"{VERSIONS}/transition-stage", name=name, version="1", stage="Staging")
    others = [new_model(api, name=f"{name}-{number}", tags=large) for number in range(3)]
    filter = f"name LIKE '{name}%'"
    found_models = [names(page) for page in pages(api, f"{MODELS}/search", filter=filter)]
    assert found_models == [[name, others[0]], others[1:]]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        (
            {"max_results": 200_001},
            "Invalid value 200001 for parameter 'max_results' supplied. It must be at most 200000",
        ),
        ({"filter": "version_number = 1.5"}, "Invalid value for numeric attribute 'version_number': 1.5"),
        (
            {"filter": "version_number IN ('1')"},
            "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.",
        ),
        (
            {"filter": "source_path IN ('1')"},
            "Only ['name', 'run_id'] attributes support comparison with a list of quoted string values.",
        ),
        (
            {"filter": "current_stage = 'x'"},
            "Invalid attribute key 'current_stage' specified. "
            "Valid keys are 'name', 'run_id', 'source_path', 'version_number'",
        ),
        (
            {"order_by": ["run_id"]},
            "Invalid attribute key 'run_id' specified. "
            "Valid keys are 'creation_timestamp', 'last_updated_timestamp', 'name', 'version_number'",
        ),
        ({"order_by": ["name", "name"]}, "`order_by` contains duplicate fields: ['name', 'name']"),
    ],
)
def test_a_search_for_versions_that_cannot_be_understood_is_refused(
    api: Api, fields: dict[str, Any], problem: str
) -> None:
    assert api.get_refused(f"{VERSIONS}/search", **fields) == invalid(problem)


def test_a_page_token_belongs_to_its_search(api: Api, name: str) -> None:
    first = api.get(f"{VERSIONS}/search", filter=f"name = '{name}'", max_results=1)
    for fields in (
        {"filter": f"name = '{name}'", "order_by": ["name"]},
        {"filter": "name = 'other'"},
        {"filter": f"name = '{name}' AND {PROMPTS}"},
    ):
        problem = api.get_refused(f"{VERSIONS}/search", page_token=first["next_page_token"], **fields)
        assert problem.message.startswith("Invalid page token")
