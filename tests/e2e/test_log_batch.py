"""Batches: all of their metrics, params and tags, or none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, pairs, wrong_type

PATH = "runs/log-batch"


def numbered(count: int, prefix: str = "k") -> list[dict[str, str]]:
    return pairs(**{f"{prefix}{number}": "v" for number in range(count)})


def test_a_batch_logs_everything_in_it(api: Api, run_id: str) -> None:
    answer = api.post(
        PATH,
        run_id=run_id,
        metrics=[metric("loss", 2, 10, 1), metric("loss", "1", "11", "2"), {"key": "acc", "value": 1, "timestamp": 3}],
        params=pairs(lr="0.1", empty=""),
        tags=pairs(env="dev"),
    )
    assert answer == {}
    run = api.run(run_id)["data"]
    assert sorted(run["metrics"], key=lambda m: m["key"]) == [metric("acc", 1, 3), metric("loss", 1, 11, 2)]
    assert api.params(run_id) == {"lr": "0.1", "empty": ""}
    assert api.tags(run_id)["env"] == "dev"
    history = api.get("metrics/get-history", run_id=run_id, metric_key="loss")["metrics"]
    assert history == [metric("loss", 2, 10, 1), metric("loss", 1, 11, 2)]


@pytest.mark.parametrize("fields", [{}, {"metrics": [], "params": [], "tags": []}, {"metrics": None, "params": None}])
def test_an_empty_batch_changes_nothing(api: Api, run_id: str, fields: dict[str, Any]) -> None:
    before = api.run(run_id)
    assert api.post(PATH, run_id=run_id, **fields) == {}
    assert api.run(run_id) == before


def test_the_largest_batch_is_taken(api: Api, run_id: str) -> None:
    api.post(PATH, run_id=run_id, metrics=[metric(f"m{n}", n, n, n) for n in range(800)], params=numbered(100))
    api.post(PATH, run_id=run_id, metrics=[metric("m", n, n, n) for n in range(1000)])
    api.post(PATH, run_id=run_id, tags=numbered(100))
    data = api.run(run_id)["data"]
    assert (len(data["metrics"]), len(data["params"]), len(data["tags"])) == (801, 100, 101)


def test_a_batch_sent_again_changes_nothing(api: Api, run_id: str) -> None:
    batch = {"metrics": [metric("a", n, n, n) for n in range(50)], "params": numbered(20), "tags": numbered(20)}
    api.post(PATH, run_id=run_id, **batch)
    before = api.run(run_id), api.get("metrics/get-history", run_id=run_id, metric_key="a")
    api.post(PATH, run_id=run_id, **batch)
    assert (api.run(run_id), api.get("metrics/get-history", run_id=run_id, metric_key="a")) == before


def test_of_a_tag_that_stands_twice_in_a_batch_the_last_value_counts(api: Api, run_id: str) -> None:
    api.post(PATH, run_id=run_id, tags=[*pairs(k="1"), *pairs(k="2")])
    assert api.tags(run_id)["k"] == "2"


def test_the_tag_of_the_name_renames_the_run(api: Api, run_id: str) -> None:
    api.post(PATH, run_id=run_id, tags=pairs(**{"mlflow.runName": "renamed", "other": "x"}))
    assert api.run(run_id)["info"]["run_name"] == "renamed"


def test_values_that_are_too_long_are_cut_as_mlflow_cuts_them(api: Api, run_id: str) -> None:
    api.post(PATH, run_id=run_id, params=pairs(p="v" * 7000), tags=pairs(t="v" * 9000))
    assert len(api.params(run_id)["p"]) == 6000
    assert len(api.tags(run_id)["t"]) == 8000


GOOD: dict[str, Any] = {
    "metrics": [metric("fine", 1)],
    "params": pairs(fine="1"),
    "tags": pairs(fine="1"),
}
CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes "
    "(/)."
)


@pytest.mark.parametrize(
    ("wrong", "refused"),
    [
        ({"metrics": [{"value": 1, "timestamp": 1}]}, missing("metrics[0].key")),
        ({"metrics": [metric("a", 1), metric("", 1)]}, missing("metrics[1].key")),
        ({"metrics": [{"key": "a", "timestamp": 1}]}, missing("metrics[0].value")),
        ({"metrics": [metric("a", None)]}, missing("metrics[0].value")),
        ({"metrics": [{"key": "a", "value": 1}]}, missing("metrics[0].timestamp")),
        ({"metrics": [metric("a", "x")]}, wrong_type("metrics[0].value", '"x"', "str")),
        ({"metrics": [metric("a", 1) | {"step": "x"}]}, wrong_type("metrics[0].step", '"x"', "str")),
        ({"metrics": [metric("a", 1) | {"timestamp": 1.5}]}, wrong_type("metrics[0].timestamp", "1.5", "float")),
        (
            {"metrics": [metric("a?", 1)]},
            invalid(f"Invalid value \"a?\" for parameter 'metrics[0].name' supplied: {CHARACTERS}"),
        ),
        ({"metrics": [metric("a" * 251, 1)]}, invalid("'Metric name' exceeds the maximum length of 250 characters")),
        (
            {"metrics": [metric("a", 1, -1)]},
            invalid(
                "Invalid value -1 for parameter 'metrics[0].timestamp' supplied: metric 'a' (value=1.0). Timestamp "
                "must be a nonnegative long (64-bit integer) "
            ),
        ),
        ({"metrics": {}}, wrong_type("metrics", "{}", "dict")),
        ({"metrics": ["x"]}, wrong_type("metrics[0]", '"x"', "str")),
        ({"metrics": [None]}, wrong_type("metrics[0]", "null", "NoneType")),
        ({"params": [{"value": "x"}]}, missing("params[0].key")),
        ({"params": pairs(n="1") + [{"key": "n", "value": 5}]}, wrong_type("params[1].value", "5", "int")),
        (
            {"params": pairs(**{"a?": "1"})},
            invalid(f"Invalid value \"a?\" for parameter 'params[0].key' supplied: {CHARACTERS}"),
        ),
        ({"params": pairs(**{"a" * 251: "1"})}, invalid("'Param key' exceeds the maximum length of 250 characters")),
        (
            {"params": pairs(a="1") + pairs(b="1") + pairs(a="1")},
            invalid(
                "Duplicate parameter keys have been submitted: ['a']. Please ensure the request contains only one "
                "param value per param key."
            ),
        ),
        ({"tags": [{"value": "x"}]}, missing("tags[0].key")),
        (
            {"tags": pairs(**{"a?": "1"})},
            invalid(f"Invalid value \"a?\" for parameter 'tags[0].key' supplied: {CHARACTERS}"),
        ),
        ({"tags": pairs(**{"a" * 251: "1"})}, invalid("'tags[0].key' exceeds the maximum length of 250 characters")),
    ],
)
def test_a_batch_with_one_wrong_member_logs_nothing(
    api: Api, run_id: str, wrong: dict[str, Any], refused: Refusal
) -> None:
    before = api.run(run_id)
    assert api.post_refused(PATH, run_id=run_id, **(GOOD | wrong)) == refused
    assert api.run(run_id) == before


@pytest.mark.parametrize(
    ("fields", "limit", "what", "count"),
    [
        ({"metrics": [metric("m", 1)] * 1001}, 1000, "metrics", 1001),
        ({"params": numbered(101)}, 100, "params", 101),
        ({"tags": numbered(101)}, 100, "tags", 101),
        ({"metrics": [metric("m", 1)] * 950, "params": numbered(60)}, 1000, "metrics, params, and tags", 1010),
    ],
)
def test_a_batch_past_a_limit_logs_nothing(
    api: Api, run_id: str, fields: dict[str, Any], limit: int, what: str, count: int
) -> None:
    before = api.run(run_id)
    assert api.post_refused(PATH, run_id=run_id, **fields) == invalid(
        f"A batch logging request can contain at most {limit} {what}. Got {count} {what}. "
        f"Please split up {what} across multiple requests and try again."
    )
    assert api.run(run_id) == before


def test_a_batch_that_changes_a_param_logs_nothing(api: Api, run_id: str) -> None:
    api.post(PATH, run_id=run_id, params=pairs(a="1", b="2"))
    before = api.run(run_id)
    assert api.post_refused(PATH, run_id=run_id, **GOOD | {"params": pairs(new="x", a="changed", b="2")}) == invalid(
        "Changing param values is not allowed. Params were already logged="
        f"'[{{'key': 'a', 'old_value': '1', 'new_value': 'changed'}}]' for run ID='{run_id}'."
    )
    assert api.run(run_id) == before


def test_a_batch_names_a_run(api: Api) -> None:
    assert api.post_refused(PATH, **GOOD) == missing("run_id")
    assert api.post_refused(PATH, run_id="a b", **GOOD) == invalid(
        "Invalid value \"a b\" for parameter 'run_id' supplied."
    )


def test_a_refused_batch_leaves_its_neighbours_whole(api: Api, run_id: str) -> None:
    """Commands of many clients share transactions: one that fails after it has written must take nothing with it."""
    api.post(PATH, run_id=run_id, params=pairs(taken="1"))

    def send(number: int) -> int:
        batch = {
            "metrics": [metric(f"m{number}", 1)],
            "params": numbered(3, f"p{number}-"),
            "tags": numbered(3, f"t{number}-"),
        }
        if number % 4 == 0:
            batch["params"] += pairs(taken="2")
        return api.send("POST", PATH, json={"run_id": run_id, **batch}).status_code

    with ThreadPoolExecutor(16) as clients:
        statuses = list(clients.map(send, range(80)))
    good = {number for number in range(80) if number % 4}
    assert statuses == [200 if number in good else 400 for number in range(80)]
    assert set(api.metrics(run_id)) == {f"m{number}" for number in good}
    assert set(api.params(run_id)) == {"taken"} | {f"p{number}-{n}" for number in good for n in range(3)}
    assert set(api.tags(run_id)) == {"mlflow.runName"} | {f"t{number}-{n}" for number in good for n in range(3)}
