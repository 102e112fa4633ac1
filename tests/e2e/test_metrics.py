"""Metrics: logging a point, the latest value, special numbers. (Series are in test_metric_history.)"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, wrong_type

PATH = "runs/log-metric"
GREATEST = 1.7976931348623157e308


def log(api: Api, run_id: str, **fields: Any) -> None:
    answer = api.post(PATH, **({"run_id": run_id, "key": "k", "value": 1, "timestamp": 1} | fields))
    assert answer == {}


def points(api: Api, run_id: str, key: str = "k") -> list[tuple[Any, int, int]]:
    """Value, timestamp and step of a series."""
    found = api.get("metrics/get-history", run_id=run_id, metric_key=key)["metrics"]
    return [(point["value"], point["timestamp"], point["step"]) for point in found]


def test_a_logged_metric_is_shown_with_the_run(api: Api, run_id: str) -> None:
    log(api, run_id, key="loss", value=0.25, timestamp=1_700_000_000_000, step=3)
    assert api.run(run_id)["data"]["metrics"] == [metric("loss", 0.25, 1_700_000_000_000, 3)]


def test_a_run_without_metrics_is_shown_without_the_field(api: Api, run_id: str) -> None:
    assert "metrics" not in api.run(run_id)["data"]


def test_a_metric_without_a_step_is_at_step_0(api: Api, run_id: str) -> None:
    log(api, run_id)
    log(api, run_id, step=None, timestamp=2)
    assert points(api, run_id) == [(1.0, 1, 0), (1.0, 2, 0)]


def test_the_old_name_of_the_run_id_is_taken(api: Api, run_id: str) -> None:
    api.post(PATH, run_uuid=run_id, key="k", value=1, timestamp=1)
    assert api.metrics(run_id) == {"k": 1}


def test_the_same_point_twice_is_one_point(api: Api, run_id: str) -> None:
    for _ in range(3):
        log(api, run_id, value=0.5, timestamp=10, step=2)
        log(api, run_id, value="NaN", timestamp=10, step=2)
    assert points(api, run_id) == [("NaN", 10, 2), (0.5, 10, 2)]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        # The greatest step counts, then the greatest timestamp, then the greatest value, whatever came last.
        (metric("k", 9, timestamp=99, step=1), metric("k", 1, timestamp=1, step=2)),
        (metric("k", 9, timestamp=5, step=1), metric("k", 1, timestamp=6, step=1)),
        (metric("k", 1, timestamp=5, step=1), metric("k", 2, timestamp=5, step=1)),
        (metric("k", "-Infinity", timestamp=5, step=1), metric("k", -1e300, timestamp=5, step=1)),
        (metric("k", 3, timestamp=0, step=-5), metric("k", 1, timestamp=0, step=-4)),
        # NaN counts as 0.
        (metric("k", "NaN", timestamp=5, step=1), metric("k", 0.1, timestamp=5, step=1)),
        (metric("k", -0.1, timestamp=5, step=1), metric("k", "NaN", timestamp=5, step=1)),
    ],
)
@pytest.mark.parametrize("how", ["in order", "out of order", "in one batch", "in one batch, out of order"])
def test_the_latest_value_is_that_of_the_greatest_step(
    api: Api, run_id: str, earlier: dict[str, Any], later: dict[str, Any], how: str
) -> None:
    both = [later, earlier] if "out of order" in how else [earlier, later]
    if "batch" in how:
        api.post("runs/log-batch", run_id=run_id, metrics=both)
    else:
        for point in both:
            log(api, run_id, **point)
    assert api.run(run_id)["data"]["metrics"] == [later]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (1, 1.0),
        (-0.5, -0.5),
        ("1.5", 1.5),
        (" 1 ", 1.0),
        ("1e-400", 0.0),
        (5e-324, 5e-324),
        (0.1 + 0.2, 0.1 + 0.2),
        (2**53 + 1, float(2**53 + 1)),
        (2**70, float(2**70)),
        ("NaN", "NaN"),
        ("nan", "NaN"),
        # Infinities are shown as the greatest double, as MLflow shows them: JSON has no other number for them.
        ("Infinity", GREATEST),
        ("-Infinity", -GREATEST),
        ("inf", GREATEST),
        ("1e400", GREATEST),
    ],
)
def test_a_value_is_a_double_in_any_of_its_spellings(api: Api, run_id: str, sent: Any, shown: Any) -> None:
    log(api, run_id, value=sent)
    assert api.metrics(run_id) == {"k": shown}
    assert points(api, run_id) == [(shown, 1, 0)]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_the_literals_that_python_clients_write_are_taken(api: Api, run_id: str, literal: str) -> None:
    body = f'{{"run_id": "{run_id}", "key": "k", "value": {literal}, "timestamp": 1}}'
    assert api.send("POST", PATH, content=body, headers={"Content-Type": "application/json"}).json() == {}
    shown = {"NaN": "NaN", "Infinity": GREATEST, "-Infinity": -GREATEST}
    assert api.metrics(run_id) == {"k": shown[literal]}


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), "9223372036854775807", 1e3, "1e3", "5", 0])
def test_a_step_is_an_integer_of_64_bits_in_any_of_its_spellings(api: Api, run_id: str, value: Any) -> None:
    log(api, run_id, step=value)
    assert points(api, run_id) == [(1.0, 1, int(float(value)) if "e" in str(value) else int(value))]


@pytest.mark.parametrize("value", [0, 2**63 - 1, "7", 1e3])
def test_a_timestamp_is_a_number_of_milliseconds(api: Api, run_id: str, value: Any) -> None:
    log(api, run_id, timestamp=value)
    assert points(api, run_id) == [(1.0, int(value), 0)]


@pytest.mark.parametrize("key", ["a", "k" * 250, "a/b/c", "a.b-c_d e:f", "ünï côdé", "日本", "a..b", ".a"])
def test_a_key_may_be_a_name_or_a_path(api: Api, run_id: str, key: str) -> None:
    log(api, run_id, key=key)
    assert api.metrics(run_id) == {key: 1}
    assert points(api, run_id, key) == [(1, 1, 0)]


def bad_characters(shown: str) -> Refusal:
    return invalid(
        f"Invalid value {shown} for parameter 'name' supplied: Names may only contain alphanumerics, underscores (_), "
        "dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
    )


def path_like(key: str, resolved: str) -> Refusal:
    return invalid(
        f"Invalid value \"{key}\" for parameter 'name' supplied: Names may be treated as files in certain cases, and "
        f"must not resolve to other names when treated as such. This name would resolve to '{resolved}'"
    )


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"key": None}, missing("key")),
        ({"key": ""}, missing("key")),
        ({"key": 5}, wrong_type("key", "5", "int")),
        ({"key": "k" * 251}, invalid("'Metric name' exceeds the maximum length of 250 characters")),
        ({"key": "a?"}, bad_characters('"a?"')),
        ({"key": "a\nb"}, bad_characters('"a\\nb"')),
        ({"key": "a\n"}, bad_characters('"a\\n"')),
        ({"key": "/a"}, path_like("/a", "/a")),
        ({"key": "a//b"}, path_like("a//b", "a/b")),
        ({"key": "a/../.."}, path_like("a/../..", "..")),
        ({"key": "."}, path_like(".", ".")),
        ({"key": "..a"}, path_like("..a", "..a")),
        ({"value": None}, missing("value")),
        ({"value": "abc"}, wrong_type("value", '"abc"', "str")),
        ({"value": ""}, wrong_type("value", '""', "str")),
        ({"value": True}, wrong_type("value", "true", "bool")),
        ({"value": []}, wrong_type("value", "[]", "list")),
        ({"value": {"a": 1}}, wrong_type("value", '{"a":1}', "dict")),
        ({"timestamp": None}, missing("timestamp")),
        ({"timestamp": "abc"}, wrong_type("timestamp", '"abc"', "str")),
        # MLflow stores 0 for these: a point at the wrong time is worse than an error.
        ({"timestamp": 1.5}, wrong_type("timestamp", "1.5", "float")),
        ({"timestamp": 2**63}, wrong_type("timestamp", str(2**63), "int")),
        ({"step": 1.5}, wrong_type("step", "1.5", "float")),
        ({"step": "x"}, wrong_type("step", '"x"', "str")),
        ({"step": 2**63}, wrong_type("step", str(2**63), "int")),
        (
            {"timestamp": -1},
            invalid(
                "Invalid value -1 for parameter 'timestamp' supplied: metric 'k' (value=1.0). Timestamp must be a "
                "nonnegative long (64-bit integer) "
            ),
        ),
        (
            {"dataset_name": "d"},
            invalid("Both dataset_name and dataset_digest must be provided if one is provided"),
        ),
    ],
)
def test_a_wrong_metric_is_refused_and_nothing_is_logged(
    api: Api, run_id: str, fields: dict[str, Any], refused: Refusal
) -> None:
    wrong = {"run_id": run_id, "key": "k", "value": 1, "timestamp": 1} | fields
    assert api.post_refused(PATH, **wrong) == refused
    assert api.metrics(run_id) == {}


def test_metrics_of_two_runs_are_apart(api: Api, experiment_id: str) -> None:
    one, other = api.new_run(experiment_id), api.new_run(experiment_id)
    log(api, one, value=1)
    log(api, other, value=2)
    assert (points(api, one), points(api, other)) == ([(1.0, 1, 0)], [(2.0, 1, 0)])
