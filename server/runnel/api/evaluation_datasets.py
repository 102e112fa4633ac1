"""Endpoints of evaluation datasets (``mlflow.genai.datasets``)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import Empty, parse_experiment_ids
from runnel.domain import limits
from runnel.domain.evaluation_dataset_records import parse_records
from runnel.domain.evaluation_datasets import EvaluationDataset, check_dataset_name, parse_tags, user_of
from runnel.domain.validation import check_max_results
from runnel.store import evaluation_dataset_records, evaluation_dataset_search, evaluation_datasets
from runnel.store.statements import Transaction


class DatasetAnswer(TypedDict):
    dataset: EvaluationDataset


class DatasetsAnswer(TypedDict):
    datasets: NotRequired[list[EvaluationDataset]]
    next_page_token: NotRequired[str]


class UpsertAnswer(TypedDict):
    inserted_count: int
    updated_count: int


class RecordsAnswer(TypedDict):
    records: str
    next_page_token: NotRequired[str]


class DeletedAnswer(TypedDict):
    deleted_count: int


class ExperimentIdsAnswer(TypedDict):
    experiment_ids: NotRequired[list[str]]


def create_dataset(
    tx: Transaction,
    name: str,
    experiment_ids: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
    tags: str = "",
) -> DatasetAnswer:
    """Creates an empty dataset, linked with experiments; ``tags`` is a JSON object as text."""
    check_dataset_name(name)
    parsed = parse_tags(tags) if tags else {}
    dataset = evaluation_datasets.create_dataset(
        tx,
        name,
        {key: value for key, value in parsed.items() if value is not None},
        user_of(parsed, "tags"),
        list(dict.fromkeys(parse_experiment_ids(experiment_ids))),
    )
    return {"dataset": dataset}


def get_dataset(tx: Transaction, dataset_id: str) -> DatasetAnswer:
    """The dataset without its records."""
    return {"dataset": evaluation_datasets.get_dataset(tx, dataset_id)}


def delete_dataset(tx: Transaction, dataset_id: str) -> Empty:
    """Removes a dataset and its records for good; one that is not there is no error."""
    evaluation_datasets.delete_dataset(tx, dataset_id)
    return {}


def search_evaluation_datasets(
    tx: Transaction,
    experiment_ids: list[str] = [],  # noqa: B006
    filter_string: str = "",
    max_results: int = 1_000,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> DatasetsAnswer:
    """A page of the datasets that match a filter, newest first unless told otherwise; of all, without experiments.

    A page has at most 1,000 datasets, whatever is asked for.
    """
    check_max_results(max_results)
    found, next_page_token = evaluation_dataset_search.search_datasets(
        tx,
        parse_experiment_ids(experiment_ids),
        filter_string,
        order_by,
        min(max_results, limits.MAX_EVALUATION_DATASET_RESULTS),
        page_token,
    )
    answer: DatasetsAnswer = {}
    if found:
        answer["datasets"] = found
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def search_may_scan(filter_string: str, order_by: list[str], **_: object) -> bool:
    """Whether a search may have to look at every dataset."""
    return bool(filter_string or order_by)


def set_dataset_tags(tx: Transaction, dataset_id: str, tags: str) -> Empty:
    """Sets or overwrites the tags in a JSON object, and removes those that are null: all of them, or none."""
    evaluation_datasets.set_dataset_tags(tx, dataset_id, parse_tags(tags))
    return {}


def delete_dataset_tag(tx: Transaction, dataset_id: str, key: str) -> Empty:
    """Removes a tag; one that is not there is no error."""
    evaluation_datasets.delete_dataset_tag(tx, dataset_id, key)
    return {}


def upsert_dataset_records(tx: Transaction, dataset_id: str, records: str) -> UpsertAnswer:
    """Adds the records in a JSON list, or merges them into those with the same inputs: all of them, or none."""
    inserted, updated = evaluation_dataset_records.upsert_dataset_records(tx, dataset_id, parse_records(records))
    return {"inserted_count": inserted, "updated_count": updated}


def get_dataset_records(
    tx: Transaction, dataset_id: str, max_results: int = 1_000, page_token: str = ""
) -> RecordsAnswer:
    """A page of records as a JSON list in text; a page of large records ends before ``max_results``."""
    size = max_results or limits.DEFAULT_DATASET_RECORD_RESULTS
    check_max_results(size)
    page, next_page_token = evaluation_dataset_records.get_dataset_records(tx, dataset_id, size, page_token)
    answer: RecordsAnswer = {"records": f"[{', '.join(page)}]"}
    if next_page_token:
        answer["next_page_token"] = next_page_token
    return answer


def delete_dataset_records(
    tx: Transaction,
    dataset_id: str,
    dataset_record_ids: list[str] = [],  # noqa: B006
) -> DeletedAnswer:
    """Removes records for good; those that are not there are no error."""
    return {"deleted_count": evaluation_dataset_records.delete_dataset_records(tx, dataset_id, dataset_record_ids)}


def get_dataset_experiment_ids(tx: Transaction, dataset_id: str) -> ExperimentIdsAnswer:
    """The experiments that a dataset is linked with."""
    experiment_ids = evaluation_datasets.get_dataset_experiment_ids(tx, dataset_id)
    return {"experiment_ids": experiment_ids} if experiment_ids else {}


def add_dataset_to_experiments(
    tx: Transaction,
    dataset_id: str,
    experiment_ids: list[str] = [],  # noqa: B006
) -> DatasetAnswer:
    """Links a dataset with more experiments: all of them, or none."""
    return {
        "dataset": evaluation_datasets.add_dataset_to_experiments(tx, dataset_id, parse_experiment_ids(experiment_ids))
    }


def remove_dataset_from_experiments(
    tx: Transaction,
    dataset_id: str,
    experiment_ids: list[str] = [],  # noqa: B006
) -> DatasetAnswer:
    """Takes away links of a dataset with experiments; those that are not there are no error."""
    return {
        "dataset": evaluation_datasets.remove_dataset_from_experiments(
            tx, dataset_id, parse_experiment_ids(experiment_ids)
        )
    }
