"""Requests that bring spans by OpenTelemetry's protocol, and what their traces are then."""

from tests.compat.asks_traces import TRACES
from tests.compat.exchange import Ask
from tests.compat.otlp_bodies import PROTOBUF, event, export, span


def _id(number: int) -> str:
    return f"f3{number:030x}"


def _get(what: str, number: int) -> Ask:
    return Ask(what, "GET", f"{TRACES}/get", query={"trace_id": f"tr-{_id(number)}"})


def _info(what: str, number: int) -> Ask:
    return Ask(what, "GET", f"{TRACES}/tr-{_id(number)}")


CHAT = {
    "mlflow.spanType": "CHAT_MODEL",
    "mlflow.llm.model": "m",
    "mlflow.llm.provider": "p",
    "mlflow.chat.tokenUsage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    "mlflow.llm.cost": {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75},
}

SPANS = [
    Ask("create experiment of spans", "POST", "experiments/create", {"name": "sp"}, keep={"spanned": "experiment_id"}),
    Ask(
        "create run of spans",
        "POST",
        "runs/create",
        {"experiment_id": "$spanned", "run_name": "sp"},
        keep={"spanning": "run.info.run_id"},
    ),
    export(
        "export a trace",
        "$spanned",
        span(
            _id(1),
            1,
            name="root",
            end=900,
            status=1,
            attributes={
                "mlflow.spanType": "AGENT",
                "mlflow.spanInputs": {"question": "why?"},
                "mlflow.spanOutputs": "because",
                "text": "words",
                "number": 5,
                "fraction": 0.5,
                "truth": True,
                "list": ["a", "b"],
                "session.id": "session",
                "user.id": "user",
                "mlflow.traceTag.mlflow.traceName": "spans",
                "mlflow.traceTag.team": "blue",
            },
        ),
        span(
            _id(1),
            2,
            1,
            name="chat",
            start=100,
            end=500,
            status=2,
            message="it broke",
            attributes=CHAT,
            events=[event("thrown", 150, {"exception.message": "oh", "count": 2})],
        ),
        span(_id(1), 3, 1, name="plain", start=500, end=800),
    ),
    _get("get the trace of spans", 1),
    _info("get the info of the trace of spans", 1),
    export(
        "export a trace in two requests, the child first",
        "$spanned",
        span(_id(2), 2, 1, name="child", start=50, end=90),
    ),
    _info("get the info of a trace without its root", 2),
    export(
        "export its root",
        "$spanned",
        span(_id(2), 1, name="late", end=200, status=2, attributes={"mlflow.traceTag.mlflow.traceName": "late"}),
    ),
    _info("get the info of a trace whose root came later", 2),
    _get("get the trace whose root came later", 2),
    export(
        "export a span again",
        "$spanned",
        span(_id(2), 2, 1, name="child again", start=50, end=95, attributes={"again": True}),
    ),
    _get("get the trace whose span came again", 2),
    export(
        "export two traces at once",
        "$spanned",
        span(_id(3), 1, name="three", attributes={"mlflow.traceTag.mlflow.traceName": "three"}),
        span(_id(4), 1, name="four", attributes={"mlflow.traceTag.mlflow.traceName": "four"}),
    ),
    Ask(
        "batch of traces",
        "GET",
        f"{TRACES}/batchGet",
        query={"trace_ids": [f"tr-{_id(3)}", f"tr-{_id(4)}", f"tr-{_id(99)}"]},
    ),
    Ask("batch of no traces", "GET", f"{TRACES}/batchGet", query={"trace_ids": []}),
    export(
        "export spans of a run",
        "$spanned",
        span(_id(5), 1, name="of a run", attributes={"mlflow.traceTag.mlflow.traceName": "of a run"}),
        **{"x-mlflow-run-id": "$spanning"},
    ),
    Ask(
        "search traces of the run of spans",
        "POST",
        f"{TRACES}/search",
        {
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$spanned"}}],
            "filter": "run_id = '$spanning'",
        },
    ),
    *[
        Ask(
            f"search traces by spans: {filter_}",
            "POST",
            f"{TRACES}/search",
            {
                "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "$spanned"}}],
                "filter": filter_,
            },
        )
        for filter_ in (
            "span.name = 'chat'",
            "span.name LIKE 'ch%'",
            "span.type = 'AGENT'",
            "span.status = 'ERROR'",
            "span.type IN ('AGENT', 'CHAT_MODEL')",
            "span.attributes.text LIKE '%words%'",
            "span.name = 'chat' AND span.status = 'OK'",
            "trace.text LIKE '%because%'",
        )
    ],
    export("export no spans", "$spanned"),
    export("export spans to an experiment that is not there", "987654", span(_id(6), 1)),
    export("export spans to an experiment that is none", "x", span(_id(6), 1)),
    Ask("export spans without an experiment", "POST", "/v1/traces", b"", headers={"content-type": PROTOBUF}),
    Ask(
        "export what is no protobuf",
        "POST",
        "/v1/traces",
        b"\xff\xff\xff",
        headers={"content-type": PROTOBUF, "x-mlflow-experiment-id": "$spanned"},
    ),
    Ask(
        "export spans of an unknown type",
        "POST",
        "/v1/traces",
        b"x",
        headers={"content-type": "text/plain", "x-mlflow-experiment-id": "$spanned"},
    ),
]
