"""Whether the parts that a server needs answer, asked in a way that a part which hangs cannot be asked to death."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from runnel.domain.errors import MlflowError

logger = logging.getLogger("runnel")

OK = "ok"
ANSWER_SECONDS = 2.0


class Readiness:
    """Asks each part one question at a time, however many want to know; all methods run on the event loop.

    A question that nobody has answered holds a thread until it ends by itself, so it is not put a second time.
    """

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Task[str]] = {}

    async def of(self, part: str, ask: Callable[[], Awaitable[object]]) -> str:
        """``ok``, or a sentence about what is wrong that is fit for anybody; after two seconds at most."""
        question = self._asked.get(part)
        if question is None or question.done():
            question = self._asked[part] = asyncio.create_task(_answer(part, ask))
        await asyncio.wait([question], timeout=ANSWER_SECONDS)
        return question.result() if question.done() else f"no answer within {ANSWER_SECONDS:.0f} seconds"


async def _answer(part: str, ask: Callable[[], Awaitable[object]]) -> str:
    try:
        await ask()
    except MlflowError as error:
        return error.message
    except Exception as error:  # whatever it is, it must not be told to everybody
        logger.warning("Not ready, the %s cannot be used: %s: %s", part, type(error).__name__, error)
        return "cannot be used; the server's log says why"
    return OK
