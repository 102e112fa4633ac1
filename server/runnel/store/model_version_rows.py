"""Versions of registered models as they are read: rows with their tags, and the latest of each stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.model_versions import READY, STAGES, ModelVersion
from runnel.store.dialects import Dialect
from runnel.store.schema import model_version_tags, model_versions, registered_models
from runnel.store.statements import Statement, Transaction

VERSION_COLUMNS = (
    model_versions.c.id,
    model_versions.c.name,
    model_versions.c.version,
    model_versions.c.creation_time,
    model_versions.c.last_updated_time,
    model_versions.c.current_stage,
    model_versions.c.description,
    model_versions.c.source,
    model_versions.c.run_id,
    model_versions.c.run_link,
    model_versions.c.model_id,
)
_OF_MODEL = len(VERSION_COLUMNS)  # where the model stands in a row that has it behind them

SELECT_TAGS = Statement(
    lambda d: (
        sa.select(model_version_tags.c.owner, model_version_tags.c.key, model_version_tags.c.value)
        .where(d.is_in(model_version_tags.c.owner, "ids"))
        .order_by(model_version_tags.c.owner, model_version_tags.c.key)
    )
)


def _latest_of_stages(dialect: Dialect) -> sa.Select[Any]:
    """The latest version of each stage of models: a look into an index for each of them, whatever the versions."""
    stages = sa.union_all(*[sa.select(sa.literal_column(f"'{stage}'", sa.Text()).label("stage")) for stage in STAGES])
    stage = stages.subquery("stages").c.stage
    other = model_versions.alias("other")
    latest = (
        sa.select(sa.func.max(other.c.version))
        .where(other.c.registered_model == registered_models.c.id, other.c.current_stage == stage)
        .scalar_subquery()
    )
    return (
        sa.select(*VERSION_COLUMNS, registered_models.c.id)
        .select_from(registered_models)
        .join(stage.table, sa.true())
        .join(
            model_versions,
            sa.and_(model_versions.c.registered_model == registered_models.c.id, model_versions.c.version == latest),
        )
        .where(dialect.is_in(registered_models.c.id, "ids"))
        .order_by(registered_models.c.id, model_versions.c.version)
    )


SELECT_LATEST = Statement(_latest_of_stages)


def to_model_versions(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> list[ModelVersion]:
    """Rows that begin with ``VERSION_COLUMNS`` as clients see them, with their tags."""
    found: dict[int, ModelVersion] = {}
    for row in rows:
        id_, name, version, created, updated, stage, description, source, run_id, run_link, model_id = row[:_OF_MODEL]
        shown: ModelVersion = {
            "name": name,
            "version": str(version),
            "creation_timestamp": created,
            "last_updated_timestamp": updated,
            "current_stage": stage,
            "source": source,
            "run_id": run_id,
            "status": READY,
            "run_link": run_link,
        }
        if description is not None:
            shown["description"] = description
        if model_id is not None:
            shown["model_id"] = model_id
        found[id_] = shown
    if found:
        for id_, key, value in tx.rows(SELECT_TAGS, ids=list(found)):
            found[id_].setdefault("tags", []).append({"key": key, "value": value})
    return list(found.values())


def latest_versions_of(tx: Transaction, models: Sequence[int]) -> dict[int, list[ModelVersion]]:
    """The latest version of each stage, by the keys of the models."""
    rows = tx.rows(SELECT_LATEST, ids=list(models))
    latest: dict[int, list[ModelVersion]] = {}
    for row, version in zip(rows, to_model_versions(tx, rows), strict=True):
        latest.setdefault(row[_OF_MODEL], []).append(version)
    return latest
