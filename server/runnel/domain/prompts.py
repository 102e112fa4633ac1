"""Prompts, which MLflow keeps as registered models and versions of them with tags of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filters import Comparison

IS_PROMPT_TAG = "mlflow.prompt.is_prompt"
PROMPT_TEXT_TAG = "mlflow.prompt.text"

# A version must have a source, and a prompt has none: these are what MLflow's clients and its UI send in its place.
_PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
_ASKS_FOR_PROMPTS = re.compile(rf"\btags?\.`?{re.escape(IS_PROMPT_TAG)}`?\s*!?=")


def is_prompt(tags: Mapping[str, str]) -> bool:
    """Whether a registered model or version with these tags is a prompt."""
    return is_prompt_value(tags.get(IS_PROMPT_TAG, ""))


def is_prompt_value(value: str) -> bool:
    """Whether the tag ``mlflow.prompt.is_prompt`` of this value makes a prompt."""
    return value.lower() == "true"


def check_prompt_source(source: str) -> None:
    """Refuses a source that is more than a placeholder."""
    if source not in _PROMPT_SOURCES:
        raise InvalidParameterValue(
            f"Invalid prompt source: '{source[:500]}'. Prompt sources must use an MLflow placeholder."
        )


def split_prompt_filter(comparisons: Sequence[Comparison]) -> tuple[bool, tuple[Comparison, ...]]:
    """Whether a search is for prompts, and its other conditions.

    A search finds either prompts or models: prompts only when it asks for them by their tag.
    """
    about_prompts = [one for one in comparisons if (one.entity, one.key) == ("tag", IS_PROMPT_TAG)]
    others = tuple(one for one in comparisons if one not in about_prompts)
    if not about_prompts:
        return False, others
    asked = (about_prompts[0].operator, str(about_prompts[0].value).lower())
    return asked in (("=", "true"), ("!=", "false")), others


def without_prompt_tag(filter_string: str) -> str:
    """The text of a filter without what it says about the tag that prompts have."""
    return _ASKS_FOR_PROMPTS.sub("", filter_string)
