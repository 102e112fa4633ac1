"""Requests for figures about traces, spans and assessments: a few traces that differ, then questions about them."""

from typing import Any

from tests.compat.exchange import Ask
from tests.compat.otlp_bodies import export, span
from tests.trace_requests import START_MS

TRACES = "/api/3.0/mlflow/traces"


def _id(number: int) -> str:
    return f"f1{number:030x}"


def _trace(number: int, seconds: int, **fields: Any) -> Ask:
    minute, second = divmod(13 * 60 + 20 + seconds, 60)
    hour, minute = divmod(22 * 60 + minute, 60)
    info = {
        "trace_id": f"tr-{_id(number)}",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$measured"}},
        "request_time": f"2023-11-14T{hour:02}:{minute:02}:{second:02}Z",
        **fields,
    }
    return Ask(f"start trace {number} to measure", "POST", TRACES, {"trace": {"trace_info": info}})


def _assess(number: int, trace: int, name: str, /, kind: str = "feedback", **value: Any) -> Ask:
    assessment = {
        "assessment_name": name,
        "trace_id": f"tr-{_id(trace)}",
        "source": {"source_type": "HUMAN", "source_id": "eve"},
        kind: value,
    }
    path = f"{TRACES}/tr-{_id(trace)}/assessments"
    keep = {f"measured_a{number}": "assessment.assessment_id"}
    return Ask(f"assess a trace to measure, {number}", "POST", path, {"assessment": assessment}, keep=keep)


def _ask(what: str, view: str, metric: str, *aggregations: str | float, **fields: Any) -> Ask:
    """A question; a number among the aggregations is a percentile."""
    wanted = [
        {"aggregation_type": each}
        if isinstance(each, str)
        else {"aggregation_type": "PERCENTILE", "percentile_value": each}
        for each in aggregations
    ]
    body = {"experiment_ids": ["$measured"], "view_type": view, "metric_name": metric, "aggregations": wanted}
    return Ask(f"trace metrics: {what}", "POST", f"{TRACES}/metrics", body | fields)


def _correlate(what: str, first: str, second: str, **fields: Any) -> Ask:
    body = {"experiment_ids": ["$measured"], "filter_string1": first, "filter_string2": second, **fields}
    return Ask(f"trace correlation: {what}", "POST", f"{TRACES}/calculate-filter-correlation", body)


ALL = ("AVG", "MIN", "MAX", 0.0, 25, 50, 99.9, 100)
SUMS = ("SUM", *ALL)
HOUR = {"time_interval_seconds": 3600, "start_time_ms": START_MS - 7_200_000, "end_time_ms": START_MS + 7_200_000}
MINUTE = HOUR | {"time_interval_seconds": 60}

USAGE = '{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "cache_read_input_tokens": 2}'
MORE_USAGE = '{"input_tokens": 21, "output_tokens": 6, "total_tokens": 27, "cache_creation_input_tokens": 4}'
LLM = {"mlflow.spanType": "LLM", "mlflow.llm.model": "m-1", "mlflow.llm.provider": "p-1"}
COST = {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}

