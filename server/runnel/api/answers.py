"""Answers as JSON, written in pieces.

To write many megabytes in one go keeps all other threads of Python waiting, and takes the memory twice. So the answer
to a query is written piece by piece in the thread of the query, and what has been written is let go of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from runnel.api.wire import render_json
from runnel.domain.errors import TemporarilyUnavailable

# Answers that are being sent; a slow client takes minutes for one. Small ones do not count.
MAX_HELD_BYTES = 128 * 1024 * 1024
SMALL_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024


class JsonAnswer(NamedTuple):
    """The body of an answer: its parts in their order, and their length together."""

    pieces: list[bytes]
    length: int


def write_answer(answer: Any) -> JsonAnswer:
    """Writes an answer; the long lists in it are emptied on the way."""
    if isinstance(answer, dict) and any(_is_long(value) for value in answer.values()):
        pieces = list(_pieces(answer))
    else:
        pieces = [render_json(answer)]
    length = sum(map(len, pieces))
    return JsonAnswer(pieces if length > SMALL_BYTES else [b"".join(pieces)], length)


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def _pieces(answer: dict[str, Any]) -> Iterator[bytes]:
    before = b"{"
    for name, value in answer.items():
        before += render_json(name) + b":"
        if not _is_long(value):
            yield before + render_json(value)
        else:
            before += b"["
            for piece in _pieces_of_list(value):
                yield before + piece
                before = b","
            yield b"]"
        before = b","
    yield b"}"


def _pieces_of_list(items: list[Any]) -> Iterator[bytes]:
    """The items, some at a time, without the brackets around them."""
    start, count = 0, 1
    while start < len(items):
        piece = render_json(items[start : start + count])[1:-1]
        items[start : start + count] = [None] * len(items[start : start + count])
        yield piece
        start += count
        count = max(1, count * _PIECE_BYTES // len(piece))


class AnswerMemory:
    """What the answers hold that are being sent; used on one event loop."""

    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def hold(self, length: int) -> Iterator[None]:
        """Takes memory while an answer is sent; raises TemporarilyUnavailable when all together take too much."""
        if length <= SMALL_BYTES:
            length = 0
        if self.held + length > MAX_HELD_BYTES and self.held:
            raise TemporarilyUnavailable("The server has too many large answers to send; try again shortly")
        self.held += length
        try:
            yield
        finally:
            self.held -= length
