"""Series of metrics: their order, pages and samples, whether their points came just now or long ago."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, wrong_type
from tests.server_process import ServerProcess

PATH = "metrics/get-history"
BULK = "metrics/get-history-bulk"
SAMPLE = "metrics/get-history-bulk-interval"
GREATEST = 1.7976931348623157e308
PAGE_LIMIT = 25_000
LONG = 26_000

Point = tuple[int, int, float]  # timestamp, step, value


def shown(key: str, points: list[Point]) -> list[dict[str, Any]]:
    """Points as an answer lists them: NaN as text, infinities as the greatest double."""
    return [metric(key, "NaN" if math.isnan(value) else _finite(value), t, step) for t, step, value in points]


def _finite(value: float) -> float:
    return math.copysign(GREATEST, value) if math.isinf(value) else value


def listed(points: list[Point]) -> list[Point]:
    """The points of a series in MLflow's order, each once; NaN stands where 0 does, behind it."""
    distinct = {(t, step, str(value)): (t, step, value) for t, step, value in points}
    return sorted(distinct.values(), key=lambda p: (p[0], p[1], 0 if math.isnan(p[2]) else p[2], math.isnan(p[2])))


def sampled(points: list[Point], start_step: int, end_step: int, size: int) -> list[Point]:
    """The points in the order of their steps, dealt into buckets of which the first is taken, and the last of all."""
    inside = [point for point in listed(points) if start_step <= point[1] <= end_step]
    inside.sort(key=lambda point: point[1])  # stable: the timestamp and the value decide among equal steps
    if len(inside) <= size:
        return inside
    small, larger = divmod(len(inside), size)
    starts = [bucket * small + min(bucket, larger) for bucket in range(size)]
    return [inside[start] for start in starts[:-1]] + [inside[-1]]


@dataclass
class Series:
    """A run with series whose first half was logged before 26,000 other points, and the second half behind them.

    Points are moved from where they are appended to where they stay when there are 10,000: the first halves have been.
    """

    api: Api
    run_id: str
    other_run_id: str
    points: dict[str, list[Point]]


