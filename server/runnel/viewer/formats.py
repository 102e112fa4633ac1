"""How numbers, times and sizes are written for people. The exact value is shown on hover, in JSON and in CSV."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Literal

SIGNIFICANT_DIGITS = 4
MINUS = "\N{MINUS SIGN}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"

# Metrics of which less is better, by a word in their name.
_LOWER_IS_BETTER = re.compile(
    r"(?:^|[^a-z])(?:loss|error|err|mse|rmse|mae|mape|perplexity|ppl|latency|duration|time|seconds|ms|cost|price|usd"
    r"|tokens?|toxicity|hallucinations?|wer|cer|regret|failures?|refusals?)(?:$|[^a-z])"
)

# Metrics of which neither more nor less is better.
_NO_DIRECTION = re.compile(
    r"(?:^|[^a-z])(?:learning_rate|lr|step|epoch|count|num|size|seed|version|timestamp|id)(?:$|[^a-z])"
)


def number(value: object) -> str:
    """A number with four significant digits: 0.8333, 12,345, 1.5e−5, NaN, ∞."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9 or size < 1e-3:
        mantissa, _, exponent = f"{value:.{SIGNIFICANT_DIGITS - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    if float(value).is_integer():
        return f"{int(value):,}".replace("-", MINUS)
    rounded = abs(float(f"{value:.{SIGNIFICANT_DIGITS - 1}e}"))  # 999.96 is 1,000
    digits = max(0, SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(rounded)))
    return f"{value:,.{digits}f}".replace("-", MINUS)


def exact(value: object) -> str:
    """The number as it was logged."""
    return repr(value) if isinstance(value, float) else str(value)


def best_is(name: str) -> Literal["lowest", "highest", ""]:
    """Which value of a metric is the best one, judged by its name; empty where that makes no sense."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    if _NO_DIRECTION.search(words):
        return ""
    return "lowest" if _LOWER_IS_BETTER.search(words) else "highest"


def count(value: int, limit: int | None = None) -> str:
    """A count, of which past a limit no more is known than that."""
    return f"{limit:,}+" if limit is not None and value > limit else f"{value:,}"


def duration(milliseconds: float | None) -> str:
    """A time span in one or two units: 340 ms, 2.41 s, 3 min 20 s, 5 h 12 min, 2 d 4 h."""
    if milliseconds is None:
        return ""
    if milliseconds < 0:
        return f"{MINUS}{duration(-milliseconds)}"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    seconds = round(seconds)
    for big, small, size, part in (("min", "s", 60, 1), ("h", "min", 3_600, 60), ("d", "h", 86_400, 3_600)):
        if seconds < size * (60 if big == "min" else 24 if big == "h" else math.inf):
            rest = seconds % size // part
            return f"{seconds // size:,} {big}" + (f" {rest} {small}" if rest else "")
    raise AssertionError(seconds)


def age(milliseconds: int, now: float) -> str:
    """How long ago a point in time (milliseconds since the epoch) is, ``now`` in seconds: 3 min ago, 2 d ago."""
    seconds = now - milliseconds / 1_000
    if seconds < -60:
        return day(milliseconds)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            if unit == "d" and seconds >= 30 * size:
                return day(milliseconds)
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def _moment(milliseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (ValueError, OverflowError, OSError):  # a client may send any number
        return None


def day(milliseconds: int) -> str:
    """The day of a point in time."""
    moment = _moment(milliseconds)
    return str(milliseconds) if moment is None else f"{moment:%Y-%m-%d}"


def timestamp(milliseconds: int) -> str:
    """A point in time, exactly: 2026-07-30 14:02:05.120 UTC."""
    moment = _moment(milliseconds)
    return str(milliseconds) if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1_000:03} UTC"


def iso_time(milliseconds: int) -> str:
    """The same as ``<time datetime>`` has it, empty where there is no such day."""
    moment = _moment(milliseconds)
    return "" if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(octets: int | None) -> str:
    """A size of a file: 512 B, 1.50 kB, 23.4 MB."""
    if octets is None:
        return ""
    if octets < 1_000:
        return f"{octets} B"
    value = float(octets)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1_000
        if value < 999.5 or unit == "PB":
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{digits}f} {unit}"
    raise AssertionError(octets)
