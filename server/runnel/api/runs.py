"""Endpoints of runs, their params and tags."""

from __future__ import annotations

import re
from typing import NotRequired, TypedDict

import orjson

from runnel.api.experiments import MANY_RESULTS, STAGES, Empty, parse_experiment_ids
from runnel.api.wire import RunId
from runnel.artifacts import locations
from runnel.domain import limits
from runnel.domain.datasets import DatasetInput, check_dataset_inputs
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import DEFAULT_EXPERIMENT_ID
from runnel.domain.logged_models import ModelInput, ModelOutput
from runnel.domain.metrics import Metric
from runnel.domain.runs import (
    Param,
    Run,
    RunInfo,
    RunStatus,
    RunTag,
    ViewType,
    accepted_batch,
    accepted_first_tag,
    accepted_param,
    accepted_tag,
)
from runnel.domain.validation import check_length, check_max_results, check_run_id, parse_experiment_id
from runnel.store import datasets as dataset_store
from runnel.store import logged_models, run_search, runs
from runnel.store import metrics as metric_store
from runnel.store.statements import Transaction

_INDEXED_ORDER = re.compile(r"\s*(metrics?\.|(attributes?\.)?start_time\b)", re.IGNORECASE)


class RunAnswer(TypedDict):
    run: Run


class RunInfoAnswer(TypedDict):
    run_info: RunInfo


class RunsAnswer(TypedDict):
    runs: list[Run]
    next_page_token: NotRequired[str]


def create_run(
    tx: Transaction,
    experiment_id: str = "",
    user_id: str = "",
    run_name: str = "",
    start_time: int = 0,
    tags: list[RunTag] = [],  # noqa: B006 (a default of the wire, never changed)
) -> RunAnswer:
    """Starts a run in an active experiment (the default one if none is named)."""
    check_length("user_id", user_id, limits.MAX_USER_ID_LENGTH)
    check_length("run_name", run_name, limits.MAX_RUN_NAME_LENGTH)
    tags = [accepted_first_tag(tag, f"tags[{index}]") for index, tag in enumerate(tags)]
    number = parse_experiment_id(experiment_id or str(DEFAULT_EXPERIMENT_ID))
    return {"run": runs.create_run(tx, number, user_id, run_name, start_time, tags, locations.run_artifact_uri)}


def get_run(tx: Transaction, run_id: RunId) -> RunAnswer:
    """The run with the latest value of its metrics, its params, tags, inputs and outputs."""
    return {"run": runs.get_run(tx, run_id)}


def update_run(
    tx: Transaction,
    run_id: RunId,
    status: RunStatus | None = None,
    end_time: int | None = None,
    run_name: str | None = None,
) -> RunInfoAnswer:
    """Changes what is given of an active run."""
    if run_name:
        check_length("run_name", run_name, limits.MAX_RUN_NAME_LENGTH)
    return {"run_info": runs.update_run(tx, run_id, status, end_time, run_name)}


def delete_run(tx: Transaction, run_id: str) -> Empty:
    """Marks a run as deleted."""
    runs.delete_run(tx, run_id)
    return {}


def restore_run(tx: Transaction, run_id: str) -> Empty:
    """Takes the mark off a deleted run."""
    runs.restore_run(tx, run_id)
    return {}


def search_runs(
    tx: Transaction,
    experiment_ids: list[str] = [],  # noqa: B006
    filter: str = "",
    run_view_type: ViewType = "ACTIVE_ONLY",
    max_results: int = 1000,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> RunsAnswer:
    """A page of the runs of some experiments that match a filter."""
    check_max_results(max_results)
    found, next_page_token = run_search.search_runs(
        tx, parse_experiment_ids(experiment_ids), STAGES[run_view_type], filter, order_by, max_results, page_token
    )
    answer: RunsAnswer = {"runs": found}
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter: str, order_by: list[str], max_results: int, **_: object) -> bool:
    """Whether a search may have to look at every run of its experiments, or at very many."""
    is_indexed = not order_by or _INDEXED_ORDER.match(order_by[0]) is not None
    return bool(filter) or not is_indexed or max_results > MANY_RESULTS