DATA = [
    Ask(
        "create experiment to measure", "POST", "experiments/create", {"name": "tm"}, keep={"measured": "experiment_id"}
    ),
    Ask(
        "create run to measure",
        "POST",
        "runs/create",
        {"experiment_id": "$measured", "run_name": "m"},
        keep={"measuring": "run.info.run_id"},
    ),
    _trace(
        1,
        0,
        execution_duration="1.5s",
        state="OK",
        trace_metadata={
            "mlflow.trace.tokenUsage": USAGE,
            "mlflow.trace.session": "s1",
            "mlflow.sourceRun": "$measuring",
        },
        tags={"mlflow.traceName": "chat", "env": "prod"},
    ),
    _trace(
        2,
        30,
        execution_duration="0.250s",
        state="ERROR",
        trace_metadata={"mlflow.trace.tokenUsage": MORE_USAGE, "mlflow.trace.session": "s1", "kind": "x"},
        tags={"mlflow.traceName": "chat", "env": "test"},
    ),
    _trace(3, 60, execution_duration="3s", state="OK", tags={"mlflow.traceName": "search", "env": "prod"}),
    _trace(
        4, 3600, state="IN_PROGRESS", trace_metadata={"mlflow.trace.session": "s2"}, tags={"env": "prod", "a b": "c"}
    ),
    _trace(5, 3660, execution_duration="0.007s", state="OK", tags={"mlflow.traceName": "search"}),
    export(
        "export spans to measure",
        "$measured",
        span(_id(1), 1, name="root", start=0, end=1500, attributes={"mlflow.spanType": "CHAIN"}),
        span(_id(1), 2, 1, name="call", start=100, end=400, status=1, attributes=LLM | {"mlflow.llm.cost": COST}),
        span(
            _id(1),
            3,
            1,
            name="call",
            start=500,
            end=1300,
            status=2,
            attributes=LLM | {"mlflow.llm.model": "m-2", "mlflow.llm.cost": {"input_cost": 1.5, "total_cost": 1.5}},
        ),
        span(_id(2), 1, name="root", start=30_000, end=30_250, status=2),
        span(_id(3), 1, name="other", start=60_000, end=63_000, status=1, attributes={"mlflow.spanType": "TOOL"}),
    ),
    export(
        "export a trace of spans to measure",
        "$measured",
        span(
            _id(6),
            1,
            name="otel",
            start=120_000,
            end=120_900,
            attributes=LLM | {"mlflow.llm.cost": COST, "mlflow.traceTag.mlflow.traceName": "named"},
        ),
    ),
    Ask(
        "link a trace to measure to a run",
        "POST",
        "traces/link-to-run",
        {"run_id": "$measuring", "trace_ids": [f"tr-{_id(3)}"]},
    ),
    _assess(1, 1, "good", value=True),
    _assess(2, 2, "good", value=False),
    _assess(3, 3, "good", value="yes"),
    _assess(4, 1, "score", value=0.5),
    _assess(5, 2, "score", value=3),
    _assess(6, 3, "score", value=-1.25),
    _assess(7, 3, "word", value="No "),
    _assess(8, 3, "word", value="maybe"),
    _assess(9, 1, "expected", "expectation", value=7),
    _assess(10, 1, "expected", "expectation", value="text"),
    _assess(11, 2, "failed", error={"error_code": "E", "error_message": "m"}),
    _assess(12, 4, "score", value=100),
    Ask(
        "override an assessment to measure",
        "POST",
        f"{TRACES}/tr-{_id(1)}/assessments",
        {
            "assessment": {
                "assessment_name": "score",
                "trace_id": f"tr-{_id(1)}",
                "source": {"source_type": "HUMAN", "source_id": "eve"},
                "feedback": {"value": 0.75},
                "overrides": "$measured_a4",
                "valid": True,
            }
        },
        keep={"measured_a13": "assessment.assessment_id"},
    ),
]

