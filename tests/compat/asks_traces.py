"""Requests about traces in the order in which they are sent: made by clients, found, tagged, linked and deleted.

MLflow asks for the id in the path and, of some requests, in the body as well; its client sends both.
"""

from typing import Any

from tests.compat.exchange import Ask

TRACES = "/api/3.0/mlflow/traces"
FIRST_MS = 1_700_000_000_000


def trace_id(number: int) -> str:
    return f"tr-f2{number:030x}"


def _location(experiment: str = "$traced") -> dict[str, Any]:
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}


def _start(what: str, number: int, **fields: Any) -> Ask:
    info = {
        "trace_id": trace_id(number),
        "trace_location": _location(),
        "request_time": f"2023-11-14T22:13:{20 + number:02}Z",
        "state": "OK",
        **fields,
    }
    return Ask(what, "POST", TRACES, {"trace": {"trace_info": info}})


def _start_wrong(what: str, **fields: Any) -> Ask:
    """A trace that is refused here, in an experiment of its own: MLflow takes some of these."""
    return _start(what, 7, **{"trace_location": _location("$wrong"), **fields})


def _get(what: str, number: int) -> Ask:
    return Ask(what, "GET", f"{TRACES}/{trace_id(number)}")


def _search(what: str, filter: str = "", order_by: tuple[str, ...] = (), **fields: Any) -> Ask:
    body = {"locations": [_location()], "filter": filter, "order_by": list(order_by), **fields}
    return Ask(f"search traces: {what}", "POST", f"{TRACES}/search", body)


def _search_v2(what: str, **fields: Any) -> Ask:
    return Ask(f"search traces v2: {what}", "GET", "traces", query={"experiment_ids": ["$traced"], **fields})


USAGE = '{"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}'

START = [
    Ask("create experiment of traces", "POST", "experiments/create", {"name": "t"}, keep={"traced": "experiment_id"}),
    Ask(
        "create experiment of no traces",
        "POST",
        "experiments/create",
        {"name": "nt"},
        keep={"untraced": "experiment_id"},
    ),
    Ask(
        "create experiment of wrong traces",
        "POST",
        "experiments/create",
        {"name": "wt"},
        keep={"wrong": "experiment_id"},
    ),
    Ask(
        "create run of traces",
        "POST",
        "runs/create",
        {"experiment_id": "$traced", "run_name": "t"},
        keep={"tracing": "run.info.run_id"},
    ),
    _start(
        "start a trace with everything",
        1,
        execution_duration="1.250s",
        client_request_id="client-1",
        request_preview="question",
        response_preview="answer",
        trace_metadata={
            "mlflow.sourceRun": "$tracing",
            "mlflow.trace.session": "s1",
            "mlflow.trace.tokenUsage": USAGE,
            "mlflow.trace_schema.version": "3",
            "kind": "full",
        },
        tags={"mlflow.traceName": "chat", "env": "prod"},
        assessments=[
            {
                "assessment_name": "initial",
                "trace_id": trace_id(1),
                "source": {"source_type": "CODE", "source_id": "c"},
                "feedback": {"value": True},
                "create_time": "2023-11-14T22:13:20Z",
                "last_update_time": "2023-11-14T22:13:20Z",
                "assessment_id": "a-1",
            }
        ],
    ),
    _start("start a trace that failed", 2, state="ERROR", execution_duration="0.5s", tags={"mlflow.traceName": "chat"}),
    _start("start a trace in progress", 3, state="IN_PROGRESS", tags={"env": "test", "my tag": "x"}),
    _start("start a trace that says little", 4),
    _start("start a trace twice", 4, execution_duration="2s", tags={"env": "again"}),
    _start("start a trace without a state", 5, state="STATE_UNSPECIFIED"),
    _start(
        "start a trace with long values",
        6,
        trace_location=_location("$wrong"),
        tags={"long": "x" * 9000},
        trace_metadata={"long": "y" * 9000},
    ),
    _start_wrong("start a trace in an experiment that is not there", trace_location=_location("987654")),
    _start_wrong("start a trace in an experiment that is none", trace_location=_location("x")),
    _start_wrong("start a trace at no time", request_time="yesterday"),
    _start_wrong("start a trace of a wrong duration", execution_duration="long"),
    _start_wrong("start a trace of an unknown state", state="FINE"),
    _start_wrong("start a trace with a session id too long", trace_metadata={"mlflow.trace.session": "s" * 251}),
    _start_wrong("start a trace with a name too long", tags={"mlflow.traceName": "n" * 4097}),
    Ask("start a trace without an info", "POST", TRACES, {"trace": {}}),
    Ask("start no trace", "POST", TRACES, {}),
    _get("get trace info", 1),
    _get("get trace info of a failure", 2),
    _get("get trace info of what says little", 4),
    _get("get trace info of what is not there", 99),
    Ask("get trace without spans", "GET", f"{TRACES}/get", query={"trace_id": trace_id(1)}),
    Ask("get trace that is not there", "GET", f"{TRACES}/get", query={"trace_id": trace_id(99)}),
    Ask("get trace without an id", "GET", f"{TRACES}/get"),
    Ask("batch of infos", "POST", f"{TRACES}/batchGetInfos", {"trace_ids": [trace_id(1), trace_id(99), trace_id(2)]}),
    Ask("batch of no infos", "POST", f"{TRACES}/batchGetInfos", {"trace_ids": []}),
    Ask("batch of infos without ids", "POST", f"{TRACES}/batchGetInfos", {}),
    Ask("batch of traces without spans", "GET", f"{TRACES}/batchGet", query={"trace_ids": [trace_id(1)]}),
]

