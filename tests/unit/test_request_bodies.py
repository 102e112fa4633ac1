"""How much of the bodies of requests is in memory at once."""

from __future__ import annotations

import pytest

from runnel.api.request_bodies import BODIES_AT_ONCE, BodyMemory
from runnel.domain.errors import TemporarilyUnavailable


def test_all_requests_together_hold_no_more_than_a_few_of_the_largest() -> None:
    bodies = BodyMemory(100)
    with bodies.hold() as first, bodies.hold() as second:
        first.add(BODIES_AT_ONCE * 100 - 10)
        second.add(10)
        with pytest.raises(TemporarilyUnavailable, match="too many large requests"):
            second.add(1)


def test_what_a_request_held_is_given_back_however_it_ended() -> None:
    bodies = BodyMemory(100)
    for _ in range(2 * BODIES_AT_ONCE):
        with pytest.raises(ValueError, match="broken"), bodies.hold() as held:
            held.add(100)
            raise ValueError("broken")
    with bodies.hold() as held:
        held.add(BODIES_AT_ONCE * 100)
