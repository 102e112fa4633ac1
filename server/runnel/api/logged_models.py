"""Endpoints of logged models (MLflow 3's ``LoggedModel``)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from runnel.api.artifacts import FilesAnswer, download_below, list_below
from runnel.api.experiments import Empty, parse_experiment_ids
from runnel.api.services import Services
from runnel.artifacts import locations
from runnel.domain import limits
from runnel.domain.errors import BadRequest
from runnel.domain.logged_models import (
    DatasetFilter,
    LoggedModel,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    OrderBy,
    check_dataset_filters,
    check_key_values,
    check_new_model,
    check_no_duplicates,
)
from runnel.domain.validation import check_max_results, parse_experiment_id
from runnel.store import logged_model_search, logged_models
from runnel.store.statements import Transaction


class LoggedModelAnswer(TypedDict):
    model: LoggedModel


class LoggedModelsAnswer(TypedDict):
    models: list[LoggedModel]
    next_page_token: NotRequired[str]


def create_logged_model(
    tx: Transaction,
    experiment_id: str,
    name: str = "",
    model_type: str = "",
    source_run_id: str = "",
    params: list[LoggedModelParameter] = [],  # noqa: B006 (a default of the wire, never changed)
    tags: list[LoggedModelTag] = [],  # noqa: B006
) -> LoggedModelAnswer:
    """Creates a pending model in an active experiment; without a name it gets a random one."""
    check_new_model(name, model_type, source_run_id)
    check_key_values("params", params)
    check_key_values("tags", tags)
    check_no_duplicates("params", params)
    check_no_duplicates("tags", tags)
    model = logged_models.create_logged_model(
        tx, parse_experiment_id(experiment_id), name, model_type, source_run_id, params, tags, _artifact_location
    )
    return {"model": model}


def _artifact_location(experiment_location: str, model_id: str) -> str:
    return locations.append_to_uri_path(experiment_location, "models", model_id, "artifacts")


def get_logged_model(tx: Transaction, model_id: str, allow_deleted: bool = False) -> LoggedModelAnswer:
    """The model with its params, tags and metrics."""
    return {"model": logged_models.get_logged_model(tx, model_id, allow_deleted)}


def finalize_logged_model(tx: Transaction, model_id: str, status: LoggedModelStatus) -> LoggedModelAnswer:
    """Says that a model is ready, or that its upload failed."""
    return {"model": logged_models.finalize_logged_model(tx, model_id, status)}


def delete_logged_model(tx: Transaction, model_id: str) -> Empty:
    """Marks a model as deleted."""
    logged_models.delete_logged_model(tx, model_id)
    return {}


def search_logged_models(
    tx: Transaction,
    experiment_ids: list[str],
    filter: str = "",
    datasets: list[DatasetFilter] = [],  # noqa: B006
    max_results: int = 50,
    order_by: list[OrderBy] = [],  # noqa: B006
    page_token: str = "",
) -> LoggedModelsAnswer:
    """A page of the models of some experiments that match a filter.

    ``datasets`` say on which datasets the metrics of the filter must have been logged; without such metrics in the
    filter, models with any metric on one of the datasets match. A page has at most 1,000 models, whatever is asked for.
    """
    size = max_results or limits.DEFAULT_LOGGED_MODEL_RESULTS
    check_max_results(size, limits.INT64_MAX)
    check_dataset_filters(datasets)
    found, next_page_token = logged_model_search.search_logged_models(
        tx,
        parse_experiment_ids(experiment_ids),
        filter,
        datasets,
        order_by,
        min(size, limits.MAX_LOGGED_MODEL_RESULTS),
        page_token,
    )
    answer: LoggedModelsAnswer = {"models": found}
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter: str, datasets: list[DatasetFilter], order_by: list[OrderBy], **_: object) -> bool:
    """Whether a search may have to look at every model of its experiments."""
    return bool(filter or datasets or order_by)


def set_logged_model_tags(
    tx: Transaction,
    model_id: str,
    tags: list[LoggedModelTag] = [],  # noqa: B006
) -> Empty:
    """Sets or overwrites tags: all of them, or none."""
    check_key_values("tags", tags)
    logged_models.set_logged_model_tags(tx, model_id, tags)
    return {}


def delete_logged_model_tag(tx: Transaction, model_id: str, tag_key: str) -> Empty:
    """Removes a tag."""
    logged_models.delete_logged_model_tag(tx, model_id, tag_key)
    return {}


def log_logged_model_params(
    tx: Transaction,
    model_id: str,
    params: list[LoggedModelParameter] = [],  # noqa: B006
) -> Empty:
    """Adds params, whose values can never change: all of them, or none."""
    check_key_values("params", params)
    check_no_duplicates("params", params)
    logged_models.log_logged_model_params(tx, model_id, params)
    return {}


async def list_logged_model_artifacts(
    services: Services, model_id: str, artifact_directory_path: str = "", page_token: str = ""
) -> FilesAnswer:
    """The entries of a folder of a model's artifacts, by their paths within the model."""
    return await list_below(services, await _artifact_uri(services, model_id), artifact_directory_path)


async def get_logged_model_artifact(
    request: Request, services: Services, model_id: str, artifact_file_path: str = ""
) -> Response:
    """A file of a model's artifacts."""
    if not artifact_file_path:
        raise BadRequest('Request must include the "artifact_file_path" query parameter.')
    return await download_below(request, services, await _artifact_uri(services, model_id), artifact_file_path)


async def _artifact_uri(services: Services, model_id: str) -> str:
    ref = await services.database.read(lambda tx: logged_models.get_active_model_ref(tx, model_id))
    return ref.artifact_location
