"""Label schemas in SQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import InvalidParameterValue, ResourceAlreadyExists, ResourceDoesNotExist
from runnel.domain.label_schemas import (
    DEFAULT_INSTRUCTION,
    DEFAULT_NAME,
    LabelSchema,
    LabelSchemaType,
    check_same_input,
)
from runnel.store.experiments import check_experiment_is_there, now_in_milliseconds
from runnel.store.filters import SortKey, behind_descending
from runnel.store.schema import label_schemas
from runnel.store.statements import Statement, Transaction

_COLUMNS = tuple(column for column in label_schemas.c if column.name not in ("id", "created_by"))

_SELECT = sa.select(*_COLUMNS).where(label_schemas.c.schema_id == sa.bindparam("schema_id"))
SELECT_ONE = Statement(lambda d: _SELECT)
LOCK_ONE = Statement(lambda d: _SELECT.with_for_update())
SELECT_BY_NAME = Statement(
    lambda d: sa.select(*_COLUMNS).where(
        label_schemas.c.experiment_id == sa.bindparam("experiment_id"), label_schemas.c.name == sa.bindparam("name")
    )
)
SELECT_EXISTING = Statement(
    lambda d: sa.select(label_schemas.c.schema_id).where(
        label_schemas.c.experiment_id == sa.bindparam("experiment_id"),
        d.is_in(label_schemas.c.schema_id, "schema_ids"),
    )
)
INSERT = Statement(
    lambda d: (
        d.insert(label_schemas)
        .values({column.name: sa.bindparam(column.name) for column in _COLUMNS})
        .on_conflict_do_nothing(index_elements=["experiment_id", "name"])
    )
)
_CHANGED = ("name", "instruction", "enable_comment", "input_config", "last_update_time")
UPDATE = Statement(
    lambda d: (
        sa.update(label_schemas)
        .where(label_schemas.c.schema_id == sa.bindparam("id"))
        .values({name: sa.bindparam(f"new_{name}") for name in _CHANGED})
    )
)
DELETE = Statement(lambda d: sa.delete(label_schemas).where(label_schemas.c.schema_id == sa.bindparam("schema_id")))


def create_label_schema(
    tx: Transaction,
    experiment_id: int,
    *,
    name: str,
    type_: LabelSchemaType,
    input_: tuple[str, dict[str, Any]],
    instruction: str | None,
    enable_comment: bool,
) -> LabelSchema:
    """Inserts a label schema of an active experiment that has none of that name; the input with its kind."""
    check_experiment_is_there(tx, experiment_id)
    fields = _new_fields(experiment_id, name, type_, input_, instruction, enable_comment)
    if tx.execute(INSERT, **fields).rowcount == 0:
        raise _name_taken(name, experiment_id)
    return _to_schema(fields)


def create_default_label_schema(tx: Transaction, experiment_id: int) -> None:
    """Makes sure that an experiment has the question that all experiments have; one that is there stays as it is."""
    fields = _new_fields(experiment_id, DEFAULT_NAME, "FEEDBACK", ("text", {}), DEFAULT_INSTRUCTION, False)
    tx.execute(INSERT, **fields | {"is_default": 1})


def _new_fields(
    experiment_id: int,
    name: str,
    type_: LabelSchemaType,
    input_: tuple[str, dict[str, Any]],
    instruction: str | None,
    enable_comment: bool,
) -> dict[str, Any]:
    now = now_in_milliseconds()
    return {
        "schema_id": f"ls-{uuid.uuid4().hex}",
        "experiment_id": experiment_id,
        "name": name,
        "type": type_.lower(),
        "instruction": instruction,
        "enable_comment": int(enable_comment),
        "input_type": input_[0],
        "input_config": json.dumps(input_[1]),
        "created_time": now,
        "last_update_time": now,
        "is_default": 0,
    }


def get_label_schema(tx: Transaction, schema_id: str) -> LabelSchema:
    """A label schema, whatever the state of its experiment."""
    return _to_schema(_fields(tx, SELECT_ONE, schema_id))


def get_label_schema_by_name(tx: Transaction, experiment_id: int, name: str) -> LabelSchema:
    """The label schema of that name of an active experiment."""
    check_experiment_is_there(tx, experiment_id)
    row = tx.row(SELECT_BY_NAME, experiment_id=experiment_id, name=name)
    if row is None:
        raise ResourceDoesNotExist(f"Label schema with name '{name}' not found for experiment '{experiment_id}'.")
    return _to_schema(_named(row))


def missing_label_schemas(tx: Transaction, experiment_id: int, schema_ids: Sequence[str]) -> list[str]:
    """Those of the ids that are not label schemas of the experiment."""
    found = {row[0] for row in tx.rows(SELECT_EXISTING, experiment_id=experiment_id, schema_ids=list(schema_ids))}
    return [schema_id for schema_id in schema_ids if schema_id not in found]


def list_label_schemas(
    tx: Transaction, experiment_id: int, max_results: int, page_token: str
) -> tuple[list[LabelSchema], str | None] | None:
    """A page of the label schemas of an active experiment, the newest first, and the token of the next page.

    None where the question that all experiments have is not there yet.
    """
    check_experiment_is_there(tx, experiment_id)
    if tx.row(SELECT_BY_NAME, experiment_id=experiment_id, name=DEFAULT_NAME) is None:
        return None
    keys = [SortKey(label_schemas.c.created_time, ascending=False), SortKey(label_schemas.c.id, ascending=False)]
    identity = ("label schemas", experiment_id)
    query = sa.select(*_COLUMNS, label_schemas.c.id).where(label_schemas.c.experiment_id == experiment_id)
    if page_token:
        query = query.where(behind_descending(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    size = min(max_results, limits.MAX_LABEL_SCHEMA_RESULTS)
    rows = tx.rows(query.order_by(*[key.order() for key in keys]).limit(size + 1))
    found = [_named(row[:-1]) for row in rows[:size]]
    next_token = None
    if len(rows) > size:
        next_token = page_tokens.encode_page_token([found[-1]["created_time"], rows[size - 1][-1]], identity)
    return [_to_schema(fields) for fields in found], next_token


def update_label_schema(
    tx: Transaction,
    schema_id: str,
    *,
    name: str | None,
    instruction: str | None,
    enable_comment: bool | None,
    input_: tuple[str, dict[str, Any]] | None,
) -> LabelSchema:
    """Changes what is not None; the kind of the input stays as it is, and the default question altogether."""
    fields = _fields(tx, LOCK_ONE, schema_id)
    if fields["is_default"]:
        raise InvalidParameterValue("The experiment's default question cannot be edited.")
    if input_ is not None:
        check_same_input(fields["input_type"], json.loads(fields["input_config"]), *input_)
        fields["input_config"] = json.dumps(input_[1])
    if name is not None:
        # Where another request takes the name meanwhile, the database refuses, and this one is run again.
        holder = tx.row(SELECT_BY_NAME, experiment_id=fields["experiment_id"], name=name)
        if holder is not None and _named(holder)["schema_id"] != schema_id:
            raise _name_taken(name, fields["experiment_id"])
        fields["name"] = name
    if instruction is not None:
        fields["instruction"] = instruction
    if enable_comment is not None:
        fields["enable_comment"] = int(enable_comment)
    fields["last_update_time"] = now_in_milliseconds()
    tx.execute(UPDATE, id=schema_id, **{f"new_{field}": fields[field] for field in _CHANGED})
    return _to_schema(fields)


def delete_label_schema(tx: Transaction, schema_id: str) -> None:
    """Removes a label schema for good, if there is one; queues and answers that name it stay as they are."""
    row = tx.row(LOCK_ONE, schema_id=schema_id)
    if row is None:
        return
    if _named(row)["is_default"]:
        raise InvalidParameterValue("The experiment's default question cannot be deleted.")
    tx.execute(DELETE, schema_id=schema_id)


def _fields(tx: Transaction, statement: Statement, schema_id: str) -> dict[str, Any]:
    row = tx.row(statement, schema_id=schema_id)
    if row is None:
        raise ResourceDoesNotExist(f"Label schema with id '{schema_id}' not found.")
    return _named(row)


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip((column.name for column in _COLUMNS), row, strict=True))


def _name_taken(name: str, experiment_id: int) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"Label schema with name '{name}' already exists for experiment '{experiment_id}'.")


def _to_schema(fields: dict[str, Any]) -> LabelSchema:
    schema: LabelSchema = {
        "schema_id": fields["schema_id"],
        "experiment_id": str(fields["experiment_id"]),
        "name": fields["name"],
        "type": fields["type"].upper(),
        "enable_comment": bool(fields["enable_comment"]),
        "input": {fields["input_type"]: json.loads(fields["input_config"])},  # type: ignore[misc]
        "created_at": fields["created_time"],
        "last_updated_at": fields["last_update_time"],
        "is_default": bool(fields["is_default"]),
    }
    if fields["instruction"] is not None:
        schema["instruction"] = fields["instruction"]
    return schema
