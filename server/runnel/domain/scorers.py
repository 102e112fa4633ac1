"""Scorers: what is in one, and what of its definition the server looks into. (The server itself never runs one.)

A definition is JSON that the client writes and reads; the rules are those of MLflow 3.17 (``scorer_utils.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from enum import Enum, auto
from typing import Any, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.trace_filters import parse_trace_filter
from runnel.domain.validation import check_length

_INSTRUCTIONS_JUDGE = "instructions_judge_pydantic_data"
_MEMORY_JUDGE = "memory_augmented_judge_data"
_THIRD_PARTY = "third_party_scorer_data"
# The parts of a definition that may name the model of a judge, in the order in which they are looked for.
_WITH_MODEL = (_INSTRUCTIONS_JUDGE, "builtin_scorer_pydantic_data", _MEMORY_JUDGE, _THIRD_PARTY)

_GATEWAY_MODEL = re.compile(r"gateway:/+[^/]", re.DOTALL)
_EXPECTATIONS_VARIABLE = re.compile(r"\{\{\s*expectations\s*\}\}")
# Options of a third party's scorer by which a caller would choose where its model's client sends requests.
_DESTINATION_OPTIONS = frozenset({"api_base", "base_url", "model_list", "fallbacks", "custom_llm_provider"})

_CODE_REFUSAL = (
    "Custom scorer registration (using @scorer decorator) is disabled by default outside of Databricks tracking "
    "environments due to security concerns. This server keeps no code that others would execute: keep it in a "
    "source code repository and import it from there, or register built-in scorers or make_judge() scorers."
)


class Scorer(TypedDict):
    """One version of a scorer as clients see it; the time in milliseconds since the epoch."""

    experiment_id: int
    scorer_name: str
    scorer_version: int
    serialized_scorer: str
    creation_time: int
    scorer_id: str


class OnlineScoringConfig(TypedDict):
    """Which of the traces of an experiment its scorer is meant for; the rate is the part of them, from 0 to 1."""

    online_scoring_config_id: str
    scorer_id: str
    sample_rate: float
    experiment_id: str
    filter_string: NotRequired[str]


def check_scorer_name(name: str) -> None:
    """Refuses a name of nothing but space, and one of more than 256 characters."""
    if not name.strip():
        raise InvalidParameterValue("Scorer name cannot be empty or contain only whitespace.")
    check_length("name", name, limits.MAX_SCORER_NAME_LENGTH)


def check_definition(serialized_scorer: str) -> None:
    """Refuses a definition that is no JSON object, holds code, or chooses where requests of a model's client go."""
    check_length("serialized_scorer", serialized_scorer, limits.MAX_SERIALIZED_SCORER_LENGTH)
    definition = parse_definition(serialized_scorer)
    _check_parts(definition)
    model = _model(definition)
    if model is not None and not isinstance(model, str):
        raise InvalidParameterValue(f"Scorer model must be a string, got {type(model).__name__}.")
    if model is not None and not model.strip():
        raise InvalidParameterValue("Scorer model cannot be empty or contain only whitespace.")


def parse_definition(serialized_scorer: str) -> dict[str, Any]:
    """The JSON object that defines a scorer."""
    try:
        definition = json.loads(serialized_scorer)
    except (ValueError, RecursionError):
        raise InvalidParameterValue("serialized_scorer must be valid JSON") from None
    if not isinstance(definition, dict):
        raise InvalidParameterValue(f"serialized_scorer must be a JSON object, got {type(definition).__name__}")
    return definition


def check_online_scoring(sample_rate: float, filter_string: str | None) -> None:
    """Refuses a rate that is not from 0 to 1, and a filter that no search for traces would take."""
    if not 0.0 <= sample_rate <= 1.0:
        raise InvalidParameterValue(f"sample_rate must be between 0.0 and 1.0, got {sample_rate}")
    if filter_string:
        parse_trace_filter(filter_string)


