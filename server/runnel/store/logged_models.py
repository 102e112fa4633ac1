"""Logged models in SQL: the model itself, its params and tags, and its links to the runs that used or made it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.experiments import ACTIVE, DELETED
from runnel.domain.logged_models import (
    PENDING,
    LoggedModel,
    LoggedModelParameter,
    LoggedModelTag,
    ModelInput,
    ModelOutput,
)
from runnel.domain.run_names import random_run_name
from runnel.store.experiments import get_active_experiment, now_in_milliseconds
from runnel.store.logged_model_metrics import metrics_of_models
from runnel.store.schema import (
    logged_model_params,
    logged_model_tags,
    logged_models,
    model_inputs,
    model_outputs,
)
from runnel.store.statements import RowsStatement, Statement, Transaction


class ModelRef(NamedTuple):
    """What a command needs to know of the model it writes to."""

    id: int
    experiment_id: int
    lifecycle_stage: str
    artifact_location: str


MODEL_COLUMNS = (
    logged_models.c.id,
    logged_models.c.model_id,
    logged_models.c.experiment_id,
    logged_models.c.name,
    logged_models.c.creation_timestamp_ms,
    logged_models.c.last_updated_timestamp_ms,
    logged_models.c.artifact_location,
    logged_models.c.status,
    logged_models.c.model_type,
    logged_models.c.source_run_id,
)

SELECT_REF = Statement(
    lambda d: sa.select(
        logged_models.c.id,
        logged_models.c.experiment_id,
        logged_models.c.lifecycle_stage,
        logged_models.c.artifact_location,
    ).where(logged_models.c.model_id == sa.bindparam("model_id"))
)
SELECT_MODEL = Statement(lambda d: sa.select(*MODEL_COLUMNS).where(logged_models.c.id == sa.bindparam("id")))
SELECT_PARAMS_OF_MODELS = Statement(
    lambda d: (
        sa.select(logged_model_params.c.model_id, logged_model_params.c.key, logged_model_params.c.value)
        .where(d.is_in(logged_model_params.c.model_id, "ids"))
        .order_by(logged_model_params.c.model_id, logged_model_params.c.key)
    )
)
SELECT_TAGS_OF_MODELS = Statement(
    lambda d: (
        sa.select(logged_model_tags.c.model_id, logged_model_tags.c.key, logged_model_tags.c.value)
        .where(d.is_in(logged_model_tags.c.model_id, "ids"))
        .order_by(logged_model_tags.c.model_id, logged_model_tags.c.key)
    )
)

INSERT_MODEL = Statement(
    lambda d: (
        d.insert(logged_models)
        .values(
            model_id=sa.bindparam("model_id"),
            experiment_id=sa.bindparam("experiment_id"),
            name=sa.bindparam("name"),
            model_type=sa.bindparam("model_type"),
            source_run_id=sa.bindparam("source_run_id"),
            status=PENDING,
            lifecycle_stage=ACTIVE,
            creation_timestamp_ms=sa.bindparam("now"),
            last_updated_timestamp_ms=sa.bindparam("now"),
            artifact_location=sa.bindparam("artifact_location"),
        )
        .returning(logged_models.c.id)
    )
)
SET_STATUS = Statement(
    lambda d: (
        sa.update(logged_models)
        .where(logged_models.c.id == sa.bindparam("model"))
        .values(status=sa.bindparam("new_status"), last_updated_timestamp_ms=sa.bindparam("now"))
    )
)
MARK_DELETED = Statement(
    lambda d: (
        sa.update(logged_models)
        .where(logged_models.c.id == sa.bindparam("model"))
        .values(lifecycle_stage=DELETED, last_updated_timestamp_ms=sa.bindparam("now"))
    )
)

_KEY_VALUE = (("key", sa.Text()), ("value", sa.Text()))
_KEY_VALUE_COLUMNS = ["model_id", "experiment_id", "key", "value"]


def _key_value_rows(rows: sa.FromClause) -> sa.Select[Any]:
    return sa.select(sa.bindparam("model"), sa.bindparam("experiment_id"), rows.c.key, rows.c.value).where(sa.true())


# A param keeps its first value; the caller compares what is there with what was sent.
INSERT_PARAMS = RowsStatement(
    _KEY_VALUE,
    lambda d, rows: (
        d.insert(logged_model_params)
        .from_select(_KEY_VALUE_COLUMNS, _key_value_rows(rows))
        .on_conflict_do_nothing(index_elements=["model_id", "key"])
    ),
)
SELECT_PARAMS = Statement(
    lambda d: sa.select(logged_model_params.c.key, logged_model_params.c.value).where(
        logged_model_params.c.model_id == sa.bindparam("model"), d.is_in(logged_model_params.c.key, "keys")
    )
)
UPSERT_TAGS = RowsStatement(
    _KEY_VALUE,
    lambda d, rows: (
        (insert := d.insert(logged_model_tags))
        .from_select(_KEY_VALUE_COLUMNS, _key_value_rows(rows))
        .on_conflict_do_update(index_elements=["model_id", "key"], set_={"value": insert.excluded.value})
    ),
)
DELETE_TAG = Statement(
    lambda d: sa.delete(logged_model_tags).where(
        logged_model_tags.c.model_id == sa.bindparam("model"), logged_model_tags.c.key == sa.bindparam("key")
    )
)

INSERT_INPUT = Statement(
    lambda d: (
        d.insert(model_inputs)
        .values(run_id=sa.bindparam("run_id"), model_id=sa.bindparam("model_id"))
        .on_conflict_do_nothing()
    )
)
INSERT_OUTPUT = Statement(
    lambda d: (
        d.insert(model_outputs)
        .values(run_id=sa.bindparam("run_id"), model_id=sa.bindparam("model_id"), step=sa.bindparam("step"))
        .on_conflict_do_nothing()
    )
)


def log_model_inputs(tx: Transaction, run_id: int, models: Sequence[ModelInput]) -> None:
    """Links models that a run used; a link that exists stays as it is."""
    for model in models:
        tx.execute(INSERT_INPUT, run_id=run_id, model_id=model.model_id)


def log_model_outputs(tx: Transaction, run_id: int, models: Sequence[ModelOutput]) -> None:
    """Links models that a run made at a step; a link that exists stays as it is."""
    for model in models:
        tx.execute(INSERT_OUTPUT, run_id=run_id, model_id=model.model_id, step=model.step)


# The model itself


def get_model_ref(tx: Transaction, model_id: str) -> ModelRef:
    """The model, in whatever lifecycle stage."""
    row = tx.row(SELECT_REF, model_id=model_id)
    if row is None:
        raise not_found(model_id)
    return ModelRef(*row)


def get_active_model_ref(tx: Transaction, model_id: str) -> ModelRef:
    """The model, which must not be marked as deleted."""
    ref = get_model_ref(tx, model_id)
    if ref.lifecycle_stage != ACTIVE:
        raise not_found(model_id)
    return ref


def not_found(model_id: str) -> ResourceDoesNotExist:
    """The error for a logged model that does not exist."""
    return ResourceDoesNotExist(f"Logged model with ID '{model_id}' not found.")


def _get_by_key(tx: Transaction, key: int) -> LoggedModel:
    return to_logged_models(tx, tx.rows(SELECT_MODEL, id=key))[0]


def to_logged_models(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[LoggedModel]:
    """Rows that begin with ``MODEL_COLUMNS`` as clients see them, with all that belongs to the models."""
    found: dict[int, LoggedModel] = {}
    for row in rows:
        id_, model_id, experiment_id, name, created, updated, location, status, model_type, source_run_id = row[:10]
        found[id_] = {
            "info": {
                "model_id": model_id,
                "experiment_id": str(experiment_id),
                "name": name,
                "creation_timestamp_ms": created,
                "last_updated_timestamp_ms": updated,
                "artifact_uri": location,
                "status": status,
                "model_type": model_type,
                "source_run_id": source_run_id,
            },
            "data": {},
        }
    ids = list(found)
    if not ids:
        return []
    for id_, key, value in tx.rows(SELECT_TAGS_OF_MODELS, ids=ids):
        found[id_]["info"].setdefault("tags", []).append({"key": key, "value": value})
    for id_, key, value in tx.rows(SELECT_PARAMS_OF_MODELS, ids=ids):
        found[id_]["data"].setdefault("params", []).append({"key": key, "value": value})
    for id_, metric in metrics_of_models(tx, {id_: model["info"]["model_id"] for id_, model in found.items()}):
        found[id_]["data"].setdefault("metrics", []).append(metric)
    return list(found.values())


def get_logged_model(tx: Transaction, model_id: str, allow_deleted: bool = False) -> LoggedModel:
    """The model; one that is marked as deleted only where that is allowed."""
    ref = get_model_ref(tx, model_id) if allow_deleted else get_active_model_ref(tx, model_id)
    return _get_by_key(tx, ref.id)


def create_logged_model(
    tx: Transaction,
    experiment_id: int,
    name: str,
    model_type: str,
    source_run_id: str,
    params: Sequence[LoggedModelParameter],
    tags: Sequence[LoggedModelTag],
    artifact_location: Callable[[str, str], str],
) -> LoggedModel:
    """Inserts a pending model; ``artifact_location`` makes its URI from the experiment's location and the new id."""
    experiment = get_active_experiment(tx, experiment_id)
    model_id = f"m-{uuid.uuid4().hex}"
    row = tx.row(
        INSERT_MODEL,
        model_id=model_id,
        experiment_id=experiment_id,
        name=name or random_run_name(),
        model_type=model_type,
        source_run_id=source_run_id,
        now=now_in_milliseconds(),
        artifact_location=artifact_location(experiment["artifact_location"], model_id),
    )
    assert row is not None
    key: int = row[0]
    tx.write_rows(INSERT_PARAMS, [(p.key, p.value) for p in params], model=key, experiment_id=experiment_id)
    tx.write_rows(UPSERT_TAGS, [(t.key, t.value) for t in tags], model=key, experiment_id=experiment_id)
    return _get_by_key(tx, key)


