"""What was answered 200 is there after the process is killed, and what is there is whole."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.api_client import Api, metric, pairs
from tests.conftest import StartServer
from tests.server_process import ServerProcess

CLIENTS = 16
SECONDS = 1.2
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Acknowledged:
    """What the server has answered 200 to one client, and what was under way when it died."""

    run_id: str
    points: list[int] = field(default_factory=list)
    params: list[int] = field(default_factory=list)
    tags: list[int] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    sent: int = 0

    def write_until_it_dies(self, url: str) -> None:
        """Logs single values and batches of several, one after another."""
        with httpx.Client(base_url=url, timeout=30) as http:
            kinds: list[tuple[list[int], Callable[[httpx.Client, int], httpx.Response]]] = [
                (self.points, self._log_metric),
                (self.params, self._log_param),
                (self.tags, self._set_tag),
                (self.batches, self._log_batch),
                (self.files, self._put_file),
            ]
            for number, (acknowledged, send) in enumerate(itertools.cycle(kinds)):
                self.sent = number
                try:
                    response = send(http, number)
                except httpx.TransportError:
                    return
                assert response.status_code == 200, response.text
                acknowledged.append(number)

    def _post(self, http: httpx.Client, path: str, **fields: Any) -> httpx.Response:
        return http.post(f"/api/2.0/mlflow/runs/{path}", json={"run_id": self.run_id, **fields})

    def _log_metric(self, http: httpx.Client, number: int) -> httpx.Response:
        return self._post(http, "log-metric", key="single", value=number, timestamp=number, step=number)

    def _log_param(self, http: httpx.Client, number: int) -> httpx.Response:
        return self._post(http, "log-parameter", key=f"single{number}", value=str(number))

    def _set_tag(self, http: httpx.Client, number: int) -> httpx.Response:
        return self._post(http, "set-tag", key="last", value=str(number))

    def _log_batch(self, http: httpx.Client, number: int) -> httpx.Response:
        metrics = [metric(f"batch{number}", value, value, value) for value in range(20)]
        params, tags = pairs(**{f"batch{number}": "x"}), pairs(**{f"batch{number}": "y"})
        return self._post(http, "log-batch", metrics=metrics, params=params, tags=tags)

    def _put_file(self, http: httpx.Client, number: int) -> httpx.Response:
        return http.put(f"{FILES}/{self.run_id}/{number}", content=str(number) * 1000)

    def check(self, api: Api) -> None:
        """All of it is there, and of what was under way, all or nothing."""
        steps = [point["step"] for point in self._history(api, "single")]
        assert set(self.points) <= set(steps) <= {*self.points, self.sent}
        params, tags, metrics = api.params(self.run_id), api.tags(self.run_id), api.metrics(self.run_id)
        singles = {int(value) for key, value in params.items() if key.startswith("single")}
        assert set(self.params) <= singles <= {*self.params, self.sent}
        if self.tags:
            assert int(tags["last"]) in {self.tags[-1], self.sent}
        batches = [
            {int(key.removeprefix("batch")) for key in entries if key.startswith("batch")}
            for entries in (metrics, params, tags)
        ]
        assert batches[0] == batches[1] == batches[2]
        assert set(self.batches) <= batches[0] <= {*self.batches, self.sent}
        # Of what is kept in many pieces, the last ones: those were written when the server died.
        for number in sorted(batches[0])[-3:]:
            assert [point["step"] for point in self._history(api, f"batch{number}")] == list(range(20))
        for number in self.files[-3:]:
            assert api.send("GET", f"{FILES}/{self.run_id}/{number}").text == str(number) * 1000
        listed = {entry["path"] for entry in api.get(FILES, path=self.run_id)["files"]}
        assert listed <= {str(number) for number in [*self.files, self.sent]}

    def _history(self, api: Api, key: str) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = api.get("metrics/get-history", run_id=self.run_id, metric_key=key)["metrics"]
        return points


def write_until_killed(server: ServerProcess, experiment_id: str) -> list[Acknowledged]:
    """Kills the server in the middle of what 16 clients write; what each of them was told."""
    with Api(server.url) as api:
        written = [Acknowledged(api.new_run(experiment_id)) for _ in range(CLIENTS)]
    clients = [threading.Thread(target=one.write_until_it_dies, args=(server.url,)) for one in written]
    for client in clients:
        client.start()
    time.sleep(SECONDS)
    server.kill()
    for client in clients:
        client.join()
    return written


def test_every_acknowledged_write_is_there_after_a_kill(start_server: StartServer) -> None:
    server = start_server()
    with Api(server.url) as api:
        experiment_id = api.new_experiment()
    written: list[Acknowledged] = []
    for _ in range(2):  # the second time on a file that has been recovered
        written += write_until_killed(server, experiment_id)
        server.start()
    assert sum(len(one.points) + len(one.batches) for one in written) > 100
    with Api(server.url) as api:
        for one in written:
            one.check(api)
        # And it takes writes as before.
        api.post("runs/set-tag", run_id=written[0].run_id, key="after", value="all")
        found = api.post("runs/search", experiment_ids=[experiment_id])["runs"]
    assert {run["info"]["run_id"] for run in found} == {one.run_id for one in written}
