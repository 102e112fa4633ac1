"""Scorers: register, read, delete; their versions; how they score online."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, not_there, refusal, wrong_type
from tests.conftest import StartServer

PATH = "/api/3.0/mlflow/scorers"


def judge(model: Any = "openai:/gpt", instructions: str = "Is {{ outputs }} good?") -> str:
    """The definition of a judge, as mlflow's ``make_judge`` writes it."""
    return json.dumps({"instructions_judge_pydantic_data": {"instructions": instructions, "model": model}})


GATEWAY_JUDGE = judge("gateway:/my-endpoint")


def register(api: Api, experiment_id: str, name: str = "good", definition: str = "{}") -> Any:
    return api.post(f"{PATH}/register", experiment_id=experiment_id, name=name, serialized_scorer=definition)


def register_refused(api: Api, experiment_id: str, name: str = "good", definition: str = "{}") -> Refusal:
    return api.post_refused(f"{PATH}/register", experiment_id=experiment_id, name=name, serialized_scorer=definition)


def get(api: Api, experiment_id: str, name: str = "good", **fields: Any) -> Any:
    return api.get(f"{PATH}/get", experiment_id=experiment_id, name=name, **fields)["scorer"]


def listed(api: Api, **fields: Any) -> list[tuple[int, str, int]]:
    """Experiment, name and version of the scorers in a list, which is not there if it is empty."""
    found = api.get(f"{PATH}/list", **fields).get("scorers", [])
    return [(scorer["experiment_id"], scorer["scorer_name"], scorer["scorer_version"]) for scorer in found]


def versions(api: Api, experiment_id: str, name: str = "good") -> list[int]:
    found = api.get(f"{PATH}/versions", experiment_id=experiment_id, name=name)["scorers"]
    return [scorer["scorer_version"] for scorer in found]


def delete(api: Api, experiment_id: str, name: str = "good", **fields: Any) -> Any:
    return api.send("DELETE", f"{PATH}/delete", json={"experiment_id": experiment_id, "name": name} | fields)


def delete_well(api: Api, experiment_id: str, name: str = "good", **fields: Any) -> None:
    response = delete(api, experiment_id, name, **fields)
    assert (response.status_code, response.json()) == (200, {}), response.text


def score_online(api: Api, experiment_id: str, name: str = "good", **fields: Any) -> Any:
    return api.send("PUT", f"{PATH}/online-config", json={"experiment_id": experiment_id, "name": name} | fields)


def score_online_well(api: Api, experiment_id: str, name: str = "good", **fields: Any) -> Any:
    response = score_online(api, experiment_id, name, **fields)
    assert response.status_code == 200, response.text
    return response.json()["config"]


def configs(api: Api, *scorer_ids: str) -> Any:
    return api.get(f"{PATH}/online-configs", scorer_ids=list(scorer_ids))["configs"]


def no_scorer(experiment_id: str, which: str = "'good'") -> Refusal:
    return not_there(f"Scorer with name {which} not found for experiment {experiment_id}.")


@pytest.fixture
def deleted_experiment_id(api: Api) -> str:
    """An experiment marked as deleted, with a scorer."""
    experiment_id = api.new_experiment()
    register(api, experiment_id)
    api.post("experiments/delete", experiment_id=experiment_id)
    return experiment_id


# Register and read


def test_a_scorer_is_read_back_as_it_was_registered(api: Api, experiment_id: str) -> None:
    definition = judge() + " "
    registered = register(api, experiment_id, "Größe / 1", definition)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", registered["scorer_id"])
    assert registered == {
        "version": 1,
        "scorer_id": registered["scorer_id"],
        "experiment_id": experiment_id,
        "name": "Größe / 1",
        "serialized_scorer": definition,
        "creation_time": registered["creation_time"],
    }
    scorer = get(api, experiment_id, "Größe / 1")
    assert scorer == {
        "experiment_id": int(experiment_id),
        "scorer_name": registered.pop("name"),
        "scorer_version": registered.pop("version"),
        **{name: registered[name] for name in ("serialized_scorer", "creation_time", "scorer_id")},
    }
    assert api.get(f"{PATH}/list", experiment_id=experiment_id) == {"scorers": [scorer]}
    assert api.get(f"{PATH}/versions", experiment_id=experiment_id, name="Größe / 1") == {"scorers": [scorer]}


def test_versions_count_up_and_the_latest_is_the_one_without_a_number(api: Api, experiment_id: str) -> None:
    registered = [register(api, experiment_id, definition=f'{{"n": {n}}}') for n in (1, 2, 3)]
    assert [answer["version"] for answer in registered] == [1, 2, 3]
    assert len({answer["scorer_id"] for answer in registered}) == 1
    assert versions(api, experiment_id) == [1, 2, 3]
    assert get(api, experiment_id)["serialized_scorer"] == '{"n": 3}'
    assert get(api, experiment_id, version=2)["serialized_scorer"] == '{"n": 2}'
    assert listed(api, experiment_id=experiment_id) == [(int(experiment_id), "good", 3)]


