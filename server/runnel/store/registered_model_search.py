"""The search for registered models, or for prompts: filter, order and page in SQL.

It walks the models in the order asked for and checks the conditions, unless an index finds few that can meet one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain import page_tokens
from runnel.domain.filters import Ordering, parse_filter, parse_order_by
from runnel.domain.prompts import split_prompt_filter, without_prompt_tag
from runnel.domain.registered_models import REGISTERED_MODELS, RegisteredModel
from runnel.store.filters import behind
from runnel.store.page_sizes import gather_page, rows_of_page
from runnel.store.registered_models import MODEL_COLUMNS, to_registered_models
from runnel.store.registry_search import condition, few_tagged, sort_keys, with_tie_breakers
from runnel.store.schema import registered_model_tags, registered_models
from runnel.store.statements import Transaction

_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": registered_models.c.name,
    "last_updated_timestamp": registered_models.c.last_updated_time,
}
_SCANNING = re.compile(r"LIKE|!=|NOT|tags?\.", re.IGNORECASE)


def may_scan(filter_string: str) -> bool:
    """Whether a search may have to look at every model, judged by its words alone."""
    return _SCANNING.search(without_prompt_tag(filter_string)) is not None


def search_registered_models(
    tx: Transaction, filter_string: str, order_by: Sequence[str], max_results: int, page_token: str
) -> tuple[list[RegisteredModel], str | None]:
    """A page of the models that match, and the token of the next page; of prompts, if the filter asks for them."""
    wants_prompts, comparisons = split_prompt_filter(parse_filter(filter_string, REGISTERED_MODELS))
    orderings = with_tie_breakers(parse_order_by(order_by, REGISTERED_MODELS), Ordering("attribute", "name", True))
    keys = sort_keys(orderings, _COLUMNS)
    identity = ("registered models", wants_prompts, comparisons, orderings)
    query = sa.select(*MODEL_COLUMNS, *[key.expression.label(f"key_{index}") for index, key in enumerate(keys)])
    is_prompt: sa.ColumnElement[int] = registered_models.c.is_prompt
    candidates = few_tagged(tx, comparisons, registered_model_tags)
    if candidates is not None:
        query = query.where(tx.dialect.is_in(registered_models.c.id, candidates))
    if candidates is not None or any(one.key == "name" and one.operator in ("=", "IN") for one in comparisons):
        is_prompt = tx.dialect.without_index(is_prompt)
    owner = registered_models.c.id
    query = query.where(
        is_prompt == int(wants_prompts),
        *[condition(tx.dialect, one, _COLUMNS, registered_model_tags, owner) for one in comparisons],
    )
    if page_token:
        query = query.where(behind(keys, page_tokens.decode_page_token(page_token, identity, len(keys))))
    query = query.order_by(*[key.order() for key in keys]).limit(max_results + 1)
    rows = rows_of_page(tx, query, max_results + 1)
    models, last = gather_page(rows, max_results, lambda some: to_registered_models(tx, some))
    return models, None if last is None else page_tokens.encode_page_token(last[len(MODEL_COLUMNS) :], identity)