TRACE_METRICS = [
    *DATA,
    # Traces
    _ask("traces", "TRACES", "trace_count", "COUNT"),
    _ask("traces by status", "TRACES", "trace_count", "COUNT", dimensions=["trace_status"]),
    _ask("traces by name", "TRACES", "trace_count", "COUNT", dimensions=["trace_name"]),
    _ask("traces by name and status", "TRACES", "trace_count", "COUNT", dimensions=["trace_name", "trace_status"]),
    _ask("traces by status and name", "TRACES", "trace_count", "COUNT", dimensions=["trace_status", "trace_name"]),
    _ask("traces by hour", "TRACES", "trace_count", "COUNT", **HOUR),
    _ask("traces by minute and status", "TRACES", "trace_count", "COUNT", dimensions=["trace_status"], **MINUTE),
    _ask(
        "traces of a range", "TRACES", "trace_count", "COUNT", start_time_ms=START_MS + 1, end_time_ms=START_MS + 30_000
    ),
    _ask("traces before the range", "TRACES", "trace_count", "COUNT", end_time_ms=0),
    _ask("view by number", 1, "trace_count", "COUNT"),  # type: ignore[arg-type]
    _ask("sessions", "TRACES", "session_count", "COUNT"),
    _ask("sessions by hour", "TRACES", "session_count", "COUNT", **HOUR),
    _ask("latency", "TRACES", "latency", *ALL),
    _ask("latency by name", "TRACES", "latency", *ALL, dimensions=["trace_name"]),
    _ask("latency by hour", "TRACES", "latency", "AVG", 50, **HOUR),
    _ask("latency of none", "TRACES", "latency", "AVG", 50, end_time_ms=0),
    _ask("input tokens", "TRACES", "input_tokens", *SUMS),
    _ask("output tokens", "TRACES", "output_tokens", *SUMS, dimensions=["trace_name"]),
    _ask("total tokens", "TRACES", "total_tokens", *SUMS, **MINUTE),
    _ask("tokens read from the cache", "TRACES", "cache_read_input_tokens", *SUMS),
    _ask("tokens written to the cache", "TRACES", "cache_creation_input_tokens", *SUMS),
    _ask("the same figure twice", "TRACES", "latency", "AVG", "AVG", 50, 50.0),
    _ask("an interval of zero", "TRACES", "trace_count", "COUNT", time_interval_seconds=0),
    _ask("numbers as text", "TRACES", "trace_count", "COUNT", start_time_ms="0", max_results="5"),
    _ask("fewer than there are", "TRACES", "trace_count", "COUNT", dimensions=["trace_status"], max_results=2),
    _ask("a page token", "TRACES", "trace_count", "COUNT", page_token="x"),
    _ask("an experiment that is not there", "TRACES", "trace_count", "COUNT", experiment_ids=["987654"]),
    _ask("no experiments", "TRACES", "trace_count", "COUNT", experiment_ids=[]),
    # Spans
    _ask("spans", "SPANS", "span_count", "COUNT"),
    _ask("spans by name", "SPANS", "span_count", "COUNT", dimensions=["span_name"]),
    _ask("spans by type and status", "SPANS", "span_count", "COUNT", dimensions=["span_type", "span_status"]),
    _ask("spans by model", "SPANS", "span_count", "COUNT", dimensions=["span_model_name", "span_model_provider"]),
    _ask("spans by minute", "SPANS", "span_count", "COUNT", **MINUTE),
    _ask(
        "spans of a range",
        "SPANS",
        "span_count",
        "COUNT",
        start_time_ms=START_MS + 30_000,
        end_time_ms=START_MS + 60_000,
    ),
    _ask("span latency", "SPANS", "latency", *ALL),
    _ask("span latency by name and status", "SPANS", "latency", *ALL, dimensions=["span_name", "span_status"]),
    _ask("input cost", "SPANS", "input_cost", *SUMS),
    _ask("output cost by model", "SPANS", "output_cost", *SUMS, dimensions=["span_model_name"]),
    _ask("total cost by provider", "SPANS", "total_cost", *SUMS, dimensions=["span_model_provider"]),
    _ask("total cost by minute", "SPANS", "total_cost", "SUM", **MINUTE),
    _ask("cost of a range", "SPANS", "total_cost", "SUM", start_time_ms=START_MS + 101, end_time_ms=START_MS + 119_999),
    # Assessments
    _ask("assessments", "ASSESSMENTS", "assessment_count", "COUNT"),
    _ask("assessments by name", "ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_name"]),
    _ask(
        "assessments by name and value",
        "ASSESSMENTS",
        "assessment_count",
        "COUNT",
        dimensions=["assessment_name", "assessment_value"],
    ),
    _ask("assessments by hour", "ASSESSMENTS", "assessment_count", "COUNT", **HOUR),
    _ask("assessed value", "ASSESSMENTS", "assessment_value", *ALL),
    _ask("assessed value by name", "ASSESSMENTS", "assessment_value", *ALL, dimensions=["assessment_name"]),
    _ask("assessed value by minute", "ASSESSMENTS", "assessment_value", "AVG", **MINUTE),
    # Filters
    _ask("filter: status", "TRACES", "trace_count", "COUNT", filters=["trace.status = 'OK'"]),
    _ask("filter: tag", "TRACES", "trace_count", "COUNT", filters=["trace.tag.env = 'prod'"]),
    _ask("filter: a quoted tag", "TRACES", "trace_count", "COUNT", filters=['trace.tag.`a b` = "c"']),
    _ask("filter: name", "TRACES", "trace_count", "COUNT", filters=["trace.tag.mlflow.traceName = 'chat'"]),
    _ask("filter: metadata", "TRACES", "trace_count", "COUNT", filters=["trace.metadata.kind = 'x'"]),
    _ask("filter: session", "TRACES", "trace_count", "COUNT", filters=["trace.metadata.mlflow.trace.session = 's1'"]),
    _ask(
        "filter: token usage",
        "TRACES",
        "trace_count",
        "COUNT",
        filters=[f"trace.metadata.mlflow.trace.tokenUsage = '{USAGE}'"],
    ),
    _ask("filter: run", "TRACES", "trace_count", "COUNT", filters=["trace.metadata.mlflow.sourceRun = '$measuring'"]),
    _ask("filter: two", "TRACES", "latency", "MAX", filters=["trace.status = 'OK'", "trace.tag.env='prod'"]),
    _ask(
        "filter: spans of traces",
        "SPANS",
        "span_count",
        "COUNT",
        filters=["trace.status = 'OK'", "trace.tag.env = 'prod'"],
    ),
    _ask("filter: span name", "SPANS", "latency", "MAX", filters=["span.name = 'call'"]),
    _ask("filter: span status", "SPANS", "span_count", "COUNT", filters=["span.status = 'ERROR'"]),
    _ask("filter: span type", "SPANS", "total_cost", "SUM", filters=["span.type = 'LLM'", "trace.status = 'OK'"]),
    _ask("filter: assessment name", "ASSESSMENTS", "assessment_value", "AVG", filters=["assessment.name = 'score'"]),
    _ask(
        "filter: assessment type",
        "ASSESSMENTS",
        "assessment_count",
        "COUNT",
        filters=["assessment.type = 'expectation'"],
    ),
    _ask(
        "filter: assessments of traces", "ASSESSMENTS", "assessment_count", "COUNT", filters=["trace.status = 'ERROR'"]
    ),
    _ask(
        "filter: assessments of a run",
        "ASSESSMENTS",
        "assessment_count",
        "COUNT",
        filters=["trace.metadata.mlflow.sourceRun = '$measuring'"],
    ),
    _ask(
        "filter: assessments of a tag", "ASSESSMENTS", "assessment_count", "COUNT", filters=["trace.tag.env = 'prod'"]
    ),
    # What has not ended, and what has no name of its own
    export("export an open span to measure", "$measured", span(_id(7), 1, name="open", start=180_000, end=None)),
    _ask("span latency of what is open", "SPANS", "latency", "AVG", filters=["span.name = 'open'"]),
    _ask(
        "traces that have no name of their own",
        "TRACES",
        "trace_count",
        "COUNT",
        filters=["trace.tag.mlflow.traceName = 'open'"],
    ),
    # What is wrong
    _ask("wrong metric", "TRACES", "span_count", "COUNT"),
    _ask("wrong aggregation", "TRACES", "trace_count", "SUM", "MAX"),
    _ask("wrong dimension", "TRACES", "latency", "AVG", dimensions=["trace_status", "colour"]),
    _ask("wrong dimension of sessions", "TRACES", "session_count", "COUNT", dimensions=["trace_name"]),
    _ask("wrong dimension of spans", "SPANS", "total_cost", "SUM", dimensions=["span_name"]),
    _ask("wrong dimension of assessments", "ASSESSMENTS", "assessment_value", "AVG", dimensions=["assessment_value"]),
    _ask("unknown view", "LOGS", "trace_count", "COUNT"),
    _ask("unknown aggregation", "TRACES", "trace_count", "MEDIAN"),
    _ask("no view", None, "trace_count", "COUNT"),  # type: ignore[arg-type]
    _ask("no metric", "TRACES", "", "COUNT"),
    _ask("no aggregations", "TRACES", "trace_count"),
    _ask("an aggregation without a type", "TRACES", "trace_count", aggregations=[{}]),
    _ask("percentile without a value", "TRACES", "latency", "PERCENTILE"),
    _ask("percentile above 100", "TRACES", "latency", 100.5),
    _ask("percentile below 0", "TRACES", "latency", -1),
    _ask(
        "average with a percentile",
        "TRACES",
        "latency",
        aggregations=[{"aggregation_type": "AVG", "percentile_value": 5}],
    ),
    _ask("interval without a range", "TRACES", "trace_count", "COUNT", time_interval_seconds=60),
    _ask("interval without an end", "TRACES", "trace_count", "COUNT", time_interval_seconds=60, start_time_ms=0),
    _ask("interval below zero", "TRACES", "trace_count", "COUNT", **HOUR | {"time_interval_seconds": -60}),
    _ask("interval that is none", "TRACES", "trace_count", "COUNT", **HOUR | {"time_interval_seconds": "hour"}),
    _ask("interval beyond 64 bits", "TRACES", "trace_count", "COUNT", **HOUR | {"time_interval_seconds": 2**62}),
    _ask("max_results zero", "TRACES", "trace_count", "COUNT", max_results=0),
    _ask("max_results below zero", "TRACES", "trace_count", "COUNT", max_results=-1),
    _ask("experiment id that is none", "TRACES", "trace_count", "COUNT", experiment_ids=["x"]),
    _ask("experiment ids that are no list", "TRACES", "trace_count", "COUNT", experiment_ids="1"),
    _ask("experiment id that is a number", "TRACES", "trace_count", "COUNT", experiment_ids=[1]),
    _ask("dimensions that are no list", "TRACES", "trace_count", "COUNT", dimensions="trace_name"),
    _ask("filters that are no list", "TRACES", "trace_count", "COUNT", filters="trace.status = 'OK'"),
    _ask("filter: empty", "TRACES", "trace_count", "COUNT", filters=[""]),
    _ask("filter: comparator", "TRACES", "trace_count", "COUNT", filters=["trace.status != 'OK'"]),
    _ask("filter: pattern", "TRACES", "trace_count", "COUNT", filters=["trace.status LIKE 'O%'"]),
    _ask("filter: is null", "TRACES", "trace_count", "COUNT", filters=["trace.tag.x IS NULL"]),
    _ask(
        "filter: two in one", "TRACES", "trace_count", "COUNT", filters=["trace.status = 'OK' AND trace.status = 'OK'"]
    ),
    _ask("filter: no view", "TRACES", "trace_count", "COUNT", filters=["status = 'OK'"]),
    _ask("filter: unknown view", "TRACES", "trace_count", "COUNT", filters=["run.status = 'OK'"]),
    _ask("filter: unknown entity", "TRACES", "trace_count", "COUNT", filters=["trace.colour = 'x'"]),
    _ask("filter: tag without a key", "TRACES", "trace_count", "COUNT", filters=["trace.tag = 'x'"]),
    _ask("filter: status with a key", "TRACES", "trace_count", "COUNT", filters=["trace.status.x = 'OK'"]),
    _ask("filter: number", "TRACES", "trace_count", "COUNT", filters=["trace.status = 5"]),
    _ask("filter: no quotes", "TRACES", "trace_count", "COUNT", filters=["trace.status = OK"]),
    _ask("filter: no value", "TRACES", "trace_count", "COUNT", filters=["trace.status ="]),
    _ask("filter: one word", "TRACES", "trace_count", "COUNT", filters=["trace"]),
    _ask("filter: spans of a count of traces", "TRACES", "trace_count", "COUNT", filters=["span.name = 'x'"]),
    _ask("filter: assessments of spans", "SPANS", "span_count", "COUNT", filters=["assessment.name = 'x'"]),
    _ask("filter: spans of assessments", "ASSESSMENTS", "assessment_count", "COUNT", filters=["span.name = 'x'"]),
    Ask("trace metrics: nothing at all", "POST", f"{TRACES}/metrics", {}),
]

