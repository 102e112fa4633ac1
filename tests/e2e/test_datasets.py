"""Datasets and models that runs used or made."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, missing, pairs, wrong_type

INPUTS = "runs/log-inputs"
OUTPUTS = "runs/outputs"
SEARCH = "experiments/search-datasets"


def dataset(name: str = "questions", digest: str = "abc", **fields: str) -> dict[str, str]:
    return {"name": name, "digest": digest, "source_type": "code", "source": '{"path": "x"}', **fields}


def used(context: str = "", **fields: str) -> dict[str, Any]:
    """A dataset as input of a run."""
    tags = pairs(**{"mlflow.data.context": context}) if context else []
    return {"dataset": dataset(**fields), "tags": tags}


def inputs_of(api: Api, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.run(run_id)["inputs"].get("dataset_inputs", [])
    return found


def test_a_dataset_is_shown_with_the_run_that_used_it(api: Api, run_id: str) -> None:
    whole = dataset(schema='{"columns": []}', profile='{"rows": 5}')
    tags = pairs(**{"mlflow.data.context": "eval", "another": ""})
    assert api.post(INPUTS, run_id=run_id, datasets=[{"dataset": whole, "tags": tags}]) == {}
    (found,) = inputs_of(api, run_id)
    assert found["dataset"] == whole
    assert sorted(found["tags"], key=lambda tag: tag["key"]) == sorted(tags, key=lambda tag: tag["key"])


def test_what_a_dataset_lacks_is_left_out(api: Api, run_id: str) -> None:
    api.post(INPUTS, run_id=run_id, datasets=[{"dataset": dataset(schema="", profile="")}])
    assert inputs_of(api, run_id) == [{"dataset": dataset()}]


def test_logging_a_dataset_again_changes_nothing(api: Api, run_id: str) -> None:
    api.post(INPUTS, run_id=run_id, datasets=[used("train"), used("ignored")])
    api.post(INPUTS, run_id=run_id, datasets=[used("eval", source="other")])
    assert inputs_of(api, run_id) == [used("train")]


def test_a_dataset_is_the_same_in_all_runs_of_an_experiment(api: Api, experiment_id: str) -> None:
    one, other = api.new_run(experiment_id), api.new_run(experiment_id)
    api.post(INPUTS, run_id=one, datasets=[used("train")])
    api.post(INPUTS, run_id=other, datasets=[used("eval", profile="came later")])
    assert inputs_of(api, other) == [used("eval")]
    summaries = api.post(SEARCH, experiment_ids=[experiment_id])["dataset_summaries"]
    same = {"experiment_id": experiment_id, "name": "questions", "digest": "abc"}
    assert summaries == [same | {"context": "eval"}, same | {"context": "train"}]


def test_datasets_of_one_name_and_different_digests_are_different(api: Api, run_id: str) -> None:
    api.post(INPUTS, run_id=run_id, datasets=[used(digest="1"), used(digest="2")])
    assert [found["dataset"]["digest"] for found in inputs_of(api, run_id)] == ["1", "2"]


def test_the_longest_parts_of_a_dataset_are_kept_whole(api: Api, run_id: str) -> None:
    longest = dataset("n" * 500, "d" * 36, source="s" * 65_535, schema="c" * 1_048_575, profile="p" * 100_000)
    tags = pairs(**{"k" * 255: "v" * 500})
    api.post(INPUTS, run_id=run_id, datasets=[{"dataset": longest, "tags": tags}])
    assert inputs_of(api, run_id) == [{"dataset": longest, "tags": tags}]


@pytest.mark.parametrize(
    ("wrong", "refused"),
    [
        ({}, missing("datasets[1].dataset")),
        ({"dataset": dataset(name="")}, missing("datasets[1].dataset.name")),
        ({"dataset": {"name": "n"}}, missing("datasets[1].dataset.digest")),
        ({"dataset": dataset(name="n" * 501)}, invalid("'name' exceeds the maximum length of 500 characters")),
        ({"dataset": dataset(digest="d" * 37)}, invalid("'digest' exceeds the maximum length of 36 characters")),
        ({"dataset": dataset(source="s" * 65_536)}, invalid("'source' exceeds the maximum length of 65535 characters")),
        (
            {"dataset": dataset(schema="s" * 1_048_576)},
            invalid("'schema' exceeds the maximum length of 1048575 characters"),
        ),
        (
            {"dataset": dataset(), "tags": pairs(**{"k" * 256: "v"})},
            invalid("'key' exceeds the maximum length of 255 characters"),
        ),
        (
            {"dataset": dataset(), "tags": pairs(k="v" * 501)},
            invalid("'value' exceeds the maximum length of 500 characters"),
        ),
        ({"dataset": "x"}, wrong_type("datasets[1].dataset", '"x"', "str")),
    ],
)
def test_a_wrong_dataset_is_refused_and_none_is_logged(
    api: Api, run_id: str, wrong: dict[str, Any], refused: Refusal
) -> None:
    assert api.post_refused(INPUTS, run_id=run_id, datasets=[used(name="fine"), wrong]) == refused
    assert inputs_of(api, run_id) == []


def test_the_number_of_datasets_in_a_request_is_bounded(api: Api, run_id: str) -> None:
    assert api.post_refused(INPUTS, run_id=run_id, datasets=[used()] * 1001) == invalid(
        "'datasets' can contain at most 1000 datasets, got 1001"
    )


# The search for datasets


def test_the_datasets_of_experiments_are_listed_once_per_context(api: Api) -> None:
    first, second = api.new_experiment(), api.new_experiment()
    for experiment_id, inputs in {
        first: [used("train", name="a"), used("eval", name="b"), used(name="c")],
        second: [used("train", name="a")],
    }.items():
        for _ in range(2):
            api.post(INPUTS, run_id=api.new_run(experiment_id), datasets=inputs)
    summaries = api.post(SEARCH, experiment_ids=[second, first])["dataset_summaries"]
    assert summaries == [
        {"experiment_id": first, "name": "a", "digest": "abc", "context": "train"},
        {"experiment_id": first, "name": "b", "digest": "abc", "context": "eval"},
        {"experiment_id": first, "name": "c", "digest": "abc"},
        {"experiment_id": second, "name": "a", "digest": "abc", "context": "train"},
    ]


@pytest.mark.parametrize(
    ("experiment_ids", "refused"),
    [
        ([], invalid("SearchDatasets request must specify at least one experiment_id.")),
        (
            ["0"] * 21,
            invalid("SearchDatasets request cannot specify more than 20 experiment_ids. Received 21 experiment_ids."),
        ),
        (["x"], invalid("Invalid experiment ID 'x'. Experiment ID must be a valid integer.")),
        ("0", wrong_type("experiment_ids", '"0"', "str")),
    ],
)
def test_a_wrong_search_for_datasets_is_refused(api: Api, experiment_ids: Any, refused: Refusal) -> None:
    assert api.post_refused(SEARCH, experiment_ids=experiment_ids) == refused


def test_experiments_without_datasets_have_none(api: Api, experiment_id: str) -> None:
    assert api.post(SEARCH, experiment_ids=[experiment_id, "987654321"]) == {"dataset_summaries": []}


# Models


def test_models_that_a_run_used_and_made_are_shown_with_it(api: Api, run_id: str) -> None:
    for _ in range(2):
        assert api.post(INPUTS, run_id=run_id, models=[{"model_id": "m-1"}, {"model_id": "m-2"}]) == {}
        assert api.post(OUTPUTS, run_id=run_id, models=[{"model_id": "m-3", "step": "4"}, {"model_id": "m-3"}]) == {}
    run = api.run(run_id)
    assert run["inputs"] == {"model_inputs": [{"model_id": "m-1"}, {"model_id": "m-2"}]}
    assert run["outputs"] == {"model_outputs": [{"model_id": "m-3", "step": 0}, {"model_id": "m-3", "step": 4}]}


def test_a_request_that_names_no_inputs_changes_nothing(api: Api, run_id: str) -> None:
    assert api.post(INPUTS, run_id=run_id) == {}
    assert api.post(OUTPUTS, run_id=run_id, models=[]) == {}
    assert (api.run(run_id)["inputs"], api.run(run_id)["outputs"]) == ({}, {})


def test_a_wrong_model_is_refused(api: Api, run_id: str) -> None:
    for path in (INPUTS, OUTPUTS):
        assert api.post_refused(path, run_id=run_id, models=[{}]) == missing("models[0].model_id")
        assert api.post_refused(path, run_id=run_id, models=[{"model_id": "m" * 257}]) == invalid(
            "'models[0].model_id' exceeds the maximum length of 256 characters"
        )
        assert api.post_refused(path, run_id=run_id, models=[{"model_id": "m"}] * 1001) == invalid(
            "'models' can contain at most 1000 models, got 1001"
        )
    assert api.post_refused(OUTPUTS, run_id=run_id) == missing("models")
