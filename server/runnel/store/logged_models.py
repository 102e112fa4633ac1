"""Logged models as inputs and outputs of runs, in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from runnel.domain.logged_models import ModelInput, ModelInputDict, ModelOutput, ModelOutputDict
from runnel.store.schema import model_inputs, model_outputs
from runnel.store.statements import Statement, Transaction

SELECT_INPUTS_OF_RUNS = Statement(
    lambda d: sa.select(model_inputs.c.run_id, model_inputs.c.model_id).where(d.is_in(model_inputs.c.run_id, "run_ids"))
)
SELECT_OUTPUTS_OF_RUNS = Statement(
    lambda d: sa.select(model_outputs.c.run_id, model_outputs.c.model_id, model_outputs.c.step).where(
        d.is_in(model_outputs.c.run_id, "run_ids")
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


def inputs_of_runs(tx: Transaction, run_ids: list[int]) -> Iterator[tuple[int, ModelInputDict]]:
    """The models that runs used, each with the key of its run."""
    for run_id, model_id in tx.rows(SELECT_INPUTS_OF_RUNS, run_ids=run_ids):
        yield run_id, {"model_id": model_id}


def outputs_of_runs(tx: Transaction, run_ids: list[int]) -> Iterator[tuple[int, ModelOutputDict]]:
    """The models that runs made, each with the key of its run."""
    for run_id, model_id, step in tx.rows(SELECT_OUTPUTS_OF_RUNS, run_ids=run_ids):
        yield run_id, {"model_id": model_id, "step": step}


def log_model_inputs(tx: Transaction, run_id: int, models: Sequence[ModelInput]) -> None:
    """Links models that a run used; a link that exists stays as it is."""
    for model in models:
        tx.execute(INSERT_INPUT, run_id=run_id, model_id=model.model_id)


def log_model_outputs(tx: Transaction, run_id: int, models: Sequence[ModelOutput]) -> None:
    """Links models that a run made at a step; a link that exists stays as it is."""
    for model in models:
        tx.execute(INSERT_OUTPUT, run_id=run_id, model_id=model.model_id, step=model.step)
