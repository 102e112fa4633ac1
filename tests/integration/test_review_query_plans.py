"""How SQLite finds issues, label schemas and review queues: by which index, and without sorting what is listed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runnel.domain.assessments import Assessment, IssueReference
from runnel.domain.review_queues import new_queue
from runnel.store import (
    assessments,
    experiments,
    issues,
    label_schemas,
    review_queue_items,
    review_queues,
    trace_deletion,
)
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.schema import traces
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction

PAGE = 10


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
    """A database with issues, label schemas and queues of one experiment."""

    connection: sqlite3.Connection
    recorder: Recorder
    tx: Transaction
    experiment_id: int
    queue_id: str
    trace_ids: list[str]

    def plan(self, table: str, query: Callable[[], object]) -> list[str]:
        """The steps of the plans of what a query executes, of those statements that read from a table."""
        self.recorder.executed.clear()
        query()
        steps: list[str] = []
        for sql, parameters in list(self.recorder.executed):
            if f"FROM {table} " in f"{sql} ".replace("\n", " "):
                steps += [row[3] for row in self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return steps

    def search(
        self, filter_string: str = "", *, everywhere: bool = False, page: int = 1, counted: bool = False
    ) -> None:
        """A search for issues; of the pages only the last one counts for what is recorded."""
        token = ""
        for _ in range(page):
            self.recorder.executed.clear()
            experiment_id = None if everywhere else self.experiment_id
            found, token = issues.search_issues(self.tx, experiment_id, filter_string, PAGE, token or "", counted)
            assert found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    path: Path = tmp_path_factory.mktemp("plans") / "plans.db"
    prepare_sqlite(path)
    with closing(connect(str(path))) as connection:
        recorder = Recorder(connection)
        tx = Transaction(recorder, SQLITE)
        connection.execute("BEGIN")
        experiment_id = experiments.create_experiment(tx, "e", [], "", lambda number: f"x/{number}")
        new = new_queue("q", "CUSTOM", ["ann"], [])
        queue_id = review_queues.create_review_queue(tx, experiment_id, new, None)["queue_id"]
        made = Filled(connection, recorder, tx, experiment_id, queue_id, [])
        for number in range(3 * PAGE):
            fill(made, number)
        review_queue_items.add_items_to_review_queue(tx, queue_id, made.trace_ids)
        label_schemas.create_default_label_schema(tx, experiment_id)
        connection.execute("COMMIT")
        yield made


def fill(made: Filled, number: int) -> None:
    """Adds a trace, an issue that it refers to, a label schema, and a queue."""
    tx, experiment_id = made.tx, made.experiment_id
    made.trace_ids.append(f"tr-{number:032x}")
    values = {"request_id": made.trace_ids[-1], "experiment_id": experiment_id, "timestamp_ms": number}
    key = tx.row(SQLITE.insert(traces).values(**values, status="OK", is_finalized=1).returning(traces.c.id))
    assert key is not None
    issue = issues.create_issue(
        tx,
        experiment_id,
        name="slow",
        description="It takes long.",
        status="pending",
        severity=number % 3,
        root_causes=None,
        categories=None,
        source_run_id=None,
        created_by=None,
    )
    reference = Assessment(assessment_name=issue["issue_id"], issue=IssueReference("slow"))
    assessments.create_assessment(tx, key[0], experiment_id, made.trace_ids[-1], reference)
    label_schemas.create_label_schema(
        tx,
        experiment_id,
        name=str(number),
        type_="FEEDBACK",
        input_=("text", {}),
        instruction=None,
        enable_comment=False,
    )
    review_queues.create_review_queue(tx, experiment_id, new_queue(str(number), "CUSTOM", [], []), None)


LISTED = "SEARCH issues USING INDEX ix_issues_listing (experiment_id=?"


def test_issues_are_read_in_the_order_of_an_index(database: Filled) -> None:
    by_key = "SEARCH issues USING INTEGER PRIMARY KEY (rowid=?)"  # the page, once it is known which issues are on it
    assert database.plan("issues", database.search)[0] == f"{LISTED})"
    assert (
        database.plan("issues", lambda: database.search(page=2))[0]
        == f"{LISTED} AND (severity,created_timestamp)<(?,?))"
    )
    everywhere = database.plan("issues", lambda: database.search(everywhere=True))
    assert everywhere[0] == "SCAN issues USING INDEX ix_issues_everywhere"
    pending = database.plan("issues", lambda: database.search("status = 'pending'"))
    assert pending[0] == "SEARCH issues USING INDEX ix_issues_status (experiment_id=? AND status=?)"
    for plan in (everywhere, pending):
        assert by_key in plan
        assert not any("TEMP B-TREE" in step for step in plan)


def test_traces_of_issues_are_counted_along_the_index_of_references(database: Filled) -> None:
    plan = database.plan("issues", lambda: database.search(counted=True))
    assert f"{LISTED})" in plan
    assert "SEARCH assessments USING COVERING INDEX ix_assessments_issue (name=?)" in plan


def test_issues_of_a_run_are_found_by_it(database: Filled) -> None:
    def search() -> None:
        issues.search_issues(database.tx, None, "source_run_id = 'x'", PAGE, "", False)

    assert database.plan("issues", search)[0] == "SEARCH issues USING INDEX ix_issues_source_run (source_run_id=?)"


def test_label_schemas_are_read_in_the_order_of_their_index(database: Filled) -> None:
    def list_page(page: int) -> None:
        token = ""
        for _ in range(page):
            database.recorder.executed.clear()
            found = label_schemas.list_label_schemas(database.tx, database.experiment_id, PAGE, token)
            assert found is not None and found[0]
            token = found[1] or ""

    step = "SEARCH label_schemas USING INDEX ix_label_schemas_listing (experiment_id=?"
    assert database.plan("label_schemas", lambda: list_page(1))[-1] == f"{step})"
    assert database.plan("label_schemas", lambda: list_page(2))[-1] == f"{step} AND created_time<?)"


def test_queues_are_read_in_the_order_of_their_index(database: Filled) -> None:
    def list_queues(user: str | None, item_id: str | None) -> None:
        review_queues.list_review_queues(database.tx, database.experiment_id, user, item_id, PAGE, "")

    step = "SEARCH review_queues USING INDEX ix_review_queues_listing (experiment_id=?)"
    assert database.plan("review_queues", lambda: list_queues(None, None)) == [step]
    of_user = database.plan("review_queues", lambda: list_queues("ann", None))
    assert "SEARCH review_queue_users USING COVERING INDEX ix_review_queue_users_user (user_id=?)" in of_user
    with_item = database.plan("review_queues", lambda: list_queues(None, database.trace_ids[0]))
    assert "SEARCH review_queue_items USING COVERING INDEX ix_review_queue_items_item (item_id=?)" in with_item


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (None, "SEARCH review_queue_items USING INDEX ix_review_queue_items_listing (queue=?"),
        ("PENDING", "SEARCH review_queue_items USING INDEX ix_review_queue_items_status (queue=? AND status=?"),
    ],
)
def test_items_are_read_in_the_order_of_an_index(database: Filled, status: Any, step: str) -> None:
    def list_page(page: int) -> None:
        token = ""
        for _ in range(page):
            database.recorder.executed.clear()
            found, next_token = review_queue_items.list_review_queue_items(
                database.tx, database.queue_id, status, PAGE, token
            )
            assert found
            token = next_token or ""

    assert database.plan("review_queue_items", lambda: list_page(1)) == [f"{step})"]
    assert database.plan("review_queue_items", lambda: list_page(2)) == [f"{step} AND creation_time_ms<?)"]


def test_items_of_deleted_traces_are_found_by_their_ids(database: Filled) -> None:
    compiled = trace_deletion.DELETE_ITEMS.compiled_for(SQLITE)
    plan = [row[3] for row in database.connection.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", ("[1]",))]
    assert "SEARCH review_queue_items USING COVERING INDEX ix_review_queue_items_item (item_id=?)" in plan
    assert "SEARCH traces USING INTEGER PRIMARY KEY (rowid=?)" in plan