def log_param(tx: Transaction, run_id: RunId, key: str, value: str = "") -> Empty:
    """Adds a param; its value can never change."""
    param = accepted_param(Param(key, value))
    runs.log_params(tx, runs.get_active_run_ref(tx, run_id), run_id, [param])
    return {}


def log_batch(
    tx: Transaction,
    run_id: str,
    metrics: list[Metric] = [],  # noqa: B006
    params: list[Param] = [],  # noqa: B006
    tags: list[RunTag] = [],  # noqa: B006
) -> Empty:
    """Adds metrics, params and tags: all of them, or none."""
    check_run_id(run_id)
    params, tags = accepted_batch(metrics, params, tags)
    ref = runs.get_active_run_ref(tx, run_id)
    if params:
        runs.log_params(tx, ref, run_id, params)
    if tags:
        runs.set_tags(tx, ref, tags)
    # Last, as in a group of commands: rows are locked in one order, params before tags before metrics.
    if metrics:
        metric_store.log_metrics(tx, ref.id, ref.experiment_id, metrics)
    return {}


def set_tag(tx: Transaction, run_id: RunId, key: str, value: str = "") -> Empty:
    """Sets or overwrites a tag."""
    tag = accepted_tag(RunTag(key, value))
    runs.set_tags(tx, runs.get_active_run_ref(tx, run_id), [tag])
    return {}


def delete_tag(tx: Transaction, run_id: str, key: str) -> Empty:
    """Removes a tag."""
    runs.delete_tag(tx, run_id, key)
    return {}


def log_inputs(
    tx: Transaction,
    run_id: str,
    datasets: list[DatasetInput] = [],  # noqa: B006
    models: list[ModelInput] = [],  # noqa: B006
) -> Empty:
    """Links the datasets and models that a run used."""
    check_run_id(run_id)
    check_dataset_inputs(datasets)
    _check_model_ids([model.model_id for model in models])
    ref = runs.get_active_run_ref(tx, run_id)
    dataset_store.log_dataset_inputs(tx, ref.id, ref.experiment_id, datasets)
    logged_models.log_model_inputs(tx, ref.id, models)
    return {}


def log_outputs(tx: Transaction, run_id: str, models: list[ModelOutput]) -> Empty:
    """Links the models that a run made."""
    _check_model_ids([model.model_id for model in models])
    ref = runs.get_active_run_ref(tx, run_id)
    logged_models.log_model_outputs(tx, ref.id, models)
    return {}


def _check_model_ids(model_ids: list[str]) -> None:
    if len(model_ids) > limits.MAX_ENTITIES_PER_BATCH:
        raise InvalidParameterValue(
            f"'models' can contain at most {limits.MAX_ENTITIES_PER_BATCH} models, got {len(model_ids)}"
        )
    for index, model_id in enumerate(model_ids):
        check_length(f"models[{index}].model_id", model_id, limits.MAX_MODEL_ID_LENGTH)


_REQUIRED_MODEL_FIELDS = ("artifact_path", "flavors", "run_id", "utc_time_created")


def log_model(tx: Transaction, run_id: str, model_json: str) -> Empty:
    """Adds the description of a model, as MLflow 2 clients send it, to the run's history of models."""
    try:
        model = orjson.loads(model_json)
    except ValueError:
        model = None
    if not isinstance(model, dict) or not isinstance(model.get("flavors", {}), dict):
        raise InvalidParameterValue(f"Malformed model info. \n {model_json[:500]} \n is not a valid JSON.")
    missing = [name for name in _REQUIRED_MODEL_FIELDS if name not in model]
    if missing:
        raise InvalidParameterValue(f"Model json is missing mandatory fields: {missing}")
    # What MLflow's Model.get_tags_dict keeps of a description.
    kept = {key: model.get(key) for key in ("run_id", "artifact_path", "utc_time_created", "model_uuid")}
    kept["flavors"] = {
        flavor: {key: value for key, value in config.items() if key != "config"} if isinstance(config, dict) else config
        for flavor, config in model["flavors"].items()
    }
    runs.record_logged_model(tx, run_id, kept)
    return {}
