"""The OpenAPI description that a server gives of itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from runnel.api.routes import ROUTES
from tests.api_client import Api


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    described: dict[str, Any] = api.get("/openapi.json")
    return described


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_description_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_endpoint_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    routes = {(route.method, re.sub(r":path\}", "}", route.public_paths[0])) for route in ROUTES}
    assert set(operations(document)) == routes


def test_every_operation_has_a_name_of_its_own_and_a_sentence(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    for operation in operations(document).values():
        assert operation["summary"].strip()
        assert {"200", "default"} <= set(operation["responses"])


def test_a_body_is_described_with_its_fields(document: dict[str, Any]) -> None:
    operation = operations(document)["POST", "/api/2.0/mlflow/runs/log-batch"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"run_id", "metrics", "params", "tags"}
    assert body["required"] == ["run_id"]
    metric = document["components"]["schemas"][body["properties"]["metrics"]["items"]["$ref"].rsplit("/", 1)[-1]]
    assert metric["required"] == ["key", "value", "timestamp"]
    assert metric["properties"]["timestamp"] == {"type": "integer", "format": "int64"}


def test_a_query_is_described_with_its_parameters(document: dict[str, Any]) -> None:
    operation = operations(document)["GET", "/api/2.0/mlflow/metrics/get-history"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert {name for name, parameter in parameters.items() if parameter["required"]} == {"run_id", "metric_key"}
    assert set(parameters) == {"run_id", "metric_key", "page_token", "max_results"}
    assert "requestBody" not in operation


def test_a_path_parameter_is_described_where_it_stands(document: dict[str, Any]) -> None:
    operation = operations(document)["PUT", "/api/2.0/mlflow-artifacts/artifacts/{artifact_path}"]
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("artifact_path", "path", True)
    assert list(operation["requestBody"]["content"]) == ["application/octet-stream"]


def test_an_answer_is_described_with_its_fields(document: dict[str, Any]) -> None:
    operation = operations(document)["GET", "/api/2.0/mlflow/runs/get"]
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    schemas = document["components"]["schemas"]
    run = schemas[schemas[reference.rsplit("/", 1)[-1]]["properties"]["run"]["$ref"].rsplit("/", 1)[-1]]
    assert set(run["properties"]) == {"info", "data", "inputs", "outputs"}
    assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
