"""Endpoints of versions of registered models. (A version of a prompt is one with tags of its own.)"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from runnel.api.artifacts import download_below
from runnel.api.experiments import Empty
from runnel.api.model_version_sources import accept_source, artifact_uri
from runnel.api.registered_models import ModelVersionAnswer
from runnel.api.services import Services
from runnel.artifacts.store import clean_artifact_path
from runnel.config import Settings
from runnel.domain import limits, webhook_notices
from runnel.domain.model_versions import (
    ModelVersion,
    canonical_stage,
    check_archives,
    check_version_tags,
    parse_version,
)
from runnel.domain.prompts import check_prompt_source, is_prompt
from runnel.domain.registered_models import check_description, check_model_name
from runnel.domain.registry_tags import RegistryTag, check_tag_key
from runnel.domain.validation import check_length, check_max_results
from runnel.store import model_version_search, model_versions
from runnel.store.model_versions import NewVersion
from runnel.store.statements import Transaction


class ModelVersionsAnswer(TypedDict):
    model_versions: NotRequired[list[ModelVersion]]
    next_page_token: NotRequired[str]


class DownloadUriAnswer(TypedDict):
    artifact_uri: str


def create_model_version(
    tx: Transaction,
    settings: Settings,
    name: str,
    source: str,
    run_id: str | None = None,
    tags: list[RegistryTag] = [],  # noqa: B006 (a default of the wire, never changed)
    run_link: str = "",
    description: str = "",
    model_id: str | None = None,
) -> ModelVersionAnswer:
    """Adds a version to a model, numbered behind the last one.

    The source must lie in the run or the logged model that is named, be another version, or lie outside of the server.
    """
    by_key = {tag.key: tag.value for tag in tags}
    if is_prompt(by_key):
        check_prompt_source(source)
        accepted = NewVersion(source, source, run_id or "", "", "", "")
    else:
        trusted = (settings.default_artifact_root, settings.artifacts_destination)
        accepted = accept_source(tx, source, run_id, model_id, trusted)
    check_model_name(name)
    check_version_tags(tags)
    check_description(description)
    check_length("run_id", accepted.run_id, limits.MAX_RUN_ID_LENGTH)
    check_length("run_link", run_link, limits.MAX_RUN_LINK_LENGTH)
    new = accepted._replace(run_link=run_link, description=description)
    created = model_versions.create_model_version(tx, name, new, by_key)
    if is_prompt(by_key):
        notice = webhook_notices.prompt_version_created(name, created["version"], by_key, description)
    else:
        notice = webhook_notices.model_version_created(
            name, created["version"], accepted.source, accepted.run_id, by_key, description
        )
    tx.after_commit(notice)
    return {"model_version": created}


def get_model_version(tx: Transaction, name: str, version: str) -> ModelVersionAnswer:
    """The version with its tags and aliases, and the params and metrics of the logged model it is of."""
    check_model_name(name)
    return {"model_version": model_versions.get_model_version(tx, name, parse_version(version))}


def search_model_versions(
    tx: Transaction,
    filter: str = "",
    max_results: int = limits.MAX_MODEL_VERSION_RESULTS,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> ModelVersionsAnswer:
    """A page of the versions that match a filter, those changed last first unless told otherwise.

    Versions of prompts are found only where the filter asks for their tag ``mlflow.prompt.is_prompt``. A page has at
    most 10,000 versions, whatever is asked for, and fewer where they are large.
    """
    check_max_results(max_results, limits.MAX_MODEL_VERSION_RESULTS)
    size = min(max_results, limits.MAX_MODEL_VERSIONS_PER_PAGE)
    found, next_page_token = model_version_search.search_model_versions(tx, filter, order_by, size, page_token)
    answer: ModelVersionsAnswer = {}
    if found:
        answer["model_versions"] = found
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter: str, order_by: list[str], **_: object) -> bool:
    """Whether a search may have to look at every version."""
    return model_version_search.may_scan(filter, order_by)


def update_model_version(
    tx: Transaction, name: str, version: str, description: str | None = None
) -> ModelVersionAnswer:
    """Sets the description of a version; without one, it is taken away."""
    check_model_name(name)
    check_description(description or "")
    return {"model_version": model_versions.update_model_version(tx, name, parse_version(version), description)}


def delete_model_version(tx: Transaction, name: str, version: str) -> Empty:
    """Removes a version for good, with its tags and the aliases that lead to it; its number is not given again."""
    check_model_name(name)
    model_versions.delete_model_version(tx, name, parse_version(version))
    return {}


def transition_model_version_stage(
    tx: Transaction, name: str, version: str, stage: str, archive_existing_versions: bool = False
) -> ModelVersionAnswer:
    """Brings a version into a stage; on demand, those that are in Staging or Production are archived for it."""
    canonical = canonical_stage(stage)
    if archive_existing_versions:
        check_archives(stage, canonical)
    check_model_name(name)
    moved = model_versions.transition_model_version_stage(
        tx, name, parse_version(version), canonical, archive_existing_versions
    )
    return {"model_version": moved}


def set_model_version_tag(tx: Transaction, name: str, version: str, key: str, value: str = "") -> Empty:
    """Sets or overwrites a tag of a version."""
    check_model_name(name)
    check_version_tags([RegistryTag(key, value)])
    ref = model_versions.set_model_version_tag(tx, name, parse_version(version), key, value)
    tx.after_commit(webhook_notices.version_tag_set(name, version, key, value, is_prompt=ref.is_prompt))
    return {}


def delete_model_version_tag(tx: Transaction, name: str, version: str, key: str) -> Empty:
    """Removes a tag of a version; one that is not there is no error."""
    check_model_name(name)
    check_tag_key(key)
    ref = model_versions.delete_model_version_tag(tx, name, parse_version(version), key)
    tx.after_commit(webhook_notices.version_tag_deleted(name, version, key, is_prompt=ref.is_prompt))
    return {}


def get_model_version_download_uri(tx: Transaction, name: str, version: str) -> DownloadUriAnswer:
    """Where the artifacts of a version are to be read."""
    check_model_name(name)
    return {"artifact_uri": model_versions.get_stored_version(tx, name, parse_version(version)).storage_location}


async def get_model_version_artifact(
    request: Request, services: Services, name: str, version: str, path: str
) -> Response:
    """A file of the artifacts of a version, which are served where the server itself keeps them."""
    clean_artifact_path(path)
    check_model_name(name)
    number = parse_version(version)
    uri = await services.database.read(lambda tx: artifact_uri(tx, name, number))
    return await download_below(request, services, uri, path)
