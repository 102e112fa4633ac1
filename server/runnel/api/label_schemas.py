"""Endpoints of label schemas (``mlflow.genai.label_schemas``): the questions that reviewers of traces answer."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

from runnel.api.experiments import Empty
from runnel.api.services import Services
from runnel.domain import limits
from runnel.domain.label_schemas import (
    LabelSchema,
    LabelSchemaInput,
    LabelSchemaType,
    check_instruction,
    check_schema_name,
    check_type,
    chosen_input,
)
from runnel.domain.validation import check_page_size, parse_experiment_id
from runnel.store import label_schemas
from runnel.store.statements import Transaction


class LabelSchemaAnswer(TypedDict):
    label_schema: LabelSchema


class LabelSchemasAnswer(TypedDict):
    label_schemas: list[LabelSchema]
    next_page_token: str


def create_label_schema(
    tx: Transaction,
    experiment_id: str,
    name: str,
    type: LabelSchemaType | None = None,
    input: LabelSchemaInput | None = None,
    instruction: str | None = None,
    enable_comment: bool = False,
) -> LabelSchemaAnswer:
    """Creates a question of an active experiment; its name is that of the assessments that answer it."""
    type_, input_ = check_type(type), chosen_input(input)
    check_schema_name(name)
    check_instruction(instruction or "")
    schema = label_schemas.create_label_schema(
        tx,
        parse_experiment_id(experiment_id),
        name=name,
        type_=type_,
        input_=input_,
        instruction=instruction,
        enable_comment=enable_comment,
    )
    return {"label_schema": schema}


def get_label_schema(tx: Transaction, schema_id: str) -> LabelSchemaAnswer:
    """A label schema."""
    return {"label_schema": label_schemas.get_label_schema(tx, schema_id)}


def get_label_schema_by_name(tx: Transaction, experiment_id: str, name: str) -> LabelSchemaAnswer:
    """The label schema of that name of an active experiment."""
    return {"label_schema": label_schemas.get_label_schema_by_name(tx, parse_experiment_id(experiment_id), name)}


async def list_label_schemas(
    services: Services,
    experiment_id: str,
    max_results: int = limits.DEFAULT_LABEL_SCHEMA_RESULTS,
    page_token: str = "",
) -> LabelSchemasAnswer:
    """A page of the label schemas of an active experiment, the newest first: at most 1,000.

    As in MLflow, the first list of an experiment gives it the question ("Feedback") that all experiments have.
    """
    check_page_size(max_results)
    experiment = parse_experiment_id(experiment_id)
    query = partial(
        label_schemas.list_label_schemas, experiment_id=experiment, max_results=max_results, page_token=page_token
    )
    page = await services.database.read(query)
    if page is None:

        def create_and_list(tx: Transaction) -> tuple[list[LabelSchema], str | None]:
            label_schemas.create_default_label_schema(tx, experiment)
            created = query(tx)
            assert created is not None
            return created

        page = await services.database.write(create_and_list)
    found, token = page
    return {"label_schemas": found, "next_page_token": token or ""}


def update_label_schema(
    tx: Transaction,
    schema_id: str,
    name: str | None = None,
    instruction: str | None = None,
    enable_comment: bool | None = None,
    input: LabelSchemaInput | None = None,
) -> LabelSchemaAnswer:
    """Changes those fields of a label schema that are given; its type and its kind of input stay as they are."""
    if name is not None:
        check_schema_name(name)
    check_instruction(instruction or "")
    schema = label_schemas.update_label_schema(
        tx,
        schema_id,
        name=name,
        instruction=instruction,
        enable_comment=enable_comment,
        input_=None if input is None else chosen_input(input),
    )
    return {"label_schema": schema}


def delete_label_schema(tx: Transaction, schema_id: str) -> Empty:
    """Removes a label schema for good; one that is not there is no error."""
    label_schemas.delete_label_schema(tx, schema_id)
    return {}