VERSION_2 = [
    Ask(
        "start a trace v2",
        "POST",
        "traces",
        {
            "experiment_id": "$traced",
            "timestamp_ms": FIRST_MS + 30_000,
            "request_metadata": [{"key": "kind", "value": "old"}],
            "tags": [{"key": "mlflow.traceName", "value": "old"}],
        },
        keep={"trace_v2": "trace_info.request_id"},
    ),
    Ask("get a trace v2 in progress", "GET", "traces/$trace_v2/info"),
    Ask(
        "end a trace v2",
        "PATCH",
        "traces/$trace_v2",
        {
            "request_id": "$trace_v2",
            "timestamp_ms": FIRST_MS + 31_500,
            "status": "OK",
            "request_metadata": [{"key": "mlflow.traceInputs", "value": "{}"}],
            "tags": [{"key": "env", "value": "v2"}],
        },
    ),
    Ask("get a trace v2", "GET", "traces/$trace_v2/info"),
    Ask("get a trace v2 by version 3", "GET", f"{TRACES}/$trace_v2"),
    Ask("get a trace of version 3 by version 2", "GET", f"traces/{trace_id(1)}/info"),
    Ask("get a trace v2 that is not there", "GET", f"traces/{trace_id(99)}/info"),
    Ask("start a trace v2 without an experiment", "POST", "traces", {"timestamp_ms": FIRST_MS}),
    Ask(
        "start a trace v2 at no time",
        "POST",
        "traces",
        {"experiment_id": "$wrong"},
        keep={"timeless": "trace_info.request_id"},
    ),
    Ask(
        "end a trace v2 that is not there",
        "PATCH",
        f"traces/{trace_id(99)}",
        {"request_id": trace_id(99), "timestamp_ms": FIRST_MS, "status": "OK"},
    ),
    Ask("end a trace v2 without a status", "PATCH", "traces/$trace_v2", {"request_id": "$trace_v2", "timestamp_ms": 5}),
]

TAGS = [
    Ask(
        "set trace tag",
        "PATCH",
        f"{TRACES}/{trace_id(2)}/tags",
        {"trace_id": trace_id(2), "key": "env", "value": "prod"},
    ),
    Ask("set trace tag by version 2", "PATCH", f"traces/{trace_id(2)}/tags", {"key": "color", "value": "red"}),
    Ask("set trace tag again", "PATCH", f"traces/{trace_id(2)}/tags", {"key": "color", "value": "blue"}),
    Ask("rename a trace", "PATCH", f"traces/{trace_id(4)}/tags", {"key": "mlflow.traceName", "value": "renamed"}),
    Ask("set trace tag without a key", "PATCH", f"traces/{trace_id(2)}/tags", {"value": "x"}),
    Ask("set trace tag without a value", "PATCH", f"traces/{trace_id(2)}/tags", {"key": "none"}),
    Ask("set trace tag with a key too long", "PATCH", f"traces/{trace_id(2)}/tags", {"key": "k" * 251, "value": "x"}),
    Ask("set trace tag with an odd key", "PATCH", f"traces/{trace_id(2)}/tags", {"key": "a//b", "value": "x"}),
    Ask("set trace tag with a long value", "PATCH", f"traces/{trace_id(6)}/tags", {"key": "long", "value": "x" * 9000}),
    Ask(
        "set trace tag that only the server sets",
        "PATCH",
        f"traces/{trace_id(2)}/tags",
        {"key": "mlflow.trace.spansLocation", "value": "x"},
    ),
    Ask("set tag of a trace that is not there", "PATCH", f"traces/{trace_id(99)}/tags", {"key": "a", "value": "x"}),
    _get("get trace info with tags", 2),
    _get("get trace info of a renamed trace", 4),
    Ask("delete trace tag", "DELETE", f"traces/{trace_id(2)}/tags", {"key": "color"}),
    Ask("delete empty trace tag", "DELETE", f"{TRACES}/{trace_id(2)}/tags", {"key": "none"}),
    Ask("delete trace tag again", "DELETE", f"traces/{trace_id(2)}/tags", {"key": "color"}),
    Ask("delete trace tag without a key", "DELETE", f"traces/{trace_id(2)}/tags", {}),
    Ask("delete tag of a trace that is not there", "DELETE", f"traces/{trace_id(99)}/tags", {"key": "a"}),
    Ask("delete the name of a trace", "DELETE", f"traces/{trace_id(4)}/tags", {"key": "mlflow.traceName"}),
    _get("get trace info without some tags", 2),
    _get("get trace info without a name", 4),
]

