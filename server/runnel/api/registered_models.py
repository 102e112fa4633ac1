"""Endpoints of registered models. (Prompts are registered models with tags of their own.)"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import Empty
from runnel.domain import limits, webhook_notices
from runnel.domain.model_versions import ModelVersion, canonical_stage, parse_version
from runnel.domain.prompts import is_prompt
from runnel.domain.registered_models import (
    RegisteredModel,
    check_alias,
    check_description,
    check_model_name,
    check_new_alias,
)
from runnel.domain.registry_tags import RegistryTag, check_tag_key, check_tags
from runnel.domain.validation import check_max_results
from runnel.store import model_versions, registered_model_search, registered_models
from runnel.store.statements import Transaction


class RegisteredModelAnswer(TypedDict):
    registered_model: RegisteredModel


class RegisteredModelsAnswer(TypedDict):
    registered_models: NotRequired[list[RegisteredModel]]
    next_page_token: NotRequired[str]


class LatestVersionsAnswer(TypedDict):
    model_versions: NotRequired[list[ModelVersion]]


class ModelVersionAnswer(TypedDict):
    model_version: ModelVersion


def create_registered_model(
    tx: Transaction,
    name: str,
    tags: list[RegistryTag] = [],  # noqa: B006 (a default of the wire, never changed)
    description: str | None = None,
) -> RegisteredModelAnswer:
    """Creates a model without versions; its name must be new, also among prompts."""
    check_model_name(name)
    check_tags(tags)
    check_description(description or "")
    by_key = {tag.key: tag.value for tag in tags}
    model = registered_models.create_registered_model(tx, name, by_key, description)
    tx.after_commit(webhook_notices.created(name, by_key, description or "", is_prompt=is_prompt(by_key)))
    return {"registered_model": model}


def get_registered_model(tx: Transaction, name: str) -> RegisteredModelAnswer:
    """The model with its tags, its aliases, and the latest version of each stage."""
    check_model_name(name)
    return {"registered_model": registered_models.get_registered_model(tx, name)}


def search_registered_models(
    tx: Transaction,
    filter: str = "",
    max_results: int = 100,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> RegisteredModelsAnswer:
    """A page of the models that match a filter, by their names unless told otherwise.

    Prompts are found only where the filter asks for their tag ``mlflow.prompt.is_prompt``.
    """
    check_max_results(max_results, limits.MAX_REGISTERED_MODEL_RESULTS)
    found, next_page_token = registered_model_search.search_registered_models(
        tx, filter, order_by, max_results, page_token
    )
    answer: RegisteredModelsAnswer = {}
    if found:
        answer["registered_models"] = found
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter: str, **_: object) -> bool:
    """Whether a search may have to look at every model."""
    return registered_model_search.may_scan(filter)


def update_registered_model(tx: Transaction, name: str, description: str = "") -> RegisteredModelAnswer:
    """Sets the description of a model."""
    check_model_name(name)
    check_description(description)
    return {"registered_model": registered_models.update_registered_model(tx, name, description)}


def rename_registered_model(tx: Transaction, name: str, new_name: str) -> RegisteredModelAnswer:
    """Gives a model another name, which must be new; its versions go with it."""
    check_model_name(new_name, "new_name")
    check_model_name(name)
    return {"registered_model": registered_models.rename_registered_model(tx, name, new_name)}


def delete_registered_model(tx: Transaction, name: str) -> Empty:
    """Removes a model for good, with its versions, tags and aliases."""
    check_model_name(name)
    registered_models.delete_registered_model(tx, name)
    return {}


def get_latest_versions(
    tx: Transaction,
    name: str,
    stages: list[str] = [],  # noqa: B006
) -> LatestVersionsAnswer:
    """The latest version of each of the stages that are named; of every stage, if none is."""
    check_model_name(name)
    found = model_versions.get_latest_versions(tx, name, [canonical_stage(stage) for stage in stages])
    return {"model_versions": found} if found else {}


def set_registered_model_tag(tx: Transaction, name: str, key: str, value: str = "") -> Empty:
    """Sets or overwrites a tag of a model."""
    check_model_name(name)
    check_tags([RegistryTag(key, value)])
    ref = registered_models.set_registered_model_tag(tx, name, key, value)
    if ref.is_prompt:
        tx.after_commit(webhook_notices.prompt_tag_set(name, key, value))
    return {}


def delete_registered_model_tag(tx: Transaction, name: str, key: str) -> Empty:
    """Removes a tag of a model; one that is not there is no error."""
    check_model_name(name)
    check_tag_key(key)
    ref = registered_models.delete_registered_model_tag(tx, name, key)
    if ref.is_prompt:
        tx.after_commit(webhook_notices.prompt_tag_deleted(name, key))
    return {}


def set_registered_model_alias(tx: Transaction, name: str, alias: str, version: str) -> Empty:
    """Makes an alias lead to a version, wherever it led to."""
    check_model_name(name)
    check_new_alias(alias)
    ref = model_versions.set_registered_model_alias(tx, name, alias, parse_version(version))
    tx.after_commit(webhook_notices.alias_created(name, alias, version, is_prompt=ref.is_prompt))
    return {}


def delete_registered_model_alias(tx: Transaction, name: str, alias: str) -> Empty:
    """Removes an alias; one that is not there is no error."""
    check_model_name(name)
    check_alias(alias)
    ref = registered_models.delete_registered_model_alias(tx, name, alias)
    tx.after_commit(webhook_notices.alias_deleted(name, alias, is_prompt=ref.is_prompt))
    return {}


def get_model_version_by_alias(tx: Transaction, name: str, alias: str) -> ModelVersionAnswer:
    """The version that an alias leads to; the alias ``latest`` always leads to the one with the highest number."""
    check_model_name(name)
    check_alias(alias)
    number = model_versions.number_of_alias(tx, name, alias)
    return {"model_version": model_versions.get_model_version(tx, name, number)}
