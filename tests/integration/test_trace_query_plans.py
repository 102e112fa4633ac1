"""How SQLite finds traces: by which index, and how much work that is as the tables grow."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from runnel.api.otlp_bodies import PROTOBUF, parse_export_request
from runnel.domain.assessments import Assessment, AssessmentSource, Feedback
from runnel.domain.model_prices import ModelPrices
from runnel.domain.traces import MlflowExperimentLocation, TraceInfo, TraceLocation
from runnel.store import experiments, trace_ingestion, trace_search
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction
from tests.integration.test_query_plans import Filled, Recorder
from tests.trace_requests import START_MS, export_request, new_otel_id, otel_span

PAGE = 20
RARE = 5  # the oldest traces have what no other has
LISTED = "SEARCH traces USING INDEX ix_traces_listing (experiment_id=?"
TERMS = "SEARCH span_terms USING COVERING INDEX ix_span_terms_search (experiment_id=? AND kind=? AND value=?)"


class FilledTraces(Filled):
    """A database with traces in three experiments, most of them in the first."""

    def grow(self, count: int) -> None:
        """Adds traces; the first of all have a tag, metadata, a span, a duration and feedback that no other has."""
        self.connection.execute("BEGIN")
        for number in range(len(self.run_ids), len(self.run_ids) + count):
            self._add(number, "rare" if number < RARE else "common")
        self.connection.execute("COMMIT")

    def _add(self, number: int, kind: str) -> None:
        otel_id = new_otel_id()
        self.run_ids.append(f"tr-{otel_id}")
        experiment_id = self.experiment_ids[number % 3 if number % 10 == 9 else 0]
        attributes = {"mlflow.spanType": kind.upper(), f"{kind} key": number}
        start = number * 1000
        spans = [
            otel_span(otel_id, 1, name="root", start=start, end=start + 50, status=1),
            otel_span(otel_id, 2, 1, name=kind, start=start, status=2 if kind == "rare" else 1, attributes=attributes),
        ]
        contents = parse_export_request(export_request(*spans).SerializeToString(), PROTOBUF, ModelPrices({}))
        trace_ingestion.log_spans(self.tx, experiment_id, contents, _location)
        source = AssessmentSource("HUMAN", "me")
        values = {kind: True, "score": -1 if kind == "rare" else number % 10}
        info = TraceInfo(
            trace_id=f"tr-{otel_id}",
            trace_location=TraceLocation(mlflow_experiment=MlflowExperimentLocation(str(experiment_id))),
            request_time=datetime.fromtimestamp(START_MS // 1000 + number, UTC).isoformat(),
            execution_duration="9000s" if kind == "rare" else f"{number % 50}s",
            state="ERROR" if number % 7 == 0 else "OK",
            tags={"kind": kind, f"{kind} tag": "x", "mlflow.traceName": kind},
            trace_metadata={"kind": kind, f"{kind} metadata": "x", "mlflow.sourceRun": kind},
            assessments=tuple(
                Assessment(assessment_name=name, source=source, feedback=Feedback(value))
                for name, value in values.items()
            ),
        )
        trace_ingestion.start_trace(self.tx, info, _location)

    def search(
        self, filter: str = "", order_by: list[str] | None = None, everywhere: bool = False, page: int = 1
    ) -> None:
        experiment_ids, token = self.experiment_ids if everywhere else self.experiment_ids[:1], ""
        for _ in range(page):
            self.recorder.executed.clear()
            found, next_token = trace_search.search_traces(self.tx, experiment_ids, filter, order_by or [], PAGE, token)
            assert found or "nobody" in filter
            token = next_token or ""


def _location(experiment: str, trace_id: str) -> str:
    return f"{experiment}/{trace_id}"


@contextmanager
def filled(folder: Path, count: int) -> Iterator[FilledTraces]:
    path = folder / "plans.db"
    prepare_sqlite(path)
    with closing(connect(str(path))) as connection:
        recorder = Recorder(connection)
        tx = Transaction(recorder, SQLITE)
        ids = [experiments.create_experiment(tx, f"e{n}", [], "", lambda number: f"x/{number}") for n in range(3)]
        database = FilledTraces(connection, recorder, tx, ids, [], random.Random(1))
        database.grow(count)
        yield database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledTraces]:
    with filled(tmp_path_factory.mktemp("plans"), 200) as made:
        yield made


def test_a_list_of_traces_is_read_in_the_order_of_its_index(database: FilledTraces) -> None:
    database.search()
    assert database.plan("traces")[0] == f"{LISTED})"
    database.search(page=2)
    assert database.plan("traces")[0] == f"{LISTED} AND timestamp_ms<?)"
    database.search("timestamp_ms > 0")
    assert database.plan("traces")[0] == f"{LISTED} AND timestamp_ms>?)"
    database.search("status = 'ERROR'")
    assert database.plan("traces")[0] == "SEARCH traces USING INDEX ix_traces_status (experiment_id=? AND status=?)"


RARE_FILTERS = {
    "tags.kind = 'rare'": "SEARCH trace_tags USING INDEX ix_trace_tags_search (experiment_id=? AND key=? AND <expr>=?)",
    "tags.`rare tag` LIKE '%x'": "SEARCH trace_tags USING COVERING INDEX ix_trace_tags_search "
    "(experiment_id=? AND key=?)",
    "tags.`rare tag` IS NOT NULL": "SEARCH trace_tags USING COVERING INDEX ix_trace_tags_search "
    "(experiment_id=? AND key=?)",
    "metadata.kind = 'rare'": "SEARCH trace_metadata USING INDEX ix_trace_metadata_search (key=? AND <expr>=?)",
    "metadata.`rare metadata` != 'y'": "SEARCH trace_metadata USING COVERING INDEX ix_trace_metadata_search (key=?)",
    "run_id = 'rare'": "SEARCH trace_runs USING PRIMARY KEY (run_uuid=?)",
    "execution_time > 1000000": "SEARCH traces USING COVERING INDEX ix_traces_duration "
    "(experiment_id=? AND execution_time_ms>?)",
    "feedback.rare = 'true'": "SEARCH assessments USING INDEX ix_assessments_name "
    "(experiment_id=? AND name=? AND <expr>=?)",
    "feedback.score < 0": "SEARCH assessments USING INDEX ix_assessments_number "
    "(experiment_id=? AND name=? AND <expr><?)",
    "feedback.rare IS NOT NULL": "SEARCH assessments USING INDEX ix_assessments_number (experiment_id=? AND name=?)",
    "span.name = 'rare'": TERMS,
    "span.name LIKE 'ra%'": TERMS,
    "span.type IN ('RARE', 'x')": TERMS,
    "span.status = 'ERROR'": TERMS,
    "span.status != 'OK'": TERMS,
    "span.attributes.`rare key` != 'x'": TERMS,
    "span.attributes.nobody LIKE '%'": TERMS,
}


@pytest.mark.parametrize("filter_string", RARE_FILTERS)
@pytest.mark.parametrize("order_by", [[], ["execution_time_ms"], ["tags.kind"]], ids=str)
def test_a_condition_that_few_traces_meet_is_looked_up(
    database: FilledTraces, filter_string: str, order_by: list[str]
) -> None:
    database.search(filter_string, order_by)
    plan = database.plan()
    assert RARE_FILTERS[filter_string] in plan
    tables = "traces|trace_tags|trace_metadata|trace_runs|assessments|spans|span_terms"
    assert not [step for step in plan if re.match(rf"SCAN ({tables})\b", step)]
    # No experiment is walked through from its beginning.
    assert f"{LISTED})" not in plan


def test_the_work_of_a_page_stays_the_same_as_the_tables_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_search, "_FEW", 50)  # up to so many found, they are sorted: that is work for each
    searches = {"listing": "", "status": "status = 'ERROR'", "name": "name = 'common'", "tag": "tags.kind = 'common'"}
    searches |= {"spans": "span.name = 'common'", "text": "trace.text ILIKE '%Common%'"}
    searches |= {"feedback": "feedback.common = 'true'", "score": "feedback.score > 5"}
    searches |= {text: text for text in RARE_FILTERS}
    with filled(tmp_path, 200) as database:
        before = {name: database.work(partial(database.search, text)) for name, text in searches.items()}
        database.grow(1800)
        after = {name: database.work(partial(database.search, text)) for name, text in searches.items()}
        # What no index finds is looked for in every trace: a measure that the measure works.
        rare_text = partial(database.search, "trace.text LIKE '%\"rare\"%'")
        assert database.work(rare_text) > 5 * after["listing"]
    grown = {name: (before[name], after[name]) for name in searches if after[name] > 1.3 * before[name] + 20}
    assert not grown