def check_scores_online(name: str, serialized_scorer: str) -> None:
    """Refuses a scorer that cannot score traces as they come: without a gateway's model, or in need of expectations."""
    definition = parse_definition(serialized_scorer)
    model = _model(definition)
    if model is None or _GATEWAY_MODEL.match(model) is None:
        raise InvalidParameterValue(
            f"Scorer '{name}' does not use a gateway model. Automatic evaluation is only supported for scorers that "
            "use gateway models."
        )
    judge = definition.get(_INSTRUCTIONS_JUDGE)
    if judge and _EXPECTATIONS_VARIABLE.search(str(judge.get("instructions"))):
        raise InvalidParameterValue(
            f"Scorer '{name}' requires expectations, but scorers with expectations are not currently supported for "
            "automatic evaluation."
        )


def _model(definition: dict[str, Any]) -> Any:
    """The model that a definition names, whatever it is; None if it names none."""
    part = next((key for key in _WITH_MODEL if definition.get(key)), None)
    if part is None:
        return None
    data = definition[part]
    if not isinstance(data, dict):
        raise InvalidParameterValue(f"{part} must be a JSON object, got {type(data).__name__}")
    if part == _MEMORY_JUDGE:
        base_judge = data.get("base_judge", {})
        if not isinstance(base_judge, dict):
            raise InvalidParameterValue(f"{part}.base_judge must be a JSON object, got {type(base_judge).__name__}")
        return _model(base_judge)
    return data.get("model")


class _Place(Enum):
    """Where in a definition a value stands: options are those of a third party's scorer, and all that is in them."""

    ANYWHERE = auto()
    THIRD_PARTY = auto()
    OPTIONS = auto()

    def of_member(self, key: str) -> _Place:
        """The place of a member of an object that stands here."""
        if self is _Place.OPTIONS or (self is _Place.THIRD_PARTY and key == "kwargs"):
            return _Place.OPTIONS
        return _Place.THIRD_PARTY if key == _THIRD_PARTY else _Place.ANYWHERE


def _check_parts(definition: dict[str, Any]) -> None:
    """Looks once at each object and list in a definition, those of one depth after those around them."""
    level: list[tuple[Any, _Place]] = [(definition, _Place.ANYWHERE)]
    for _ in range(limits.MAX_SERIALIZED_SCORER_DEPTH):
        inner: list[tuple[Any, _Place]] = []
        for part, place in level:
            if isinstance(part, dict):
                _check_object(part, place)
                members = [(value, place.of_member(key)) for key, value in part.items()]
            else:
                # A list of two becomes an option and its value where the scorer is built from pairs.
                if place is _Place.OPTIONS and len(part) == 2 and isinstance(part[0], str):
                    _check_options({part[0]})
                members = [(value, place if place is _Place.OPTIONS else _Place.ANYWHERE) for value in part]
            inner += [member for member in members if isinstance(member[0], dict | list)]
        if not inner:
            return
        level = inner
    raise InvalidParameterValue(
        f"serialized_scorer is nested too deeply: at most {limits.MAX_SERIALIZED_SCORER_DEPTH} levels are allowed"
    )


def _check_object(part: dict[str, Any], place: _Place) -> None:
    if part.get("call_source") is not None:
        raise InvalidParameterValue(_CODE_REFUSAL)
    third_party = part.get(_THIRD_PARTY)
    options = third_party.get("kwargs") if isinstance(third_party, dict) else None
    if options is not None and not isinstance(options, dict):
        raise InvalidParameterValue(
            f"third_party_scorer_data.kwargs must be a JSON object, got {type(options).__name__}."
        )
    if place is _Place.OPTIONS:
        _check_options(part.keys())


def _check_options(names: Set[str]) -> None:
    found = _DESTINATION_OPTIONS & names
    if found:
        raise InvalidParameterValue(
            f"third_party_scorer_data.kwargs must not contain {', '.join(map(repr, sorted(found)))}: these options "
            "choose where the scorer's LLM client sends requests."
        )
