"""Label schemas: create, read, change, delete; the question that every experiment has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal

PATH = "/api/3.0/mlflow/label-schemas"
HINT = "See the API docs for more information about request parameters."
ONE_OF = "Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` set; got"


def create(api: Api, experiment_id: str, name: str = "q", **fields: Any) -> Any:
    values: dict[str, Any] = {"type": "FEEDBACK", "input": {"text": {}}}
    return api.post(f"{PATH}/create", experiment_id=experiment_id, name=name, **values | fields)["label_schema"]


def create_refused(api: Api, experiment_id: str, name: str = "q", **fields: Any) -> Refusal:
    values: dict[str, Any] = {"type": "FEEDBACK", "input": {"text": {}}}
    return api.post_refused(f"{PATH}/create", experiment_id=experiment_id, name=name, **values | fields)


def get(api: Api, schema_id: str) -> Any:
    return api.get(f"{PATH}/get", schema_id=schema_id)["label_schema"]


def listed(api: Api, experiment_id: str) -> list[Any]:
    schemas: list[Any] = api.get(f"{PATH}/list", experiment_id=experiment_id)["label_schemas"]
    return schemas


def update(api: Api, schema_id: str, **fields: Any) -> Any:
    response = api.send("PATCH", f"{PATH}/update", json={"schema_id": schema_id} | fields)
    assert response.status_code == 200, response.text
    return response.json()["label_schema"]


def update_refused(api: Api, schema_id: str, **fields: Any) -> Refusal:
    return refusal(api.send("PATCH", f"{PATH}/update", json={"schema_id": schema_id} | fields))


def delete(api: Api, schema_id: str) -> Any:
    response = api.send("DELETE", f"{PATH}/delete", json={"schema_id": schema_id})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    "given",
    [
        {"pass_fail": {"positive_label": "good", "negative_label": "bad"}},
        {"categorical": {"options": ["a", "ü"], "multi_select": True}},
        {"categorical": {"options": ["a"], "multi_select": False}},
        {"numeric": {"min_value": -0.5, "max_value": 2.0}},
        {"numeric": {"min_value": 1.0}},
        {"numeric": {}},
        {"text": {"max_length": 7}},
        {"text": {}},
    ],
    ids=str,
)
def test_a_label_schema_keeps_what_it_was_created_with(api: Api, experiment_id: str, given: Any) -> None:
    fields = {"type": "EXPECTATION", "input": given, "instruction": "Choose.", "enable_comment": True}
    schema = create(api, experiment_id, "Which?", **fields)
    assert schema["schema_id"].startswith("ls-")
    assert schema["created_at"] == schema["last_updated_at"]
    assert schema == fields | {
        "schema_id": schema["schema_id"],
        "experiment_id": experiment_id,
        "name": "Which?",
        "created_at": schema["created_at"],
        "last_updated_at": schema["last_updated_at"],
        "is_default": False,
    }
    assert get(api, schema["schema_id"]) == schema
    by_name = api.get(f"{PATH}/get-by-name", experiment_id=experiment_id, name="Which?")
    assert by_name["label_schema"] == schema


def test_the_type_may_come_as_its_number(api: Api, experiment_id: str) -> None:
    assert create(api, experiment_id, "1", type=1)["type"] == "FEEDBACK"
    assert create(api, experiment_id, "2", type=2)["type"] == "EXPECTATION"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, f"{ONE_OF} an empty oneof."),
        ({}, f"{ONE_OF} an empty oneof."),
        ({"text": {}, "numeric": {}}, f"{ONE_OF} several of them."),
        ({"pass_fail": {}}, "`InputPassFail.positive_label` must be a non-empty string; got ''."),
        (
            {"pass_fail": {"positive_label": "a", "negative_label": "b" * 65}},
            "`InputPassFail.negative_label` must be at most 64 characters; got 65.",
        ),
        (
            {"pass_fail": {"positive_label": "a", "negative_label": "a"}},
            "`InputPassFail.positive_label` and `negative_label` must be distinct; got 'a' for both.",
        ),
        ({"categorical": {}}, "`InputCategorical.options` must be a non-empty list; got []."),
        (
            {"categorical": {"options": [str(number) for number in range(11)]}},
            "`InputCategorical.options` must have at most 10 entries; got 11.",
        ),
        (
            {"categorical": {"options": ["a", ""]}},
            "`InputCategorical.options` entries must be non-empty strings; got ''.",
        ),
        (
            {"categorical": {"options": ["a" * 65]}},
            f"`InputCategorical.options` entries must be at most 64 characters; got 65 for '{'a' * 65}'.",
        ),
        (
            {"categorical": {"options": ["a", "a"]}},
            "`InputCategorical.options` must be deduplicated; 'a' appears twice.",
        ),
        (
            {"numeric": {"min_value": 1, "max_value": 1}},
            "`InputNumeric.min_value` must be strictly less than `max_value`; got min=1.0, max=1.0.",
        ),
        (
            {"numeric": {"min_value": "NaN"}},
            "`InputNumeric.min_value` must be a finite number; got nan. Leave it out where there is no bound.",
        ),
        ({"text": {"max_length": 0}}, "`InputText.max_length` must be at least 1; got 0."),
    ],
    ids=str,
)
def test_an_input_that_nobody_could_fill_in_is_refused(api: Api, experiment_id: str, given: Any, said: str) -> None:
    assert create_refused(api, experiment_id, input=given) == invalid(said)
    assert [schema["name"] for schema in listed(api, experiment_id)] == ["Feedback"]


def test_names_and_instructions_have_limits(api: Api, experiment_id: str) -> None:
    create(api, experiment_id, "n" * 250, instruction="i" * 1_000)
    said = "Label schema `name` must be at most 250 characters; got 251."
    assert create_refused(api, experiment_id, "n" * 251) == invalid(said)
    said = "Label schema `instruction` must be at most 1000 characters; got 1001."
    assert create_refused(api, experiment_id, instruction="i" * 1_001) == invalid(said)
    assert create_refused(api, experiment_id, "") == missing("name")
    said = "Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0."
    assert create_refused(api, experiment_id, type=None) == invalid(said)


def test_no_two_label_schemas_of_an_experiment_share_a_name(api: Api, experiment_id: str) -> None:
    create(api, experiment_id)
    other = create(api, experiment_id, "Q")  # another name
    taken = f"Label schema with name 'q' already exists for experiment '{experiment_id}'."
    assert create_refused(api, experiment_id) == Refusal(400, "RESOURCE_ALREADY_EXISTS", taken)
    assert update_refused(api, other["schema_id"], name="q") == Refusal(400, "RESOURCE_ALREADY_EXISTS", taken)
    create(api, api.new_experiment())


def test_of_many_who_take_a_name_at_once_one_gets_it(api: Api, experiment_id: str) -> None:
    schemas = [create(api, experiment_id, str(number))["schema_id"] for number in range(4)]

    def rename(schema_id: str) -> int:
        return api.send("PATCH", f"{PATH}/update", json={"schema_id": schema_id, "name": "taken"}).status_code

    def create_one(_: int) -> int:
        body = {"experiment_id": experiment_id, "name": "taken", "type": "FEEDBACK", "input": {"text": {}}}
        return api.send("POST", f"{PATH}/create", json=body).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(rename, schemas), *threads.map(create_one, range(4))]
    assert sorted(answers) == [200] + [400] * 7
    assert [schema["name"] for schema in listed(api, experiment_id)].count("taken") == 1


def test_an_update_changes_what_it_names_and_no_more(api: Api, experiment_id: str) -> None:
    schema = create(api, experiment_id, instruction="old")
    schema_id = schema["schema_id"]
    changed = update(api, schema_id, name="q2", enable_comment=True, input={"text": {"max_length": 4}})
    assert changed == schema | {
        "name": "q2",
        "enable_comment": True,
        "input": {"text": {"max_length": 4}},
        "last_updated_at": changed["last_updated_at"],
    }
    assert get(api, schema_id) == changed
    assert update(api, schema_id, instruction="", name="q2")["instruction"] == ""
    assert update(api, schema_id, type="EXPECTATION")["type"] == "FEEDBACK"


def test_answers_that_are_there_keep_their_kind_of_input(api: Api, experiment_id: str) -> None:
    text = create(api, experiment_id)["schema_id"]
    said = "A label schema's input type cannot be changed after creation (existing: InputText, got: InputNumeric)."
    assert update_refused(api, text, input={"numeric": {}}) == invalid(said)
    choice = create(api, experiment_id, "c", input={"categorical": {"options": ["a"]}})["schema_id"]
    several = {"categorical": {"options": ["a"], "multi_select": True}}
    said = "`InputCategorical.multi_select` cannot be changed after creation."
    assert update_refused(api, choice, input=several) == invalid(said)
    options = {"categorical": {"options": ["b", "c"], "multi_select": False}}
    assert update(api, choice, input={"categorical": {"options": ["b", "c"]}})["input"] == options


def test_every_experiment_has_a_question_that_stays_as_it_is(api: Api, experiment_id: str) -> None:
    (default,) = listed(api, experiment_id)
    assert default == {
        "schema_id": default["schema_id"],
        "experiment_id": experiment_id,
        "name": "Feedback",
        "type": "FEEDBACK",
        "instruction": "Share any feedback on this trace.",
        "enable_comment": False,
        "input": {"text": {}},
        "created_at": default["created_at"],
        "last_updated_at": default["last_updated_at"],
        "is_default": True,
    }
    assert listed(api, experiment_id) == [default]
    said = invalid("The experiment's default question cannot be edited.")
    assert update_refused(api, default["schema_id"], instruction="x") == said
    refused = refusal(api.send("DELETE", f"{PATH}/delete", json={"schema_id": default["schema_id"]}))
    assert refused == invalid("The experiment's default question cannot be deleted.")
    for name in ("Feedback", " feedBACK "):
        said = invalid(
            f"`{name}` is reserved for the experiment's default question and cannot be used for another label schema."
        )
        assert create_refused(api, experiment_id, name) == said
    assert listed(api, experiment_id) == [default]


def test_lists_at_once_make_one_question(api: Api, experiment_id: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        lists = list(threads.map(lambda _: listed(api, experiment_id), range(8)))
    assert len({schema["schema_id"] for schemas in lists for schema in schemas}) == 1


def test_a_list_is_read_in_pages_the_newest_first(api: Api, experiment_id: str) -> None:
    listed(api, experiment_id)
    for number in range(4):
        create(api, experiment_id, str(number))
    pages = list(api.pages("GET", f"{PATH}/list", experiment_id=experiment_id, max_results=2))
    names = [[schema["name"] for schema in page["label_schemas"]] for page in pages]
    assert names == [["3", "2"], ["1", "0"], ["Feedback"]]
    for size in (0, 50_001):
        refused = api.get_refused(f"{PATH}/list", experiment_id=experiment_id, max_results=size)
        assert refused == invalid(f"max_results must be between 1 and 50000. {HINT}")
    other = api.new_experiment()
    token = pages[0]["next_page_token"]
    assert api.get_refused(f"{PATH}/list", experiment_id=other, page_token=token).status == 400


def test_a_label_schema_is_deleted_for_good(api: Api, experiment_id: str) -> None:
    schema_id = create(api, experiment_id)["schema_id"]
    assert delete(api, schema_id) == {}
    assert delete(api, schema_id) == {}
    said = not_there(f"Label schema with id '{schema_id}' not found.")
    assert api.get_refused(f"{PATH}/get", schema_id=schema_id) == said
    assert update_refused(api, schema_id, name="x") == said
    said = not_there(f"Label schema with name 'q' not found for experiment '{experiment_id}'.")
    assert api.get_refused(f"{PATH}/get-by-name", experiment_id=experiment_id, name="q") == said


def test_what_is_asked_of_a_deleted_experiment_is_not_there(api: Api, experiment_id: str) -> None:
    schema = create(api, experiment_id)
    api.post("experiments/delete", experiment_id=experiment_id)
    said = not_there(f"No Experiment with id={experiment_id} exists")
    assert api.get_refused(f"{PATH}/list", experiment_id=experiment_id) == said
    assert api.get_refused(f"{PATH}/get-by-name", experiment_id=experiment_id, name="q") == said
    assert create_refused(api, experiment_id, "another") == said
    assert get(api, schema["schema_id"]) == schema