CORRELATION = [
    _correlate("apart and together", "trace.status = 'OK'", "tag.env = 'prod'"),
    _correlate("never together", "trace.status = 'OK'", "trace.status = 'ERROR'"),
    _correlate("always together", "trace.status = 'ERROR'", "tag.env = 'test'"),
    _correlate("all of all", "timestamp_ms > 0", "timestamp_ms > 1"),
    _correlate("one matches nothing", "trace.status = 'OK'", "tag.env = 'none'"),
    _correlate("with a base", "tag.env = 'prod'", "trace.name = 'search'", base_filter="trace.status = 'OK'"),
    _correlate("with an empty base", "tag.env = 'prod'", "trace.name = 'chat'", base_filter=""),
    _correlate(
        "with a range of time",
        "trace.status = 'OK'",
        "tag.env = 'prod'",
        base_filter=f"timestamp_ms < {START_MS + 3_600_000}",
    ),
    _correlate("a base of none", "trace.status = 'OK'", "tag.env = 'prod'", base_filter="tag.env = 'none'"),
    _correlate("feedback", "feedback.good = 'true'", "feedback.score > 0"),
    _correlate("spans", "span.name = 'call'", "span.status = 'ERROR'"),
    _correlate(
        "spans upon a base of spans", "span.status = 'ERROR'", "span.type = 'LLM'", base_filter="span.name = 'root'"
    ),
    _correlate("run", "run_id = '$measuring'", "trace.status = 'OK'"),
    _correlate("an experiment that is not there", "trace.status = 'OK'", "tag.env = 'x'", experiment_ids=["987654"]),
    _correlate("no experiments", "trace.status = 'OK'", "tag.env = 'x'", experiment_ids=[]),
    _correlate("no first filter", "", "tag.env = 'x'"),
    _correlate("no second filter", "tag.env = 'x'", ""),
    _correlate("nonsense", "trace.status =", "tag.env = 'x'"),
    _correlate("nonsense in the base", "trace.status = 'OK'", "tag.env = 'x'", base_filter="colour"),
    _correlate("experiment id that is none", "trace.status = 'OK'", "tag.env = 'x'", experiment_ids=["x"]),
    _correlate("a filter that is none", 5, "tag.env = 'x'"),  # type: ignore[arg-type]
    Ask("trace correlation: nothing at all", "POST", f"{TRACES}/calculate-filter-correlation", {}),
]
