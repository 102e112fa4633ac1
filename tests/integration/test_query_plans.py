"""How SQLite finds what the store asks for: by which index, and how much work that is as the tables grow."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runnel.domain.datasets import Dataset, DatasetInput, InputTag
from runnel.domain.metrics import Metric
from runnel.domain.runs import Param, RunTag
from runnel.domain.spans import TOKEN_USAGE, SpanContent
from runnel.store import datasets, experiments, metrics, run_search, runs, trace_ingestion
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction

PAGE = 20


class Recorder:
    """A connection that keeps what it executes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.executed: list[tuple[str, Any]] = []

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.executed.append((sql, parameters))
        return self._connection.execute(sql, parameters)


@dataclass
class Filled:
    """A database with runs in three experiments, most of them in the first."""

    connection: sqlite3.Connection
    recorder: Recorder
    tx: Transaction
    experiment_ids: list[int]
    run_ids: list[str]
    rng: random.Random

    def grow(self, count: int) -> None:
        """Adds runs; the first of all have a param, a tag, a dataset and a model that no other has."""
        tx = self.tx
        self.connection.execute("BEGIN")
        for number in range(len(self.run_ids), len(self.run_ids) + count):
            experiment_id = self.experiment_ids[0 if number % 10 else number % 3]
            run_id = runs.create_run(tx, experiment_id, "u", f"run {number}", number, [], _uri)["info"]["run_id"]
            self.run_ids.append(run_id)
            ref = runs.get_run_ref(tx, run_id)
            kind = "rare" if number < PAGE else "common"
            values = {"acc": self.rng.random(), "loss": self.rng.random(), kind: 1.0}
            metrics.log_metrics(tx, ref.id, experiment_id, [Metric(k, v, 1) for k, v in values.items()])
            runs.log_params(tx, ref, run_id, [Param("kind", kind), Param("lr", str(number))])
            runs.set_tags(tx, ref, [RunTag("kind", kind)])
            used = DatasetInput(Dataset(kind, "1", "code", "{}"), (InputTag("mlflow.data.context", kind),))
            datasets.log_dataset_inputs(tx, ref.id, experiment_id, [used])
        self.connection.execute("COMMIT")
        metrics.move_recent_points(tx, limit=1)

    def search(
        self, filter: str = "", order_by: list[str] | None = None, everywhere: bool = False, page: int = 1
    ) -> None:
        """A search; of the pages only the last one counts for what is recorded."""
        experiment_ids, token = self.experiment_ids if everywhere else self.experiment_ids[:1], ""
        for _ in range(page):
            self.recorder.executed.clear()
            found, next_token = run_search.search_runs(
                self.tx, experiment_ids, ("active",), filter, order_by or [], PAGE, token
            )
            assert found
            token = next_token or ""

    def plan(self, *tables: str) -> list[str]:
        """The steps of the plans of what was executed, of those statements that read from the tables."""
        steps: list[str] = []
        for sql, parameters in self.recorder.executed:
            if not tables or any(re.search(rf"(FROM|JOIN) {table}\b", sql) for table in tables):
                rows = self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
                steps += [row[3] for row in rows]
        return steps

    def work(self, query: Callable[[], object]) -> int:
        """The steps of SQLite's machine that a query takes, in hundreds."""
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        self.connection.set_progress_handler(step, 100)
        try:
            query()
        finally:
            self.connection.set_progress_handler(None, 0)
        return count


def _uri(location: str, run_id: str) -> str:
    return f"{location}/{run_id}"


@contextmanager
def filled(folder: Path, count: int) -> Iterator[Filled]:
    path = folder / "plans.db"
    prepare_sqlite(path)
    with closing(connect(str(path))) as connection:
        recorder = Recorder(connection)
        tx = Transaction(recorder, SQLITE)
        ids = [experiments.create_experiment(tx, f"e{n}", [], "", lambda number: f"x/{number}") for n in range(3)]
        database = Filled(connection, recorder, tx, ids, [], random.Random(1))
        database.grow(count)
        yield database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled(tmp_path_factory.mktemp("plans"), 200) as made:
        yield made


RANKED = "SEARCH metrics USING COVERING INDEX ix_metrics_ranking (experiment_id=? AND key=? AND is_nan=?"
LISTED = "SEARCH runs USING INDEX ix_runs_listing (experiment_id=? AND lifecycle_stage=?"


def sorts_all(plan: list[str]) -> bool:
    """Whether rows are sorted by the first key (by the others, only those with equal first keys are)."""
    return "USE TEMP B-TREE FOR ORDER BY" in plan


# Searches for runs


def test_a_list_of_runs_is_read_in_the_order_of_its_index(database: Filled) -> None:
    for page, step in ((1, f"{LISTED})"), (2, f"{LISTED} AND start_time<?)")):
        database.search(page=page)
        plan = database.plan("runs")
        assert plan[0] == step
        # Behind it comes what belongs to the runs that were found.
        assert plan[1] == "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)"


