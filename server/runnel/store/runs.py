"""Runs in SQL: the run itself, its params and tags, and how a run is put together for clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.experiments import ACTIVE, DELETED, TagDict
from runnel.domain.run_names import random_run_name
from runnel.domain.runs import (
    LOGGED_MODELS_TAG,
    RUN_NAME_TAG,
    RUNNING,
    Param,
    Run,
    RunInfo,
    RunTag,
    choose_run_name,
)
from runnel.domain.validation import check_length
from runnel.store.experiments import get_active_experiment, now_in_milliseconds
from runnel.store.run_entries import entries_of_runs
from runnel.store.schema import params, runs, tags
from runnel.store.statements import RowsStatement, Statement, Transaction


class RunRef(NamedTuple):
    """What a command needs to know of the run it writes to."""

    id: int
    experiment_id: int
    lifecycle_stage: str


RUN_COLUMNS = (
    runs.c.id,
    runs.c.run_uuid,
    runs.c.experiment_id,
    runs.c.name,
    runs.c.user_id,
    runs.c.status,
    runs.c.start_time,
    runs.c.end_time,
    runs.c.lifecycle_stage,
    runs.c.artifact_uri,
)

SELECT_REF = Statement(
    lambda d: sa.select(runs.c.id, runs.c.experiment_id, runs.c.lifecycle_stage).where(
        runs.c.run_uuid == sa.bindparam("run_uuid")
    )
)
# SQLite has one writer, and no row locks.
LOCK_RUN = Statement(lambda d: sa.select(runs.c.id).where(runs.c.id == sa.bindparam("id")).with_for_update())
SELECT_RUN = Statement(lambda d: sa.select(*RUN_COLUMNS).where(runs.c.run_uuid == sa.bindparam("run_uuid")))
INSERT_RUN = Statement(
    lambda d: (
        d.insert(runs)
        .values(
            run_uuid=sa.bindparam("run_uuid"),
            experiment_id=sa.bindparam("experiment_id"),
            name=sa.bindparam("name"),
            user_id=sa.bindparam("user_id"),
            status=RUNNING,
            start_time=sa.bindparam("start_time"),
            lifecycle_stage=ACTIVE,
            artifact_uri=sa.bindparam("artifact_uri"),
        )
        .returning(runs.c.id)
    )
)
# What is not given stays as it is.
UPDATE_RUN = Statement(
    lambda d: (
        sa.update(runs)
        .where(runs.c.id == sa.bindparam("id"))
        .values(
            status=sa.func.coalesce(sa.bindparam("status"), runs.c.status),
            end_time=sa.func.coalesce(sa.bindparam("end_time"), runs.c.end_time),
            name=sa.func.coalesce(sa.bindparam("name"), runs.c.name),
        )
    )
)
SET_LIFECYCLE_STAGE = Statement(
    lambda d: (
        sa.update(runs)
        .where(runs.c.id == sa.bindparam("id"))
        .values(lifecycle_stage=sa.bindparam("stage"), deleted_time=sa.bindparam("deleted_time"))
    )
)

_KEY_VALUE = (("key", sa.Text()), ("value", sa.Text()))


def _key_value_rows(rows: sa.FromClause) -> sa.Select[Any]:
    return sa.select(sa.bindparam("run_id"), sa.bindparam("experiment_id"), rows.c.key, rows.c.value).where(sa.true())


# A param keeps its first value; the caller compares what is there with what was sent.
INSERT_PARAMS = RowsStatement(
    _KEY_VALUE,
    lambda d, rows: (
        d.insert(params)
        .from_select(["run_id", "experiment_id", "key", "value"], _key_value_rows(rows))
        .on_conflict_do_nothing(index_elements=["run_id", "key"])
    ),
)
UPSERT_TAGS = RowsStatement(
    _KEY_VALUE,
    lambda d, rows: (
        (insert := d.insert(tags))
        .from_select(["run_id", "experiment_id", "key", "value"], _key_value_rows(rows))
        .on_conflict_do_update(index_elements=["run_id", "key"], set_={"value": insert.excluded.value})
    ),
)
SELECT_PARAMS = Statement(
    lambda d: sa.select(params.c.key, params.c.value).where(
        params.c.run_id == sa.bindparam("run_id"), d.is_in(params.c.key, "keys")
    )
)
SELECT_TAG = Statement(
    lambda d: sa.select(tags.c.value).where(tags.c.run_id == sa.bindparam("run_id"), tags.c.key == sa.bindparam("key"))
)
DELETE_TAG = Statement(
    lambda d: sa.delete(tags).where(tags.c.run_id == sa.bindparam("run_id"), tags.c.key == sa.bindparam("key"))
)


def get_run_ref(tx: Transaction, run_id: str) -> RunRef:
    """The run's internal key and lifecycle stage."""
    row = tx.row(SELECT_REF, run_uuid=run_id)
    if row is None:
        raise ResourceDoesNotExist(f"Run with id={run_id} not found")
    return RunRef(*row)


