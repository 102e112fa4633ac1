"""What differs between the databases in the SQL they are sent. (How they are connected to is in their own modules.)"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite


class Dialect(Protocol):
    """The differences, as the rest of the store needs them."""

    name: str
    sqlalchemy_dialect: sa.Dialect
    # Whether a ``clustered_table`` is: then rows that come in any order write to many of its pages.
    keeps_rows_in_order: bool

    def insert(self, table: sa.Table) -> Any:
        """An INSERT that has ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""

    def is_in(self, column: sa.ColumnElement[Any], values: str | Sequence[Any]) -> sa.ColumnElement[bool]:
        """``column IN (list)`` with the list as one parameter, so that the text does not change with its length.

        ``values`` is the name of the parameter, or the list itself.
        """

    def text_rows(self, name: str) -> sa.FromClause:
        """A table of the texts in a list parameter, with one column, ``value``."""

    def driver_values(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The values as the driver takes them (what ``is_in`` and ``text_rows`` need for lists)."""

    def rows_source(self, columns: Sequence[tuple[str, Any]], row_count: int) -> tuple[sa.FromClause, list[str]]:
        """A common table named ``rows`` made of parameters, and the names of these parameters in their order."""

    def kept_size(self, row_count: int) -> int:
        """The number of rows by which a statement over rows is remembered: equal for counts that share their text."""

    def rows_values(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The values of the parameters of ``rows_source``."""

    def like(self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool) -> sa.ColumnElement[bool]:
        """LIKE without an escape character, as MLflow has it on SQLite; without case, only ASCII letters are folded."""

    def regexp(self, column: sa.ColumnElement[str], pattern: str) -> sa.ColumnElement[bool]:
        """Whether a regular expression matches somewhere in the column (see ``patterns`` for what one may be)."""

    def json_member(self, column: sa.ColumnElement[str], *keys: str) -> sa.ColumnElement[Any]:
        """A member of the JSON object in a text column, as text: a string without its quotes, else its JSON."""

    def decoded_json(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The string of a text that is a JSON string; any other text as it is."""

    def row_by_row(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """A subquery of EXISTS that is to be asked for each row by itself, never for all of them at once."""

    def contains(self, column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
        """Whether a text, with no characters of special meaning, stands somewhere in the column."""

    def without_index(self, column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        """The column, in a form that keeps a planner without statistics from walking an index that begins with it."""

    def json_string(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """The text in a column as a JSON string."""

    def json_double(self, value: sa.ColumnElement[float], is_nan: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
        """What ``metric_values.shown_value`` makes of two columns, as JSON."""

    def joined(self, texts: sa.ColumnElement[str], *order: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The texts of a group with commas between them, NULL if there are none.

        ``order`` is that of the index by which the group is read.
        """

    def ranked(self, rows: sa.FromClause, value: str, groups: Sequence[str]) -> sa.FromClause:
        """The rows with what ``percentile`` needs to know of the order of a column within each group."""

    def percentile(self, rows: sa.FromClause, value: str, fraction: float) -> sa.ColumnElement[Any]:
        """An aggregate over a group of ``ranked`` rows: the value at a fraction of the way from the least to the
        greatest, interpolated linearly between two of them."""

    def row_chunks(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows in chunks of sizes for which a statement is worth keeping compiled."""


class SqliteDialect:
    """SQLite through the standard library's ``sqlite3``."""

    name = "sqlite"
    keeps_rows_in_order = True

    # One execution is one release and re-acquisition of the interpreter lock, which another busy thread may hold for
    # milliseconds: rows go in as many VALUES of one statement. Few sizes keep the number of prepared statements small.
    _CHUNK_SIZES = (128, 32, 16, 8, 4, 2, 1)

    def __init__(self) -> None:
        self.sqlalchemy_dialect: sa.Dialect = sqlite.dialect(paramstyle="qmark")

    def insert(self, table: sa.Table) -> Any:
        return sqlite.insert(table)

    def is_in(self, column: sa.ColumnElement[Any], values: str | Sequence[Any]) -> sa.ColumnElement[bool]:
        if isinstance(values, str):
            parameter = sa.bindparam(values, type_=sa.Text())
        else:
            parameter = sa.bindparam("list", list(values), type_=sa.Text(), unique=True)
        elements = sa.func.json_each(parameter).table_valued("value")
        return column.in_(sa.select(elements.c.value))

    def text_rows(self, name: str) -> sa.FromClause:
        return sa.func.json_each(sa.bindparam(name, type_=sa.Text())).table_valued(sa.column("value", sa.Text()))

    def driver_values(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if type(value) is list:
                return tuple([orjson.dumps(v).decode() if type(v) is list else v for v in values])
        return values

    def rows_source(self, columns: Sequence[tuple[str, Any]], row_count: int) -> tuple[sa.FromClause, list[str]]:
        typed = [sa.column(name, type_) for name, type_ in columns]
        parameters = [
            [sa.bindparam(f"{name}_{index}", type_=type_) for name, type_ in columns] for index in range(row_count)
        ]
        source = sa.values(*typed, name="rows").data([tuple(row) for row in parameters]).cte("rows")
        return source, [parameter.key for row in parameters for parameter in row]

    def kept_size(self, row_count: int) -> int:
        return row_count

    def rows_values(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(chain.from_iterable(rows))

    def row_chunks(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
        start = 0
        while start < len(rows):
            left = len(rows) - start
            size = next(size for size in self._CHUNK_SIZES if size <= left)
            yield rows[start : start + size]
            start += size

    def like(self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool) -> sa.ColumnElement[bool]:
        return column.ilike(pattern) if ignore_case else column.like(pattern)

    def regexp(self, column: sa.ColumnElement[str], pattern: str) -> sa.ColumnElement[bool]:
        return column.op("REGEXP", is_comparison=True)(pattern)

    def json_member(self, column: sa.ColumnElement[str], *keys: str) -> sa.ColumnElement[Any]:
        path = "$" + "".join(f'."{key}"' for key in keys)
        return sa.func.json_extract(column, path, type_=sa.Text())

    def decoded_json(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        is_string = sa.and_(sa.func.substr(column, 1, 1) == '"', sa.func.json_valid(column) == 1)
        return sa.case((is_string, sa.func.json_extract(column, "$", type_=sa.Text())), else_=column)

    def row_by_row(self, query: sa.Select[Any]) -> sa.Select[Any]:
        return query

    def contains(self, column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
        # Much faster than instr(), which compares at every character: LIKE looks for the first one.
        return column.like("%" + re.sub(r"([%_~])", r"~\1", text) + "%", escape="~")

    def without_index(self, column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return column + sa.literal_column("0", sa.BigInteger())

    def json_string(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        return sa.func.json_quote(column, type_=sa.Text())

    def json_double(self, value: sa.ColumnElement[float], is_nan: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
        # A function of ours (see ``sqlite.connect``): SQLite prints 15 digits, and 17 are needed.
        return sa.func.json_double(value, is_nan, type_=sa.Text())

    def joined(self, texts: sa.ColumnElement[str], *order: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # In the order of the index: group_concat has no ORDER BY before SQLite 3.44, and sorting costs twice the rest.
        return sa.func.group_concat(texts, type_=sa.Text())

    def ranked(self, rows: sa.FromClause, value: str, groups: Sequence[str]) -> sa.FromClause:
        by = [rows.c[name] for name in groups]
        rank = sa.func.row_number().over(partition_by=by, order_by=rows.c[value]) - 1
        size = sa.func.count().over(partition_by=by)
        return sa.select(rows, rank.label("rank"), size.label("size")).subquery("ranked")

    def percentile(self, rows: sa.FromClause, value: str, fraction: float) -> sa.ColumnElement[Any]:
        share: sa.ColumnElement[float] = sa.literal(fraction, sa.Double())
        position = share * (rows.c.size - 1)
        below = sa.cast(position, sa.Integer())
        number: sa.ColumnElement[float] = sa.cast(rows.c[value], sa.Double())
        low = sa.func.max(sa.case((rows.c.rank == below, number)))
        high = sa.func.max(sa.case((rows.c.rank == sa.func.min(below + 1, rows.c.size - 1), number)))
        return low + sa.func.max(position - below) * (high - low)


SQLITE = SqliteDialect()
