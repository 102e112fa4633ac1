"""Tables as pages show them: one model for the HTML, the JSON and the CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

# How a value is shown: as a number with four significant digits, a point in time as its age, and so on.
Kind = Literal["text", "long", "number", "count", "time", "duration", "size", "status", "code"]
BAR_STEPS = 20

# A spreadsheet takes what begins like this for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str  # in JSON and CSV
    label: str
    kind: Kind = "text"
    title: str = ""
    group: str = ""
    sort: str = ""  # the query string that sorts by it
    sorted: Literal["", "ascending", "descending"] = ""
    href: str = ""  # what the column is about: a path of the site, without a leading slash


class Cell(NamedTuple):
    """One value, and what leads where from it. ``bar`` is its share of the greatest, in steps of ``BAR_STEPS``."""

    value: Any = None
    href: str = ""  # a path of the site, without a leading slash
    title: str = ""
    bar: int | None = None
    is_best: bool = False
    note: str = ""  # shown behind the value, in small


@dataclass(frozen=True)
class Row:
    """A row; ``key`` is what the row is selected by, ``depth`` how far it is nested."""

    cells: Sequence[Cell]
    key: str = ""
    depth: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns; the first cell of a row is its heading."""

    columns: Sequence[Column]
    rows: Sequence[Row] = ()
    caption: str = ""
    next_query: str = ""  # the query string of the next rows
    first_query: str = ""  # and of the first ones, where these are others
    key_name: str = ""  # by which name JSON and CSV have the keys of the rows, if they are no column
    groups: list[tuple[str, int]] = field(init=False)

    def __post_init__(self) -> None:
        groups: list[tuple[str, int]] = []
        for column in self.columns:
            if groups and groups[-1][0] == column.group:
                groups[-1] = (column.group, groups[-1][1] + 1)
            else:
                groups.append((column.group, 1))
        object.__setattr__(self, "groups", groups if any(name for name, _ in groups) else [])

    def to_json(self) -> list[dict[str, Any]]:
        """The rows as objects, without what is missing."""
        return [
            ({self.key_name: row.key} if self.key_name else {})
            | {
                column.key: _json_value(cell.value)
                for column, cell in zip(self.columns, row.cells, strict=True)
                if cell.value is not None
            }
            for row in self.rows
        ]

    def to_csv(self) -> str:
        """The rows with a line of the columns' keys before them; texts that a spreadsheet would run are quoted."""
        output = io.StringIO()
        writer = csv.writer(output)
        names = [self.key_name] if self.key_name else []
        writer.writerow([_csv_value(name) for name in (*names, *[column.key for column in self.columns])])
        for row in self.rows:
            keys = [row.key] if self.key_name else []
            writer.writerow([_csv_value(value) for value in (*keys, *[cell.value for cell in row.cells])])
        return output.getvalue()


def _json_value(value: Any) -> Any:
    """JSON has no NaN and no infinities: they are texts, as in the API."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _csv_value(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        try:
            float(value)
        except ValueError:
            return f"'{value}"
    return "" if value is None else value


def bars_and_best(values: Sequence[float | None], best_is: str) -> tuple[list[int | None], set[int]]:
    """For a column of numbers, the length of each bar, and where the best of them stands (nowhere if all are equal).

    ``best_is`` is what ``formats.best_is`` says of the column.

    One number alone has no bar. Bars begin at zero; where some values are negative, at the least of them.
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) < 2:
        return [None] * len(values), set()
    low, high = min(0.0, *finite), max(finite)
    span = high - low
    bars: list[int | None] = [
        None
        if value is None or not math.isfinite(value) or not 0 < span < math.inf
        else round((value - low) / span * BAR_STEPS)
        for value in values
    ]
    if not best_is or min(finite) == max(finite):
        return bars, set()
    best = min(finite) if best_is == "lowest" else max(finite)
    return bars, {index for index, value in enumerate(values) if value == best}
