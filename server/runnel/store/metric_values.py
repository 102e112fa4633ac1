"""A metric's value in a column and on the wire.

NaN is stored as value 0 with ``is_nan`` = 1 (SQLite has no NaN); infinities are stored as they are and answered as the
greatest double, as MLflow does.
"""

from __future__ import annotations

import math

GREATEST_DOUBLE = 1.7976931348623157e308


def stored_value(value: float) -> tuple[float, int]:
    """A value as its two columns hold it: the number, and whether it is NaN."""
    return (0.0, 1) if math.isnan(value) else (value, 0)


def shown_value(value: float, is_nan: int) -> float | str:
    """A stored value as clients see it: "NaN" as text, infinities as the greatest double (both as MLflow answers)."""
    if is_nan:
        return "NaN"
    if math.isinf(value):
        return math.copysign(GREATEST_DOUBLE, value)
    return value


def shown_json(value: float, is_nan: int) -> str:
    """``shown_value`` as JSON."""
    if is_nan:
        return '"NaN"'
    return repr(value) if -GREATEST_DOUBLE <= value <= GREATEST_DOUBLE else repr(shown_value(value, is_nan))