def test_versions_count_for_each_experiment_and_name(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    assert register(api, experiment_id)["version"] == 1
    assert register(api, experiment_id, "Good")["version"] == 1
    assert register(api, other)["version"] == 1
    assert register(api, experiment_id)["version"] == 2


def test_scorers_registered_at_once_get_versions_of_their_own(api: Api, experiment_id: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        registered = list(pool.map(lambda n: register(api, experiment_id, definition=f'{{"n": {n}}}'), range(24)))
    assert sorted(answer["version"] for answer in registered) == list(range(1, 25))
    assert len({answer["scorer_id"] for answer in registered}) == 1
    for answer in registered[::8]:
        kept = get(api, experiment_id, version=answer["version"])
        assert kept["serialized_scorer"] == answer["serialized_scorer"]


def test_scorers_registered_and_deleted_at_once_are_there_as_a_whole_or_not(api: Api, experiment_id: str) -> None:
    def register_and_delete(n: int) -> int:
        register(api, experiment_id)
        status: int = delete(api, experiment_id).status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(register_and_delete, range(24))) <= {200, 404}
    assert listed(api, experiment_id=experiment_id) == []
    assert register(api, experiment_id)["version"] == 1


def test_a_list_is_in_the_order_of_experiments_and_names(api: Api, experiment_id: str) -> None:
    other = api.new_experiment()
    for experiment, name in ((other, "b"), (experiment_id, "b"), (other, "a"), (experiment_id, "B")):
        register(api, experiment, name)
    first, second = int(experiment_id), int(other)
    in_order = [(first, "B", 1), (first, "b", 1), (second, "a", 1), (second, "b", 1)]
    assert listed(api, experiment_ids=[other, experiment_id, other]) == in_order
    assert listed(api, experiment_ids=[other]) == in_order[2:]
    assert [scorer for scorer in listed(api) if scorer[0] in (first, second)] == in_order


def test_lists_of_several_experiments_leave_out_those_that_are_not_active(
    api: Api, experiment_id: str, deleted_experiment_id: str
) -> None:
    register(api, experiment_id)
    mine = (int(experiment_id), "good", 1)
    assert listed(api, experiment_ids=[experiment_id, deleted_experiment_id, "987654321"]) == [mine]
    assert listed(api, experiment_ids=["987654321"]) == []
    everything = listed(api)
    assert mine in everything
    assert (int(deleted_experiment_id), "good", 1) not in everything


def test_what_is_not_there_is_not_found(api: Api, experiment_id: str) -> None:
    where = {"experiment_id": experiment_id, "name": "good"}
    assert refusal(score_online(api, experiment_id, sample_rate=0)) == no_scorer(experiment_id)
    for path in ("get", "versions"):
        assert api.get_refused(f"{PATH}/{path}", **where) == no_scorer(experiment_id)
    assert api.get_refused(f"{PATH}/get", **where, version=2) == no_scorer(experiment_id)
    register(api, experiment_id)
    for version in (2, 0, -1, 2**62):
        refused = api.get_refused(f"{PATH}/get", **where, version=version)
        assert refused == no_scorer(experiment_id, f"'good' and version {version}")


def test_the_experiment_must_be_active(api: Api, deleted_experiment_id: str) -> None:
    for experiment_id, refused in {
        "987654321": not_there("No Experiment with id=987654321 exists"),
        "abc": invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
        deleted_experiment_id: invalid(
            f"The experiment {deleted_experiment_id} must be in the 'active' state. Current state is deleted."
        ),
    }.items():
        where = {"experiment_id": experiment_id, "name": "good"}
        assert register_refused(api, experiment_id) == refused
        assert api.get_refused(f"{PATH}/list", experiment_id=experiment_id) == refused
        assert api.get_refused(f"{PATH}/versions", **where) == refused
        assert api.get_refused(f"{PATH}/get", **where) == refused
        assert refusal(delete(api, experiment_id)) == refused
        assert refusal(score_online(api, experiment_id, sample_rate=0)) == refused


def test_required_fields_are_named(api: Api, experiment_id: str) -> None:
    where = {"experiment_id": experiment_id}
    assert api.post_refused(f"{PATH}/register") == missing("experiment_id")
    assert api.post_refused(f"{PATH}/register", **where, name="") == missing("name")
    assert api.post_refused(f"{PATH}/register", **where, name="good") == missing("serialized_scorer")
    assert api.get_refused(f"{PATH}/get", **where) == missing("name")
    assert api.get_refused(f"{PATH}/versions", **where) == missing("name")
    assert api.get_refused(f"{PATH}/get", **where, name="good", version="x") == wrong_type("version", '"x"', "str")
    assert refusal(delete(api, experiment_id, name="")) == missing("name")
    assert api.get_refused(f"{PATH}/online-configs") == missing("scorer_ids")
    assert refusal(score_online(api, experiment_id)) == missing("sample_rate")


def test_a_list_is_of_one_experiment_or_of_several(api: Api, experiment_id: str) -> None:
    assert api.get_refused(f"{PATH}/list", experiment_id=experiment_id, experiment_ids=["1"]) == invalid(
        "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to scope the query to multiple "
        "experiments, or 'experiment_id' to scope it to a single experiment."
    )


# What a name and a definition may be


def test_names_that_mlflow_refuses_are_refused(api: Api, experiment_id: str) -> None:
    blank = invalid("Scorer name cannot be empty or contain only whitespace.")
    assert register_refused(api, experiment_id, " \t") == blank
    assert register(api, experiment_id, "é" * 256)["version"] == 1
    too_long = invalid("'name' exceeds the maximum length of 256 characters")
    assert register_refused(api, experiment_id, "é" * 257) == too_long


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("{", "serialized_scorer must be valid JSON"),
        ("[" * 100_000, "serialized_scorer must be valid JSON"),
        ("[]", "serialized_scorer must be a JSON object, got list"),
        (judge(5), "Scorer model must be a string, got int."),
        (judge(" "), "Scorer model cannot be empty or contain only whitespace."),
        (
            '{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": ""}}}}',
            "Scorer model cannot be empty or contain only whitespace.",
        ),
        ('{"third_party_scorer_data": 7}', "third_party_scorer_data must be a JSON object, got int"),
        (
            '{"third_party_scorer_data": {"kwargs": [1]}}',
            "third_party_scorer_data.kwargs must be a JSON object, got list.",
        ),
        (
            '{"a":' * 101 + "1" + "}" * 101,
            "serialized_scorer is nested too deeply: at most 100 levels are allowed",
        ),
        (
            json.dumps({"a": "x" * 1_048_576}),
            "'serialized_scorer' exceeds the maximum length of 1048576 characters",
        ),
    ],
)
def test_definitions_that_no_client_could_read_are_refused(
    api: Api, experiment_id: str, definition: str, message: str
) -> None:
    assert register_refused(api, experiment_id, definition=definition) == invalid(message)
    assert listed(api, experiment_id=experiment_id) == []


