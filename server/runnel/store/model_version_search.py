"""The search for versions of models, or of prompts: filter, order and page in SQL.

It walks the versions in the order asked for and checks the conditions, unless an index finds few that can meet one. The
versions of one model are in the order of their last change and in that of their numbers in indexes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.filters import Comparison, Ordering, parse_filter, parse_order_by
from runnel.domain.model_versions import MODEL_VERSIONS, ModelVersion, check_whole_numbers
from runnel.domain.prompts import split_prompt_filter, without_prompt_tag
from runnel.store.dialects import Dialect
from runnel.store.filters import behind, matches
from runnel.store.model_version_rows import VERSION_COLUMNS, to_model_versions
from runnel.store.page_sizes import gather_page, rows_of_page
from runnel.store.registry_search import condition, few, few_tagged, sort_keys, with_tie_breakers
from runnel.store.schema import INDEXED_VALUE_LENGTH, indexed_value, model_version_tags, model_versions
from runnel.store.statements import Transaction

_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": model_versions.c.name,
    "version_number": model_versions.c.version,
    "run_id": model_versions.c.run_id,
    "source_path": model_versions.c.source,
    "creation_timestamp": model_versions.c.creation_time,
    "last_updated_timestamp": model_versions.c.last_updated_time,
}
_NEWEST = Ordering("attribute", "last_updated_timestamp", False)
_BY_NAME = Ordering("attribute", "name", True)
_BY_NUMBER = Ordering("attribute", "version_number", False)
_SCANNING = re.compile(r"LIKE|!=|NOT|tags?\.|version_number", re.IGNORECASE)
_OF_NAME = re.compile(r"\bname\s*(=|IN\b)", re.IGNORECASE)


def may_scan(filter_string: str, order_by: Sequence[str]) -> bool:
    """Whether a search may have to look at every version, judged by its words alone."""
    if _OF_NAME.search(filter_string):
        return False
    by_number = any("version_number" in term for term in order_by)
    return by_number or _SCANNING.search(without_prompt_tag(filter_string)) is not None


def search_model_versions(
    tx: Transaction, filter_string: str, order_by: Sequence[str], max_results: int, page_token: str
) -> tuple[list[ModelVersion], str | None]:
    """A page of the versions that match, and the token of the next page; of prompts, if the filter asks for them."""
    wants_prompts, comparisons = split_prompt_filter(parse_filter(filter_string, MODEL_VERSIONS))
    check_whole_numbers(comparisons)
    orderings = with_tie_breakers(parse_order_by(order_by, MODEL_VERSIONS) or (_NEWEST,), _BY_NAME, _BY_NUMBER)
    keys = sort_keys(orderings, _COLUMNS)
    identity = ("model versions", wants_prompts, comparisons, orderings)
    query = sa.select(*VERSION_COLUMNS, *[key.expression.label(f"key_{index}") for index, key in enumerate(keys)])
    is_prompt: sa.ColumnElement[int] = model_versions.c.is_prompt
    candidates = _few_candidates(tx, comparisons)
    if candidates is not None:
        query = query.where(tx.dialect.is_in(model_versions.c.id, candidates))
    if candidates is not None or any(_is_one_of(one, "name") for one in comparisons):
        # Nothing tempts the planner to walk all versions in order.
        is_prompt = tx.dialect.without_index(is_prompt)
    owner = model_versions.c.id
    query = query.where(
        is_prompt == int(wants_prompts),
        *[condition(tx.dialect, one, _COLUMNS, model_version_tags, owner) for one in comparisons],
    )
    if page_token:
        query = query.where(behind(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    query = query.order_by(*[key.order() for key in keys]).limit(max_results + 1)
    rows = rows_of_page(tx, query, max_results + 1)
    versions, last = gather_page(rows, max_results, lambda some: to_model_versions(tx, some))
    return versions, None if last is None else page_tokens.encode_page_token(last[len(VERSION_COLUMNS) :], identity)


def _is_one_of(comparison: Comparison, *keys: str) -> bool:
    return comparison.entity == "attribute" and comparison.key in keys and comparison.operator in ("=", "IN")


def _few_candidates(tx: Transaction, comparisons: Sequence[Comparison]) -> list[int] | None:
    """The versions that may meet a condition, where an index finds few; None where they are many."""
    for candidates in _indexed(tx.dialect, comparisons):
        found = few(tx, candidates)
        if found is not None:
            return found
    return few_tagged(tx, comparisons, model_version_tags)


def _indexed(dialect: Dialect, comparisons: Sequence[Comparison]) -> Iterator[sa.Select[Any]]:
    for comparison in comparisons:
        if _is_one_of(comparison, "run_id"):
            yield sa.select(model_versions.c.id).where(matches(dialect, model_versions.c.run_id, comparison))
        elif _is_one_of(comparison, "source_path"):
            beginning = str(comparison.value)[:INDEXED_VALUE_LENGTH]
            yield sa.select(model_versions.c.id).where(indexed_value(model_versions.c.source) == beginning)
