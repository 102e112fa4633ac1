"""Searches for runs, page by page, against a model in Python: random runs, filters, orders and page sizes."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

import pytest

from tests.api_client import Api, invalid, metric, pairs
from tests.server_process import ServerProcess

PATH = "runs/search"
RUN_COUNT = 300
EXPERIMENT_COUNT = 4
METRICS, PARAMS, TAGS = ("acc", "loss", "a metric"), ("lr", "model"), ("env", "team")
VALUES = [0, 0.0, -1, 1, 0.5, 2, 3.25, -1e300, 1e300, math.inf, -math.inf, math.nan, math.nan]
TEXTS = ["", "a", "A", "ab", "b%", "a_b", "é", "x" * 120, "x" * 120 + "y"]


@dataclass
class ModelRun:
    """What the model knows of a run."""

    experiment_id: str
    attributes: dict[str, Any]
    deleted: bool
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        run_id: str = self.attributes["run_id"]
        return run_id


class Model:
    """The runs, and what MLflow's rules say about them."""

    def __init__(self, api: Api, rng: random.Random) -> None:
        self.api = api
        self.experiment_ids = [api.new_experiment() for _ in range(EXPERIMENT_COUNT)]
        self.runs = [self._random_run(rng, number) for number in range(RUN_COUNT)]
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(self._create, self.runs))

    def _random_run(self, rng: random.Random, number: int) -> ModelRun:
        finished = rng.random() < 0.3
        return ModelRun(
            experiment_id=rng.choice(self.experiment_ids),
            attributes={
                "start_time": rng.choice([0, 1000, 1000, 1000 + number]),
                "user_id": rng.choice(["ann", "bob"]),
                "run_name": rng.choice(["one", "two", f"run {number}"]),
                "status": "FINISHED" if finished else "RUNNING",
                "end_time": rng.choice([0, 2000, 2000 + number]) if finished else None,
            },
            deleted=rng.random() < 0.2,
            metrics={key: rng.choice(VALUES) for key in METRICS if rng.random() < 0.7},
            params={key: rng.choice(TEXTS) for key in PARAMS if rng.random() < 0.7},
            tags={key: rng.choice(TEXTS) for key in TAGS if rng.random() < 0.6},
        )

    def _create(self, run: ModelRun) -> None:
        attributes = run.attributes
        given = {name: attributes[name] for name in ("start_time", "user_id", "run_name")}
        attributes["run_id"] = run_id = self.api.new_run(run.experiment_id, **given)
        points = [metric(key, str(value)) for key, value in run.metrics.items()]
        params, tags = pairs(**run.params), pairs(**run.tags)
        self.api.post("runs/log-batch", run_id=run_id, metrics=points, params=params, tags=tags)
        if attributes["end_time"] is not None:
            self.api.post("runs/update", run_id=run_id, status="FINISHED", end_time=attributes["end_time"])
        if run.deleted:
            self.api.post("runs/delete", run_id=run_id)

    def search(
        self, experiment_ids: list[str], view_type: str, conditions: list[Condition], orders: list[Order]
    ) -> list[str]:
        """The ids of the runs that a search finds, in the order of the answer."""
        shown = {"ACTIVE_ONLY": [False], "DELETED_ONLY": [True], "ALL": [False, True]}[view_type]
        found = [
            run
            for run in self.runs
            if run.experiment_id in experiment_ids
            and run.deleted in shown
            and all(condition.holds(run) for condition in conditions)
        ]
        # Behind the order that was asked for, the newest come first, then the ids decide.
        orders = [*orders, Order("attribute", "start_time", False), Order("attribute", "run_id", True)]
        return [run.id for run in sorted(found, key=cmp_to_key(lambda a, b: compare(a, b, orders)))]


@dataclass(frozen=True)
class Order:
    """A sort key of the model."""

    entity: str
    key: str
    ascending: bool

    def rank_and_value(self, run: ModelRun) -> tuple[int, Any]:
        """What is there comes before NaN and that before what is missing, however the values are sorted."""
        values = {"attribute": run.attributes, "metric": run.metrics, "param": run.params, "tag": run.tags}[self.entity]
        value = values.get(self.key)
        if value is None:
            return 2, 0
        return (1, 0) if value != value else (0, value)

    def text(self) -> str:
        name = self.key if self.entity == "attribute" else f"{self.entity}s.`{self.key}`"
        return name if self.ascending else f"{name} DESC"


def compare(one: ModelRun, other: ModelRun, orders: list[Order]) -> int:
    for order in orders:
        (rank, value), (other_rank, other_value) = order.rank_and_value(one), order.rank_and_value(other)
        if rank != other_rank:
            return rank - other_rank
        if value != other_value:
            return 1 if (value > other_value) == order.ascending else -1
    return 0


@dataclass(frozen=True)
class Condition:
    """A comparison of a filter, in MLflow's language and as a function."""

    text: str
    holds: Callable[[ModelRun], bool]


NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def like(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    expression = "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern)
    return lambda text: re.fullmatch(expression, text, flags | re.DOTALL) is not None


def random_condition(rng: random.Random) -> Condition:
    """A comparison with a metric, a param, a tag or an attribute."""
    kind = rng.choice(["metric", "text", "text", "null", "attribute"])
    if kind == "metric":
        key, operator, number = rng.choice(METRICS), rng.choice(list(NUMERIC)), rng.choice([0, 1, 0.5, -1, 1e300])
        check = NUMERIC[operator]
        return Condition(
            f"metrics.`{key}` {operator} {number}",
            lambda run: key in run.metrics and check(run.metrics[key], number),
        )
    if kind == "attribute":
        operator, number = rng.choice(list(NUMERIC)), rng.choice([0, 1000, 1150])
        attribute = rng.choice(["start_time", "end_time"])
        check = NUMERIC[operator]
        return Condition(
            f"{attribute} {operator} {number}",
            lambda run: run.attributes[attribute] is not None and check(run.attributes[attribute], number),
        )
    name, keys = rng.choice([("params", PARAMS), ("tags", TAGS)])
    key = rng.choice(keys)
    if kind == "null":
        wanted = rng.choice([True, False])
        return Condition(
            f"{name}.{key} IS {'NULL' if wanted else 'NOT NULL'}", lambda run: (key not in getattr(run, name)) == wanted
        )
    operator, text = rng.choice(["=", "!=", "LIKE", "ILIKE"]), rng.choice([*TEXTS, "a%", "%b%"])
    match: Callable[[str], bool] = {
        "=": lambda value: value == text,
        "!=": lambda value: value != text,
        "LIKE": like(text),
        "ILIKE": like(text, re.IGNORECASE),
    }[operator]
    return Condition(
        f"{name}.{key} {operator} '{text}'", lambda run: key in getattr(run, name) and match(getattr(run, name)[key])
    )


def random_order(rng: random.Random) -> Order:
    entity, keys = rng.choice(
        [
            ("metric", METRICS),
            ("metric", METRICS),
            ("param", PARAMS),
            ("tag", TAGS),
            ("attribute", ("start_time", "end_time", "status", "run_name", "user_id", "run_id")),
        ]
    )
    return Order(entity, rng.choice(keys), rng.random() < 0.5)


@pytest.fixture(scope="module")
def model(server: ServerProcess) -> Iterator[Model]:
    api = Api(server.url)
    yield Model(api, random.Random(20261124))
    api.close()


def ids_by_page(api: Api, **fields: Any) -> list[list[str]]:
    return [[run["info"]["run_id"] for run in page["runs"]] for page in api.pages("POST", PATH, **fields)]


@pytest.mark.parametrize("seed", range(45))
def test_pages_hold_every_run_that_matches_once_and_in_order(model: Model, seed: int) -> None:
    rng = random.Random(seed)
    conditions = [random_condition(rng) for _ in range(rng.choice([0, 0, 1, 1, 2]))]
    orders = list(
        {(o.entity, o.key): o for o in (random_order(rng) for _ in range(rng.choice([0, 1, 1, 2, 3])))}.values()
    )
    experiment_ids = rng.sample(model.experiment_ids, rng.randint(1, EXPERIMENT_COUNT))
    view_type = rng.choice(["ACTIVE_ONLY", "ACTIVE_ONLY", "DELETED_ONLY", "ALL"])
    page_size = rng.choice([7, 20, 50, 100])
    expected = model.search(experiment_ids, view_type, conditions, orders)
    pages = ids_by_page(
        model.api,
        experiment_ids=experiment_ids,
        run_view_type=view_type,
        filter=" AND ".join(condition.text for condition in conditions),
        order_by=[order.text() for order in orders],
        max_results=page_size,
    )
    assert [run_id for page in pages for run_id in page] == expected
    assert all(len(page) == page_size for page in pages[:-1])


@pytest.mark.parametrize("order_by", [[], ["metrics.acc DESC"], ["params.lr"], ["end_time"]])
def test_a_page_of_one_goes_on_behind_the_run_before(model: Model, order_by: list[str]) -> None:
    experiment_ids = model.experiment_ids[:1]
    pages = ids_by_page(model.api, experiment_ids=experiment_ids, order_by=order_by, max_results=1)
    (whole,) = ids_by_page(model.api, experiment_ids=experiment_ids, order_by=order_by, max_results=1000)
    assert [run_id for page in pages for run_id in page] == whole


def test_runs_that_come_and_go_while_paging_shift_no_page(api: Api, experiment_id: str) -> None:
    ids = [api.new_run(experiment_id, start_time=1000 + number) for number in range(20)]
    pages = api.pages("POST", PATH, experiment_ids=[experiment_id], max_results=8)
    found = [run["info"]["run_id"] for run in next(pages)["runs"]]
    api.new_run(experiment_id, start_time=5000)  # belongs on the page that has been read
    api.post("runs/delete", run_id=ids[19])  # was on it
    api.post("runs/delete", run_id=ids[5])  # is on one still to come
    found += [run["info"]["run_id"] for page in pages for run in page["runs"]]
    assert found == [run_id for run_id in reversed(ids) if run_id != ids[5]]


def test_a_page_token_belongs_to_its_search(model: Model) -> None:
    fields: dict[str, Any] = {
        "experiment_ids": model.experiment_ids,
        "filter": "metrics.acc > 0",
        "order_by": ["metrics.acc"],
        "max_results": 5,
    }
    token = model.api.post(PATH, **fields)["next_page_token"]
    others: list[dict[str, Any]] = [
        {"filter": "metrics.acc > 1"},
        {"order_by": ["metrics.acc DESC"]},
        {"order_by": []},
        {"run_view_type": "ALL"},
        {"experiment_ids": model.experiment_ids[:1]},
        {"page_token": token[:-2]},
        {"page_token": "A" + token[1:] if token[0] != "A" else "B" + token[1:]},
    ]
    for other in others:
        wrong = fields | {"page_token": token} | other
        assert model.api.post_refused(PATH, **wrong) == invalid(
            f"Invalid page token '{wrong['page_token'][:100]}': it is damaged, or belongs to a request with another "
            "filter or order"
        )
    # The page may have another size, and the filter another spelling.
    same = fields | {"page_token": token, "max_results": 9, "filter": "metric.acc>0"}
    assert len(model.api.post(PATH, **same)["runs"]) == 9
