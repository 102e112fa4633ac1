"""Requests about logged models, in the order in which they are sent.

MLflow asks for the id in the path and, of some requests, in the body as well; its client sends both.
"""

from typing import Any

from tests.compat.exchange import Ask

MODELS = "logged-models"


def _search(what: str, **fields: Any) -> Ask:
    body = {"experiment_ids": ["$modelled"], "order_by": [{"field_name": "name", "ascending": True}], **fields}
    return Ask(f"search models: {what}", "POST", f"{MODELS}/search", body)


LOGGED_MODELS = [
    Ask("create experiment of models", "POST", "experiments/create", {"name": "m"}, keep={"modelled": "experiment_id"}),
    Ask(
        "create run of models",
        "POST",
        "runs/create",
        {"experiment_id": "$modelled", "run_name": "m"},
        keep={"maker": "run.info.run_id"},
    ),
    Ask(
        "create model",
        "POST",
        MODELS,
        {
            "experiment_id": "$modelled",
            "name": "app",
            "model_type": "agent",
            "source_run_id": "$maker",
            "params": [{"key": "prompt", "value": "short"}, {"key": "temperature", "value": "0.5"}],
            "tags": [{"key": "team", "value": "red"}],
        },
        keep={"app": "model.info.model_id"},
    ),
    Ask(
        "create another model",
        "POST",
        MODELS,
        {"experiment_id": "$modelled", "name": "bot"},
        keep={"bot": "model.info.model_id"},
    ),
    Ask("create model without an experiment", "POST", MODELS, {"name": "x"}),
    Ask("create model in an experiment not there", "POST", MODELS, {"experiment_id": "987", "name": "x"}),
    Ask("create model with a wrong name", "POST", MODELS, {"experiment_id": "$modelled", "name": "a/b"}),
    Ask("get model", "GET", f"{MODELS}/$app"),
    Ask("get model not there", "GET", f"{MODELS}/m-{'0' * 32}"),
    Ask("finalize model", "PATCH", f"{MODELS}/$app", {"model_id": "$app", "status": "LOGGED_MODEL_READY"}),
    Ask(
        "finalize model not there",
        "PATCH",
        f"{MODELS}/m-{'0' * 32}",
        {"model_id": f"m-{'0' * 32}", "status": "LOGGED_MODEL_READY"},
    ),
    Ask(
        "set tags of model",
        "PATCH",
        f"{MODELS}/$app/tags",
        {"tags": [{"key": "team", "value": "blue"}, {"key": "a", "value": "b"}]},
    ),
    Ask("delete tag of model", "DELETE", f"{MODELS}/$app/tags/a"),
    Ask("delete tag of model not there", "DELETE", f"{MODELS}/$app/tags/a"),
    Ask(
        "log params of model",
        "POST",
        f"{MODELS}/$app/params",
        {"model_id": "$app", "params": [{"key": "more", "value": "1"}]},
    ),
    Ask(
        "log param of model with another value",
        "POST",
        f"{MODELS}/$app/params",
        {"model_id": "$app", "params": [{"key": "more", "value": "2"}]},
    ),
    Ask(
        "log metric of model",
        "POST",
        "runs/log-metric",
        {
            "run_id": "$maker",
            "key": "accuracy",
            "value": 0.75,
            "timestamp": 1000,
            "step": 1,
            "model_id": "$app",
            "dataset_name": "questions",
            "dataset_digest": "abc",
        },
    ),
    Ask(
        "log metrics of models in a batch",
        "POST",
        "runs/log-batch",
        {
            "run_id": "$maker",
            "metrics": [
                {"key": "accuracy", "value": 0.25, "timestamp": 1000, "step": 1, "model_id": "$bot"},
                {"key": "tokens", "value": 12, "timestamp": 1000, "step": 0, "model_id": "$bot"},
            ],
        },
    ),
    Ask("log outputs", "POST", "runs/outputs", {"run_id": "$maker", "models": [{"model_id": "$app", "step": 3}]}),
    Ask("log model inputs", "POST", "runs/log-inputs", {"run_id": "$maker", "models": [{"model_id": "$bot"}]}),
    Ask("run with models", "GET", "runs/get", query={"run_id": "$maker"}),
    Ask("model after all", "GET", f"{MODELS}/$app"),
    _search("all"),
    _search("by name", filter="name = 'app'"),
    _search("by param", filter="params.temperature = '0.5'"),
    _search("by metric", filter="metrics.accuracy > 0.5"),
    _search("by tag", filter="tags.team = 'blue'"),
    _search("by status", filter="status = 'READY'"),
    _search("by metric on a dataset", filter="metrics.accuracy > 0.5", datasets=[{"dataset_name": "questions"}]),
    _search("by metric on another dataset", filter="metrics.accuracy > 0", datasets=[{"dataset_name": "x"}]),
    _search("ordered by metric", order_by=[{"field_name": "metrics.accuracy", "ascending": False}]),
    _search("nonsense", filter="name >"),
    _search("ordered by nonsense", order_by=[{"field_name": "colour"}]),
    Ask("search models of no experiment", "POST", f"{MODELS}/search", {}),
    Ask(
        "search models: first page",
        "POST",
        f"{MODELS}/search",
        {"experiment_ids": ["$modelled"], "max_results": 1, "order_by": [{"field_name": "name", "ascending": True}]},
        keep={"models_page": "next_page_token"},
    ),
    Ask(
        "search models: second page",
        "POST",
        f"{MODELS}/search",
        {
            "experiment_ids": ["$modelled"],
            "max_results": 1,
            "order_by": [{"field_name": "name", "ascending": True}],
            "page_token": "$models_page",
        },
    ),
    Ask("list artifacts of model", "GET", f"{MODELS}/$app/artifacts/directories"),
    Ask("delete model", "DELETE", f"{MODELS}/$bot"),
    Ask("get deleted model", "GET", f"{MODELS}/$bot"),
    Ask("delete model not there", "DELETE", f"{MODELS}/m-{'0' * 32}"),
    _search("after a delete"),
]
