"""Requests that search runs: three runs that differ, then filters, orders and pages over them."""

from typing import Any

from tests.compat.exchange import Ask


def _run(name: str, score: float, size: str, day: int) -> list[Ask]:
    started = 1_700_000_000_000 + day * 86_400_000
    return [
        Ask(
            f"create {name} to search",
            "POST",
            "runs/create",
            {"experiment_id": "$searched", "run_name": name, "start_time": started, "user_id": "eve"},
            keep={name: "run.info.run_id"},
        ),
        Ask(
            f"log to {name}",
            "POST",
            "runs/log-batch",
            {
                "run_id": f"${name}",
                "metrics": [{"key": "score", "value": score, "timestamp": 1, "step": 0}],
                "params": [{"key": "size", "value": size}, {"key": "my param", "value": "x"}],
                "tags": [{"key": "app", "value": f"{name}-app"}],
            },
        ),
    ]


def _search(what: str, filter: str = "", order_by: tuple[str, ...] = ("start_time",), **fields: Any) -> Ask:
    body = {"experiment_ids": ["$searched"], "filter": filter, "order_by": list(order_by), **fields}
    return Ask(f"search: {what}", "POST", "runs/search", body)


SEARCH = [
    Ask("create experiment to search", "POST", "experiments/create", {"name": "s"}, keep={"searched": "experiment_id"}),
    *_run("alpha", 0.1, "small", 1),
    *_run("beta", 0.5, "large", 2),
    *_run("gamma", 0.9, "Large", 3),
    Ask(
        "mark alpha",
        "POST",
        "runs/log-batch",
        {
            "run_id": "$alpha",
            "params": [{"key": "only", "value": "here"}],
            "metrics": [{"key": "odd", "value": "NaN", "timestamp": 1, "step": 0}],
        },
    ),
    Ask("finish alpha", "POST", "runs/update", {"run_id": "$alpha", "status": "FAILED", "end_time": 1_700_100_000_000}),
    Ask(
        "give beta a dataset",
        "POST",
        "runs/log-inputs",
        {
            "run_id": "$beta",
            "datasets": [
                {
                    "dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "{}"},
                    "tags": [{"key": "mlflow.data.context", "value": "train"}],
                }
            ],
        },
    ),
    _search("all", ""),
    _search("metric above", "metrics.score > 0.3"),
    _search("metric between", "metrics.score >= 0.1 and metrics.score < 0.9"),
    _search("metric not equal", "metrics.score != 0.5"),
    _search("metric not there", "metrics.none > 0"),
    _search("metric of NaN", "metrics.odd > 0"),
    _search("metric with text", "metrics.score > 'high'"),
    _search("param equal", "params.size = 'large'"),
    _search("param not equal", "params.size != 'large'"),
    _search("param like", "params.size LIKE 'la%'"),
    _search("param ilike", "params.size ILIKE 'LA%'"),
    _search("param like in the middle", "params.size LIKE '%mal_'"),
    _search("param of a quoted name", "params.`my param` = 'x' AND params.\"size\" = 'small'"),
    _search("param with a number", "params.size = 5"),
    _search("param above", "params.size > 'a'"),
    _search("param is null", "params.only IS NULL"),
    _search("param is not null", "params.only IS NOT NULL"),
    _search("tag equal", "tags.app = 'beta-app'"),
    _search("tag by the long word", "tag.app LIKE '%-app' and parameter.size = 'small'"),
    _search("tag in", "tags.app IN ('alpha-app', 'gamma-app')"),
    _search("status", "attributes.status = 'FAILED'"),
    _search("status not equal", "status != 'FAILED'"),
    _search("run name", "attributes.run_name = 'beta'"),
    _search("run name as written in old clients", "attributes.`run name` ILIKE 'BE%'"),
    _search("run id in", "attributes.run_id IN ('$alpha', '$beta')"),
    _search("run id not in", "attributes.run_id NOT IN ('$alpha')"),
    _search("start time", "attributes.start_time >= 1700172800000"),
    _search("user", "attributes.user_id = 'eve'"),
    _search("end time", "attributes.end_time > 0"),
    _search("dataset name", "datasets.name = 'd'"),
    _search("dataset context", "dataset.context = 'train' AND dataset.digest = '1'"),
    _search("three conditions", "metrics.score > 0 AND params.size ILIKE 'large' AND tags.app LIKE 'g%'"),
    _search("order by metric, descending", "", ("metrics.score DESC",)),
    _search("order by param", "", ("params.size ASC", "metrics.score DESC")),
    _search("order by a metric that some lack", "", ("metrics.odd DESC", "attributes.start_time DESC")),
    _search("order by end time", "", ("attributes.end_time DESC", "start_time ASC")),
    _search("order by run name", "", ("attributes.run_name DESC",)),
    _search("order by tag", "", ("tags.app",)),
    _search("order by status", "", ("status", "start_time DESC")),
    _search("order by nonsense", "", ("metrics",)),
    _search("order by an unknown attribute", "", ("attributes.colour",)),
    _search("syntax error", "metrics.score >"),
    _search("unclosed quote", "params.size = 'a"),
    _search("or", "metrics.score > 1 OR metrics.score < 2"),
    _search("parentheses", "(metrics.score > 1)"),
    _search("unknown entity", "colours.red = 'x'"),
    _search("unknown attribute", "attributes.colour = 'x'"),
    _search("artifact_uri like", "attributes.artifact_uri LIKE '%artifacts'"),
    _search("sql injection", "params.size = 'x'; DROP TABLE runs"),
    _search("max_results too large", "", max_results=50_001),
    _search("max_results zero", "", max_results=0),
    _search("max_results that is none", "", max_results="many"),
    _search("unknown view", "", run_view_type="SOME"),
    _search("a false page token", "", page_token="x"),
    Ask("search: no experiments", "POST", "runs/search", {"filter": "metrics.score > 0"}),
    Ask("search: experiment not there", "POST", "runs/search", {"experiment_ids": ["987"]}),
    Ask("search: experiment id that is none", "POST", "runs/search", {"experiment_ids": ["x"]}),
    Ask(
        "search: first page",
        "POST",
        "runs/search",
        {"experiment_ids": ["$searched"], "max_results": 2, "order_by": ["metrics.score DESC"]},
        keep={"runs_page": "next_page_token"},
    ),
    Ask(
        "search: second page",
        "POST",
        "runs/search",
        {
            "experiment_ids": ["$searched"],
            "max_results": 2,
            "order_by": ["metrics.score DESC"],
            "page_token": "$runs_page",
        },
    ),
]
