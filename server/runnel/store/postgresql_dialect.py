"""The SQL of PostgreSQL through psycopg 3, in a module of its own: SQLAlchemy's part of it takes long to import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import psycopg

from runnel.store.metric_values import GREATEST_DOUBLE


class _Json(sa.types.UserDefinedType[Any]):
    """The type ``json``, whose values are never fetched."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "JSON"


class PostgresqlDialect:
    """PostgreSQL through psycopg 3."""

    name = "postgresql"
    keeps_rows_in_order = False

    def __init__(self) -> None:
        self.sqlalchemy_dialect: sa.Dialect = psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]

    def insert(self, table: sa.Table) -> Any:
        return postgresql.insert(table)

    def is_in(self, column: sa.ColumnElement[Any], values: str | Sequence[Any]) -> sa.ColumnElement[bool]:
        type_ = sa.ARRAY(column.type)
        if isinstance(values, str):
            return column == sa.any_(sa.bindparam(values, type_=type_))
        return column == sa.any_(sa.bindparam("list", list(values), type_=type_, unique=True))

    def text_rows(self, name: str) -> sa.FromClause:
        texts = sa.func.unnest(sa.bindparam(name, type_=sa.ARRAY(sa.Text())))
        return texts.table_valued(sa.column("value", sa.Text())).render_derived()

    def driver_values(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values

    def rows_source(self, columns: Sequence[tuple[str, Any]], row_count: int) -> tuple[sa.FromClause, list[str]]:
        if row_count == 1:  # plain values cost the driver less than arrays of one
            values = [sa.bindparam(f"{name}_value", type_=type_) for name, type_ in columns]
            # With its type: of a NULL alone PostgreSQL would make a text.
            labelled = [sa.cast(value, type_).label(name) for value, (name, type_) in zip(values, columns, strict=True)]
            return sa.select(*labelled).cte("rows"), [value.key for value in values]
        arrays = [sa.bindparam(f"{name}_array", type_=sa.ARRAY(type_)) for name, type_ in columns]
        typed = [sa.column(name, type_) for name, type_ in columns]
        # An alias with the columns' names; the order of the arrays is the order in which rows are locked.
        unnested = sa.func.unnest(*arrays).table_valued(*typed, name="unnested").render_derived()
        source = sa.select(*[unnested.c[name] for name, _ in columns]).cte("rows")
        return source, [array.key for array in arrays]

    def kept_size(self, row_count: int) -> int:
        return min(row_count, 2)  # one row, or arrays of any length

    def rows_values(self, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        if len(rows) == 1:
            return tuple(rows[0])
        return tuple([list(column) for column in zip(*rows, strict=True)])

    def row_chunks(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
        if rows:
            yield rows

    def like(self, column: sa.ColumnElement[str], pattern: str, *, ignore_case: bool) -> sa.ColumnElement[bool]:
        return column.ilike(pattern, escape="") if ignore_case else column.like(pattern, escape="")

    def regexp(self, column: sa.ColumnElement[str], pattern: str) -> sa.ColumnElement[bool]:
        return column.op("~", is_comparison=True)(pattern)

    def json_member(self, column: sa.ColumnElement[str], *keys: str) -> sa.ColumnElement[Any]:
        value: sa.ColumnElement[Any] = sa.cast(column, _Json())
        for key in keys[:-1]:
            value = value.op("->", return_type=_Json())(sa.bindparam(None, key, sa.Text()))
        return value.op("->>", return_type=sa.Text())(sa.bindparam(None, keys[-1], sa.Text()))

    def decoded_json(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        string = sa.cast(column, _Json()).op("#>>", return_type=sa.Text())(sa.literal_column("'{}'::text[]"))
        return sa.case((sa.func.left(column, 1) == '"', string), else_=column)

    def row_by_row(self, query: sa.Select[Any]) -> sa.Select[Any]:
        return query.offset(sa.literal_column("0"))  # what has an OFFSET is not made a hash table of

    def contains(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        return sa.func.strpos(column, text) > 0

    def without_index(self, column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return column

    def json_string(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        return sa.cast(sa.func.to_json(column), sa.Text())

    def json_double(self, value: sa.ColumnElement[float], is_nan: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
        # Its shortest digits that give the same double back are PostgreSQL's text of a double.
        greatest: sa.ColumnElement[float] = sa.literal_column(repr(GREATEST_DOUBLE), sa.Double())
        shown = sa.func.least(sa.func.greatest(value, -greatest), greatest)
        return sa.case(
            (is_nan == sa.literal_column("1"), sa.literal_column("'\"NaN\"'", sa.Text())),
            else_=sa.cast(shown, sa.Text()),
        )

    def joined(self, texts: sa.ColumnElement[str], *order: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        separator: Any = postgresql.aggregate_order_by(sa.literal_column("','"), *order)
        return sa.func.string_agg(texts, separator, type_=sa.Text())

    def ranked(self, rows: sa.FromClause, value: str, groups: Sequence[str]) -> sa.FromClause:
        return rows

    def percentile(self, rows: sa.FromClause, value: str, fraction: float) -> sa.ColumnElement[Any]:
        number: sa.ColumnElement[float] = sa.cast(rows.c[value], sa.Double())
        return sa.func.percentile_cont(sa.literal(fraction, sa.Double())).within_group(number)


POSTGRESQL = PostgresqlDialect()