def finalize_logged_model(tx: Transaction, model_id: str, status: str) -> LoggedModel:
    """Sets the status of a model, deleted or not (as in MLflow)."""
    ref = get_model_ref(tx, model_id)
    tx.execute(SET_STATUS, model=ref.id, new_status=status, now=now_in_milliseconds())
    return _get_by_key(tx, ref.id)


def delete_logged_model(tx: Transaction, model_id: str) -> None:
    """Marks a model as deleted; it may be already."""
    tx.execute(MARK_DELETED, model=get_model_ref(tx, model_id).id, now=now_in_milliseconds())


def log_logged_model_params(tx: Transaction, model_id: str, params: Sequence[LoggedModelParameter]) -> None:
    """Adds params; one that is there with another value is an error, the same value again changes nothing."""
    ref = get_model_ref(tx, model_id)
    wanted = {param.key: param.value for param in sorted(params, key=lambda param: param.key)}
    existing = _existing_params(tx, ref, model_id, wanted)
    rows = [(key, value) for key, value in wanted.items() if key not in existing]
    if tx.write_rows(INSERT_PARAMS, rows, model=ref.id, experiment_id=ref.experiment_id) < len(rows):
        # Another client was faster with some of them (on PostgreSQL; SQLite has one writer): now its values are there.
        _existing_params(tx, ref, model_id, wanted)


