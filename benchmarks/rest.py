"""A small client of the MLflow REST API for setting the scene and checking answers; the timed loops are wrk's."""

import http.client
import json
from typing import Any
from urllib.parse import urlencode

API = "/api/2.0/mlflow/"


class RestError(Exception):
    """An answer other than 200, or none."""


class RestClient:
    """One kept-alive connection to one server; not to be shared between threads."""

    def __init__(self, host: str, port: int, timeout: float = 300.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def get(self, endpoint: str, *, api: str = API, **query: str | int) -> Any:
        """GET an endpoint such as `runs/get` and return the decoded body."""
        return json.loads(self._call("GET", f"{api}{endpoint}?{urlencode(query)}"))

    def post(self, endpoint: str, body: dict[str, Any], *, api: str = API) -> Any:
        """POST a body to an endpoint such as `runs/create` and return the decoded answer."""
        return json.loads(
            self._call("POST", f"{api}{endpoint}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        )

    def post_spans(self, experiment_id: str, body: bytes) -> None:
        """Send an export request of OpenTelemetry's protocol."""
        headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment_id}
        self._call("POST", "/v1/traces", body, headers)

    def create_experiment(self, name: str) -> str:
        """A new experiment's id."""
        return str(self.post("experiments/create", {"name": name})["experiment_id"])

    def create_run(self, experiment_id: str, run_name: str) -> dict[str, Any]:
        """A new run's info."""
        body = {"experiment_id": experiment_id, "run_name": run_name, "start_time": 1_700_000_000_000}
        info: dict[str, Any] = self.post("runs/create", body)["run"]["info"]
        return info

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        headers = headers or {}
        try:
            try:
                response = self._send(method, path, body, headers)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server closed the idle connection between two requests.
                self._connection.close()
                response = self._send(method, path, body, headers)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise RestError(f"{method} {path.partition('?')[0]}: no answer ({error!r})") from error
        if response.status != 200:
            text = content[:200].decode(errors="replace")
            raise RestError(f"{method} {path.partition('?')[0]}: status {response.status}: {text}")
        return content

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._connection.request(method, path, body=body, headers=headers)
        return self._connection.getresponse()
