"""What the pages ask the database: by which index it answers, and that this stays the same work as the tables grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runnel.domain.metrics import Metric
from runnel.domain.runs import Param
from runnel.store import experiment_activity, lookup, metrics, run_columns, run_details, run_search, runs
from tests.integration.test_query_plans import Filled, filled

PAGE = 20


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled(tmp_path_factory.mktemp("pages"), 200) as made:
        yield made


def queries(database: Filled) -> dict[str, Callable[[], object]]:
    """What the pages ask, of some runs that are always there."""
    tx, experiment_id = database.tx, database.experiment_ids[0]
    run_id = database.run_ids[1]
    rows, _ = run_search.find_runs(tx, [experiment_id], ["active"], "", ["start_time ASC"], PAGE, "")
    keys = [row[0] for row in rows]
    asked: dict[str, Callable[[], object]] = {
        "experiments": lambda: experiment_activity.list_experiment_activity(tx, PAGE, ""),
        "runs": lambda: run_search.find_runs(tx, [experiment_id], ["active"], "", [], PAGE, ""),
        "values": lambda: run_columns.values_of_columns(tx, "metrics", keys, ["acc", "loss"]),
        "params": lambda: run_columns.values_of_columns(tx, "params", keys, ["lr"]),
        "parents": lambda: run_columns.parents_of_runs(tx, keys),
        "run by id": lambda: lookup.find_runs_named(tx, run_id, PAGE),
        "run by name": lambda: lookup.find_runs_named(tx, "run 19", PAGE),
        "no such run": lambda: lookup.find_runs_named(tx, "nothing", PAGE),
        "trace": lambda: lookup.find_traces(tx, "tr-nothing", PAGE),
        "entries": lambda: run_details.list_entries(tx, "metrics", keys[0], "", "", PAGE),
        "datasets": lambda: run_details.list_datasets(tx, keys[0], PAGE),
        "models": lambda: run_details.list_models(tx, keys[0], PAGE),
        "traces": lambda: run_details.list_traces(tx, run_id, PAGE),
        "children": lambda: run_details.list_children(tx, experiment_id, run_id, PAGE),
    }
    for kind in run_columns.TABLES:
        asked[f"uses of {kind}"] = lambda kind=kind: run_columns.uses_of_columns(tx, kind, keys)
        asked[f"names of {kind}"] = lambda kind=kind: run_columns.names_in_experiment(tx, kind, experiment_id)
    return asked


def test_nothing_that_pages_ask_reads_a_table_from_end_to_end(database: Filled) -> None:
    for name, ask in queries(database).items():
        database.recorder.executed.clear()
        ask()
        plan = database.plan()
        assert plan, name
        tables = "runs|metrics|params|tags|traces|trace_runs|datasets|dataset_inputs|model_inputs|model_outputs"
        assert not [step for step in plan if re.match(rf"SCAN ({tables})\b", step)], f"{name}: {plan}"


def test_names_are_found_by_leaps_along_the_index(database: Filled) -> None:
    database.recorder.executed.clear()
    found = run_columns.names_in_experiment(database.tx, "metrics", database.experiment_ids[0])
    assert found[:3] == ["acc", "common", "loss"]
    leap = "SEARCH metrics USING COVERING INDEX ix_metrics_ranking (experiment_id=? AND key>?)"
    assert database.plan().count(leap) == 2


def test_what_pages_ask_stays_the_same_work_as_the_tables_grow(tmp_path: Path) -> None:
    # More runs than are counted; of a few the work is the same, whatever is added.
    with filled(tmp_path, 1_500) as database:
        asked = queries(database)
        before = {name: database.work(ask) for name, ask in asked.items()}
        database.grow(3_000)
        after = {name: database.work(ask) for name, ask in asked.items()}
        listed, _, _ = experiment_activity.list_experiment_activity(database.tx, PAGE, "")
    grown = {name: (before[name], after[name]) for name in asked if after[name] > 1.3 * before[name] + 20}
    assert not grown
    counts = {each.experiment_id: each.run_count for each in listed}
    assert max(counts.values()) == experiment_activity.MAX_COUNT + 1  # which says: more than can be told


def test_of_a_run_with_very_many_names_the_first_are_looked_at(database: Filled) -> None:
    tx, experiment_id = database.tx, database.experiment_ids[0]
    run_id = runs.create_run(tx, experiment_id, "u", "wide", 10**6, [], lambda place, name: name)["info"]["run_id"]
    ref = runs.get_run_ref(tx, run_id)
    other = runs.get_run_ref(tx, database.run_ids[1])
    most = run_columns.MAX_NAMES_OF_RUN
    metrics.log_metrics(tx, ref.id, experiment_id, [Metric(f"m{number:04}", 1, 1) for number in range(most)])
    assert run_columns.uses_of_columns(tx, "metrics", [ref.id])[1]
    metrics.log_metrics(tx, ref.id, experiment_id, [Metric("z", 1, 1)])
    found, is_all = run_columns.uses_of_columns(tx, "metrics", [ref.id, other.id])
    assert not is_all
    assert [use.key for use in found] == ["acc", "loss", *[f"m{number:04}" for number in range(most)], "rare"]


def test_a_param_varies_if_two_runs_have_other_values_of_it(database: Filled) -> None:
    tx, experiment_id = database.tx, database.experiment_ids[0]
    keys = []
    for number in range(3):
        made = runs.create_run(tx, experiment_id, "u", "r", 10**6, [], lambda place, name: name)
        ref = runs.get_run_ref(tx, made["info"]["run_id"])
        keys.append(ref.id)
        values = {"same": "1", "other": str(number), "long": "x" * (200 + number), "odd \"'\n": "\u05e9"}
        runs.log_params(tx, ref, made["info"]["run_id"], [Param(key, value) for key, value in values.items()])
        if number == 1:
            runs.log_params(tx, ref, made["info"]["run_id"], [Param("once", "1")])
    found, _ = run_columns.uses_of_columns(tx, "params", keys)
    assert {use.key: (use.run_count, use.varies) for use in found} == {
        "same": (3, False),
        "other": (3, True),
        "long": (3, True),
        "odd \"'\n": (3, False),
        "once": (1, False),
    }
