"""Figures about traces, spans and assessments: counted, summed up and ranked in SQL, grouped by time and dimensions.

All three views begin at the traces of the experiments in their time range, which an index finds; spans and assessments
are those of these traces. What spans cost in a range is found by an index of its own, for it counts when they began;
assessments without a range and without a condition on their traces are found by their experiment.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.trace_metric_filters import MetricFilter
from runnel.domain.trace_metrics import (
    COST_METRICS,
    FIRST_MS,
    LAST_MS,
    TIME_BUCKET,
    MetricAggregation,
    MetricDataPoint,
    MetricQuery,
    render_time_bucket,
)
from runnel.domain.traces import SESSION_METADATA, SOURCE_RUN_METADATA, TRACE_NAME_TAG
from runnel.store.dialects import Dialect
from runnel.store.metric_values import shown_value
from runnel.store.schema import (
    assessments,
    has_cost,
    json_number,
    spans,
    trace_metadata,
    trace_runs,
    trace_tags,
    traces,
)
from runnel.store.statements import Transaction

Condition = sa.ColumnElement[bool]

_NS_PER_MS = 1_000_000
_LAST_SPAN_MS = limits.INT64_MAX // _NS_PER_MS - 1
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "trace_count": traces.c.id,
    "session_count": traces.c.session_id,
    "span_count": spans.c.trace_id,
    "assessment_count": assessments.c.id,
    "trace_name": traces.c.name,
    "trace_status": traces.c.status,
    "span_name": spans.c.name,
    "span_type": spans.c.type,
    "span_status": spans.c.status,
    "span_model_name": spans.c.model_name,
    "span_model_provider": spans.c.model_provider,
    "assessment_name": assessments.c.name,
}
_FILTERED = {
    ("trace", "status"): traces.c.status,
    ("span", "name"): spans.c.name,
    ("span", "status"): spans.c.status,
    ("span", "type"): spans.c.type,
    ("assessment", "name"): assessments.c.name,
    ("assessment", "type"): assessments.c.assessment_type,
}
# Tags and metadata with a column of their own.
_NAMED = {("tag", TRACE_NAME_TAG): traces.c.name, ("metadata", SESSION_METADATA): traces.c.session_id}
_BLANKS = " \t\n\r\v\f"


def query_trace_metrics(tx: Transaction, query: MetricQuery) -> list[MetricDataPoint]:
    """The figures of each combination of the dimensions' values that there is, in the order of these values."""
    names = [*([TIME_BUCKET] if query.time_interval_seconds else []), *query.dimensions]
    points: list[MetricDataPoint] = []
    for row in tx.rows(_statement(tx.dialect, query, names)):
        dimensions = dict(zip(names, row, strict=False))
        if query.time_interval_seconds:
            dimensions[TIME_BUCKET] = render_time_bucket(dimensions[TIME_BUCKET])
        figures = zip(query.aggregations, row[len(names) :], strict=True)
        values = {figure.label: _shown(value) for figure, value in figures if value is not None}
        if values:
            points.append({"metric_name": query.metric_name, "dimensions": dimensions, "values": values})
    return points


def _shown(value: Any) -> float:
    return float(shown_value(float(value), 0))


def _statement(dialect: Dialect, query: MetricQuery, names: list[str]) -> sa.Executable:
    rows = _rows(dialect, query).subquery("rows")
    found = sa.select(rows).where(*[column.is_not(None) for column in rows.c])
    measured: Any = found.subquery("measured")
    if any(figure.aggregation_type == "PERCENTILE" for figure in query.aggregations):
        measured = dialect.ranked(measured, "value", names)
    groups = [measured.c[name] for name in names]
    figures = [
        _figure(dialect, query, figure, measured).label(f"figure_{index}")
        for index, figure in enumerate(query.aggregations)
    ]
    return (
        sa.select(*groups, *figures).select_from(measured).group_by(*groups).order_by(*groups).limit(query.max_results)
    )


def _figure(dialect: Dialect, query: MetricQuery, figure: MetricAggregation, rows: Any) -> sa.ColumnElement[Any]:
    value = rows.c.value
    match figure.aggregation_type:
        case "COUNT":
            return sa.func.count(value.distinct()) if query.metric_name == "session_count" else sa.func.count()
        case "SUM":
            return sa.func.sum(sa.cast(value, sa.Double()))  # of integers of 64 bits the sum could overflow
        case "AVG":
            return sa.func.avg(value)
        case "MIN":
            return sa.func.min(value)
        case "MAX":
            return sa.func.max(value)
        case "PERCENTILE":
            return dialect.percentile(rows, "value", (figure.percentile_value or 0.0) / 100)


def _rows(dialect: Dialect, query: MetricQuery) -> sa.Select[Any]:
    """One row for each trace, span or assessment: its value and its dimensions."""
    columns = [_value(dialect, query).label("value")]
    if query.time_interval_seconds:
        columns.append(_time_bucket(query).label(TIME_BUCKET))
    columns += [_dimension(name).label(name) for name in query.dimensions]
    times = _time_range(query)
    conditions = [_condition(filter_, bool(times)) for filter_ in query.filters]
    experiment: sa.ColumnElement[int] = traces.c.experiment_id
    if times and _is_cost(query):
        experiment = dialect.without_index(experiment)  # the index of the cost finds fewer spans
        times.append(has_cost())
    of_traces = [dialect.is_in(experiment, query.experiment_ids), *times]
    rows = sa.select(*columns)
    match query.view_type:
        case "TRACES":
            return rows.select_from(traces).where(*of_traces, *conditions)
        case "SPANS":
            joined = traces.join(spans, spans.c.trace_id == traces.c.id)
            return rows.select_from(joined).where(*of_traces, *conditions)
        case "ASSESSMENTS":
            conditions.append(assessments.c.valid == 1)
            if not times and all(filter_.view != "trace" for filter_ in query.filters):
                of_experiments = dialect.is_in(assessments.c.experiment_id, query.experiment_ids)
                return rows.select_from(assessments).where(of_experiments, *conditions)
            joined = traces.join(assessments, assessments.c.trace_id == traces.c.id)
            return rows.select_from(joined).where(*of_traces, *conditions)


