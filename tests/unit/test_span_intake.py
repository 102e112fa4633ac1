"""How much of spans is in memory at once."""

from __future__ import annotations

import pytest

from runnel.api.span_intake import BODIES_AT_ONCE, SpanIntake
from runnel.domain.errors import TemporarilyUnavailable


def test_all_requests_together_hold_no_more_than_a_few_of_the_largest() -> None:
    intake = SpanIntake()
    with intake.hold(100) as first, intake.hold(100) as second:
        first.add(BODIES_AT_ONCE * 100 - 10)
        second.add(10)
        with pytest.raises(TemporarilyUnavailable, match="too many large requests"):
            second.add(1)


def test_what_a_request_held_is_given_back_however_it_ended() -> None:
    intake = SpanIntake()
    for _ in range(2 * BODIES_AT_ONCE):
        with pytest.raises(ValueError, match="broken"), intake.hold(100) as held:
            held.add(100)
            raise ValueError("broken")
    with intake.hold(100) as held:
        held.add(BODIES_AT_ONCE * 100)
