"""The number that a JSON text is, as an expression that indexes and queries share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class json_number(FunctionElement[float]):  # noqa: N801 (it is written as a function)
    """The number of a text that is a JSON number, NULL for any other text."""

    type = sa.Double()
    name = "json_number"
    inherit_cache = True


@compiles(json_number, "sqlite")
def _on_sqlite(element: json_number, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    # An AND need not be worked out from left to right, a CASE is.
    number = f"CASE WHEN json_type({text}) IN ('integer', 'real') THEN CAST({text} AS DOUBLE) END"
    return f"CASE WHEN json_valid({text}) = 1 THEN {number} END"


@compiles(json_number, "postgresql")
def _on_postgresql(element: json_number, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    # No more digits than a double can hold: what overflows would be an error. Their number is not in the pattern, which
    # would take ten times as long.
    pattern = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?$"
    is_number = f"length({text}) <= 200 AND {text} ~ '{pattern}'"
    return f"(CASE WHEN {is_number} THEN CAST({text} AS DOUBLE PRECISION) END)"
