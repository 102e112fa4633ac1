"""Endpoints of the datasets that runs used."""

from __future__ import annotations

from typing import TypedDict

from runnel.domain import limits
from runnel.domain.datasets import DatasetSummary
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import parse_experiment_id
from runnel.store import datasets
from runnel.store.statements import Transaction


class DatasetSummariesAnswer(TypedDict):
    dataset_summaries: list[DatasetSummary]


def search_datasets(
    tx: Transaction,
    experiment_ids: list[str] = [],  # noqa: B006 (a default of the wire, never changed)
) -> DatasetSummariesAnswer:
    """The datasets that runs of up to 20 experiments used."""
    limit = limits.MAX_EXPERIMENTS_PER_DATASET_SEARCH
    if not experiment_ids:
        raise InvalidParameterValue("SearchDatasets request must specify at least one experiment_id.")
    if len(experiment_ids) > limit:
        raise InvalidParameterValue(
            f"SearchDatasets request cannot specify more than {limit} experiment_ids. "
            f"Received {len(experiment_ids)} experiment_ids."
        )
    numbers = [parse_experiment_id(experiment_id) for experiment_id in experiment_ids]
    return {"dataset_summaries": datasets.search_datasets(tx, numbers)}