def test_a_definition_that_holds_code_is_refused(api: Api, experiment_id: str) -> None:
    code = {"call_source": "return 1", "call_signature": "()", "original_func_name": "f"}
    for definition in (code, {"ensemble_scorer_data": {"scorers": [code]}}):
        refused = register_refused(api, experiment_id, definition=json.dumps(definition))
        assert refused.status == 400
        assert refused.message.startswith("Custom scorer registration (using @scorer decorator) is disabled by default")
    assert listed(api, experiment_id=experiment_id) == []
    assert register(api, experiment_id, definition='{"call_source": null}')["version"] == 1


@pytest.mark.parametrize("options", [{"api_base": 1}, {"a": [{"api_base": 1}]}, {"a": [{}, ["api_base", 1]]}])
def test_a_definition_that_says_where_requests_go_is_refused(api: Api, experiment_id: str, options: Any) -> None:
    definition = {"a": [{"third_party_scorer_data": {"kwargs": options}}]}
    assert register_refused(api, experiment_id, definition=json.dumps(definition)) == invalid(
        "third_party_scorer_data.kwargs must not contain 'api_base': these options choose where the scorer's LLM "
        "client sends requests."
    )


def test_a_list_larger_than_an_answer_can_be_is_refused(start_server: StartServer) -> None:
    with Api(start_server().url) as api:
        experiment_id = api.new_experiment()
        definition = json.dumps({"a": "x" * 1_048_000})
        for _ in range(64):
            register(api, experiment_id, definition=definition)
        assert api.get_refused(f"{PATH}/versions", experiment_id=experiment_id, name="good") == invalid(
            "The 64 scorers together are larger than the 67108864 characters that one answer can hold; ask for fewer "
            "experiments, or for single versions"
        )
        assert listed(api) == [(int(experiment_id), "good", 64)]
        assert get(api, experiment_id, version=1)["serialized_scorer"] == definition


# Delete


def test_a_version_is_deleted_alone(api: Api, experiment_id: str) -> None:
    for _ in range(3):
        register(api, experiment_id)
    delete_well(api, experiment_id, version=2)
    assert versions(api, experiment_id) == [1, 3]
    delete_well(api, experiment_id, version=3)
    assert get(api, experiment_id)["scorer_version"] == 1
    gone = no_scorer(experiment_id, "'good' and version 3")
    assert refusal(delete(api, experiment_id, version=3)) == gone


