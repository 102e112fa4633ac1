"""By which index SQLite finds what figures about traces are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runnel.domain.trace_metrics import AggregationType, MetricAggregation, MetricQuery, ViewType, check_metric_query
from runnel.store import trace_correlation, trace_metrics
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction

IN_RANGE = "(experiment_id=? AND timestamp_ms>? AND timestamp_ms<?)"
STATUS_IN_RANGE = "(experiment_id=? AND status=? AND timestamp_ms>? AND timestamp_ms<?)"
OF_A_RANGE = (f"ix_traces_listing {IN_RANGE}", f"ix_traces_status {STATUS_IN_RANGE}")


class Explainer:
    """A connection that answers how it would find the rows instead of the rows."""

    def __init__(self, path: Path) -> None:
        self.connection = connect(str(path))
        self.plan: list[str] = []

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.plan += [row[3] for row in self.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return self.connection.execute(sql, parameters)


@pytest.fixture
def explainer(tmp_path: Path) -> Iterator[Explainer]:
    path = tmp_path / "mlflow.db"
    prepare_sqlite(path)
    explainer = Explainer(path)
    with closing(explainer.connection):
        yield explainer


def asked(view: ViewType, metric: str, figure: AggregationType, *dimensions: str, **fields: Any) -> MetricQuery:
    percentile = 50.0 if figure == "PERCENTILE" else None
    whole = {"filters": [], "time_interval_seconds": None, "start_time_ms": 5, "end_time_ms": 9, "max_results": 10}
    return check_metric_query(
        experiment_ids=[1],
        view_type=view,
        metric_name=metric,
        aggregations=[MetricAggregation(figure, percentile)],
        dimensions=dimensions,
        **(whole | fields),
    )


def searches(explainer: Explainer, table: str) -> list[str]:
    """How the rows of a table are found; temporary results and lists of parameters left out."""
    return [step for step in explainer.plan if step.split()[:2] in (["SEARCH", table], ["SCAN", table])]


@pytest.mark.parametrize(
    "query",
    [
        asked("TRACES", "trace_count", "COUNT"),
        asked("TRACES", "trace_count", "COUNT", "trace_status", time_interval_seconds=60),
        asked("TRACES", "latency", "PERCENTILE", "trace_name"),
        asked("TRACES", "trace_count", "COUNT", filters=["trace.status = 'OK'", "trace.tag.a = 'b'"]),
        asked("SPANS", "span_count", "COUNT", "span_name"),
        asked("SPANS", "latency", "PERCENTILE", filters=["span.name = 'x'", "trace.status = 'OK'"]),
        asked("ASSESSMENTS", "assessment_count", "COUNT", "assessment_value"),
        asked("ASSESSMENTS", "assessment_value", "PERCENTILE", filters=["assessment.name = 'x'"]),
    ],
    ids=lambda query: f"{query.metric_name}-{len(query.filters)}-{'-'.join(query.dimensions)}",
)
def test_only_the_traces_of_the_range_are_looked_at(explainer: Explainer, query: MetricQuery) -> None:
    trace_metrics.query_trace_metrics(Transaction(explainer, SQLITE), query)
    (found,) = searches(explainer, "traces")
    assert found.endswith(OF_A_RANGE)
    for table in ("spans", "assessments"):
        assert all(step.endswith("(trace_id=?)") for step in searches(explainer, table))


def test_only_the_spans_that_cost_something_in_the_range_are_looked_at(explainer: Explainer) -> None:
    trace_metrics.query_trace_metrics(
        Transaction(explainer, SQLITE), asked("SPANS", "total_cost", "SUM", "span_model_name")
    )
    assert searches(explainer, "spans") == [
        "SEARCH spans USING INDEX ix_spans_cost (start_time_unix_nano>? AND start_time_unix_nano<?)"
    ]
    assert searches(explainer, "traces") == ["SEARCH traces USING INTEGER PRIMARY KEY (rowid=?)"]


def test_assessments_of_all_times_are_found_without_their_traces(explainer: Explainer) -> None:
    query = asked("ASSESSMENTS", "assessment_value", "AVG", start_time_ms=None, end_time_ms=None)
    trace_metrics.query_trace_metrics(Transaction(explainer, SQLITE), query)
    (step,) = searches(explainer, "assessments")
    # Either index of assessments by name; to what is asked they are the same.
    assert re.match(r"SEARCH assessments USING INDEX ix_assessments_(name|number) \(experiment_id=\?", step)
    assert searches(explainer, "traces") == []


def test_a_correlation_looks_at_the_traces_of_its_base_once(explainer: Explainer) -> None:
    base = "timestamp_ms >= 5 AND timestamp_ms < 9"
    trace_correlation.count_traces(
        Transaction(explainer, SQLITE), [1], "tag.a = '1'", "feedback.b > 0 AND span.name = 'x'", base
    )
    assert [step for step in searches(explainer, "traces") if "rowid" not in step and "session" not in step] == [
        f"SEARCH traces USING INDEX ix_traces_listing {IN_RANGE}"
    ]
