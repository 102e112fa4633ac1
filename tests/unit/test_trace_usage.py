"""Tokens and cost of a trace are the same in whatever order and batches its spans come."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from runnel.domain.spans import COST, TOKEN_USAGE
from runnel.domain.trace_usage import ROOT, Numbers, Sums, UsageNode, extended, total

MOST_TOKENS = 2**63 - 1


def reporting(tokens: int | None = None, cost: int | None = None) -> Numbers:
    numbers: dict[str, dict[str, float]] = {}
    if tokens is not None:
        numbers[TOKEN_USAGE] = {"input_tokens": tokens}
    if cost is not None:
        numbers[COST] = {"total_cost": cost}
    return numbers


def sum_of(nodes: Sequence[UsageNode], attribute: str, name: str) -> float:
    """The rule itself: what a span reports counts when the way up ends, and no span on it reports."""
    by_id = {node.span_id: node for node in nodes}
    found: float = 0
    for node in by_id.values():
        passed = {node.span_id}
        parent = by_id.get(node.parent_span_id or "") if node.parent_span_id != node.span_id else None
        counts = True
        while parent is not None:
            if parent.span_id in passed or attribute in parent.numbers:
                counts = False
                break
            passed.add(parent.span_id)
            above = parent.parent_span_id
            parent = by_id.get(above) if above and above != parent.span_id else None
        if counts:
            found += node.numbers.get(attribute, {}).get(name, 0)
    return found


def ways_up(stored: dict[str, UsageNode], batch: Sequence[UsageNode]) -> list[UsageNode]:
    """What the store finds for a batch: the stored spans above it."""
    found: dict[str, UsageNode] = {}
    waiting = [node.parent_span_id for node in batch]
    while waiting:
        node = stored.get(waiting.pop() or "")
        if node is not None and node.span_id not in found:
            found[node.span_id] = node
            waiting.append(node.parent_span_id)
    return list(found.values())


def random_trace(rng: random.Random) -> list[UsageNode]:
    """Spans of which some have no parent, some one that never comes, and some lie around each other."""
    ids = [f"s{number}" for number in range(rng.randint(1, 14))]
    parents = [None, "missing", *ids]
    nodes = []
    for span_id in ids:
        tokens, cost = (rng.choice((None, None, rng.randint(0, 9))) for _ in range(2))
        nodes.append(UsageNode(span_id, rng.choice(parents), reporting(tokens, cost)))
    rng.shuffle(nodes)
    return nodes


def test_batches_come_to_what_the_whole_trace_comes_to() -> None:
    rng = random.Random(7)
    for _ in range(2_000):
        nodes = random_trace(rng)
        sums: Sums = {}
        stored: dict[str, UsageNode] = {}
        while nodes:
            size = rng.randint(1, len(nodes))
            batch, nodes = nodes[:size], nodes[size:]
            sums = extended(sums, batch, ways_up(stored, batch))
            stored |= {node.span_id: node for node in batch}
            totals = total(sums)
            for attribute, name in ((TOKEN_USAGE, "input_tokens"), (COST, "total_cost")):
                assert totals.get(attribute, {}).get(name, 0) == sum_of(list(stored.values()), attribute, name)


def test_a_sum_hangs_where_a_span_is_missing_and_moves_on_when_that_comes() -> None:
    first = extended({}, [UsageNode("leaf", "call", reporting(3))])
    assert first == {"call": reporting(3)}
    second = extended(first, [UsageNode("call", "root", {})])
    assert second == {"root": reporting(3)}
    assert extended(second, [UsageNode("root", None, {})]) == {ROOT: reporting(3)}
    assert extended(second, [UsageNode("root", None, reporting(5))]) == {ROOT: reporting(5)}


def test_the_last_of_two_spans_with_one_id_counts() -> None:
    sums = extended({}, [UsageNode("call", None, reporting(3)), UsageNode("call", None, reporting(4))])
    assert total(sums) == reporting(4)


def test_no_sum_is_more_than_a_database_can_hold() -> None:
    nodes = [UsageNode(str(number), None, reporting(MOST_TOKENS)) for number in range(3)]
    assert total(extended({}, nodes)) == reporting(MOST_TOKENS)


def test_long_chains_with_many_spans_below_them_take_no_longer_than_they_must() -> None:
    count = 20_000
    chain = [UsageNode(f"c{number}", f"c{number - 1}" if number else None, {}) for number in range(count)]
    leaves = [UsageNode(f"l{number}", f"c{count - 1}", reporting(1)) for number in range(count)]
    started = time.process_time()
    assert total(extended({}, [*leaves, *chain])) == reporting(count)
    assert time.process_time() - started < 2
