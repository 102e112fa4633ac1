"""The three ways of the search for runs find the same: by ranking, by lookup, and along the list."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runnel.domain.metrics import Metric
from runnel.domain.runs import Param, RunTag
from runnel.store import experiments, metrics, run_search, runs
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction

FILTERS = [
    "",
    "metrics.acc > 0.2",
    "metrics.acc != 1",
    "metrics.acc <= 1 AND metrics.loss != 0",
    "params.lr = '1'",
    "params.lr = '1' AND tags.env = 'dev' AND metrics.acc < 3",
    "tags.env != 'dev' AND params.lr IS NOT NULL",
    "run_name = 'same'",
    "run_name LIKE 'run 1%' AND params.lr IS NULL",
    "start_time >= 20 AND metrics.loss >= 0",
]
ORDERS = [[], ["metrics.acc"], ["metrics.acc DESC", "params.lr"], ["params.lr DESC", "metrics.loss"], ["end_time"]]


@pytest.fixture(scope="module")
def tx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transaction]:
    """120 runs in three experiments, some deleted, with ties and gaps in everything."""
    path: Path = tmp_path_factory.mktemp("ways") / "ways.db"
    prepare_sqlite(path)
    rng = random.Random(3)
    with closing(connect(str(path))) as connection:
        tx = Transaction(connection, SQLITE)
        for number in range(3):
            experiments.create_experiment(tx, f"e{number}", [], "", lambda number: f"x/{number}")
        for number in range(120):
            name = rng.choice(["same", f"run {number}"])
            run = runs.create_run(tx, rng.randint(1, 3), "u", name, rng.randrange(40), [], lambda at, run_id: run_id)
            run_id = run["info"]["run_id"]
            ref = runs.get_run_ref(tx, run_id)
            values = {key: rng.choice([0, 1, 2, math.nan, math.inf, rng.random()]) for key in ("acc", "loss")}
            logged = [Metric(key, value, 1) for key, value in values.items() if rng.random() < 0.7]
            metrics.log_metrics(tx, ref.id, ref.experiment_id, logged)
            if rng.random() < 0.7:
                runs.log_params(tx, ref, run_id, [Param("lr", rng.choice(["1", "2", "", "x" * 150]))])
            if rng.random() < 0.7:
                runs.set_tags(tx, ref, [RunTag("env", rng.choice(["dev", "prod"]))])
            if rng.random() < 0.3:
                runs.update_run(tx, run_id, "FINISHED", rng.randrange(3), None)
            if rng.random() < 0.2:
                runs.delete_run(tx, run_id)
        yield tx


def found(tx: Transaction, stages: tuple[str, ...], filter: str, order_by: list[str], page_size: int) -> list[str]:
    """The ids that a search finds, page after page."""
    ids, token = [], ""
    while True:
        page, next_token = run_search.search_runs(tx, [1, 2, 3], stages, filter, order_by, page_size, token)
        ids += [run["info"]["run_id"] for run in page]
        if next_token is None:
            return ids
        token = next_token


@pytest.mark.parametrize("stages", [("active",), ("active", "deleted")])
@pytest.mark.parametrize("order_by", ORDERS)
@pytest.mark.parametrize("filter", FILTERS)
def test_every_way_finds_the_same_in_the_same_order(
    tx: Transaction, monkeypatch: pytest.MonkeyPatch, stages: tuple[str, ...], filter: str, order_by: list[str]
) -> None:
    results = []
    # With 0, no condition counts as met by few; with 0 partitions, experiments are not walked one by one.
    for few, partitions, page_size in itertools.product((0, 1000), (0, 50), (11, 500)):
        monkeypatch.setattr(run_search, "_FEW", few)
        monkeypatch.setattr(run_search, "_MAX_PARTITIONS", partitions)
        results.append(found(tx, stages, filter, order_by, page_size))
    assert results[0]
    assert all(result == results[0] for result in results)
    assert len(set(results[0])) == len(results[0])


def test_a_page_read_one_way_goes_on_in_another(tx: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pages a condition may come to be met by many; the token must not mind."""
    for filter, order_by in itertools.product(("metrics.acc > 0.2", "params.lr = '1'"), ORDERS):
        whole = found(tx, ("active",), filter, order_by, 500)
        ids, token = [], ""
        for few in itertools.cycle((0, 1000)):
            monkeypatch.setattr(run_search, "_FEW", few)
            page, next_token = run_search.search_runs(tx, [1, 2, 3], ("active",), filter, order_by, 7, token)
            ids += [run["info"]["run_id"] for run in page]
            if next_token is None:
                break
            token = next_token
        assert ids == whole
