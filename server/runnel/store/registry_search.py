"""What the searches for registered models and for their versions have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runnel.domain.filters import Comparison, Ordering
from runnel.store.dialects import Dialect
from runnel.store.filters import SortKey, matches
from runnel.store.schema import INDEXED_VALUE_LENGTH, indexed_value
from runnel.store.statements import Transaction

_FEW = 1_000


def sort_keys(orderings: Sequence[Ordering], columns: dict[str, sa.ColumnElement[Any]]) -> list[SortKey]:
    """The sort keys of an order by attributes."""
    return [SortKey(columns[term.key], term.ascending) for term in orderings]


def with_tie_breakers(orderings: Sequence[Ordering], *last: Ordering) -> tuple[Ordering, ...]:
    """An order that tells all rows apart: the keys ``last`` behind the given ones, where they are not among them."""
    given = {term.key for term in orderings}
    return (*orderings, *[term for term in last if term.key not in given])


def condition(
    dialect: Dialect,
    comparison: Comparison,
    columns: dict[str, sa.ColumnElement[Any]],
    tags: sa.Table,
    owner: sa.ColumnElement[int],
) -> sa.ColumnElement[bool]:
    """A comparison as a condition on a row, of which ``owner`` is the key that its tags have."""
    if comparison.entity == "attribute":
        return matches(dialect, columns[comparison.key], comparison)
    tagged = sa.select(tags.c.owner).where(tags.c.key == comparison.key, matches(dialect, tags.c.value, comparison))
    return sa.exists(tagged.where(tags.c.owner == owner).correlate(owner.table))


def few_tagged(tx: Transaction, comparisons: Sequence[Comparison], tags: sa.Table) -> list[int] | None:
    """The owners of a tag that a comparison asks for, as its index finds them; None where they are many."""
    for comparison in comparisons:
        if comparison.entity == "tag" and comparison.operator == "=":
            # Not the whole value: it is compared anyway, and SQLite would put it into the expression of the index.
            beginning = str(comparison.value)[:INDEXED_VALUE_LENGTH]
            candidates = sa.select(tags.c.owner).where(
                tags.c.key == comparison.key, indexed_value(tags.c.value) == beginning
            )
            found = few(tx, candidates)
            if found is not None:
                return found
    return None


def few(tx: Transaction, candidates: sa.Select[Any]) -> list[int] | None:
    """The keys that a query finds; None where they are many."""
    rows = tx.rows(candidates.limit(_FEW + 1))
    return [row[0] for row in rows] if len(rows) <= _FEW else None