@pytest.fixture(scope="module")
def series(server: ServerProcess) -> Iterator[Series]:
    api = Api(server.url)
    rng = random.Random(7)
    experiment_id = api.new_experiment()
    run_id, other_run_id = api.new_run(experiment_id), api.new_run(experiment_id)

    def log(key: str, points: list[Point], run_id: str = run_id) -> None:
        batch = [metric(key, str(value), t, step) for t, step, value in points]
        for start in range(0, len(batch), 1000):
            api.post("runs/log-batch", run_id=run_id, metrics=batch[start : start + 1000])

    halves: dict[str, tuple[list[Point], list[Point]]] = {}
    for key, size in {"few": 2, "some": 40, "many": 700}.items():
        first, second = (
            [(rng.randrange(50), rng.randrange(-20, 30), _random_value(rng)) for _ in range(size)] for _ in range(2)
        )
        second += rng.sample(first, size // 2)  # sent again by a client that missed the answer
        halves[key] = (first, second)
    for key, (first, _) in halves.items():
        log(key, first)
    log("long", [(step // 3, step, step / 7) for step in range(LONG)], other_run_id)
    for key, (_, second) in halves.items():
        log(key, second)
    log("some", [(1, 1, 1.0)], other_run_id)
    yield Series(api, run_id, other_run_id, {key: first + second for key, (first, second) in halves.items()})
    api.close()


def _random_value(rng: random.Random) -> float:
    return rng.choice([0.0, 1.0, -1.0, 0.5, rng.random(), math.nan, math.inf, -math.inf])


# The whole series


@pytest.mark.parametrize("key", ["few", "some", "many"])
def test_a_series_is_in_the_order_of_time_step_and_value_each_point_once(series: Series, key: str) -> None:
    answer = series.api.get(PATH, run_id=series.run_id, metric_key=key)
    assert answer == {"metrics": shown(key, listed(series.points[key]))}


@pytest.mark.parametrize("key", ["few", "some", "many"])
def test_the_latest_value_is_the_greatest_step_of_the_series(series: Series, key: str) -> None:
    def rank(point: Point) -> tuple[int, int, float]:
        return point[1], point[0], 0 if math.isnan(point[2]) else point[2]

    # 0 and NaN of one step and time rank alike, and the first of them stays.
    points = series.points[key]
    last = max(points, key=rank)
    tied = [shown(key, [point])[0] for point in points if rank(point) == rank(last)]
    (latest,) = [m for m in series.api.run(series.run_id)["data"]["metrics"] if m["key"] == key]
    assert latest in tied


def test_a_series_that_is_not_there_is_empty(api: Api, run_id: str) -> None:
    assert api.get(PATH, run_id=run_id, metric_key="none") == {"metrics": []}
    assert api.get(PATH, run_id="nobody", metric_key="none") == {"metrics": []}


def test_the_old_name_of_the_run_id_is_taken(series: Series) -> None:
    answer = series.api.get(PATH, run_uuid=series.run_id, metric_key="few")
    assert answer == series.api.get(PATH, run_id=series.run_id, metric_key="few")


def test_deleted_runs_keep_their_series(api: Api, run_id: str) -> None:
    api.post("runs/log-metric", run_id=run_id, key="k", value=1, timestamp=1)
    api.post("runs/delete", run_id=run_id)
    assert api.get(PATH, run_id=run_id, metric_key="k") == {"metrics": [metric("k", 1, 1)]}


# Pages


@pytest.mark.parametrize(("key", "max_results"), [("few", 1), ("some", 1), ("some", 7), ("many", 100), ("many", 999)])
def test_pages_hold_every_point_once_and_in_order(series: Series, key: str, max_results: int) -> None:
    fields = {"run_id": series.run_id, "metric_key": key, "max_results": max_results}
    pages = [page["metrics"] for page in series.api.pages("GET", PATH, **fields)]
    assert [point for page in pages for point in page] == shown(key, listed(series.points[key]))
    assert all(len(page) == max_results for page in pages[:-1])


@pytest.mark.parametrize("max_results", [None, PAGE_LIMIT, PAGE_LIMIT + 1, 2**31])
def test_a_page_has_25000_points_at_most(series: Series, max_results: int | None) -> None:
    fields = {"run_id": series.other_run_id, "metric_key": "long"}
    limit = {} if max_results is None else {"max_results": max_results}
    first, second = [page["metrics"] for page in series.api.pages("GET", PATH, **fields, **limit)]
    assert (len(first), len(second)) == (PAGE_LIMIT, LONG - PAGE_LIMIT)
    assert [point["step"] for point in first + second] == list(range(LONG))


def test_points_logged_while_paging_shift_no_page(api: Api, run_id: str) -> None:
    def log(*times: int) -> None:
        api.post("runs/log-batch", run_id=run_id, metrics=[metric("k", 1, time) for time in times])

    log(*range(10, 30))
    pages = api.pages("GET", PATH, run_id=run_id, metric_key="k", max_results=8)
    found = [point["timestamp"] for point in next(pages)["metrics"]]
    log(1, 2, 3, 40)
    found += [point["timestamp"] for page in pages for point in page["metrics"]]
    assert found == [*range(10, 30), 40]


def test_a_page_token_belongs_to_its_series(series: Series) -> None:
    fields = {"run_id": series.run_id, "metric_key": "some", "max_results": 5}
    token = series.api.get(PATH, **fields)["next_page_token"]
    for other in ({"metric_key": "many"}, {"run_id": series.other_run_id}, {"page_token": token[:-4]}):
        wrong = fields | {"page_token": token} | other
        assert series.api.get_refused(PATH, **wrong) == invalid(
            f"Invalid page token '{wrong['page_token'][:100]}': it is damaged, or belongs to a request with another "
            "filter or order"
        )


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"run_id": ""}, missing("run_id")),
        ({"metric_key": ""}, missing("metric_key")),
        ({"max_results": "x"}, wrong_type("max_results", '"x"', "str")),
        (
            {"max_results": 0},
            invalid("Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer."),
        ),
        (
            {"max_results": -1},
            invalid("Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer."),
        ),
    ],
)
def test_a_wrong_request_for_a_series_is_refused(api: Api, fields: dict[str, Any], refused: Refusal) -> None:
    assert api.get_refused(PATH, **({"run_id": "r", "metric_key": "k"} | fields)) == refused