def test_a_filter_that_no_index_helps_is_checked_along_the_list(database: Filled) -> None:
    for filter in ("params.kind != 'rare'", "tags.kind LIKE 'c%'", "metrics.acc != 0", "status = 'RUNNING'"):
        database.search(filter)
        plan = database.plan("runs")
        assert f"{LISTED})" in plan
        assert not any("TEMP B-TREE" in step for step in plan)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_an_order_by_a_metric_is_read_from_the_ranking(database: Filled, direction: str) -> None:
    database.search(order_by=[f"metrics.acc {direction}"])
    plan = database.plan("runs")
    assert plan[0] == f"{RANKED})"
    assert not sorts_all(plan)
    database.search(order_by=[f"metrics.acc {direction}"], page=2)
    plan = database.plan("runs")
    assert plan[0] == f"{RANKED} AND value{'>' if direction == 'ASC' else '<'}?)"
    assert not sorts_all(plan)


def test_several_experiments_are_walked_each_by_itself(database: Filled) -> None:
    database.search(everywhere=True)
    assert database.plan("runs").count(f"{LISTED})") == 3
    database.search(order_by=["metrics.acc"], everywhere=True)
    assert database.plan("runs").count(f"{RANKED})") == 3


@pytest.mark.parametrize(
    ("filter", "step"),
    [
        (
            "params.kind = 'rare'",
            "SEARCH params USING INDEX ix_params_search (experiment_id=? AND key=? AND <expr>=?)",
        ),
        ("tags.kind = 'rare'", "SEARCH tags USING INDEX ix_tags_search (experiment_id=? AND key=? AND <expr>=?)"),
        ("run_name = 'run 7'", "SEARCH tags USING INDEX ix_tags_search (experiment_id=? AND key=? AND <expr>=?)"),
        ("metrics.rare > 0", f"{RANKED} AND value>?)"),
        ("metrics.rare = 1", f"{RANKED} AND value=?)"),
        ("run_id = '{run}'", "SEARCH runs USING COVERING INDEX sqlite_autoindex_runs_1 (run_uuid=?)"),
        ("run_id IN ('{run}', 'x')", "SEARCH runs USING COVERING INDEX sqlite_autoindex_runs_1 (run_uuid=?)"),
        (
            "dataset.name = 'rare'",
            "SEARCH datasets USING COVERING INDEX sqlite_autoindex_datasets_1 (experiment_id=? AND name=?)",
        ),
        (
            "dataset.context = 'rare'",
            "SEARCH datasets USING COVERING INDEX sqlite_autoindex_datasets_1 (experiment_id=?)",
        ),
    ],
)
@pytest.mark.parametrize("order_by", [[], ["metrics.acc"], ["params.lr"]])
def test_a_condition_that_few_runs_meet_is_looked_up(
    database: Filled, filter: str, step: str, order_by: list[str]
) -> None:
    run_id = next(run_id for number, run_id in enumerate(database.run_ids) if number % 10)
    database.search(filter.replace("{run}", run_id), order_by)
    plan = database.plan("runs")
    assert step in plan
    assert any(
        re.fullmatch(r"SEARCH runs USING (INTEGER PRIMARY KEY|INDEX sqlite_autoindex_runs_1) .*", line) for line in plan
    )
    # No table is read from end to end: what is scanned are lists of the request, and what was looked up.
    tables = ("runs", "metrics", "params", "tags", "datasets", "dataset_inputs", "input_tags")
    assert not [line for line in plan if line.split()[:2] in [["SCAN", table] for table in tables]]


def test_what_belongs_to_runs_is_read_by_their_keys(database: Filled) -> None:
    database.search()
    for table in ("params", "tags", "model_inputs", "model_outputs"):
        assert f"SEARCH {table} USING PRIMARY KEY (run_id=?)" in database.plan(table)
    assert "SEARCH metrics USING INDEX sqlite_autoindex_metrics_1 (run_id=?)" in database.plan("metrics")
    assert any(
        step.startswith("SEARCH dataset_inputs USING COVERING INDEX sqlite_autoindex_dataset_inputs_1 (run_id=?)")
        for step in database.plan("dataset_inputs")
    )


# Series and experiments


def test_a_series_is_one_range_of_its_table(database: Filled) -> None:
    run_id = database.run_ids[0]
    database.recorder.executed.clear()
    metrics.get_metric_history(database.tx, run_id, "acc", 10, "")
    plan = database.plan("metric_points")
    assert "SEARCH metric_points USING PRIMARY KEY (metric_id=?)" in plan
    # The points of the range are merged with the few that came last, not sorted with them.
    assert plan[:2] == ["MERGE (UNION ALL)", "LEFT"]


