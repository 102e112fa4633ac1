"""How much one page of a list holds: the entities that were asked for, but no more text than is sent at once.

Clients go on with the page's token, so a page may end wherever it has become large. What belongs to the entities (their
tags, metrics, ...) is therefore read for a few of them at a time, and never for more than the page will hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from runnel.store.statements import Transaction

E = TypeVar("E")
Row = tuple[Any, ...]

MAX_PAGE_BYTES = 16 * 1024 * 1024
# Longer results are read row by row, as their sort keys may be thousands of characters long.
MAX_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 1024 * 1024
_FIRST_COUNT, _MAX_COUNT, _MAX_GROWTH = 10, 500, 10
_BYTES_PER_ENTITY = 500  # in memory, beside its text


def rows_of_page(tx: Transaction, query: sa.Executable, size: int) -> Iterable[Row]:
    """The rows of a query that has at most ``size``."""
    return tx.rows(query) if size <= MAX_ROWS_AT_ONCE + 1 else tx.stream(query)


def gather_page(
    rows: Iterable[Row], max_results: int, load: Callable[[Sequence[Row]], Sequence[E]]
) -> tuple[list[E], Row | None]:
    """The entities of a page, and its last row where more come behind it.

    ``rows`` are those of the page and one more, if there is one; ``load`` makes entities of some of them. An entity
    that is larger than a page is a page of its own.
    """
    entities: list[E] = []
    last: Row | None = None
    size = 0
    count = _FIRST_COUNT
    iterator: Iterator[Row] = iter(rows)
    while chunk := list(islice(iterator, count)):
        if len(entities) >= max_results:
            return entities, last
        loaded_bytes = 0
        wanted = chunk[: max_results - len(entities)]
        for row, entity in zip(wanted, load(wanted), strict=True):
            entity_bytes = len(orjson.dumps(entity)) + _BYTES_PER_ENTITY
            loaded_bytes += entity_bytes
            if entities and size + entity_bytes > MAX_PAGE_BYTES:
                return entities, last
            entities.append(entity)
            last = row
            size += entity_bytes
        if len(wanted) < len(chunk):
            return entities, last
        fitting = len(chunk) * _BYTES_AT_ONCE // loaded_bytes
        count = max(1, min(fitting, count * _MAX_GROWTH, _MAX_COUNT))
    return entities, None
