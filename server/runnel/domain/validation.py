"""Checks of names, values and ids, with MLflow's wording: clients and their tests match on it."""

from __future__ import annotations

import json
import posixpath
import re
from functools import lru_cache
from typing import Any

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue

_NAME = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")

_JSON_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)

API_DOCS_HINT = " See the API docs for more information about request parameters."

BAD_CHARACTERS_MESSAGE = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) "
    "and slashes (/)."
)


def missing_value(path: str) -> str:
    """MLflow's sentence for a required field that is absent or empty."""
    return f"Missing value for required parameter '{path}'."


def invalid_value(path: str, value: Any, reason: str | None = None) -> str:
    """MLflow's sentence for a field of a wrong type or value; the value is shown as JSON, at most 500 characters."""
    shown = ""
    for piece in _JSON_ENCODER.iterencode(value):  # no further than what is shown
        shown += piece
        if len(shown) > 500:
            shown = f"{shown[:500]}..."
            break
    sentence = f"Invalid value {shown} for parameter '{path}' supplied"
    return f"{sentence}: {reason}" if reason else f"{sentence}."


def check_length(name: str, value: str, limit: int) -> None:
    """Refuses a text of more than ``limit`` characters, naming the field and the limit."""
    if len(value) > limit:
        raise InvalidParameterValue(f"'{name}' exceeds the maximum length of {limit} characters")


@lru_cache(maxsize=4096)
def _name_problem(name: str) -> str | None:
    if _NAME.fullmatch(name) is None:
        return BAD_CHARACTERS_MESSAGE
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        return (
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
            f"This name would resolve to {normal!r}"
        )
    return None


def check_key(name: str, path: str, length_name: str, limit: int = limits.MAX_ENTITY_KEY_LENGTH) -> None:
    """Refuses a metric, param or tag key that MLflow refuses: odd characters, path-like names, too long.

    ``path`` names the field in the request (``metrics[3].name``), ``length_name`` is MLflow's name for it in the
    sentence about the length.
    """
    # The length comes first, so that only short strings are remembered as known-good names.
    check_length(length_name, name, limit)
    problem = _name_problem(name)
    if problem is not None:
        raise InvalidParameterValue(invalid_value(path, name, problem))


def check_run_id(run_id: str) -> None:
    """Refuses what cannot be a run id (as MLflow does before a batch or inputs are logged)."""
    if _RUN_ID.fullmatch(run_id) is None:
        raise InvalidParameterValue(invalid_value("run_id", run_id))


def parse_experiment_id(experiment_id: str) -> int:
    """The number of an experiment id; ids are decimal integers of 64 bits."""
    try:
        number = int(experiment_id)
    except ValueError:
        number = limits.INT64_MAX + 1
    if not limits.INT64_MIN <= number <= limits.INT64_MAX:
        raise InvalidParameterValue(
            f"Invalid experiment ID '{experiment_id[:100]}'. Experiment ID must be a valid integer."
        )
    return number


def check_max_results(max_results: int, limit: int = limits.MAX_SEARCH_RESULTS) -> None:
    """Refuses a page size that is not positive or past the limit of a search."""
    if max_results < 1:
        raise InvalidParameterValue(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be a positive integer"
        )
    if max_results > limit:
        raise InvalidParameterValue(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be at most {limit}"
        )


def check_page_size(max_results: int) -> None:
    """The same in the words in which MLflow 3 refuses a page size."""
    if not 1 <= max_results <= limits.MAX_SEARCH_RESULTS:
        raise InvalidParameterValue(f"max_results must be between 1 and {limits.MAX_SEARCH_RESULTS}.{API_DOCS_HINT}")