def test_a_scorer_that_has_lost_its_versions_one_by_one_is_not_found(api: Api, experiment_id: str) -> None:
    scorer_id = register(api, experiment_id)["scorer_id"]
    delete_well(api, experiment_id, version=1)
    assert listed(api, experiment_id=experiment_id) == []
    assert refusal(delete(api, experiment_id)) == no_scorer(experiment_id)
    where = {"experiment_id": experiment_id, "name": "good"}
    assert api.get_refused(f"{PATH}/versions", **where) == no_scorer(experiment_id)
    again = register(api, experiment_id)
    assert (again["version"], again["scorer_id"]) == (1, scorer_id)


def test_a_scorer_is_deleted_with_all_of_its_versions_and_its_config(api: Api, experiment_id: str) -> None:
    first = register(api, experiment_id)["scorer_id"]
    register(api, experiment_id)
    register(api, experiment_id, "other")
    score_online_well(api, experiment_id, sample_rate=0)
    delete_well(api, experiment_id)
    assert listed(api, experiment_id=experiment_id) == [(int(experiment_id), "other", 1)]
    assert configs(api, first) == []
    assert refusal(delete(api, experiment_id)) == no_scorer(experiment_id)
    again = register(api, experiment_id)
    assert again["version"] == 1
    assert again["scorer_id"] != first


# Online


def test_a_config_is_kept_until_another_takes_its_place(api: Api, experiment_id: str) -> None:
    scorer_id = register(api, experiment_id, definition=GATEWAY_JUDGE)["scorer_id"]
    assert configs(api, scorer_id) == []
    first = score_online_well(api, experiment_id, sample_rate=0.25, filter_string="status = 'OK'")
    assert re.fullmatch("[0-9a-f]{32}", first.pop("online_scoring_config_id"))
    expected = {"scorer_id": scorer_id, "experiment_id": experiment_id}
    assert first == expected | {"sample_rate": 0.25, "filter_string": "status = 'OK'"}
    second = score_online_well(api, experiment_id, sample_rate=1)
    assert second == expected | {"sample_rate": 1.0, "online_scoring_config_id": second["online_scoring_config_id"]}
    assert configs(api, scorer_id) == [second]


def test_configs_are_those_of_the_scorers_that_are_asked_for(api: Api, experiment_id: str) -> None:
    ids = [register(api, experiment_id, name)["scorer_id"] for name in ("a", "b", "c", "never")]
    for name in ("a", "b", "c"):
        score_online_well(api, experiment_id, name, sample_rate=0)
    assert {config["scorer_id"] for config in configs(api, ids[0], ids[2], ids[3], "none")} == {ids[0], ids[2]}


def test_only_a_scorer_with_the_model_of_a_gateway_scores_online(api: Api, experiment_id: str) -> None:
    register(api, experiment_id, definition=GATEWAY_JUDGE)
    register(api, experiment_id, definition=judge())
    assert refusal(score_online(api, experiment_id, sample_rate=0.5)) == invalid(
        "Scorer 'good' does not use a gateway model. Automatic evaluation is only supported for scorers that use "
        "gateway models."
    )
    assert score_online_well(api, experiment_id, sample_rate=0)["sample_rate"] == 0


def test_a_judge_that_needs_expectations_does_not_score_online(api: Api, experiment_id: str) -> None:
    register(api, experiment_id, definition=judge("gateway:/g", "Is {{ outputs }} like {{expectations }}?"))
    assert refusal(score_online(api, experiment_id, sample_rate=0.5)) == invalid(
        "Scorer 'good' requires expectations, but scorers with expectations are not currently supported for automatic "
        "evaluation."
    )


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"sample_rate": 1.5}, invalid("sample_rate must be between 0.0 and 1.0, got 1.5")),
        ({"sample_rate": -0.1}, invalid("sample_rate must be between 0.0 and 1.0, got -0.1")),
        ({"sample_rate": "NaN"}, invalid("sample_rate must be between 0.0 and 1.0, got nan")),
        ({"sample_rate": "much"}, wrong_type("sample_rate", '"much"', "str")),
        ({"sample_rate": 0, "filter_string": 5}, wrong_type("filter_string", "5", "int")),
        (
            {"sample_rate": 0, "filter_string": "foo bar"},
            invalid("Invalid clause(s) in filter string: 'foo bar' (expected a comparator, such as = or LIKE)"),
        ),
    ],
)
def test_rates_and_filters_that_make_no_sense_are_refused(
    api: Api, experiment_id: str, fields: dict[str, Any], refused: Refusal
) -> None:
    scorer_id = register(api, experiment_id, definition=GATEWAY_JUDGE)["scorer_id"]
    assert refusal(score_online(api, experiment_id, **fields)) == refused
    assert configs(api, scorer_id) == []
