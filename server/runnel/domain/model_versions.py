"""Versions of registered models: what a client may say about one, its stages, and what it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import TagDict
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar, ValueType
from runnel.domain.filters import Comparison
from runnel.domain.logged_models import LoggedModelMetricDict
from runnel.domain.prompts import PROMPT_TEXT_TAG
from runnel.domain.registry_tags import TAGS, TEXT_COMPARATORS, TEXT_OR_LIST_COMPARATORS, RegistryTag, check_tags

NO_STAGE = "None"
ARCHIVED = "Archived"
ACTIVE_STAGES = ("Staging", "Production")
STAGES = (NO_STAGE, *ACTIVE_STAGES, ARCHIVED)
READY = "READY"  # a version is whole from the start: there is nothing that it would wait for

_CANONICAL_STAGES = {stage.lower(): stage for stage in STAGES}
_VERSION = re.compile(r"\s*[-+]?[0-9]{1,19}\s*")

_NUMBER = dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), ValueType.QUOTED_OR_NUMBER)
_ORDER_ONLY = Field({}, orderable=True)

MODEL_VERSIONS = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "name": Field(TEXT_OR_LIST_COMPARATORS, orderable=True),
                "version_number": Field(_NUMBER, orderable=True),
                "run_id": Field(TEXT_OR_LIST_COMPARATORS),
                "source_path": Field(TEXT_COMPARATORS),
                "creation_timestamp": _ORDER_ONLY,
                "last_updated_timestamp": _ORDER_ONLY,
            },
        ),
        TAGS,
    )
)


class ModelParamDict(TypedDict):
    name: str
    value: str


class ModelVersion(TypedDict):
    """A version; times in milliseconds since the epoch.

    The params and metrics are those of the logged model that it is a version of.
    """

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    source: str
    run_id: str
    status: str
    run_link: str
    description: NotRequired[str]
    tags: NotRequired[list[TagDict]]
    aliases: NotRequired[list[str]]
    model_id: NotRequired[str]
    model_params: NotRequired[list[ModelParamDict]]
    model_metrics: NotRequired[list[LoggedModelMetricDict]]


class ModelReference(NamedTuple):
    """What a ``models:/`` URI names: a logged model, or a version of a registered model.

    The version is given by its number, by an alias, or as the latest of a stage or of all.
    """

    model_id: str = ""
    name: str = ""
    version: str = ""
    alias: str = ""
    stage: str = ""


def parse_version(version: str) -> int:
    """The number of a version."""
    if _VERSION.fullmatch(version) is not None:
        number = int(version)
        if limits.INT64_MIN <= number <= limits.INT64_MAX:
            return number
    raise InvalidParameterValue(f"Parameter 'version' must be an integer, got '{version[:100]}'.")


def canonical_stage(stage: str) -> str:
    """A stage as it is kept, from any spelling of it."""
    canonical = _CANONICAL_STAGES.get(stage.lower())
    if canonical is None:
        raise InvalidParameterValue(
            f"Invalid Model Version stage: {stage[:100]}. Value must be one of {', '.join(STAGES)}."
        )
    return canonical


def check_archives(stage: str, canonical: str) -> None:
    """Refuses to archive what is in a stage that is not an active one."""
    if canonical not in ACTIVE_STAGES:
        raise InvalidParameterValue(
            "Model version transition cannot archive existing model versions because "
            f"'{stage}' is not an Active stage. Valid stages are {list(ACTIVE_STAGES)}"
        )


def check_version_tags(tags: Iterable[RegistryTag]) -> None:
    """Refuses tags of a version past the limits; of a prompt's text it says what it is."""
    tags = list(tags)
    for tag in tags:
        if tag.key == PROMPT_TEXT_TAG and len(tag.value) > limits.MAX_REGISTRY_TAG_VALUE_LENGTH:
            raise InvalidParameterValue(
                f"Prompt text exceeds max length of {limits.MAX_REGISTRY_TAG_VALUE_LENGTH} characters."
            )
    check_tags(tags)


def check_whole_numbers(comparisons: Sequence[Comparison]) -> None:
    """Refuses to compare the number of a version with anything but an integer."""
    for one in comparisons:
        if (one.entity, one.key) == ("attribute", "version_number") and not isinstance(one.value, int):
            raise InvalidParameterValue(f"Invalid value for numeric attribute 'version_number': {one.value!r}")


def parse_model_reference(path: str) -> ModelReference | None:
    """What the path of a ``models:/`` URI names; None if it is none of the forms it may have."""
    first, slash, suffix = path.lstrip("/").partition("/")
    if not path.startswith("/") or not first.strip() or "/" in suffix:
        return None
    if slash:
        if not suffix.strip():
            return None
        if suffix.isdecimal():
            return ModelReference(name=first, version=suffix)
        return ModelReference(name=first, stage="" if suffix.lower() == "latest" else suffix)
    name, at, alias = first.rpartition("@")
    if at:
        return ModelReference(name=name, alias=alias) if alias.strip() else None
    return ModelReference(model_id=first)
