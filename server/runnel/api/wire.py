"""The JSON rules of the wire: how a request becomes the arguments of an endpoint function.

The signature of the function is the contract: its parameters are the fields of the request, their annotations the
types, and a parameter without a default is required. The rules are those of protobuf's JSON as MLflow applies it:

- integers (of 64 bits) and doubles may come as numbers or as text, "NaN", "Infinity" and "-Infinity" included;
- enums come as their names or numbers (which count from 1 in the order of the ``Literal``);
- null is the same as absent, unknown fields are ignored, an empty text is not there where the field is required.

``pydantic_core`` validates; the sentences about what is wrong are MLflow's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from runnel.api.json_sizes import check_json_size
from runnel.domain import limits
from runnel.domain.errors import BadRequest, InvalidParameterValue
from runnel.domain.validation import API_DOCS_HINT, invalid_value, missing_value

# Ours: bounds the work and the memory of one request. Endpoints have smaller limits of their own.
_MAX_LIST_LENGTH = 100_000
_MAX_DEPTH = 100  # of nested objects and lists, as in protobuf's JSON


class OtherName(NamedTuple):
    """An older name under which a field may come too (in ``Annotated``)."""

    name: str


RunId = Annotated[str, OtherName("run_uuid")]


# What the wire allows beside the plain types


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        value = float(value) if any(c in value for c in ".eE") else int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("not an integer")


def _to_float(value: Any) -> float:
    if isinstance(value, str):
        return float(value)
    raise ValueError("not a number")


def _either(strict: CoreSchema, convert: Callable[[Any], Any], checked: CoreSchema) -> CoreSchema:
    """The plain type, which costs no call into Python, or what ``convert`` makes of something else."""
    other = core_schema.no_info_before_validator_function(convert, checked)
    return core_schema.union_schema(
        [strict, other], mode="left_to_right", custom_error_type="invalid", custom_error_message="invalid"
    )


_INT64 = core_schema.int_schema(strict=True, ge=limits.INT64_MIN, le=limits.INT64_MAX)
_INT = _either(_INT64, _to_int, _INT64)
_DOUBLE = core_schema.float_schema(strict=True)
_FLOAT = _either(_DOUBLE, _to_float, _DOUBLE)
_BOOL = core_schema.bool_schema()


def _enum_schema(names: tuple[str, ...]) -> CoreSchema:
    numbers = {str(number): name for number, name in enumerate(names, start=1)}

    def to_name(value: Any) -> Any:
        is_number = isinstance(value, int | str) and not isinstance(value, bool)
        return numbers.get(str(value), value) if is_number else value

    exact = core_schema.literal_schema(list(names))
    return _either(exact, to_name, exact)


def schema_of(annotation: Any, required: bool = False) -> CoreSchema:
    """The validator of a type; ``required`` refuses an empty text."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return schema_of(arguments[0], required)
    if annotation is str:
        return core_schema.str_schema(strict=True, min_length=1 if required else None)
    if annotation is int:
        return _INT
    if annotation is float:
        return _FLOAT
    if annotation is bool:
        return _BOOL
    if annotation is Any:
        return core_schema.any_schema()
    if origin is Literal:
        return _enum_schema(arguments)
    if origin is list:
        return _list_schema(arguments[0])
    if origin is tuple:
        return core_schema.no_info_after_validator_function(tuple, _list_schema(arguments[0]))
    if origin is dict:
        keys, values = schema_of(arguments[0]), schema_of(arguments[1])
        return core_schema.dict_schema(keys, values, max_length=_MAX_LIST_LENGTH, fail_fast=True)
    if origin in (Union, types.UnionType):
        (inner,) = [argument for argument in arguments if argument is not types.NoneType]
        return core_schema.nullable_schema(schema_of(inner))
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return _dataclass_schema(annotation)
    raise TypeError(f"no wire type for {annotation!r}")


def _list_schema(item: Any) -> CoreSchema:
    # The first wrong item is enough: an error object for each of millions would fill the memory.
    return core_schema.list_schema(schema_of(item), max_length=_MAX_LIST_LENGTH, fail_fast=True)


def _dataclass_schema(cls: type) -> CoreSchema:
    hints = get_type_hints(cls, include_extras=True)
    fields = []
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        schema = schema_of(hints[field.name], required)
        if field.default is not dataclasses.MISSING:
            schema = core_schema.with_default_schema(schema, default=field.default)
        elif field.default_factory is not dataclasses.MISSING:
            schema = core_schema.with_default_schema(schema, default_factory=field.default_factory)
        fields.append(core_schema.dataclass_field(field.name, schema))
    names = [field.name for field in dataclasses.fields(cls)]
    arguments = core_schema.dataclass_args_schema(cls.__name__, fields)
    return core_schema.dataclass_schema(cls, arguments, names, slots=True, frozen=True)