def _value(dialect: Dialect, query: MetricQuery) -> sa.ColumnElement[Any]:
    name = query.metric_name
    if name == "latency" and query.view_type == "TRACES":
        return traces.c.execution_time_ms
    if name == "latency":
        # Times before the epoch, which no clock shows, could make the difference overflow.
        is_time = sa.and_(spans.c.start_time_unix_nano >= 0, spans.c.end_time_unix_nano >= 0)
        duration = spans.c.end_time_unix_nano - spans.c.start_time_unix_nano
        return sa.case((is_time, duration // sa.literal_column(str(_NS_PER_MS), sa.BigInteger())))
    if name == "assessment_value":
        return _assessed_number(dialect)
    if name in _COLUMNS:
        return _COLUMNS[name]
    return spans.c[name] if query.view_type == "SPANS" else traces.c[name]


def _assessed_number(dialect: Dialect) -> sa.ColumnElement[Any]:
    """The number that an assessment's value counts as: a number itself, true and "yes" 1, false and "no" 0."""
    value = assessments.c.value
    word = sa.func.lower(sa.func.trim(dialect.decoded_json(value), _BLANKS))
    yes_or_no = sa.case((word == "yes", 1.0), (word == "no", 0.0))
    is_text = sa.func.substr(value, 1, 1) == '"'
    # No text that is longer can be one of the two words, but for the blanks around them.
    return sa.case(
        (value == "true", 1.0),
        (value == "false", 0.0),
        (sa.and_(is_text, sa.func.length(value) <= limits.MAX_METRIC_DIMENSION_LENGTH), yes_or_no),
        (is_text, sa.null()),
        else_=json_number(value),
    )


def _dimension(name: str) -> sa.ColumnElement[Any]:
    if name == "assessment_value":
        return sa.func.substr(assessments.c.value, 1, limits.MAX_METRIC_DIMENSION_LENGTH)
    return _COLUMNS[name]


# Time


def _time_bucket(query: MetricQuery) -> sa.ColumnElement[int]:
    """When the interval begins that a row belongs to, in milliseconds since the epoch."""
    assert query.time_interval_seconds is not None
    interval = sa.literal_column(str(query.time_interval_seconds * 1000), sa.BigInteger())
    time: sa.ColumnElement[int] = traces.c.timestamp_ms
    if query.view_type == "SPANS":
        ns_per_ms = sa.literal_column(str(_NS_PER_MS), sa.BigInteger())
        start = spans.c.start_time_unix_nano
        # Whole milliseconds, rounded down before the epoch as well.
        time = start // ns_per_ms - sa.case((sa.and_(start < 0, start % ns_per_ms != 0), 1), else_=0)
    return time - (time % interval + interval) % interval


def _time_range(query: MetricQuery) -> list[Condition]:
    """The conditions of the range: the times of traces, but for the cost of spans, which counts when it arises."""
    start, end = query.start_time_ms, query.end_time_ms
    if _is_cost(query):
        column: sa.ColumnElement[int] = spans.c.start_time_unix_nano
        conditions = []
        if start is not None:
            conditions.append(column >= max(min(start, _LAST_SPAN_MS), -_LAST_SPAN_MS) * _NS_PER_MS)
        if end is not None:
            conditions.append(column < (max(min(end, _LAST_SPAN_MS), -_LAST_SPAN_MS) + 1) * _NS_PER_MS)
        return conditions
    if query.time_interval_seconds and query.view_type != "SPANS":
        start, end = max(start or 0, FIRST_MS), min(end or 0, LAST_MS)
    conditions = []
    if start is not None:
        conditions.append(traces.c.timestamp_ms >= start)
    if end is not None:
        conditions.append(traces.c.timestamp_ms <= end)
    return conditions


def _is_cost(query: MetricQuery) -> bool:
    return query.view_type == "SPANS" and query.metric_name in COST_METRICS


# Filters


def _condition(filter_: MetricFilter, in_range: bool) -> Condition:
    if in_range and (filter_.view, filter_.entity) == ("span", "name"):
        # The column not by itself: SQLite would take the spans of that name of all times.
        return spans.c.name.concat("") == filter_.value
    column: sa.ColumnElement[str] | None = _FILTERED.get((filter_.view, filter_.entity))
    if column is not None:
        return column == filter_.value
    key, value = filter_.key, filter_.value
    column = _NAMED.get((filter_.entity, key))
    if column is not None:
        return column == value
    if filter_.entity == "tag":
        return _has_pair(trace_tags, key, value)
    if key == SOURCE_RUN_METADATA:  # the run that made the trace, and those it was linked with later
        linked = sa.select(trace_runs.c.trace_id).where(
            trace_runs.c.trace_id == traces.c.id, trace_runs.c.run_uuid == value
        )
        return sa.exists(linked.correlate(traces))
    return _has_pair(trace_metadata, key, value)


def _has_pair(table: sa.Table, key: str, value: str) -> Condition:
    pairs = sa.select(table.c.trace_id).where(
        table.c.trace_id == traces.c.id, table.c.key == key, table.c.value == value
    )
    return sa.exists(pairs.correlate(traces))
