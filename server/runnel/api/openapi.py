"""The OpenAPI 3.1 description of the API, made from the route table and the types in the functions' signatures."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Awaitable, Callable, Iterable
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from runnel import __version__
from runnel.api.routing import Endpoint
from runnel.api.services import Services

_ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    bool: {"type": "boolean"},
    Any: {},
}


def description_of(endpoints: Callable[[], Iterable[Endpoint]]) -> Callable[[Services], Awaitable[dict[str, Any]]]:
    """The endpoint function that describes a table of endpoints, which is looked up later: it holds this one too."""

    async def get_openapi(services: Services) -> dict[str, Any]:
        """The description of every endpoint of this server."""
        return describe(endpoints())

    return get_openapi


def describe(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of some endpoints. Each path below /api answers below /ajax-api too."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    names: set[str] = set()
    for endpoint in endpoints:
        path = endpoint.public_paths[0]
        name = endpoint.name if endpoint.name not in names else f"{endpoint.name}_by_{endpoint.method.lower()}"
        names.add(name)
        operation = {"operationId": name} | _operation(endpoint, schemas)
        paths.setdefault(re.sub(r":path\}", "}", path), {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runnel",
            "version": __version__,
            "description": "The MLflow REST API. Every path below /api answers below /ajax-api too.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    path_names = set(re.findall(r"\{(\w+)", endpoint.path))
    in_body = endpoint.method in ("POST", "PUT", "PATCH") and endpoint.takes_json
    parameters: list[dict[str, Any]] = []
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, (annotation, default) in endpoint.parser.fields.items():
        schema = _schema(annotation, schemas)
        is_required = default is inspect.Parameter.empty
        if name in path_names:
            parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
        elif in_body:
            properties[name] = schema
            required += [name] if is_required else []
        else:
            parameters.append({"name": name, "in": "query", "required": is_required, "schema": schema})
    operation: dict[str, Any] = {
        "summary": (inspect.getdoc(endpoint.function) or "").split("\n", 1)[0],
        "tags": [endpoint.function.__module__.rsplit(".", 1)[-1]],
        "responses": {
            "200": {"description": "OK", "content": _answer(endpoint, schemas)},
            "default": {
                "description": "An error, in MLflow's shape",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if in_body:
        body: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            body["required"] = required
        operation["requestBody"] = {"required": bool(required), "content": {"application/json": {"schema": body}}}
    elif endpoint.method in ("POST", "PUT"):
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


def _answer(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    annotation = get_type_hints(endpoint.function, include_extras=True)["return"]
    if is_typeddict(annotation) or get_origin(annotation) is dict:
        return {"application/json": {"schema": _schema(annotation, schemas)}}
    return {"*/*": {}}


def _schema(annotation: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin in (Annotated, Required, NotRequired):
        return _schema(arguments[0], schemas)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (list, tuple):
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if a is types.NoneType else _schema(a, schemas) for a in arguments]}
    return _object_schema(annotation, schemas)


def _object_schema(cls: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    name = cls.__name__
    if name not in schemas:
        schemas[name] = {}  # stands there while the fields are described, for types that hold themselves
        hints = get_type_hints(cls, include_extras=True)
        if is_typeddict(cls):
            required = sorted(cls.__required_keys__)
        else:
            required = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        schemas[name] |= {
            "type": "object",
            "properties": {field: _schema(hint, schemas) for field, hint in hints.items()},
            "required": required,
        }
    return {"$ref": f"#/components/schemas/{name}"}
