"""Comparisons and page positions as SQL conditions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filters import Comparison
from runnel.store.dialects import Dialect
from runnel.store.patterns import check_like_pattern, check_pattern

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(dialect: Dialect, column: sa.ColumnElement[Any], comparison: Comparison) -> sa.ColumnElement[bool]:
    """The comparison applied to a column; IS NULL and IS NOT NULL are conditions on rows, not on a column."""
    match comparison.operator:
        case "LIKE" | "ILIKE":
            check_like_pattern(str(comparison.value))
            return dialect.like(column, str(comparison.value), ignore_case=comparison.operator == "ILIKE")
        case "RLIKE":
            check_pattern(str(comparison.value))
            return dialect.regexp(column, str(comparison.value))
        case "IN" | "NOT IN":
            assert isinstance(comparison.value, tuple)
            is_in = dialect.is_in(column, comparison.value)
            return is_in if comparison.operator == "IN" else sa.not_(is_in)
        case symbol:
            value: Any = comparison.value
            if isinstance(value, float):  # an integer column would cut off what is behind the point
                value = sa.literal(value, sa.Double())
            condition: sa.ColumnElement[bool] = _OPERATORS[symbol](column, value)
            return condition


class SortKey(NamedTuple):
    """An expression that a list is sorted by; it is never NULL."""

    expression: sa.ColumnElement[Any]
    ascending: bool

    def order(self) -> sa.ColumnElement[Any]:
        return self.expression.asc() if self.ascending else self.expression.desc()


def behind(keys: Sequence[SortKey], position: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The rows that come behind a position in the order of the keys (the last of which tells all rows apart)."""
    condition: sa.ColumnElement[bool] = sa.false()
    for key, value in reversed(list(zip(keys, position, strict=True))):
        _check_value(key, value)
        further = key.expression > value if key.ascending else key.expression < value
        not_before = key.expression >= value if key.ascending else key.expression <= value
        # "not before" is implied by the rest; it is there because an index can jump to it. The parts that are nested
        # come first: SQLite's parser keeps what stands before a parenthesis on a stack of 100.
        condition = sa.and_(sa.or_(condition, further), not_before)
    return condition


def behind_descending(keys: Sequence[SortKey], position: Sequence[Any]) -> sa.ColumnElement[bool]:
    """The same where all keys are descending: an index jumps to the very row, however many share the first key."""
    for key, value in zip(keys, position, strict=True):
        _check_value(key, value)
    return sa.tuple_(*[key.expression for key in keys]) < sa.tuple_(*position)


def _check_value(key: SortKey, value: Any) -> None:
    wanted = str if isinstance(key.expression.type, sa.Text | sa.String) else (int, float)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise InvalidParameterValue("Invalid page token: it holds a value of another type than the list is sorted by")
