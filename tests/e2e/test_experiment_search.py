"""The search for experiments: filters, order, pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_client import Api, invalid, pairs, unique_name, wrong_type
from tests.server_process import ServerProcess

PATH = "experiments/search"


@dataclass(frozen=True)
class Known:
    """Experiments that this module made, among whatever else is on the server; their names share a prefix."""

    api: Api
    prefix: str
    ids: dict[str, str]

    def search(self, filter: str = "", **fields: Any) -> list[str]:
        """The short names of those that are found, in the order of the answer."""
        mine = f"name LIKE '{self.prefix}%'"
        fields = {"max_results": 100, "filter": f"{mine} AND {filter}" if filter else mine} | fields
        return [short for page in self.api.pages("POST", PATH, **fields) for short in self.short_names(page)]

    def short_names(self, answer: dict[str, Any]) -> list[str]:
        return [experiment["name"].removeprefix(self.prefix) for experiment in answer["experiments"]]


@pytest.fixture(scope="module")
def known(server: ServerProcess) -> Iterator[Known]:
    """Four experiments, created one after another, the third of them deleted."""
    api = Api(server.url)
    prefix = unique_name() + "-"
    made = {
        "alpha": pairs(team="blue", stage="dev"),
        "Beta": pairs(team="Blue"),
        "gamma": pairs(team="blue"),
        "alphabet": pairs(stage="prod", empty=""),
    }
    ids = {}
    for short, tags in made.items():
        ids[short] = api.new_experiment(name=prefix + short, tags=tags)
        time.sleep(0.002)
    api.post("experiments/delete", experiment_id=ids["gamma"])
    yield Known(api, prefix, ids)
    api.close()


def test_the_newest_experiments_come_first(known: Known) -> None:
    assert known.search() == ["alphabet", "Beta", "alpha"]


def test_a_query_string_searches_as_well_as_a_body(known: Known) -> None:
    fields = {"filter": f"name LIKE '{known.prefix}%'", "order_by": ["name DESC", "creation_time"], "view_type": "ALL"}
    answer = known.api.get(PATH, max_results=10, **fields)
    assert answer == known.api.post(PATH, max_results=10, **fields)
    assert known.short_names(answer) == ["gamma", "alphabet", "alpha", "Beta"]


def test_an_experiment_that_is_found_is_shown_as_it_is_read(known: Known) -> None:
    (found,) = known.api.post(PATH, max_results=5, filter=f"name = '{known.prefix}alpha'")["experiments"]
    assert found == known.api.experiment(known.ids["alpha"])


@pytest.mark.parametrize(
    ("view_type", "expected"),
    [
        ("ACTIVE_ONLY", ["alphabet", "Beta", "alpha"]),
        (1, ["alphabet", "Beta", "alpha"]),
        ("DELETED_ONLY", ["gamma"]),
        ("2", ["gamma"]),
        ("ALL", ["alphabet", "gamma", "Beta", "alpha"]),
        (None, ["alphabet", "Beta", "alpha"]),
    ],
)
def test_the_view_type_chooses_among_active_and_deleted(known: Known, view_type: Any, expected: list[str]) -> None:
    assert known.search(view_type=view_type) == expected


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("name = '{p}alpha'", ["alpha"]),
        ("attribute.name != '{p}alpha'", ["alphabet", "Beta"]),
        ("name LIKE '{p}alpha%'", ["alphabet", "alpha"]),
        ("name LIKE '{p}ALPHA%'", []),
        ("name ILIKE '{p}ALPHA%'", ["alphabet", "alpha"]),
        ("name LIKE '{p}alph_'", ["alpha"]),
        ("experiment_id = '{alpha}'", ["alpha"]),
        ("experiment_id != '{alpha}'", ["alphabet", "Beta"]),
        ("experiment_id IN ('{alpha}', '{Beta}', '987654321')", ["Beta", "alpha"]),
        ("experiment_id NOT IN ('{alpha}', '{Beta}')", ["alphabet"]),
        ("creation_time > 0 AND last_update_time >= 0", ["alphabet", "Beta", "alpha"]),
        ("creation_time < 5", []),
        ("tags.team = 'blue'", ["alpha"]),
        ("tag.team != 'blue'", ["Beta"]),
        ("tags.team ILIKE 'blue'", ["Beta", "alpha"]),
        ("tags.`team` LIKE 'b%'", ["alpha"]),
        ("tags.empty = ''", ["alphabet"]),
        ("tags.stage IS NULL", ["Beta"]),
        ("tags.stage IS NOT NULL", ["alphabet", "alpha"]),
        ("tags.team = 'blue' AND tags.stage = 'dev'", ["alpha"]),
        ("tags.team = 'blue' AND tags.stage = 'prod'", []),
    ],
)
def test_a_filter_finds_what_it_says(known: Known, filter: str, expected: list[str]) -> None:
    assert known.search(filter.format(p=known.prefix, **known.ids)) == expected


def test_a_filter_by_time_compares_milliseconds(known: Known) -> None:
    created = known.api.experiment(known.ids["Beta"])["creation_time"]
    assert known.search(f"creation_time = {created}") == ["Beta"]
    assert known.search(f"creation_time > {created}") == ["alphabet"]
    assert known.search(f"creation_time <= {created}") == ["Beta", "alpha"]


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (["name"], ["Beta", "alpha", "alphabet"]),
        (["name DESC"], ["alphabet", "alpha", "Beta"]),
        (["attribute.creation_time ASC"], ["alpha", "Beta", "alphabet"]),
        (["experiment_id desc"], ["alphabet", "Beta", "alpha"]),
        (["last_update_time", "name"], ["alpha", "Beta", "alphabet"]),
    ],
)
def test_order_by_sorts(known: Known, order_by: list[str], expected: list[str]) -> None:
    assert known.search(order_by=order_by) == expected


def test_a_change_moves_an_experiment_in_the_order_of_the_last_update(api: Api) -> None:
    prefix = unique_name()
    older, newer = (api.new_experiment(name=f"{prefix}-{number}") for number in range(2))
    time.sleep(0.002)
    api.post("experiments/update", experiment_id=older, new_name=f"{prefix}-renamed")
    answer = api.post(PATH, max_results=2, filter=f"name LIKE '{prefix}%'", order_by=["last_update_time DESC"])
    assert [experiment["experiment_id"] for experiment in answer["experiments"]] == [older, newer]


@pytest.mark.parametrize("order_by", [[], ["name"], ["creation_time DESC"], ["last_update_time", "name DESC"]])
@pytest.mark.parametrize("max_results", [1, 2, 7, 30])
def test_pages_hold_every_experiment_once_and_in_order(api: Api, order_by: list[str], max_results: int) -> None:
    prefix = unique_name()
    for number in range(15):
        api.new_experiment(name=f"{prefix}-{number * 7 % 15:02}")
    fields = {"filter": f"name LIKE '{prefix}%'", "order_by": order_by}
    whole = api.post(PATH, max_results=100, **fields)
    assert len(whole["experiments"]) == 15
    assert "next_page_token" not in whole
    pages = [page["experiments"] for page in api.pages("POST", PATH, max_results=max_results, **fields)]
    assert [experiment for page in pages for experiment in page] == whole["experiments"]
    assert all(len(page) == max_results for page in pages[:-1])
    assert 0 < len(pages[-1]) <= max_results


def test_an_experiment_made_while_paging_does_not_shift_the_pages(api: Api) -> None:
    prefix = unique_name()
    ids = [api.new_experiment(name=f"{prefix}-{number}") for number in range(4)]
    fields = {"filter": f"name LIKE '{prefix}%'", "order_by": ["experiment_id DESC"], "max_results": 2}
    first = api.post(PATH, **fields)
    api.new_experiment(name=f"{prefix}-late")
    second = api.post(PATH, **fields, page_token=first["next_page_token"])
    found = [experiment["experiment_id"] for experiment in first["experiments"] + second["experiments"]]
    assert found == ids[::-1]


def test_a_page_token_belongs_to_its_search(known: Known) -> None:
    token = known.api.post(PATH, max_results=1)["next_page_token"]
    other_searches = [{"filter": "name != 'x'"}, {"order_by": ["name"]}, {"view_type": "ALL"}]
    changed = [
        ("A" if token[0] != "A" else "B") + token[1:],
        token[:-4],
        token + "AAAA",
        "abc",
        "é",
        "=" * 500,
        "A" * 200_000,
    ]
    wrong = [(token, fields) for fields in other_searches] + [(text, {}) for text in changed]
    for text, fields in wrong:
        assert known.api.post_refused(PATH, max_results=1, page_token=text, **fields) == invalid(
            f"Invalid page token '{text[:100]}': it is damaged, or belongs to a request with another filter or order"
        )
    assert known.api.post(PATH, max_results=2, page_token=token)["experiments"]


@pytest.mark.parametrize(
    ("max_results", "problem"),
    [
        (None, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        (0, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        (-1, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        (50_001, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
    ],
)
def test_the_page_size_is_given_and_bounded(api: Api, max_results: int | None, problem: str) -> None:
    assert api.post_refused(PATH, max_results=max_results) == invalid(problem)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"filter": "name"}, "Invalid clause(s) in filter string: 'name' (expected a comparator, such as = or LIKE)"),
        (
            {"filter": "name = 'a' OR name = 'b'"},
            "Invalid clause(s) in filter string: 'OR' (comparisons can only be joined by AND)",
        ),
        ({"filter": "name = 5"}, "Expected a quoted string value for attributes. Got value 5"),
        (
            {"filter": "name IN ('a')"},
            "Only ['experiment_id'] attributes support comparison with a list of quoted string values.",
        ),
        ({"filter": "name > 'a'"}, "Invalid comparator '>' not one of '!=', '=', 'ILIKE', 'LIKE'"),
        (
            {"filter": "creation_time = 'a'"},
            "Expected numeric value type for numeric attribute: creation_time. Found 'a'",
        ),
        ({"filter": "experiment_id = 'x'"}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        (
            {"filter": "foo = 'a'"},
            "Invalid attribute key 'foo' specified. "
            "Valid keys are 'creation_time', 'experiment_id', 'last_update_time', 'name'",
        ),
        ({"filter": "metrics.a > 1"}, "Invalid entity type 'metrics'. Valid values are ['attribute', 'tag']"),
        (
            {"order_by": ["foo"]},
            "Invalid attribute key 'foo' specified. "
            "Valid keys are 'creation_time', 'experiment_id', 'last_update_time', 'name'",
        ),
        ({"order_by": ["tags.a"]}, "Invalid order_by entity: tag"),
        ({"order_by": ["name UP"]}, "Invalid ordering key in order_by clause 'name UP'."),
        ({"order_by": ["name", "name DESC"]}, "`order_by` contains duplicate fields: ['name', 'name DESC']"),
    ],
)
def test_a_wrong_search_is_refused_with_the_reason(api: Api, fields: dict[str, Any], problem: str) -> None:
    assert api.post_refused(PATH, max_results=5, **fields) == invalid(problem)


def test_a_search_refuses_fields_of_a_wrong_type(api: Api) -> None:
    assert api.post_refused(PATH, max_results="x") == wrong_type("max_results", '"x"', "str")
    assert api.get_refused(PATH, max_results="x") == wrong_type("max_results", '"x"', "str")
    assert api.post_refused(PATH, max_results=5, filter=5) == wrong_type("filter", "5", "int")
    assert api.post_refused(PATH, max_results=5, order_by="name") == wrong_type("order_by", '"name"', "str")
    assert api.post_refused(PATH, max_results=5, view_type="X") == wrong_type("view_type", '"X"', "str")
