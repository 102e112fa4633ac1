"""Versions of registered models in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.model_versions import ARCHIVED, NO_STAGE, STAGES, ModelVersion
from runnel.domain.prompts import IS_PROMPT_TAG, is_prompt, is_prompt_value
from runnel.domain.registered_models import is_latest
from runnel.store.experiments import now_in_milliseconds
from runnel.store.linked_models import LinkedModel, find_linked_model, note_model_version
from runnel.store.model_version_rows import VERSION_COLUMNS, latest_versions_of, to_model_versions
from runnel.store.registered_models import (
    UPSERT_ALIAS,
    RegisteredModelRef,
    find_model,
    lock_model,
    not_found,
    tag_statements,
    touch_model,
)
from runnel.store.schema import model_version_tags, model_versions, registered_model_aliases, registered_models
from runnel.store.statements import Statement, Transaction


class NewVersion(NamedTuple):
    """What is kept of a new version beside its tags; the storage location is where its artifacts lie."""

    source: str
    storage_location: str
    run_id: str
    run_link: str
    model_id: str
    description: str


class StoredVersion(NamedTuple):
    """Where a version comes from."""

    version: int
    is_prompt: bool
    storage_location: str
    run_id: str
    model_id: str


_OF_MODEL = (
    model_versions.c.registered_model == sa.bindparam("model"),
    model_versions.c.version == sa.bindparam("number"),
)

NEXT_VERSION = Statement(
    lambda d: (
        sa.update(registered_models)
        .where(registered_models.c.name == sa.bindparam("of_name"))
        .values(last_version=registered_models.c.last_version + 1, last_updated_time=sa.bindparam("now"))
        .returning(
            registered_models.c.id,
            registered_models.c.name,
            registered_models.c.is_prompt,
            registered_models.c.last_version,
        )
    )
)
INSERT_VERSION = Statement(
    lambda d: (
        d.insert(model_versions)
        .values(
            registered_model=sa.bindparam("model"),
            version=sa.bindparam("number"),
            name=sa.bindparam("of_name"),
            is_prompt=sa.bindparam("prompt"),
            current_stage=NO_STAGE,
            creation_time=sa.bindparam("now"),
            last_updated_time=sa.bindparam("now"),
            description=sa.bindparam("text"),
            source=sa.bindparam("source"),
            storage_location=sa.bindparam("storage_location"),
            run_id=sa.bindparam("run_id"),
            run_link=sa.bindparam("run_link"),
            model_id=sa.bindparam("model_id"),
        )
        .returning(*VERSION_COLUMNS)
    )
)
SELECT_VERSION = Statement(
    lambda d: (
        sa.select(*VERSION_COLUMNS, registered_models.c.id)
        .join_from(registered_models, model_versions, model_versions.c.registered_model == registered_models.c.id)
        .where(registered_models.c.name == sa.bindparam("name"), model_versions.c.version == sa.bindparam("number"))
    )
)
SELECT_STORED = Statement(
    lambda d: (
        sa.select(
            model_versions.c.version,
            model_versions.c.is_prompt,
            model_versions.c.storage_location,
            model_versions.c.run_id,
            model_versions.c.model_id,
        )
        .join_from(registered_models, model_versions, model_versions.c.registered_model == registered_models.c.id)
        .where(registered_models.c.name == sa.bindparam("name"), model_versions.c.version == sa.bindparam("number"))
    )
)
SELECT_KEY = Statement(lambda d: sa.select(model_versions.c.id).where(*_OF_MODEL))
SELECT_LAST_NUMBER = Statement(
    lambda d: sa.select(sa.func.max(model_versions.c.version)).where(
        model_versions.c.registered_model == sa.bindparam("model")
    )
)
SELECT_ALIASES = Statement(
    lambda d: (
        sa.select(registered_model_aliases.c.version, registered_model_aliases.c.alias)
        .where(registered_model_aliases.c.registered_model == sa.bindparam("model"))
        .order_by(registered_model_aliases.c.alias)
    )
)
SELECT_NUMBER_OF_ALIAS = Statement(
    lambda d: sa.select(registered_model_aliases.c.version).where(
        registered_model_aliases.c.registered_model == sa.bindparam("model"),
        registered_model_aliases.c.alias == sa.bindparam("alias"),
    )
)
SET_DESCRIPTION = Statement(
    lambda d: (
        sa.update(model_versions)
        .where(*_OF_MODEL)
        .values(description=sa.bindparam("text"), last_updated_time=sa.bindparam("now"))
    )
)
SET_STAGE = Statement(
    lambda d: (
        sa.update(model_versions)
        .where(*_OF_MODEL)
        .values(current_stage=sa.bindparam("stage"), last_updated_time=sa.bindparam("now"))
    )
)
ARCHIVE_OTHERS = Statement(
    lambda d: (
        sa.update(model_versions)
        .where(
            model_versions.c.registered_model == sa.bindparam("model"),
            model_versions.c.current_stage == sa.bindparam("stage"),
            model_versions.c.version != sa.bindparam("number"),
        )
        .values(current_stage=ARCHIVED, last_updated_time=sa.bindparam("now"))
    )
)
SET_IS_PROMPT = Statement(
    lambda d: (
        sa.update(model_versions)
        .where(model_versions.c.id == sa.bindparam("key"))
        .values(is_prompt=sa.bindparam("prompt"))
    )
)
DELETE_VERSION = Statement(lambda d: sa.delete(model_versions).where(model_versions.c.id == sa.bindparam("key")))
DELETE_ALIASES = Statement(
    lambda d: sa.delete(registered_model_aliases).where(
        registered_model_aliases.c.registered_model == sa.bindparam("model"),
        registered_model_aliases.c.version == sa.bindparam("number"),
    )
)
TAGS = tag_statements(model_version_tags)


def _not_found(name: str, number: int) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Model Version (name={name}, version={number}) not found")


def create_model_version(tx: Transaction, name: str, new: NewVersion, tags: Mapping[str, str]) -> ModelVersion:
    """Adds a version with the number behind the last one that was given; the logged model it is of is told."""
    prompt = is_prompt(tags)
    now = now_in_milliseconds()
    row = tx.row(NEXT_VERSION, of_name=name, now=now)
    if row is None:
        raise not_found(name)
    model, _, _, number = row
    inserted = tx.row(
        INSERT_VERSION,
        model=model,
        number=number,
        of_name=name,
        prompt=int(prompt),
        now=now,
        text=new.description,
        source=new.source,
        storage_location=new.storage_location,
        run_id=new.run_id,
        run_link=new.run_link,
        model_id=new.model_id or None,
    )
    assert inserted is not None
    tx.write_rows(TAGS.upsert, list(tags.items()), owner=inserted[0])
    if new.model_id and not prompt:
        note_model_version(tx, new.model_id, name, number)
    return to_model_versions(tx, [inserted])[0]


def get_model_version(tx: Transaction, name: str, number: int) -> ModelVersion:
    """The version with its aliases, and with the params and metrics of the logged model it is of."""
    row = tx.row(SELECT_VERSION, name=name, number=number)
    if row is None:
        raise _not_found(name, number)
    version = _with_aliases(tx, row[-1], to_model_versions(tx, [row]))[0]
    linked = find_linked_model(tx, version["model_id"]) if "model_id" in version else LinkedModel((), ())
    if linked.params:
        version["model_params"] = [{"name": key, "value": value} for key, value in linked.params]
    if linked.metrics:
        version["model_metrics"] = list(linked.metrics)
    return version


def _with_aliases(tx: Transaction, model: int, versions: list[ModelVersion]) -> list[ModelVersion]:
    aliases: dict[str, list[str]] = {}
    for number, alias in tx.rows(SELECT_ALIASES, model=model):
        aliases.setdefault(str(number), []).append(alias)
    for version in versions:
        if version["version"] in aliases:
            version["aliases"] = aliases[version["version"]]
    return versions


def get_stored_version(tx: Transaction, name: str, number: int) -> StoredVersion:
    """Where a version comes from."""
    row = tx.row(SELECT_STORED, name=name, number=number)
    if row is None:
        raise _not_found(name, number)
    return StoredVersion(row[0], bool(row[1]), row[2], row[3], row[4] or "")


def get_latest_versions(tx: Transaction, name: str, stages: Sequence[str]) -> list[ModelVersion]:
    """The latest version of each of the stages (of all, if none is named) that has one."""
    ref = find_model(tx, name)
    if ref is None:
        raise not_found(name)
    wanted = stages or STAGES
    latest = latest_versions_of(tx, [ref.id]).get(ref.id, [])
    return _with_aliases(tx, ref.id, [version for version in latest if version["current_stage"] in wanted])


def number_of_alias(tx: Transaction, name: str, alias: str) -> int:
    """The number of the version that an alias leads to; ``latest`` leads to the highest number."""
    ref = find_model(tx, name)
    if ref is None:
        raise not_found(name)
    if is_latest(alias):
        row = tx.row(SELECT_LAST_NUMBER, model=ref.id)
        if row is None or row[0] is None:
            raise ResourceDoesNotExist(f"Latest version not found for model {name}.")
    else:
        row = tx.row(SELECT_NUMBER_OF_ALIAS, model=ref.id, alias=alias)
        if row is None:
            raise InvalidParameterValue(f"Registered model alias {alias} not found.")
    number: int = row[0]
    return number


def number_of_stage(tx: Transaction, name: str, stage: str) -> int:
    """The number of the latest version of a stage, or of all versions without one."""
    versions = get_latest_versions(tx, name, [stage] if stage else ())
    if not versions:
        of_stage = f" and stage '{stage}'" if stage else ""
        raise ResourceDoesNotExist(f"No versions of model with name '{name}'{of_stage} found")
    return max(int(version["version"]) for version in versions)


def update_model_version(tx: Transaction, name: str, number: int, description: str | None) -> ModelVersion:
    """Sets the description of a version, or takes it away."""
    ref, _ = _lock_version(tx, name, number)
    tx.execute(SET_DESCRIPTION, model=ref.id, number=number, text=description, now=now_in_milliseconds())
    return get_model_version(tx, name, number)


def transition_model_version_stage(
    tx: Transaction, name: str, number: int, stage: str, archive_existing_versions: bool
) -> ModelVersion:
    """Brings a version into a stage; those that are in it can be archived at the same time."""
    now = now_in_milliseconds()
    ref = touch_model(tx, name, now)
    if ref is None:
        raise _not_found(name, number)
    if tx.execute(SET_STAGE, model=ref.id, number=number, stage=stage, now=now).rowcount == 0:
        raise _not_found(name, number)
    if archive_existing_versions:
        tx.execute(ARCHIVE_OTHERS, model=ref.id, number=number, stage=stage, now=now)
    return get_model_version(tx, name, number)


def delete_model_version(tx: Transaction, name: str, number: int) -> RegisteredModelRef:
    """Removes a version for good, with its tags and the aliases that lead to it; its number is not given again."""
    ref = touch_model(tx, name, now_in_milliseconds())
    if ref is None:
        raise _not_found(name, number)
    key = _key_of(tx, ref, number)
    tx.execute(TAGS.delete_all, of_owner=key)
    tx.execute(DELETE_ALIASES, model=ref.id, number=number)
    tx.execute(DELETE_VERSION, key=key)
    return ref


def _key_of(tx: Transaction, ref: RegisteredModelRef, number: int) -> int:
    row = tx.row(SELECT_KEY, model=ref.id, number=number)
    if row is None:
        raise _not_found(ref.name, number)
    key: int = row[0]
    return key


def _lock_version(tx: Transaction, name: str, number: int) -> tuple[RegisteredModelRef, int]:
    """The locked model, and the key of a version of it."""
    ref = lock_model(tx, name)
    if ref is None:
        raise _not_found(name, number)
    return ref, _key_of(tx, ref, number)


def set_model_version_tag(tx: Transaction, name: str, number: int, key: str, value: str) -> RegisteredModelRef:
    """Sets or overwrites a tag of a version."""
    ref, owner = _lock_version(tx, name, number)
    tx.write_rows(TAGS.upsert, [(key, value)], owner=owner)
    if key == IS_PROMPT_TAG:
        tx.execute(SET_IS_PROMPT, key=owner, prompt=int(is_prompt_value(value)))
    return ref


def delete_model_version_tag(tx: Transaction, name: str, number: int, key: str) -> RegisteredModelRef:
    """Removes a tag of a version; one that is not there is no error."""
    ref, owner = _lock_version(tx, name, number)
    tx.execute(TAGS.delete, of_owner=owner, of_key=key)
    if key == IS_PROMPT_TAG:
        tx.execute(SET_IS_PROMPT, key=owner, prompt=0)
    return ref


def set_registered_model_alias(tx: Transaction, name: str, alias: str, number: int) -> RegisteredModelRef:
    """Makes an alias lead to a version, wherever it led to."""
    ref, _ = _lock_version(tx, name, number)
    tx.execute(UPSERT_ALIAS, model=ref.id, alias=alias, version=number)
    return ref
