"""The tokens and the cost of a trace, added up while its spans come in.

A span that reports numbers stands for all below it: frameworks put the total of their calls on the span around them.
So what counts depends on what lies above a span, and that may come later. What is kept of a trace is therefore the sums
of what counts, each by its **anchor**: the id of the span that is missing above it, or ROOT where the way up ends at a
root. When the missing span comes, its sum moves on to where that span hangs, or is dropped in favour of a span that
reports. So a batch costs as much as it has spans, not as the trace has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runnel.domain.limits import INT64_MAX
from runnel.domain.spans import COST, COST_KEYS, TOKEN_KEYS, TOKEN_USAGE

# Of what spans report under an attribute, these are summed up.
KEYS: Mapping[str, Sequence[str]] = {TOKEN_USAGE: TOKEN_KEYS, COST: COST_KEYS}
ROOT = ""

# By attribute (tokens or cost), then by name. An attribute without numbers is left out.
Numbers = Mapping[str, Mapping[str, float]]
# By anchor.
Sums = Mapping[str, Numbers]


class UsageNode(NamedTuple):
    """A span as the sums see it."""

    span_id: str
    parent_span_id: str | None
    numbers: Numbers


def extended(sums: Sums, nodes: Sequence[UsageNode], above: Sequence[UsageNode] = ()) -> Sums:
    """The sums of a trace after new spans; ``above`` are the spans already there on the ways up from these.

    Of several nodes of one span the last counts. Spans that lie around each other count for nothing.
    """
    new = {node.span_id: node for node in nodes}
    ways_up = _WaysUp({node.span_id: node for node in above} | new)
    extended: dict[str, dict[str, dict[str, float]]] = {
        anchor: {attribute: dict(numbers) for attribute, numbers in by_attribute.items()}
        for anchor, by_attribute in sums.items()
        if anchor not in new
    }
    for node in new.values():
        below = sums.get(node.span_id, {})
        for attribute in KEYS:
            added = node.numbers.get(attribute) or below.get(attribute)
            anchor = ways_up.anchor(node, attribute) if added else None
            if added and anchor is not None:
                _add(extended.setdefault(anchor, {}).setdefault(attribute, {}), added, KEYS[attribute])
    return extended


def total(sums: Sums) -> Numbers:
    """What a trace has in all."""
    totals: dict[str, dict[str, float]] = {}
    for by_attribute in sums.values():
        for attribute, numbers in by_attribute.items():
            _add(totals.setdefault(attribute, {}), numbers, KEYS[attribute])
    return totals


def _add(sum_so_far: dict[str, float], numbers: Mapping[str, float], keys: Sequence[str]) -> None:
    for key in keys:
        if key in numbers:
            sum_so_far[key] = min(sum_so_far.get(key, 0) + numbers[key], INT64_MAX)


class _WaysUp:
    """Where the ways up from spans end. Each span is passed once, however many ways lead over it."""

    def __init__(self, known: Mapping[str, UsageNode]) -> None:
        self._known = known
        self._ends: dict[tuple[str, str], str | None] = {}

    def anchor(self, node: UsageNode, attribute: str) -> str | None:
        """The anchor of what a span reports; None where a span above it reports already."""
        passed: dict[str, None] = {}
        while True:
            if node.span_id in passed:
                end = None
                break
            if (node.span_id, attribute) in self._ends:
                end = self._ends[node.span_id, attribute]
                break
            passed[node.span_id] = None
            parent_id = node.parent_span_id
            if parent_id is None or parent_id == node.span_id:
                end = ROOT
                break
            parent = self._known.get(parent_id)
            if parent is None:
                end = parent_id
                break
            if parent.numbers.get(attribute):
                end = None
                break
            node = parent
        for span_id in passed:
            self._ends[span_id, attribute] = end
        return end