LINKS = [
    Ask(
        "link traces to a run",
        "POST",
        "traces/link-to-run",
        {"run_id": "$tracing", "trace_ids": [trace_id(2), trace_id(3)]},
    ),
    Ask(
        "link a trace to a run again", "POST", "traces/link-to-run", {"run_id": "$tracing", "trace_ids": [trace_id(2)]}
    ),
    Ask("link no traces", "POST", "traces/link-to-run", {"run_id": "$tracing", "trace_ids": []}),
    Ask("link traces to no run", "POST", "traces/link-to-run", {"trace_ids": [trace_id(2)]}),
    Ask(
        "link too many traces",
        "POST",
        "traces/link-to-run",
        {"run_id": "$tracing", "trace_ids": [trace_id(n) for n in range(1000, 1101)]},
    ),
    Ask(
        "link a trace that is not there",
        "POST",
        "traces/link-to-run",
        {"run_id": "$tracing", "trace_ids": [trace_id(99)]},
    ),
    _search("of a run", "run_id = '$tracing'"),
    _search("of a run by its metadata", "request_metadata.mlflow.sourceRun = '$tracing'"),
]

SEARCH = [
    _search("all"),
    _search("by status", "status = 'OK'"),
    _search("by state", "trace.status = 'ERROR'"),
    _search("by other status", "status != 'OK'"),
    _search("by status in", "status IN ('OK', 'ERROR')"),
    _search("by time", f"timestamp_ms > {FIRST_MS + 2_000}"),
    _search("by time between", f"timestamp_ms >= {FIRST_MS + 1_000} AND timestamp_ms < {FIRST_MS + 3_000}"),
    _search("by time by its other name", f"attributes.timestamp <= {FIRST_MS + 2_000}"),
    _search("by duration", "execution_time_ms > 400"),
    _search("by duration by its other name", "execution_time < 1000"),
    _search("by name", "name = 'chat'"),
    _search("by the name of a trace", "trace.name LIKE 'ch%'"),
    _search("by name without case", "name ILIKE 'CH%'"),
    _search("by request id", f"request_id = '{trace_id(1)}'"),
    _search("by request id in", f"request_id IN ('{trace_id(1)}', '{trace_id(3)}')"),
    _search("by client request id", "client_request_id = 'client-1'"),
    _search("by client request id like", "trace.client_request_id LIKE 'client%'"),
    _search("by tag", "tag.env = 'prod'"),
    _search("by tags", "tags.env != 'prod'"),
    _search("by a quoted tag", "tag.`my tag` = 'x'"),
    _search("by tag like", "tag.env LIKE '%o%'"),
    _search("by a tag that is null", "tag.env IS NULL"),
    _search("by a tag that is not null", "tag.env IS NOT NULL"),
    _search("by metadata", "request_metadata.kind = 'full'"),
    _search("by metadata by its other name", "metadata.kind LIKE 'f%'"),
    _search("by metadata that is null", "metadata.kind IS NULL"),
    _search("by session", "metadata.mlflow.trace.session = 's1'"),
    _search("by token usage", f"metadata.mlflow.trace.tokenUsage = '{USAGE}'"),
    _search("by two", "status = 'OK' AND tag.env = 'prod'"),
    _search("by feedback", "feedback.initial = 'true'"),
    _search("by feedback that is not null", "feedback.initial IS NOT NULL"),
    _search("by feedback of none", "feedback.initial = 'false'"),
    _search("by nothing there", "tag.none = 'x'"),
    _search("oldest first", "", ("timestamp_ms ASC",)),
    _search("by duration, longest first", "", ("execution_time_ms DESC",)),
    _search("ordered by status, then time", "", ("status", "timestamp DESC")),
    _search("ordered by a tag", "", ("tag.env DESC",)),
    _search("ordered by name", "", ("name ASC",)),
    _search("ordered by metadata", "", ("request_metadata.kind ASC",)),
    _search("ordered by token usage", "", ("metadata.mlflow.trace.tokenUsage",)),
    _search("ordered by nonsense", "", ("colour",)),
    _search("first page", "", ("timestamp_ms ASC",), max_results=3),
    _search("no locations", locations=[]),
    _search("an experiment without traces", locations=[_location("$untraced")]),
    _search("an experiment that is not there", locations=[_location("987654")]),
    _search("two experiments", locations=[_location("$untraced"), _location("$traced")]),
    _search("max_results too large", max_results=501),
    _search("max_results zero", max_results=0),
    _search("max_results that is none", max_results="many"),
    _search("a false page token", page_token="x"),
    _search("nonsense", "status ="),
    _search("or", "status = 'OK' OR status = 'ERROR'"),
    _search("an unclosed quote", "status = 'OK"),
    _search("an unknown attribute", "colour = 'x'"),
    _search("an unknown entity", "colours.red = 'x'"),
    _search("time with text", "timestamp_ms > 'soon'"),
    _search("status with a number", "status = 5"),
    _search("status above", "status > 'A'"),
    _search("tag above", "tag.env > 'A'"),
    _search("a span's unknown attribute", "span.colour = 'x'"),
    _search("a prompt without a version", "prompt = 'p'"),
    Ask("search traces: nothing at all", "POST", f"{TRACES}/search", {}),
    _search_v2("all"),
    _search_v2("filtered", filter="status = 'OK'", order_by=["timestamp_ms ASC"]),
    _search_v2("no experiments", experiment_ids=[]),
    _search_v2("max_results too large", max_results=501),
    _search_v2("nonsense", filter="status ="),
]
PAGES = [
    Ask(
        "search traces: a page",
        "POST",
        f"{TRACES}/search",
        {"locations": [_location()], "max_results": 2},
        keep={"traces_page": "next_page_token"},
    ),
    _search("the next page", max_results=2, page_token="$traces_page"),
    Ask(
        "search traces: a page by duration",
        "POST",
        f"{TRACES}/search",
        {"locations": [_location()], "max_results": 2, "order_by": ["execution_time_ms DESC"]},
        keep={"traces_page_2": "next_page_token"},
    ),
    _search("the next page by duration", "", ("execution_time_ms DESC",), max_results=2, page_token="$traces_page_2"),
]


