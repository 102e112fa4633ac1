"""Registered models: what a client may say about one, and what it is shown."""

from __future__ import annotations

import posixpath
import re
from typing import NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue, ResourceAlreadyExists
from runnel.domain.experiments import TagDict
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar
from runnel.domain.model_versions import ModelVersion
from runnel.domain.registry_tags import TAGS, TEXT_OR_LIST_COMPARATORS
from runnel.domain.validation import check_length, invalid_value, missing_value

LATEST_ALIAS = "latest"  # in any case: not set by clients, it leads to the version with the highest number

_ALIAS = re.compile(r"[\w\-]*")
_VERSION_ALIAS = re.compile(r"[vV]\d+")

REGISTERED_MODELS = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "name": Field(TEXT_OR_LIST_COMPARATORS, orderable=True),
                "last_updated_timestamp": Field({}, orderable=True),
            },
            key_aliases={"timestamp": "last_updated_timestamp"},
        ),
        TAGS,
    )
)


class AliasDict(TypedDict):
    alias: str
    version: str


class RegisteredModel(TypedDict):
    """A registered model; times in milliseconds since the epoch, the latest version of each stage."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: NotRequired[str]
    latest_versions: NotRequired[list[ModelVersion]]
    tags: NotRequired[list[TagDict]]
    aliases: NotRequired[list[AliasDict]]


def check_model_name(name: str, field: str = "name") -> None:
    """Refuses a name that MLflow refuses, and one that is too long."""
    if not name.strip():
        raise InvalidParameterValue(missing_value(field))
    if "/" in name or ":" in name:
        raise InvalidParameterValue(f"Invalid model name '{name[:500]}'. Names cannot contain '/' or ':'.")
    check_length(field, name, limits.MAX_REGISTERED_MODEL_NAME_LENGTH)
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(".."):
        reason = (
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
            f"This name would resolve to {normal!r}"
        )
        raise InvalidParameterValue(invalid_value(field, name, reason))


def check_description(description: str) -> None:
    """Refuses a description that is too long."""
    check_length("description", description, limits.MAX_REGISTRY_DESCRIPTION_LENGTH)


def check_alias(alias: str) -> None:
    """Refuses what cannot be the name of an alias."""
    if _ALIAS.fullmatch(alias) is None:
        raise InvalidParameterValue(
            f"Invalid alias name: '{alias[:500]}'. Names may only contain alphanumerics, underscores (_), "
            "and dashes (-)."
        )
    check_length("Registered model alias name", alias, limits.MAX_REGISTERED_MODEL_ALIAS_LENGTH)


def check_new_alias(alias: str) -> None:
    """Refuses what cannot be the name of an alias, and names that have a meaning already."""
    check_alias(alias)
    if is_latest(alias):
        raise InvalidParameterValue("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.fullmatch(alias):
        raise InvalidParameterValue(f"Version alias name '{alias}' is reserved.")


def is_latest(alias: str) -> bool:
    """Whether an alias is the one that always leads to the version with the highest number."""
    return alias.lower() == LATEST_ALIAS


def name_is_taken(name: str, *, by_prompt: bool, for_prompt: bool) -> ResourceAlreadyExists:
    """The error for a name that another model or prompt has: the two share their names."""
    taken_by, wanted = ("Prompt" if prompt else "Registered Model" for prompt in (by_prompt, for_prompt))
    if taken_by == wanted:
        return ResourceAlreadyExists(f"{wanted} (name={name}) already exists.")
    return ResourceAlreadyExists(
        f"Tried to create a {wanted.lower()} with name {name!r}, but the name is already taken by a "
        f"{taken_by.lower()}. MLflow does not allow creating a model and a prompt with the same name."
    )
