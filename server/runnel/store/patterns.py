"""The patterns of LIKE, whose length is bounded, and the regular expressions of RLIKE.

These are RE2's, whose matching takes time in proportion to the text, whatever the pattern. Python's own could be made
to run for hours with all other requests waiting. What RE2 lacks (references back, looking around) is refused on every
database; PostgreSQL matches by itself what it may be asked to. RE2 is imported when the first pattern comes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from runnel.domain.errors import InvalidParameterValue

# A LIKE pattern is matched inside one step of SQLite's machine, where no interrupt reaches it: one of this length takes
# up to two seconds for a text of a megabyte.
MAX_LIKE_PATTERN_BYTES = 1_000
MAX_PATTERN_LENGTH = 1_000
MAX_PATTERN_MEMORY = 1 << 20  # bytes, of one compiled pattern
MAX_TEXT_LENGTH = 1_000_000  # of a longer text only the beginning is looked at


@lru_cache(maxsize=16)  # so many times MAX_PATTERN_MEMORY are kept
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MAX_PATTERN_MEMORY
    return re2.compile(pattern, options)


def check_like_pattern(pattern: str) -> None:
    """Refuses a pattern that is too long."""
    if len(pattern.encode()) > MAX_LIKE_PATTERN_BYTES:
        raise InvalidParameterValue(f"A LIKE pattern can have at most {MAX_LIKE_PATTERN_BYTES} bytes")


def check_pattern(pattern: str) -> None:
    """Refuses what is no regular expression, and one that is too long or too large."""
    import re2

    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidParameterValue(f"An RLIKE pattern can have at most {MAX_PATTERN_LENGTH} characters")
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise InvalidParameterValue(f"Invalid RLIKE pattern '{pattern[:100]}': {reason}") from None


def matches_pattern(pattern: str, text: Any) -> bool | None:
    """SQLite's ``text REGEXP pattern``: whether the pattern matches somewhere; NULL for NULL."""
    if text is None:
        return None
    return _compiled(pattern).search(str(text)[:MAX_TEXT_LENGTH]) is not None