def _delete(what: str, **fields: Any) -> Ask:
    return Ask(what, "POST", f"{TRACES}/delete-traces", {"experiment_id": "$traced", **fields})


DELETE = [
    _delete("delete no traces"),
    _delete("delete traces by both", max_timestamp_millis=FIRST_MS, request_ids=[trace_id(1)]),
    _delete("delete traces by a number alone", max_traces=1),
    _delete("delete named traces but a number", max_traces=1, request_ids=[trace_id(1)]),
    _delete("delete less than one trace", max_timestamp_millis=FIRST_MS, max_traces=0),
    _delete("delete traces of no experiment", experiment_id="", max_timestamp_millis=FIRST_MS),
    _delete("delete traces of an experiment that is not there", experiment_id="987654", max_timestamp_millis=FIRST_MS),
    _delete("delete named traces", request_ids=[trace_id(1), trace_id(99)]),
    _delete("delete the oldest trace", max_timestamp_millis=FIRST_MS + 60_000, max_traces=1),
    _delete("delete older traces", max_timestamp_millis=FIRST_MS + 4_000),
    _get("get trace info of what was deleted", 1),
    _search("what is left"),
    Ask(
        "delete traces by version 2",
        "POST",
        "traces/delete-traces",
        {"experiment_id": "$traced", "request_ids": [trace_id(5)]},
    ),
]

TRACES_ASKS = [*START, *VERSION_2, *TAGS, *LINKS, *SEARCH, *PAGES, *DELETE]
