"""The model registry as its tests call it."""

from __future__ import annotations

from typing import Any

from tests.api_client import Api, Refusal, refusal, unique_name

MODELS = "registered-models"
VERSIONS = "model-versions"
IS_PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}


def new_model(api: Api, **fields: Any) -> str:
    """The name of a new registered model, that no other has."""
    fields.setdefault("name", unique_name("model"))
    name: str = api.post(f"{MODELS}/create", **fields)["registered_model"]["name"]
    return name


def new_version(api: Api, name: str, source: str = "s3://bucket/model", **fields: Any) -> Any:
    """A new version of a model."""
    return api.post(f"{VERSIONS}/create", name=name, source=source, **fields)["model_version"]


def model(api: Api, name: str) -> Any:
    return api.get(f"{MODELS}/get", name=name)["registered_model"]


def version(api: Api, name: str, number: int | str) -> Any:
    return api.get(f"{VERSIONS}/get", name=name, version=number)["model_version"]


def change(api: Api, method: str, path: str, **fields: Any) -> Any:
    """The answer to a PATCH or DELETE, which must succeed."""
    response = api.send(method, path, json=fields)
    assert response.status_code == 200, response.text
    return response.json()


def change_refused(api: Api, method: str, path: str, **fields: Any) -> Refusal:
    return refusal(api.send(method, path, json=fields))


def names(answer: Any) -> list[str]:
    """The names of the models in an answer."""
    return [found["name"] for found in answer.get("registered_models", [])]


def numbers(answer: Any) -> list[int]:
    """The numbers of the versions in an answer."""
    return [int(found["version"]) for found in answer.get("model_versions", [])]


def tags(entity: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in entity.get("tags", [])}