def get_active_run_ref(tx: Transaction, run_id: str) -> RunRef:
    """The same for a run that may be written to: one that is not marked as deleted."""
    ref = get_run_ref(tx, run_id)
    if ref.lifecycle_stage != ACTIVE:
        raise InvalidParameterValue(
            f"The run {run_id} must be in the 'active' state. Current state is {ref.lifecycle_stage}."
        )
    return ref


def to_run_info(row: tuple[Any, ...]) -> RunInfo:
    """A row of ``RUN_COLUMNS`` as clients see it."""
    _, run_uuid, experiment_id, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri = row[:10]
    info: RunInfo = {
        "run_id": run_uuid,
        "run_uuid": run_uuid,
        "run_name": name,
        "experiment_id": str(experiment_id),
        "user_id": user_id,
        "status": status,
        "start_time": start_time,
        "artifact_uri": artifact_uri,
        "lifecycle_stage": lifecycle_stage,
    }
    if end_time is not None:
        info["end_time"] = end_time
    return info


def to_runs(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[Run]:
    """Rows of ``RUN_COLUMNS`` with all that belongs to the runs, which is read in one statement."""
    if not rows:
        return []
    entries = entries_of_runs(tx, [row[0] for row in rows])
    return [{"info": to_run_info(row), **entries[row[0]]} for row in rows]


def get_run(tx: Transaction, run_id: str) -> Run:
    """The run in whatever lifecycle stage."""
    row = tx.row(SELECT_RUN, run_uuid=run_id)
    if row is None:
        raise ResourceDoesNotExist(f"Run with id={run_id} not found")
    return to_runs(tx, [row])[0]


def get_run_info(tx: Transaction, run_id: str) -> RunInfo:
    """The run without its params, metrics and tags."""
    row = tx.row(SELECT_RUN, run_uuid=run_id)
    if row is None:
        raise ResourceDoesNotExist(f"Run with id={run_id} not found")
    return to_run_info(row)


def create_run(
    tx: Transaction,
    experiment_id: int,
    user_id: str,
    run_name: str,
    start_time: int,
    run_tags: Sequence[RunTag],
    artifact_uri: Callable[[str, str], str],
) -> Run:
    """Inserts a running run; ``artifact_uri`` makes its URI from the experiment's location and the run's id."""
    experiment = get_active_experiment(tx, experiment_id)
    name = choose_run_name(run_name, run_tags) or random_run_name()
    run_uuid = uuid.uuid4().hex
    uri = artifact_uri(experiment["artifact_location"], run_uuid)
    row = tx.row(
        INSERT_RUN,
        run_uuid=run_uuid,
        experiment_id=experiment_id,
        name=name,
        user_id=user_id,
        start_time=start_time,
        artifact_uri=uri,
    )
    assert row is not None
    values = {tag.key: tag.value for tag in run_tags} | {RUN_NAME_TAG: name}
    tx.write_rows(UPSERT_TAGS, list(values.items()), run_id=row[0], experiment_id=experiment_id)
    info = to_run_info((row[0], run_uuid, experiment_id, name, user_id, RUNNING, start_time, None, ACTIVE, uri))
    shown_tags: list[TagDict] = [{"key": key, "value": value} for key, value in values.items()]
    return {"info": info, "data": {"tags": shown_tags}, "inputs": {}, "outputs": {}}


def update_run(tx: Transaction, run_id: str, status: str | None, end_time: int | None, run_name: str | None) -> RunInfo:
    """Changes what is given of an active run; the name is kept as a tag too."""
    ref = get_active_run_ref(tx, run_id)
    tx.execute(UPDATE_RUN, id=ref.id, status=status, end_time=end_time, name=run_name or None)
    if run_name:
        tx.write_rows(UPSERT_TAGS, [(RUN_NAME_TAG, run_name)], run_id=ref.id, experiment_id=ref.experiment_id)
    return get_run_info(tx, run_id)


def delete_run(tx: Transaction, run_id: str) -> None:
    """Marks a run as deleted."""
    ref = get_run_ref(tx, run_id)
    tx.execute(SET_LIFECYCLE_STAGE, id=ref.id, stage=DELETED, deleted_time=now_in_milliseconds())


def restore_run(tx: Transaction, run_id: str) -> None:
    """Takes the mark off a deleted run."""
    ref = get_run_ref(tx, run_id)
    tx.execute(SET_LIFECYCLE_STAGE, id=ref.id, stage=ACTIVE, deleted_time=None)


def log_params(tx: Transaction, ref: RunRef, run_id: str, new_params: Sequence[Param]) -> None:
    """Adds params; one that is there with another value is an error, the same value again changes nothing."""
    wanted = {param.key: param.value for param in sorted(new_params, key=lambda param: param.key)}
    existing = _existing_params(tx, ref, run_id, wanted)
    rows = [(key, value) for key, value in wanted.items() if key not in existing]
    if tx.write_rows(INSERT_PARAMS, rows, run_id=ref.id, experiment_id=ref.experiment_id) < len(rows):
        # Another client was faster with some of them (on PostgreSQL; SQLite has one writer): now its values are there.
        _existing_params(tx, ref, run_id, wanted)


def _existing_params(tx: Transaction, ref: RunRef, run_id: str, wanted: dict[str, str]) -> dict[str, str]:
    existing = dict(tx.rows(SELECT_PARAMS, run_id=ref.id, keys=list(wanted)))
    changed = [
        {"key": key, "old_value": existing[key], "new_value": value}
        for key, value in wanted.items()
        if existing.get(key, value) != value
    ]
    if changed and len(wanted) == 1:
        raise InvalidParameterValue(
            f"Changing param values is not allowed. Param with key='{changed[0]['key']}' was already logged with "
            f"value='{changed[0]['old_value']}' for run ID='{run_id}'. Attempted logging new value "
            f"'{changed[0]['new_value']}'."
        )
    if changed:
        raise InvalidParameterValue(
            f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{run_id}'."
        )
    return existing


def set_tags(tx: Transaction, ref: RunRef, new_tags: Sequence[RunTag]) -> None:
    """Sets or overwrites tags; of a key that is given twice the last value counts. The run's name follows its tag."""
    values = {tag.key: tag.value for tag in new_tags}
    name = values.get(RUN_NAME_TAG)
    if name == "":  # MLflow takes no empty name: neither the tag nor the name changes
        del values[RUN_NAME_TAG]
    elif name is not None:
        tx.execute(UPDATE_RUN, id=ref.id, status=None, end_time=None, name=name)
    # In the order of the keys, so that two servers never lock the same rows in opposite orders.
    rows = sorted(values.items())
    tx.write_rows(UPSERT_TAGS, rows, run_id=ref.id, experiment_id=ref.experiment_id)


def delete_tag(tx: Transaction, run_id: str, key: str) -> None:
    """Removes a tag, which must exist, from an active run."""
    ref = get_active_run_ref(tx, run_id)
    if tx.execute(DELETE_TAG, run_id=ref.id, key=key).rowcount == 0:
        raise ResourceDoesNotExist(f"No tag with name: {key} in run with id {run_id}")


def record_logged_model(tx: Transaction, run_id: str, model: dict[str, Any]) -> None:
    """Adds a model's description to the history that MLflow 2 keeps in a tag of the run."""
    ref = get_active_run_ref(tx, run_id)
    tx.execute(LOCK_RUN, id=ref.id)  # the tag is read, extended and written: one client after another
    row = tx.row(SELECT_TAG, run_id=ref.id, key=LOGGED_MODELS_TAG)
    try:
        history = orjson.loads(row[0]) if row else []
    except ValueError:  # a client can set the tag to anything
        history = None
    if not isinstance(history, list):
        raise InvalidParameterValue(f"The tag '{LOGGED_MODELS_TAG}' of run {run_id} is not a JSON list")
    try:
        longer = orjson.dumps([*history, model]).decode()
    except orjson.JSONEncodeError:
        raise InvalidParameterValue("The model info is nested too deeply") from None
    check_length("value", longer, limits.MAX_TAG_VALUE_LENGTH)  # cut short, it would not be JSON
    set_tags(tx, ref, [RunTag(LOGGED_MODELS_TAG, longer)])
