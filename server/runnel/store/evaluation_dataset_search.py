"""The search for evaluation datasets: filter, order and page in SQL.

It walks the datasets in their order and checks the conditions, unless an index finds few that can meet one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.evaluation_datasets import EVALUATION_DATASETS, EvaluationDataset
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by
from runnel.store.dialects import Dialect
from runnel.store.evaluation_datasets import DATASET_COLUMNS, to_datasets
from runnel.store.filters import SortKey, behind, matches
from runnel.store.page_sizes import gather_page
from runnel.store.schema import (
    INDEXED_VALUE_LENGTH,
    evaluation_dataset_experiments,
    evaluation_dataset_tags,
    evaluation_datasets,
    indexed_value,
)
from runnel.store.statements import Transaction

_FEW = 1_000
_DEFAULT_ORDER = (Ordering("attribute", "created_time", False),)


def search_datasets(
    tx: Transaction,
    experiment_ids: Sequence[int],
    filter_string: str,
    order_by: Sequence[str],
    max_results: int,
    page_token: str,
) -> tuple[list[EvaluationDataset], str | None]:
    """A page of the datasets that match, and the token of the next page; without experiments, of all datasets."""
    comparisons = parse_filter(filter_string, EVALUATION_DATASETS)
    orderings = parse_order_by(order_by, EVALUATION_DATASETS) or _DEFAULT_ORDER
    keys = [SortKey(evaluation_datasets.c[term.key], term.ascending) for term in orderings]
    # Ties go the way of the last key: the indices are in one direction.
    keys.append(SortKey(evaluation_datasets.c.id, orderings[-1].ascending))
    identity = ("evaluation datasets", tuple(sorted(set(experiment_ids))), comparisons, tuple(orderings))
    query = sa.select(*DATASET_COLUMNS, *[key.expression.label(f"key_{index}") for index, key in enumerate(keys)])
    query = query.where(*[_condition(tx.dialect, comparison) for comparison in comparisons])
    if experiment_ids:
        links = evaluation_dataset_experiments.c
        linked = sa.select(links.dataset_id).where(tx.dialect.is_in(links.experiment_id, list(experiment_ids)))
        query = query.where(evaluation_datasets.c.id.in_(linked))
    candidates = _few_candidates(tx, comparisons)
    if candidates is not None:
        query = query.where(tx.dialect.is_in(evaluation_datasets.c.id, candidates))
    if page_token:
        query = query.where(behind(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    rows = tx.rows(query.order_by(*[key.order() for key in keys]).limit(max_results + 1))
    width = len(DATASET_COLUMNS)
    found, last = gather_page(rows, max_results, lambda some: to_datasets(tx, [row[:width] for row in some]))
    return found, page_tokens.encode_page_token(last[width:], identity) if last else None


def _condition(dialect: Dialect, comparison: Comparison) -> sa.ColumnElement[bool]:
    if comparison.entity == "attribute":
        return matches(dialect, evaluation_datasets.c[comparison.key], comparison)
    tags = evaluation_dataset_tags.c
    tagged = sa.select(tags.dataset_id).where(tags.key == comparison.key, matches(dialect, tags.value, comparison))
    return sa.exists(tagged.where(tags.dataset_id == evaluation_datasets.c.id).correlate(evaluation_datasets))


def _few_candidates(tx: Transaction, comparisons: Sequence[Comparison]) -> list[int] | None:
    """The datasets that may meet an equality of a tag, as its index finds them; None where they are many."""
    tags = evaluation_dataset_tags.c
    for comparison in comparisons:
        if comparison.entity == "tag" and comparison.operator == "=":
            beginning = str(comparison.value)[:INDEXED_VALUE_LENGTH]
            candidates = sa.select(tags.dataset_id).where(
                tags.key == comparison.key, indexed_value(tags.value) == beginning
            )
            rows = tx.rows(candidates.limit(_FEW + 1))
            if len(rows) <= _FEW:
                return [row[0] for row in rows]
    return None