def _existing_params(tx: Transaction, ref: ModelRef, model_id: str, wanted: dict[str, str]) -> dict[str, str]:
    existing = dict(tx.rows(SELECT_PARAMS, model=ref.id, keys=list(wanted)))
    for key, value in wanted.items():
        if existing.get(key, value) != value:
            raise InvalidParameterValue(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{existing[key][:500]}' for model ID='{model_id}'. Attempted logging new value '{value[:500]}'."
            )
    return existing


def set_logged_model_tags(tx: Transaction, model_id: str, tags: Sequence[LoggedModelTag]) -> None:
    """Sets or overwrites tags; of a key that is given twice the last value counts."""
    ref = get_model_ref(tx, model_id)
    # In the order of the keys, so that two servers never lock the same rows in opposite orders.
    rows = sorted({tag.key: tag.value for tag in tags}.items())
    tx.write_rows(UPSERT_TAGS, rows, model=ref.id, experiment_id=ref.experiment_id)


def delete_logged_model_tag(tx: Transaction, model_id: str, key: str) -> None:
    """Removes a tag, which must exist."""
    ref = get_model_ref(tx, model_id)
    if tx.execute(DELETE_TAG, model=ref.id, key=key).rowcount == 0:
        raise ResourceDoesNotExist(f"No tag with key {key!r} found for model with ID {model_id!r}.")
