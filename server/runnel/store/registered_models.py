"""Registered models in SQL: the model itself, its tags and its aliases. Prompts are registered models, too.

Every command locks the row of its model first: so numbers of versions follow each other, and nothing is left behind of
what is added while the model is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.errors import ResourceAlreadyExists, ResourceDoesNotExist
from runnel.domain.prompts import IS_PROMPT_TAG, is_prompt, is_prompt_value
from runnel.domain.registered_models import RegisteredModel, name_is_taken
from runnel.store.experiments import now_in_milliseconds
from runnel.store.model_version_rows import latest_versions_of
from runnel.store.schema import (
    model_version_tags,
    model_versions,
    registered_model_aliases,
    registered_model_tags,
    registered_models,
)
from runnel.store.statements import RowsStatement, Statement, Transaction


class RegisteredModelRef(NamedTuple):
    """What a command needs to know of the model that it works on."""

    id: int
    name: str
    is_prompt: bool


MODEL_COLUMNS = (
    registered_models.c.id,
    registered_models.c.name,
    registered_models.c.creation_time,
    registered_models.c.last_updated_time,
    registered_models.c.description,
)

SELECT_MODEL = Statement(lambda d: sa.select(*MODEL_COLUMNS).where(registered_models.c.name == sa.bindparam("name")))
SELECT_REF = Statement(
    lambda d: sa.select(registered_models.c.id, registered_models.c.name, registered_models.c.is_prompt).where(
        registered_models.c.name == sa.bindparam("name")
    )
)
LOCK_REF = Statement(
    lambda d: (
        sa.select(registered_models.c.id, registered_models.c.name, registered_models.c.is_prompt)
        .where(registered_models.c.name == sa.bindparam("name"))
        .with_for_update()
    )
)
SELECT_TAGS = Statement(
    lambda d: (
        sa.select(registered_model_tags.c.owner, registered_model_tags.c.key, registered_model_tags.c.value)
        .where(d.is_in(registered_model_tags.c.owner, "ids"))
        .order_by(registered_model_tags.c.owner, registered_model_tags.c.key)
    )
)
SELECT_ALIASES = Statement(
    lambda d: (
        sa.select(
            registered_model_aliases.c.registered_model,
            registered_model_aliases.c.alias,
            registered_model_aliases.c.version,
        )
        .where(d.is_in(registered_model_aliases.c.registered_model, "ids"))
        .order_by(registered_model_aliases.c.registered_model, registered_model_aliases.c.alias)
    )
)

INSERT_MODEL = Statement(
    lambda d: (
        d.insert(registered_models)
        .values(
            name=sa.bindparam("name"),
            is_prompt=sa.bindparam("is_prompt"),
            last_version=0,
            creation_time=sa.bindparam("now"),
            last_updated_time=sa.bindparam("now"),
            description=sa.bindparam("description"),
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(registered_models.c.id)
    )
)
SET_DESCRIPTION = Statement(
    lambda d: (
        sa.update(registered_models)
        .where(registered_models.c.name == sa.bindparam("of_name"))
        .values(description=sa.bindparam("text"), last_updated_time=sa.bindparam("now"))
        .returning(*MODEL_COLUMNS)
    )
)
TOUCH = Statement(
    lambda d: (
        sa.update(registered_models)
        .where(registered_models.c.name == sa.bindparam("of_name"))
        .values(last_updated_time=sa.bindparam("now"))
        .returning(registered_models.c.id, registered_models.c.name, registered_models.c.is_prompt)
    )
)
SET_NAME = Statement(
    lambda d: (
        sa.update(registered_models)
        .where(registered_models.c.id == sa.bindparam("model"))
        .values(name=sa.bindparam("new_name"), last_updated_time=sa.bindparam("now"))
    )
)
SET_NAME_OF_VERSIONS = Statement(
    lambda d: (
        sa.update(model_versions)
        .where(model_versions.c.registered_model == sa.bindparam("model"))
        .values(name=sa.bindparam("new_name"), last_updated_time=sa.bindparam("now"))
    )
)
SET_IS_PROMPT = Statement(
    lambda d: (
        sa.update(registered_models)
        .where(registered_models.c.id == sa.bindparam("model"))
        .values(is_prompt=sa.bindparam("prompt"))
    )
)
DELETE_MODEL = Statement(lambda d: sa.delete(registered_models).where(registered_models.c.id == sa.bindparam("model")))
DELETE_ALIASES = Statement(
    lambda d: sa.delete(registered_model_aliases).where(
        registered_model_aliases.c.registered_model == sa.bindparam("model")
    )
)
DELETE_VERSION_TAGS = Statement(
    lambda d: sa.delete(model_version_tags).where(
        model_version_tags.c.owner.in_(
            sa.select(model_versions.c.id).where(model_versions.c.registered_model == sa.bindparam("model"))
        )
    )
)
DELETE_VERSIONS = Statement(
    lambda d: sa.delete(model_versions).where(model_versions.c.registered_model == sa.bindparam("model"))
)


class TagStatements(NamedTuple):
    """How tags of a table are written; both kinds have the same columns."""

    upsert: RowsStatement
    delete: Statement
    delete_all: Statement


def tag_statements(table: sa.Table) -> TagStatements:
    """The statements for a table of tags."""
    columns = ["owner", "key", "value"]
    return TagStatements(
        RowsStatement(
            (("key", sa.Text()), ("value", sa.Text())),
            lambda d, rows: (
                (insert := d.insert(table))
                .from_select(columns, sa.select(sa.bindparam("owner"), rows.c.key, rows.c.value).where(sa.true()))
                .on_conflict_do_update(index_elements=["owner", "key"], set_={"value": insert.excluded.value})
            ),
        ),
        Statement(
            lambda d: sa.delete(table).where(
                table.c.owner == sa.bindparam("of_owner"), table.c.key == sa.bindparam("of_key")
            )
        ),
        Statement(lambda d: sa.delete(table).where(table.c.owner == sa.bindparam("of_owner"))),
    )


TAGS = tag_statements(registered_model_tags)

UPSERT_ALIAS = Statement(
    lambda d: (
        (insert := d.insert(registered_model_aliases))
        .values(registered_model=sa.bindparam("model"), alias=sa.bindparam("alias"), version=sa.bindparam("version"))
        .on_conflict_do_update(index_elements=["registered_model", "alias"], set_={"version": insert.excluded.version})
    )
)
DELETE_ALIAS = Statement(
    lambda d: sa.delete(registered_model_aliases).where(
        registered_model_aliases.c.registered_model == sa.bindparam("model"),
        registered_model_aliases.c.alias == sa.bindparam("of_alias"),
    )
)


def not_found(name: str) -> ResourceDoesNotExist:
    """The error for a registered model that does not exist."""
    return ResourceDoesNotExist(f"Registered Model with name={name} not found")


def find_model(tx: Transaction, name: str) -> RegisteredModelRef | None:
    """The model of a name, None if there is none."""
    row = tx.row(SELECT_REF, name=name)
    return None if row is None else _ref(row)


def lock_model(tx: Transaction, name: str) -> RegisteredModelRef | None:
    """The model of a name, which no other transaction writes to until this one ends; None if there is none."""
    row = tx.row(LOCK_REF, name=name)
    return None if row is None else _ref(row)


def touch_model(tx: Transaction, name: str, now: int) -> RegisteredModelRef | None:
    """The same, with the time at which it was changed."""
    row = tx.row(TOUCH, of_name=name, now=now)
    return None if row is None else _ref(row)


def _ref(row: tuple[Any, ...]) -> RegisteredModelRef:
    return RegisteredModelRef(row[0], row[1], bool(row[2]))


def _existing(tx: Transaction, name: str) -> RegisteredModelRef:
    ref = lock_model(tx, name)
    if ref is None:
        raise not_found(name)
    return ref


def to_registered_models(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[RegisteredModel]:
    """Rows that begin with ``MODEL_COLUMNS`` as clients see them, with all that belongs to the models."""
    found: dict[int, RegisteredModel] = {}
    for row in rows:
        id_, name, created, updated, description = row[: len(MODEL_COLUMNS)]
        found[id_] = {"name": name, "creation_timestamp": created, "last_updated_timestamp": updated}
        if description:
            found[id_]["description"] = description
    ids = list(found)
    if not ids:
        return []
    for id_, key, value in tx.rows(SELECT_TAGS, ids=ids):
        found[id_].setdefault("tags", []).append({"key": key, "value": value})
    for id_, alias, version in tx.rows(SELECT_ALIASES, ids=ids):
        found[id_].setdefault("aliases", []).append({"alias": alias, "version": str(version)})
    for id_, versions in latest_versions_of(tx, ids).items():
        found[id_]["latest_versions"] = versions
    return list(found.values())


def create_registered_model(
    tx: Transaction, name: str, tags: Mapping[str, str], description: str | None
) -> RegisteredModel:
    """Inserts a model, whose name no other model and no prompt has."""
    prompt = is_prompt(tags)
    now = now_in_milliseconds()
    row = tx.row(INSERT_MODEL, name=name, is_prompt=int(prompt), now=now, description=description)
    if row is None:
        existing = find_model(tx, name)
        raise name_is_taken(name, by_prompt=existing is not None and existing.is_prompt, for_prompt=prompt)
    tx.write_rows(TAGS.upsert, list(tags.items()), owner=row[0])
    return to_registered_models(tx, [(row[0], name, now, now, description)])[0]


def get_registered_model(tx: Transaction, name: str) -> RegisteredModel:
    """The model with its tags, its aliases, and the latest version of each stage."""
    row = tx.row(SELECT_MODEL, name=name)
    if row is None:
        raise not_found(name)
    return to_registered_models(tx, [row])[0]


def update_registered_model(tx: Transaction, name: str, description: str) -> RegisteredModel:
    """Sets the description of a model."""
    row = tx.row(SET_DESCRIPTION, of_name=name, text=description, now=now_in_milliseconds())
    if row is None:
        raise not_found(name)
    return to_registered_models(tx, [row])[0]


def rename_registered_model(tx: Transaction, name: str, new_name: str) -> RegisteredModel:
    """Gives a model another name, which no other has; its versions go with it."""
    ref = _existing(tx, name)
    now = now_in_milliseconds()
    if new_name != name:
        # A row holds the new name until this one has it, so that nobody else can take it in between.
        held = tx.row(INSERT_MODEL, name=new_name, is_prompt=0, now=now, description=None)
        if held is None:
            raise ResourceAlreadyExists(f"Registered Model (name={new_name}) already exists.")
        tx.execute(DELETE_MODEL, model=held[0])
    tx.execute(SET_NAME, model=ref.id, new_name=new_name, now=now)
    tx.execute(SET_NAME_OF_VERSIONS, model=ref.id, new_name=new_name, now=now)
    return get_registered_model(tx, new_name)


def delete_registered_model(tx: Transaction, name: str) -> RegisteredModelRef:
    """Removes a model for good, with its versions and all that belongs to both."""
    ref = _existing(tx, name)
    for statement in (DELETE_VERSION_TAGS, DELETE_VERSIONS, DELETE_ALIASES):
        tx.execute(statement, model=ref.id)
    tx.execute(TAGS.delete_all, of_owner=ref.id)
    tx.execute(DELETE_MODEL, model=ref.id)
    return ref


def set_registered_model_tag(tx: Transaction, name: str, key: str, value: str) -> RegisteredModelRef:
    """Sets or overwrites a tag of a model."""
    ref = _existing(tx, name)
    tx.write_rows(TAGS.upsert, [(key, value)], owner=ref.id)
    if key == IS_PROMPT_TAG:
        ref = ref._replace(is_prompt=is_prompt_value(value))
        tx.execute(SET_IS_PROMPT, model=ref.id, prompt=int(ref.is_prompt))
    return ref


def delete_registered_model_tag(tx: Transaction, name: str, key: str) -> RegisteredModelRef:
    """Removes a tag of a model; one that is not there is no error."""
    ref = _existing(tx, name)
    tx.execute(TAGS.delete, of_owner=ref.id, of_key=key)
    if key == IS_PROMPT_TAG:
        ref = ref._replace(is_prompt=False)
        tx.execute(SET_IS_PROMPT, model=ref.id, prompt=0)
    return ref


def delete_registered_model_alias(tx: Transaction, name: str, alias: str) -> RegisteredModelRef:
    """Removes an alias of a model; one that is not there is no error."""
    ref = _existing(tx, name)
    tx.execute(DELETE_ALIAS, model=ref.id, of_alias=alias)
    return ref
