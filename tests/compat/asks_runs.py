"""Requests that write to runs, in the order in which they are sent."""

from typing import Any

from tests.compat.exchange import Ask


def _metric(what: str, **fields: Any) -> Ask:
    return Ask(what, "POST", "runs/log-metric", {"run_id": "$run", "key": "loss", "timestamp": 1000, **fields})


def _param(what: str, **fields: Any) -> Ask:
    return Ask(what, "POST", "runs/log-parameter", {"run_id": "$run", **fields})


def _tag(what: str, **fields: Any) -> Ask:
    return Ask(what, "POST", "runs/set-tag", {"run_id": "$run", **fields})


def _batch(what: str, **fields: Any) -> Ask:
    return Ask(what, "POST", "runs/log-batch", {"run_id": "$run", **fields})


def _numbered(count: int) -> list[dict[str, str]]:
    return [{"key": f"k{number}", "value": "v"} for number in range(count)]


DATASET = {
    "dataset": {
        "name": "questions",
        "digest": "abc123",
        "source_type": "code",
        "source": '{"tags": {}}',
        "schema": '{"mlflow_colspec": []}',
        "profile": '{"num_rows": 3}',
    },
    "tags": [{"key": "mlflow.data.context", "value": "eval"}],
}

CREATE = [
    Ask(
        "create run",
        "POST",
        "runs/create",
        {
            "experiment_id": "$first",
            "user_id": "anna",
            "run_name": "sweep",
            "start_time": 1_700_000_000_000,
            "tags": [{"key": "mlflow.user", "value": "anna"}, {"key": "stage", "value": "dev"}],
        },
        keep={"run": "run.info.run_id"},
    ),
    Ask(
        "create run named by its tag, times as text",
        "POST",
        "runs/create",
        {
            "experiment_id": "$first",
            "start_time": "1700000001000",
            "tags": [{"key": "mlflow.runName", "value": "by tag"}],
        },
        keep={"other": "run.info.run_id"},
    ),
    Ask(
        "create run of two names",
        "POST",
        "runs/create",
        {"experiment_id": "$first", "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
    ),
    Ask("create run without an experiment", "POST", "runs/create", {}),
    Ask(
        "create run without a name", "POST", "runs/create", {"experiment_id": "0"}, keep={"unnamed": "run.info.run_id"}
    ),
    Ask(
        "create run for what is odd",
        "POST",
        "runs/create",
        {"experiment_id": "0", "run_name": "odd"},
        keep={"odd": "run.info.run_id"},
    ),
    Ask("create run in an experiment not there", "POST", "runs/create", {"experiment_id": "987"}),
    Ask("create run with a time that is none", "POST", "runs/create", {"experiment_id": "0", "start_time": "soon"}),
    Ask("create run with tags that are none", "POST", "runs/create", {"experiment_id": "0", "tags": "x"}),
    Ask(
        "create run with a tag value too long",
        "POST",
        "runs/create",
        {"experiment_id": "0", "run_name": "long", "tags": [{"key": "k", "value": "v" * 8001}]},
        keep={"long": "run.info.run_id"},
    ),
    Ask("get run", "GET", "runs/get", query={"run_id": "$run"}),
    Ask("get run by its old name", "GET", "runs/get", query={"run_uuid": "$run"}),
    Ask("get run not there", "GET", "runs/get", query={"run_id": "0" * 32}),
    Ask("get run without an id", "GET", "runs/get"),
]

UPDATE = [
    Ask(
        "update run",
        "POST",
        "runs/update",
        {"run_id": "$run", "status": "FINISHED", "end_time": 1_700_000_009_000, "run_name": "renamed"},
    ),
    Ask("update run by a number as status", "POST", "runs/update", {"run_id": "$run", "status": 1}),
    Ask("update run to a status that is none", "POST", "runs/update", {"run_id": "$run", "status": "BUSY"}),
    Ask("update run not there", "POST", "runs/update", {"run_id": "0" * 32, "status": "FAILED"}),
    Ask("update run with nothing", "POST", "runs/update", {"run_id": "$run"}),
    _tag("rename run by its tag", key="mlflow.runName", value="renamed again"),
    Ask("run after its updates", "GET", "runs/get", query={"run_id": "$run"}),
]

LOG = [
    _metric("log metric", value=0.5),
    _metric("log metric at a step", value=0.25, step=1, timestamp=2000),
    _metric("log metric at a step as text", value="0.125", step="2", timestamp="3000"),
    _metric("log metric again", value=0.25, step=1, timestamp=2000),
    _metric("log metric at a step below zero", value=1, step=-5, timestamp=500),
    _metric("log NaN", key="nan", value="NaN"),
    _metric("log infinity", key="inf", value="Infinity"),
    _metric("log minus infinity", key="minus_inf", value="-Infinity"),
    _metric("log metric without a value"),
    _metric("log metric of a value that is none", value="abc"),
    _metric("log metric of an empty key", key="", value=1),
    _metric("log metric of a key that leaves", key="a/../b", value=1),
    _metric("log metric of odd characters", key="a$$b", value=1),
    _metric("log metric of a key too long", key="k" * 251, value=1),
    _metric("log metric at a time that is none", value=1, timestamp="now"),
    _metric("log metric of a run not there", run_id="0" * 32, value=1),
    Ask("log metric without a timestamp", "POST", "runs/log-metric", {"run_id": "$run", "key": "m", "value": 1}),
    Ask("log metric without a run", "POST", "runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
    _param("log param", key="model", value="small"),
    _param("log param again", key="model", value="small"),
    _param("log param of another value", key="model", value="large"),
    _param("log param of an empty value", key="empty", value=""),
    _param("log param without a key", value="x"),
    _param("log param of a key that is a path", key="/etc/passwd", value="x"),
    _param("log param of a value too long", run_id="$odd", key="long", value="v" * 6001),
    _param("log param of a number", key="number", value=5),
    _tag("set tag", key="stage", value="prod"),
    _tag("set tag of an empty value", key="blank", value=""),
    _tag("set tag without a key", value="x"),
    _tag("set tag of a key too long", key="k" * 251, value="x"),
    _tag("set tag of a value too long", run_id="$odd", key="k", value="v" * 8001),
    _tag("set tag of a run not there", run_id="0" * 32, key="k", value="v"),
    Ask("delete tag", "POST", "runs/delete-tag", {"run_id": "$run", "key": "blank"}),
    Ask("delete tag not there", "POST", "runs/delete-tag", {"run_id": "$run", "key": "blank"}),
    _batch(
        "log batch",
        metrics=[
            {"key": "accuracy", "value": 0.5 + step / 10, "timestamp": 4000 + step, "step": step} for step in range(5)
        ],
        params=[{"key": "temperature", "value": "0.7"}, {"key": "top_p", "value": "1"}],
        tags=[{"key": "batch", "value": "yes"}],
    ),
    _batch("log empty batch"),
    _batch(
        "log batch with a param of another value", params=[{"key": "new", "value": "1"}, {"key": "top_p", "value": "2"}]
    ),
    _batch("log batch with a param twice", params=[{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]),
    _batch("log batch with a metric that lacks a value", metrics=[{"key": "m", "timestamp": 1}]),
    _batch("log batch with a wrong key", metrics=[{"key": "a//b", "value": 1, "timestamp": 1, "step": 0}]),
    _batch("log batch with metrics that are none", metrics="x"),
    _batch("log batch of too many params", params=_numbered(101)),
    _batch("log batch of too many tags", tags=_numbered(101)),
    _batch(
        "log batch of too many metrics",
        metrics=[{"key": "m", "value": 1, "timestamp": 1, "step": step} for step in range(1001)],
    ),
    _batch("log batch to a run not there", run_id="0" * 32),
    _batch("log batch to a run id that is none", run_id="../x"),
    Ask("log inputs", "POST", "runs/log-inputs", {"run_id": "$run", "datasets": [DATASET]}),
    Ask("log inputs again", "POST", "runs/log-inputs", {"run_id": "$run", "datasets": [DATASET]}),
    Ask(
        "log inputs without a dataset's name",
        "POST",
        "runs/log-inputs",
        {"run_id": "$odd", "datasets": [{"dataset": {"digest": "1"}}]},
    ),
    Ask("log inputs to a run not there", "POST", "runs/log-inputs", {"run_id": "0" * 32, "datasets": [DATASET]}),
    Ask("log no inputs", "POST", "runs/log-inputs", {"run_id": "$run"}),
    Ask(
        "log model",
        "POST",
        "runs/log-model",
        {
            "run_id": "$run",
            "model_json": '{"run_id": "r", "artifact_path": "model", "utc_time_created": "2024-01-01 00:00:00", '
            '"flavors": {"python_function": {"loader_module": "x", "config": {}}}, "model_uuid": "u"}',
        },
    ),
    Ask("log model that is not JSON", "POST", "runs/log-model", {"run_id": "$run", "model_json": "{"}),
    Ask("log model that lacks its flavors", "POST", "runs/log-model", {"run_id": "$run", "model_json": "{}"}),
    Ask("run after what is odd", "GET", "runs/get", query={"run_id": "$odd"}),
    Ask("run after all was logged", "GET", "runs/get", query={"run_id": "$run"}),
]

HISTORY = [
    Ask("history", "GET", "metrics/get-history", query={"run_id": "$run", "metric_key": "loss"}),
    Ask("history of NaN", "GET", "metrics/get-history", query={"run_id": "$run", "metric_key": "nan"}),
    Ask("history of a metric not there", "GET", "metrics/get-history", query={"run_id": "$run", "metric_key": "none"}),
    Ask("history of a run not there", "GET", "metrics/get-history", query={"run_id": "0" * 32, "metric_key": "loss"}),
    Ask("history without a key", "GET", "metrics/get-history", query={"run_id": "$run"}),
    Ask(
        "history, first page",
        "GET",
        "metrics/get-history",
        query={"run_id": "$run", "metric_key": "accuracy", "max_results": 2},
        keep={"history_page": "next_page_token"},
    ),
    Ask(
        "history, second page",
        "GET",
        "metrics/get-history",
        query={"run_id": "$run", "metric_key": "accuracy", "max_results": 3, "page_token": "$history_page"},
    ),
    Ask(
        "histories of runs",
        "GET",
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
        query={"run_id": ["$run", "$other"], "metric_key": "loss"},
    ),
    Ask(
        "samples of histories",
        "GET",
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        query={"run_ids": ["$run", "$other"], "metric_key": "accuracy", "max_results": 3},
    ),
    Ask(
        "samples between steps",
        "GET",
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        query={"run_ids": "$run", "metric_key": "accuracy", "start_step": 1, "end_step": 3, "max_results": 50},
    ),
    Ask(
        "samples between steps in the wrong order",
        "GET",
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        query={"run_ids": "$run", "metric_key": "accuracy", "start_step": 3, "end_step": 1},
    ),
    Ask("datasets", "POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["$first"]}),
    Ask("datasets of no experiment", "POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {}),
]

DELETE = [
    Ask("delete run", "POST", "runs/delete", {"run_id": "$other"}),
    Ask("delete run again", "POST", "runs/delete", {"run_id": "$other"}),
    Ask("delete run not there", "POST", "runs/delete", {"run_id": "0" * 32}),
    Ask("get deleted run", "GET", "runs/get", query={"run_id": "$other"}),
    _metric("log metric to a deleted run", run_id="$other", value=1),
    _param("log param to a deleted run", run_id="$other", key="k", value="v"),
    _tag("set tag of a deleted run", run_id="$other", key="k", value="v"),
    _batch("log batch to a deleted run", run_id="$other"),
    Ask("update deleted run", "POST", "runs/update", {"run_id": "$other", "status": "KILLED"}),
    Ask("search deleted runs", "POST", "runs/search", {"experiment_ids": ["$first"], "run_view_type": "DELETED_ONLY"}),
    Ask("restore run", "POST", "runs/restore", {"run_id": "$other"}),
    Ask("restore active run", "POST", "runs/restore", {"run_id": "$other"}),
]
