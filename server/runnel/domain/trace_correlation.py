"""How much two filters for traces have to do with each other: normalized pointwise mutual information (NPMI).

1: always together, 0: independent, -1: never together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_SMOOTHING = 0.5  # added to each of the four cells (Jeffreys' prior), as MLflow does


class CorrelationCounts(NamedTuple):
    """How many traces there are, how many each filter matches, and how many both match."""

    total: int
    filter1: int
    filter2: int
    joint: int


def npmi(counts: CorrelationCounts) -> float | None:
    """The measure; None where it is not defined: a filter that matches nothing."""
    if not counts.filter1 or not counts.filter2:
        return None
    return _npmi(counts, 0.0) if counts.joint else -1.0


def npmi_smoothed(counts: CorrelationCounts) -> float | None:
    """The same with a little mass in every cell, which few traces do not drive to an extreme."""
    return _npmi(counts, _SMOOTHING) if counts.filter1 and counts.filter2 else None


def _npmi(counts: CorrelationCounts, smoothing: float) -> float:
    if counts.filter1 == counts.filter2 == counts.joint == counts.total:
        return 1.0
    both = counts.joint + smoothing
    log_both = math.log(both)
    log_total = math.log(counts.total + 4 * smoothing)
    log_filters = math.log(counts.filter1 + 2 * smoothing) + math.log(counts.filter2 + 2 * smoothing)
    return max(-1.0, min(1.0, (log_both + log_total - log_filters) / -(log_both - log_total)))
