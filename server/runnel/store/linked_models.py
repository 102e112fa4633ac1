"""Logged models as versions of registered models see them, and the versions that they list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from runnel.domain.experiments import ACTIVE
from runnel.domain.logged_models import MODEL_VERSIONS_TAG, LoggedModelMetricDict, model_versions_in_tag
from runnel.store.logged_model_metrics import metrics_of_models
from runnel.store.logged_models import SELECT_PARAMS_OF_MODELS, SELECT_REF, UPSERT_TAGS, not_found
from runnel.store.schema import logged_model_tags, logged_models
from runnel.store.statements import Statement, Transaction

# Of those that were registered of one model, the newest: the tag is written anew with each.
MAX_NOTED_VERSIONS = 1_000

SELECT_SOURCE = Statement(
    lambda d: sa.select(
        logged_models.c.source_run_id, logged_models.c.artifact_location, logged_models.c.lifecycle_stage
    ).where(logged_models.c.model_id == sa.bindparam("model_id"))
)
LOCK_MODEL = Statement(
    lambda d: (
        sa.select(logged_models.c.id, logged_models.c.experiment_id)
        .where(logged_models.c.model_id == sa.bindparam("model_id"))
        .with_for_update()
    )
)
SELECT_TAG = Statement(
    lambda d: sa.select(logged_model_tags.c.value).where(
        logged_model_tags.c.model_id == sa.bindparam("model"), logged_model_tags.c.key == sa.bindparam("key")
    )
)


class LoggedModelSource(NamedTuple):
    """What a version of a registered model takes over from its logged model."""

    source_run_id: str
    artifact_location: str


class LinkedModel(NamedTuple):
    """The params and metrics of a logged model."""

    params: Sequence[tuple[str, str]]
    metrics: Sequence[LoggedModelMetricDict]


def find_linked_model(tx: Transaction, model_id: str) -> LinkedModel:
    """The params and metrics of a logged model; none where it is gone."""
    row = tx.row(SELECT_REF, model_id=model_id)
    if row is None:
        return LinkedModel((), ())
    params = [(key, value) for _, key, value in tx.rows(SELECT_PARAMS_OF_MODELS, ids=[row[0]])]
    return LinkedModel(params, [metric for _, metric in metrics_of_models(tx, {row[0]: model_id})])


def get_logged_model_source(tx: Transaction, model_id: str) -> LoggedModelSource:
    """Where an active logged model comes from, and where its artifacts are."""
    row = tx.row(SELECT_SOURCE, model_id=model_id)
    if row is None or row[2] != ACTIVE:
        raise not_found(model_id)
    return LoggedModelSource(row[0], row[1])


def note_model_version(tx: Transaction, model_id: str, name: str, version: int) -> None:
    """Adds a version of a registered model to those that a logged model, if it is still there, lists in its tag."""
    row = tx.row(LOCK_MODEL, model_id=model_id)
    if row is None:
        return
    tag = tx.row(SELECT_TAG, model=row[0], key=MODEL_VERSIONS_TAG)
    versions = model_versions_in_tag("" if tag is None else tag[0])
    value = json.dumps([*versions[1 - MAX_NOTED_VERSIONS :], {"name": name, "version": version}])
    tx.write_rows(UPSERT_TAGS, [(MODEL_VERSIONS_TAG, value)], model=row[0], experiment_id=row[1])
