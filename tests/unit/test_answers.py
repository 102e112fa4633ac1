"""How answers are written, and what those that are being sent may hold."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from runnel.api.answers import MAX_HELD_BYTES, SMALL_BYTES, AnswerMemory, write_answer
from runnel.domain.errors import TemporarilyUnavailable


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"runs": []},
        {"runs": [{"a": "é"}] * 3, "next_page_token": "x"},
        {"before": 1, "runs": [{"a": ["]", None]}] * 51, "next_page_token": "x"},
        {"runs": [str(number) * 1_000 for number in range(3_000)]},
        {"a": list(range(10_000)), "b": [[]] * 1_000, "c": []},
        [1, 2],
        None,
    ],
    ids=["empty", "an empty list", "a short list", "a list", "large items", "two lists", "only a list", "nothing"],
)
def test_an_answer_in_pieces_is_the_answer(answer: Any) -> None:
    whole = orjson.dumps(answer)
    written = write_answer(answer)
    assert b"".join(written.pieces) == whole
    assert written.length == len(whole)


def test_no_piece_is_large() -> None:
    written = write_answer({"runs": ["x" * 10_000] * 2_000})
    assert max(map(len, written.pieces)) < 600_000


def test_large_answers_are_bounded_together_and_small_ones_are_not() -> None:
    memory = AnswerMemory()
    with (
        memory.hold(MAX_HELD_BYTES),
        memory.hold(SMALL_BYTES),
        pytest.raises(TemporarilyUnavailable),
        memory.hold(SMALL_BYTES + 1),
    ):
        pass
    with memory.hold(2 * MAX_HELD_BYTES):  # one alone may be as large as it is
        pass
    assert memory.held == 0
