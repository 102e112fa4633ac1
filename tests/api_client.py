"""The MLflow REST API as the tests call it, over plain HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error, in MLflow's shape."""

    status: int
    error_code: str
    message: str


def invalid(message: str) -> Refusal:
    """The refusal of a value that is not allowed."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def not_there(message: str) -> Refusal:
    """The refusal of something that does not exist."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)


def missing(field: str) -> Refusal:
    """The refusal of a request without a field that it needs."""
    hint = "See the API docs for more information about request parameters."
    return invalid(f"Missing value for required parameter '{field}'. {hint}")


def wrong_type(field: str, shown: str, type_name: str) -> Refusal:
    """The refusal of a field of a wrong type; ``shown`` is its value as JSON."""
    hint = f"Hint: Value was of type '{type_name}'. See the API docs for more information about request parameters."
    return invalid(f"Invalid value {shown} for parameter '{field}' supplied:  {hint}")


def refusal(response: httpx.Response) -> Refusal:
    """The error in a response, which must be nothing else."""
    assert response.status_code >= 400, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error_code", "message"}, body
    return Refusal(response.status_code, body["error_code"], body["message"])


class Api:
    """One client of a server. Paths are those below /api/2.0/mlflow/; a path with a leading slash stands for itself."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def send(self, method: str, path: str, /, **options: Any) -> httpx.Response:
        """The response, whatever it is."""
        return self.http.request(method, path if path.startswith("/") else f"/api/2.0/mlflow/{path}", **options)

    def get(self, path: str, /, **fields: Any) -> Any:
        """The answer to a query, which must succeed."""
        return _answer(self.send("GET", path, params=fields))

    def post(self, path: str, /, **fields: Any) -> Any:
        """The answer to a request with a body, which must succeed."""
        return _answer(self.send("POST", path, json=fields))

    def get_refused(self, path: str, /, **fields: Any) -> Refusal:
        """The error a query is answered with."""
        return refusal(self.send("GET", path, params=fields))

    def post_refused(self, path: str, /, **fields: Any) -> Refusal:
        """The error a request with a body is answered with."""
        return refusal(self.send("POST", path, json=fields))

    def new_experiment(self, **fields: Any) -> str:
        """The id of a new experiment, of a name that no other has."""
        fields.setdefault("name", unique_name())
        experiment_id: str = self.post("experiments/create", **fields)["experiment_id"]
        return experiment_id

    def new_run(self, experiment_id: str, **fields: Any) -> str:
        """The id of a new run."""
        run_id: str = self.post("runs/create", experiment_id=experiment_id, **fields)["run"]["info"]["run_id"]
        return run_id

    def experiment(self, experiment_id: str) -> Any:
        return self.get("experiments/get", experiment_id=experiment_id)["experiment"]

    def run(self, run_id: str) -> Any:
        return self.get("runs/get", run_id=run_id)["run"]

    def metrics(self, run_id: str) -> dict[str, Any]:
        """The latest values of a run, by their keys."""
        return {metric["key"]: metric["value"] for metric in self.run(run_id)["data"].get("metrics", [])}

    def params(self, run_id: str) -> dict[str, str]:
        return {param["key"]: param["value"] for param in self.run(run_id)["data"].get("params", [])}

    def tags(self, run_id: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.run(run_id)["data"].get("tags", [])}

    def pages(self, method: str, path: str, /, **fields: Any) -> Iterator[Any]:
        """The answers of a list, page after page, until there is no token for another."""
        call = self.get if method == "GET" else self.post
        token = ""
        while True:
            answer = call(path, **fields, **({"page_token": token} if token else {}))
            yield answer
            token = answer.get("next_page_token", "")
            if not token:
                return


def _answer(response: httpx.Response) -> Any:
    assert response.status_code == 200, f"{response.status_code} {response.text}"
    assert response.headers["content-type"] == "application/json"
    return response.json()


def unique_name(prefix: str = "e") -> str:
    """A name that nothing else on the server has."""
    return f"{prefix}-{uuid.uuid4().hex}"


def pairs(**values: str) -> list[dict[str, str]]:
    """Params or tags as a request lists them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def metric(key: str, value: Any, timestamp: int = 0, step: int = 0) -> dict[str, Any]:
    """A metric as a batch holds it."""
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}
