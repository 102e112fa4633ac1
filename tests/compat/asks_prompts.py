"""Requests about prompts, as MLflow's clients send them to the model registry, in the order in which they are sent."""

from typing import Any

from tests.compat.exchange import Ask

MODELS, VERSIONS = "registered-models", "model-versions"
IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}
ASKS_FOR_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


def version(what: str, text: str, source: str = "dummy-source", **tags: str) -> Ask:
    of_prompt = {"mlflow.prompt.text": text, "_mlflow_prompt_type": "text", **tags}
    fields = [IS_PROMPT, *({"key": key, "value": value} for key, value in of_prompt.items())]
    return Ask(what, "POST", f"{VERSIONS}/create", {"name": "greeting", "source": source, "tags": fields})


def search(what: str, **query: Any) -> Ask:
    return Ask(f"search prompts: {what}", "GET", f"{MODELS}/search", query=query)


def search_versions(what: str, **query: Any) -> Ask:
    return Ask(f"search prompt versions: {what}", "GET", f"{VERSIONS}/search", query=query)


PROMPTS = [
    Ask(
        "register prompt",
        "POST",
        f"{MODELS}/create",
        {
            "name": "greeting",
            "description": "says hello",
            "tags": [IS_PROMPT, {"key": "team", "value": "red"}, {"key": "_mlflow_experiment_ids", "value": ",1,"}],
        },
    ),
    Ask("register prompt of a taken name", "POST", f"{MODELS}/create", {"name": "greeting", "tags": [IS_PROMPT]}),
    Ask("register model of a prompt's name", "POST", f"{MODELS}/create", {"name": "greeting"}),
    version("create prompt version", "Hello {{name}}", _mlflow_prompt_model_config='{"temperature": 0.5}'),
    version("create prompt version by the store", "Hi {{name}}", "prompt-template"),
    version("create prompt version with a source", "Hi", "s3://bucket/x"),
    version("create prompt version with a local source", "Hi", "/etc/passwd"),
    version("create prompt version that is too long", "x" * 100_001),
    Ask(
        "copy a prompt to a model", "POST", f"{VERSIONS}/create", {"name": "versioned", "source": "models:/greeting/1"}
    ),
    Ask("get prompt", "GET", f"{MODELS}/get", query={"name": "greeting"}),
    Ask("get prompt version", "GET", f"{VERSIONS}/get", query={"name": "greeting", "version": "1"}),
    Ask("set prompt alias", "POST", f"{MODELS}/alias", {"name": "greeting", "alias": "prod", "version": "1"}),
    Ask("get prompt by alias", "GET", f"{MODELS}/alias", query={"name": "greeting", "alias": "prod"}),
    Ask("get prompt by alias latest", "GET", f"{MODELS}/alias", query={"name": "greeting", "alias": "latest"}),
    search("all", filter=ASKS_FOR_PROMPTS),
    search("by name", filter=f"{ASKS_FOR_PROMPTS} AND name LIKE 'gre%'"),
    search("by tag", filter=f"{ASKS_FOR_PROMPTS} AND tags.team = 'red'"),
    search("of experiment", filter=f"{ASKS_FOR_PROMPTS} AND tags._mlflow_experiment_ids LIKE '%,1,%'"),
    search("of another experiment", filter=f"{ASKS_FOR_PROMPTS} AND tags._mlflow_experiment_ids LIKE '%,2,%'"),
    search("hidden unless asked for", filter="name = 'greeting'"),
    search("models only", filter="tags.`mlflow.prompt.is_prompt` != 'true' AND name = 'greeting'"),
    search("not false", filter="tags.`mlflow.prompt.is_prompt` != 'false' AND name = 'greeting'"),
    search_versions("all", filter=f"name = 'greeting' AND {ASKS_FOR_PROMPTS}", order_by=["version_number DESC"]),
    search_versions("hidden unless asked for", filter="name = 'greeting'"),
    Ask(
        "set tag of prompt version",
        "POST",
        f"{VERSIONS}/set-tag",
        {"name": "greeting", "version": "1", "key": "a", "value": "b"},
    ),
    Ask("delete prompt version", "DELETE", f"{VERSIONS}/delete", {"name": "greeting", "version": "1"}),
    Ask("get prompt after a delete", "GET", f"{MODELS}/get", query={"name": "greeting"}),
    Ask("delete prompt", "DELETE", f"{MODELS}/delete", {"name": "greeting"}),
    search("after a delete", filter=ASKS_FOR_PROMPTS),
]
