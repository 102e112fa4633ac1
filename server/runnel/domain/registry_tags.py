"""Tags of registered models and of their versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runnel.domain import limits
from runnel.domain.filter_grammars import Entity, Field, ValueType
from runnel.domain.validation import check_key, check_length

# What filters compare texts with, those of attributes and of tags.
TEXT_COMPARATORS = dict.fromkeys(("=", "!=", "LIKE", "ILIKE"), ValueType.STRING)
TEXT_OR_LIST_COMPARATORS = TEXT_COMPARATORS | dict.fromkeys(("IN", "NOT IN"), ValueType.STRINGS)
TAGS = Entity("tag", {"*": Field(TEXT_COMPARATORS)}, aliases=frozenset({"tags"}))


@dataclass(frozen=True, slots=True)
class RegistryTag:
    """A tag of a registered model or of a version."""

    key: str
    value: str = ""


def check_tag_key(key: str) -> None:
    """Refuses the key of a tag that MLflow refuses."""
    check_key(key, "key", "key", limits.MAX_REGISTRY_TAG_KEY_LENGTH)


def check_tags(tags: Iterable[RegistryTag]) -> None:
    """Refuses tags past the limits."""
    for tag in tags:
        check_tag_key(tag.key)
        check_length("value", tag.value, limits.MAX_REGISTRY_TAG_VALUE_LENGTH)