# Several runs at once


def test_the_series_of_several_runs_come_one_after_another(series: Series) -> None:
    points = {series.run_id: listed(series.points["some"]), series.other_run_id: [(1, 1, 1.0)]}
    expected = [point | {"run_id": run_id} for run_id in sorted(points) for point in shown("some", points[run_id])]
    run_ids = [series.other_run_id, series.run_id, "nobody", series.run_id]
    assert series.api.get(BULK, run_id=run_ids, metric_key="some") == {"metrics": expected}
    assert series.api.get(BULK, run_id=run_ids, metric_key="some", max_results=5) == {"metrics": expected[:5]}


def test_several_series_have_25000_points_together_at_most(series: Series) -> None:
    run_ids = [series.run_id, series.other_run_id]
    assert len(series.api.get(BULK, run_id=run_ids, metric_key="long", max_results=10**6)["metrics"]) == PAGE_LIMIT


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"run_id": []}, "GetMetricHistoryBulk request must specify at least one run_id."),
        (
            {"run_id": ["r"] * 101},
            "GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 run_ids.",
        ),
        ({"metric_key": ""}, "GetMetricHistoryBulk request must specify a metric_key."),
    ],
)
def test_a_wrong_request_for_several_series_is_refused(api: Api, fields: dict[str, Any], problem: str) -> None:
    assert api.get_refused(BULK, **({"run_id": ["r"], "metric_key": "k"} | fields)) == invalid(problem)


# Samples


@pytest.mark.parametrize("key", ["few", "some", "many"])
@pytest.mark.parametrize("size", [1, 2, 3, 10, 77, 2500])
def test_a_sample_is_spread_evenly_over_the_steps(series: Series, key: str, size: int) -> None:
    for start_step, end_step in ((None, None), (-20, 29), (-5, 5), (7, 7), (100, 200)):
        steps = {} if start_step is None else {"start_step": start_step, "end_step": end_step}
        answer = series.api.get(SAMPLE, run_ids=[series.run_id], metric_key=key, max_results=size, **steps)
        low, high = (-(2**63), 2**63 - 1) if start_step is None or end_step is None else (start_step, end_step)
        expected = shown(key, sampled(series.points[key], low, high, size))
        assert answer == {"metrics": [point | {"run_id": series.run_id} for point in expected]}


def test_a_sample_of_several_runs_is_taken_from_each(series: Series) -> None:
    run_ids = [series.other_run_id, "nobody", series.run_id]
    metrics = series.api.get(SAMPLE, run_ids=run_ids, metric_key="some", max_results=10)["metrics"]
    assert [point["run_id"] for point in metrics] == [series.other_run_id] + [series.run_id] * 10


def test_a_sample_of_a_long_series_has_its_first_and_last_point(series: Series) -> None:
    metrics = series.api.get(SAMPLE, run_ids=[series.other_run_id], metric_key="long")["metrics"]
    assert len(metrics) == 2500
    assert (metrics[0]["step"], metrics[-1]["step"]) == (0, LONG - 1)


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"run_ids": []}, missing("run_ids")),
        ({"metric_key": ""}, missing("metric_key")),
        (
            {"run_ids": ["r"] * 101},
            invalid("GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 run_ids."),
        ),
        ({"max_results": 0}, invalid("max_results must be between 1 and 2500.")),
        ({"max_results": 2501}, invalid("max_results must be between 1 and 2500.")),
        ({"start_step": 1}, invalid("If either start step or end step are specified, both must be specified.")),
        ({"end_step": 1}, invalid("If either start step or end step are specified, both must be specified.")),
        (
            {"start_step": 5, "end_step": 1},
            invalid("end_step must be greater than start_step. Found start_step=5 and end_step=1."),
        ),
        ({"start_step": "x", "end_step": 1}, wrong_type("start_step", '"x"', "str")),
    ],
)
def test_a_wrong_request_for_a_sample_is_refused(api: Api, fields: dict[str, Any], refused: Refusal) -> None:
    assert api.get_refused(SAMPLE, **({"run_ids": ["r"], "metric_key": "k"} | fields)) == refused
