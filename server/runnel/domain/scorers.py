"""Scorers: what is in one, and what of its definition the server looks into. (The server itself never runs one.)

A definition is JSON that the client writes and reads; the rules are those of MLflow 3.17 (``scorer_utils.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
    for part in _objects(definition):
        if part.get("call_source") is not None:
            raise InvalidParameterValue(_CODE_REFUSAL)
        if isinstance(part.get(_THIRD_PARTY), dict):
            _check_third_party(part[_THIRD_PARTY])
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


def _check_third_party(data: dict[str, Any]) -> None:
    options = data.get("kwargs")
    if options is not None and not isinstance(options, dict):
        raise InvalidParameterValue(
            f"third_party_scorer_data.kwargs must be a JSON object, got {type(options).__name__}."
        )
    found: set[str] = set()
    for value in _values(options):
        # Pairs of keys and values, in lists, become an object too where the scorer is built.
        if isinstance(value, dict):
            found |= _DESTINATION_OPTIONS & value.keys()
        elif isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            found |= _DESTINATION_OPTIONS & {value[0]}
    if found:
        raise InvalidParameterValue(
            f"third_party_scorer_data.kwargs must not contain {', '.join(map(repr, sorted(found)))}: these options "
            "choose where the scorer's LLM client sends requests."
        )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (part for part in _values(value) if isinstance(part, dict))


def _values(value: Any) -> Iterator[Any]:
    """The objects and lists in a JSON value, itself included; refuses what is nested too deeply."""
    level = [value]
    for _ in range(limits.MAX_SERIALIZED_SCORER_DEPTH):
        yield from level
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [part for parts in inner for part in parts]
        if not level:
            return
    raise InvalidParameterValue(
        f"serialized_scorer is nested too deeply: at most {limits.MAX_SERIALIZED_SCORER_DEPTH} levels are allowed"
    )