def test_a_page_of_a_series_starts_where_the_one_before_ended(database: Filled) -> None:
    run_id = database.run_ids[0]
    ref = runs.get_run_ref(database.tx, run_id)
    metrics.log_metrics(database.tx, ref.id, ref.experiment_id, [Metric("paged", 1, time) for time in range(50)])
    _, token = metrics.get_metric_history(database.tx, run_id, "paged", 10, "")
    database.recorder.executed.clear()
    metrics.get_metric_history(database.tx, run_id, "paged", 10, token or "")
    assert "SEARCH metric_points USING PRIMARY KEY (metric_id=? AND timestamp>?)" in database.plan("metric_points")


def test_a_list_of_experiments_is_read_in_the_order_of_its_index(database: Filled) -> None:
    database.recorder.executed.clear()
    experiments.search_experiments(database.tx, ("active",), "", [], 2, "")
    plan = database.plan("experiments")
    assert plan[0] == "SEARCH experiments USING INDEX ix_experiments_stage_creation (lifecycle_stage=?)"
    assert not sorts_all(plan)


def test_a_write_finds_its_run_and_its_series_by_index(database: Filled) -> None:
    run_id = database.run_ids[0]
    database.recorder.executed.clear()
    ref = runs.get_active_run_ref(database.tx, run_id)
    metrics.log_metrics(database.tx, ref.id, ref.experiment_id, [Metric("acc", 1, 5)])
    runs.log_params(database.tx, ref, run_id, [Param("new", "1")])
    plan = database.plan()
    assert "SEARCH runs USING INDEX sqlite_autoindex_runs_1 (run_uuid=?)" in plan
    assert "SEARCH metrics USING COVERING INDEX sqlite_autoindex_metrics_1 (run_id=? AND key=?)" in plan
    assert "SEARCH params USING PRIMARY KEY (run_id=? AND key=?)" in plan
    assert not [step for step in plan if re.match(r"SCAN (runs|metrics|params|metric_points)\b", step)]


# Work


def test_spans_that_come_to_a_trace_are_added_up_by_its_keys(database: Filled) -> None:
    numbers = json.dumps({"input_tokens": 1})

    def span(number: int, parent: int | None, attributes: dict[str, str]) -> SpanContent:
        content = json.dumps({"attributes": attributes})
        above = None if parent is None else f"{parent:016x}"
        return SpanContent("tr-1", f"{number:016x}", above, "s", 1, number, number, attributes, content, {})

    def add(*spans: SpanContent) -> None:
        trace_ingestion.log_spans(database.tx, database.experiment_ids[0], spans, _uri)

    add(*[span(number, number - 1, {TOKEN_USAGE: numbers} if number % 2 else {}) for number in range(2, 60)])
    database.recorder.executed.clear()
    add(span(60, 59, {TOKEN_USAGE: numbers}), span(1, None, {}))
    plan = database.plan("spans", "trace_usage")
    by_key = "spans USING INDEX sqlite_autoindex_spans_1 (trace_id=? AND span_id=?)"
    assert sum(step == f"SEARCH {by_key}" for step in plan) > 50  # those that come, then those on their way up
    assert "SEARCH trace_usage USING PRIMARY KEY (trace_id=?)" in plan
    assert not any(re.match(r"SCAN (spans|trace_usage)|SEARCH spans USING .*\(trace_id=\?\)", step) for step in plan)


def test_the_work_of_a_page_stays_the_same_as_the_tables_grow(tmp_path: Path) -> None:
    searches: dict[str, dict[str, Any]] = {
        "listing": {},
        "next page": {"page": 2},
        "everywhere": {"everywhere": True},
        "filter along the list": {"filter": "params.kind LIKE '%m%'"},
        "ranked": {"order_by": ["metrics.acc DESC"]},
        "ranked, next page": {"order_by": ["metrics.acc"], "page": 2},
        "ranked and filtered": {"order_by": ["metrics.acc"], "filter": "metrics.loss != 7"},
        "rare param": {"filter": "params.kind = 'rare'"},
        "rare metric, ranked": {"filter": "metrics.rare > 0", "order_by": ["metrics.acc"]},
        "rare dataset": {"filter": "dataset.name = 'rare'"},
    }
    with filled(tmp_path, 200) as database:
        before = {name: database.work(partial(database.search, **fields)) for name, fields in searches.items()}
        database.grow(2800)
        after = {name: database.work(partial(database.search, **fields)) for name, fields in searches.items()}
        # What no index orders is sorted: a measure that the measure works.
        assert database.work(partial(database.search, order_by=["user_id"])) > 5 * after["listing"]
    grown = {name: (before[name], after[name]) for name in searches if after[name] > 1.3 * before[name] + 20}
    assert not grown