class RequestParser:
    """Turns the fields of a request into the arguments of an endpoint function."""

    def __init__(self, function: Callable[..., Any], given: tuple[type, ...]) -> None:
        """``given`` are the types of parameters that come from the server, not from the request."""
        hints = get_type_hints(function, include_extras=True)
        self.fields: dict[str, tuple[Any, Any]] = {}  # name -> annotation, default
        self.given: dict[str, type] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if hints[name] in given:
                self.given[name] = hints[name]
            else:
                self.fields[name] = (hints[name], parameter.default)
        self.lists = {name for name, (annotation, _) in self.fields.items() if get_origin(annotation) in (list, tuple)}
        self._validator = SchemaValidator(core_schema.typed_dict_schema(self._typed_dict_fields()))

    def _typed_dict_fields(self) -> dict[str, core_schema.TypedDictField]:
        fields = {}
        for name, (annotation, default) in self.fields.items():
            required = default is inspect.Parameter.empty
            schema = schema_of(annotation, required)
            if not required:
                schema = core_schema.with_default_schema(schema, default=default)
            others = [[extra.name] for extra in get_args(annotation)[1:] if isinstance(extra, OtherName)]
            alias: Any = [[name], *others] if others else None
            fields[name] = core_schema.typed_dict_field(schema, required=required, validation_alias=alias)
        return fields

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments; raises ``InvalidParameterValue`` that names the first field that is wrong."""
        try:
            return self._validator.validate_python(values)  # type: ignore[no-any-return]
        except ValidationError:
            pass
        try:
            return self._validator.validate_python(_without_nulls(values))  # type: ignore[no-any-return]
        except ValidationError as error:
            raise InvalidParameterValue(_problem(error)) from None


def _without_nulls(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise _nested_too_deeply()
    if isinstance(value, dict):
        return {key: _without_nulls(item, depth + 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in value]
    return value


def _nested_too_deeply() -> BadRequest:
    return BadRequest(f"The request body is nested too deeply: at most {_MAX_DEPTH} levels are allowed")


def _problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    path = ""
    for part in problem["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    if problem["type"] in ("missing", "string_too_short"):
        return missing_value(path) + API_DOCS_HINT
    if problem["type"] == "too_long":
        return f"'{path}' can contain at most {_MAX_LIST_LENGTH} items"
    value = problem["input"]
    return invalid_value(path, value, f" Hint: Value was of type '{type(value).__name__}'.") + API_DOCS_HINT


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body; an empty body is an empty object."""
    if not body:
        return {}
    check_json_size(body)
    try:
        value = orjson.loads(body)
    except ValueError:
        value = _parse_lenient_json(body)
    if isinstance(value, str):  # old clients send their JSON encoded twice
        body = value.encode()
        check_json_size(body)
        with contextlib.suppress(ValueError):
            value = orjson.loads(body)
    if not isinstance(value, dict):
        raise BadRequest(f"The request body must be a JSON object, got {type(value).__name__}")
    if b"\\u0000" in body:
        refuse_nul(value)
    return value


def _parse_lenient_json(body: bytes) -> Any:
    """JSON with the literals NaN, Infinity and -Infinity, which Python clients write."""
    try:
        value = json.loads(body.decode())  # left to itself, json would take UTF-16 as well
        # Lone surrogates, which no database takes, become an error here.
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError:
        raise _nested_too_deeply() from None
    except ValueError as error:
        reason = str(error).partition(";")[0]  # behind it stands Python's advice to programmers
        raise BadRequest(f"The request body is not valid JSON: {reason}") from None


def refuse_nul(value: Any, path: str = "", depth: int = 0) -> None:
    """Refuses text with a NUL character, which not every database can store."""
    if depth > _MAX_DEPTH:
        raise _nested_too_deeply()
    if isinstance(value, str) and "\0" in value:
        raise InvalidParameterValue(f"Parameter '{path}' must not contain NUL characters")
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_nul(key, f"{path}.{key}" if path else key)
            refuse_nul(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_nul(item, f"{path}[{index}]", depth + 1)


def render_json(value: Any) -> bytes:
    """The body of a JSON answer."""
    return orjson.dumps(value)
