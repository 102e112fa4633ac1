"""Label schemas: the questions that reviewers answer about traces, and how they answer them.

The rules and their wording are those of MLflow 3.17 (``mlflow.genai.label_schemas.validation``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue

LabelSchemaType = Literal["FEEDBACK", "EXPECTATION"]

# The question that every experiment has, and nobody can change.
DEFAULT_NAME = "Feedback"
DEFAULT_INSTRUCTION = "Share any feedback on this trace."


@dataclass(frozen=True, slots=True)
class InputPassFail:
    positive_label: str = ""
    negative_label: str = ""


@dataclass(frozen=True, slots=True)
class InputCategorical:
    options: tuple[str, ...] = ()
    multi_select: bool = False


@dataclass(frozen=True, slots=True)
class InputNumeric:
    min_value: float | None = None
    max_value: float | None = None


@dataclass(frozen=True, slots=True)
class InputText:
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class LabelSchemaInput:
    """How a question is answered: exactly one of these."""

    pass_fail: InputPassFail | None = None
    categorical: InputCategorical | None = None
    numeric: InputNumeric | None = None
    text: InputText | None = None


class InputDict(TypedDict):
    """How a question is answered, as clients see it: one of these, with those of its fields that are set."""

    pass_fail: NotRequired[dict[str, Any]]
    categorical: NotRequired[dict[str, Any]]
    numeric: NotRequired[dict[str, Any]]
    text: NotRequired[dict[str, Any]]


class LabelSchema(TypedDict):
    """A label schema as clients see it; times in milliseconds since the epoch."""

    schema_id: str
    experiment_id: str
    name: str
    type: str
    instruction: NotRequired[str]
    enable_comment: bool
    input: InputDict
    created_at: int
    last_updated_at: int
    is_default: bool


def check_schema_name(name: str) -> None:
    """Refuses an empty name, one of more than 250 characters, and that of the default question."""
    if not name:
        raise InvalidParameterValue(f"Label schema `name` must be a non-empty string; got {name!r}.")
    if len(name) > limits.MAX_LABEL_SCHEMA_NAME_LENGTH:
        raise InvalidParameterValue(
            f"Label schema `name` must be at most {limits.MAX_LABEL_SCHEMA_NAME_LENGTH} characters; got {len(name)}."
        )
    if name.strip().lower() == DEFAULT_NAME.lower():
        raise InvalidParameterValue(
            f"`{name}` is reserved for the experiment's default question and cannot be used for another label schema."
        )


def check_instruction(instruction: str) -> None:
    """Refuses instructions of more than 1,000 characters."""
    if len(instruction) > limits.MAX_LABEL_SCHEMA_INSTRUCTION_LENGTH:
        raise InvalidParameterValue(
            f"Label schema `instruction` must be at most {limits.MAX_LABEL_SCHEMA_INSTRUCTION_LENGTH} characters; "
            f"got {len(instruction)}."
        )


def check_type(type_: LabelSchemaType | None) -> LabelSchemaType:
    """The type, which must be there."""
    if type_ is None:
        raise InvalidParameterValue(
            "Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0."
        )
    return type_


def chosen_input(given: LabelSchemaInput | None) -> tuple[str, dict[str, Any]]:
    """The name of the one kind of input that is given, and its fields but for those that are not set.

    Refuses what no reviewer could fill in.
    """
    kinds = () if given is None else (given.pass_fail, given.categorical, given.numeric, given.text)
    chosen = [kind for kind in kinds if kind is not None]
    if len(chosen) != 1:
        got = "several of them" if chosen else "an empty oneof"
        raise InvalidParameterValue(
            "Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` set; "
            f"got {got}."
        )
    match chosen[0]:
        case InputPassFail(positive, negative):
            _check_labels(positive, negative)
            return "pass_fail", {"positive_label": positive, "negative_label": negative}
        case InputCategorical(options, multi_select):
            _check_options(options)
            return "categorical", {"options": list(options), "multi_select": multi_select}
        case InputNumeric(low, high):
            _check_range(low, high)
            return "numeric", _without_none({"min_value": low, "max_value": high})
        case InputText(max_length):
            if max_length is not None and max_length < 1:
                raise InvalidParameterValue(f"`InputText.max_length` must be at least 1; got {max_length}.")
            return "text", _without_none({"max_length": max_length})


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_labels(positive: str, negative: str) -> None:
    for name, label in (("positive_label", positive), ("negative_label", negative)):
        if not label:
            raise InvalidParameterValue(f"`InputPassFail.{name}` must be a non-empty string; got {label!r}.")
        if len(label) > limits.MAX_PASS_FAIL_LABEL_LENGTH:
            raise InvalidParameterValue(
                f"`InputPassFail.{name}` must be at most {limits.MAX_PASS_FAIL_LABEL_LENGTH} characters; "
                f"got {len(label)}."
            )
    if positive == negative:
        raise InvalidParameterValue(
            f"`InputPassFail.positive_label` and `negative_label` must be distinct; got {positive!r} for both."
        )


def _check_options(options: Sequence[str]) -> None:
    if not options:
        raise InvalidParameterValue("`InputCategorical.options` must be a non-empty list; got [].")
    if len(options) > limits.MAX_CATEGORICAL_OPTIONS:
        raise InvalidParameterValue(
            f"`InputCategorical.options` must have at most {limits.MAX_CATEGORICAL_OPTIONS} entries; "
            f"got {len(options)}."
        )
    seen = set()
    for option in options:
        if not option:
            raise InvalidParameterValue(
                f"`InputCategorical.options` entries must be non-empty strings; got {option!r}."
            )
        if len(option) > limits.MAX_CATEGORICAL_OPTION_LENGTH:
            raise InvalidParameterValue(
                f"`InputCategorical.options` entries must be at most {limits.MAX_CATEGORICAL_OPTION_LENGTH} "
                f"characters; got {len(option)} for {option[:100]!r}."
            )
        if option in seen:
            raise InvalidParameterValue(f"`InputCategorical.options` must be deduplicated; {option!r} appears twice.")
        seen.add(option)


def _check_range(low: float | None, high: float | None) -> None:
    for name, value in (("min_value", low), ("max_value", high)):
        if value is not None and not math.isfinite(value):
            raise InvalidParameterValue(
                f"`InputNumeric.{name}` must be a finite number; got {value}. Leave it out where there is no bound."
            )
    if low is not None and high is not None and low >= high:
        raise InvalidParameterValue(
            f"`InputNumeric.min_value` must be strictly less than `max_value`; got min={low}, max={high}."
        )


# The names of the kinds of input in MLflow's sentence about them.
_CLASSES = {
    "pass_fail": InputPassFail.__name__,
    "categorical": InputCategorical.__name__,
    "numeric": InputNumeric.__name__,
    "text": InputText.__name__,
}


def check_same_input(kind: str, fields: dict[str, Any], new_kind: str, new_fields: dict[str, Any]) -> None:
    """Refuses another kind of input, or one choice for several: the answers that are there would not fit it."""
    if new_kind != kind:
        raise InvalidParameterValue(
            "A label schema's input type cannot be changed after creation "
            f"(existing: {_CLASSES[kind]}, got: {_CLASSES[new_kind]})."
        )
    if new_fields.get("multi_select") != fields.get("multi_select"):
        raise InvalidParameterValue("`InputCategorical.multi_select` cannot be changed after creation.")
