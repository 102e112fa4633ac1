"""Searches for traces, page by page, against a model in Python: random traces, filters, orders and page sizes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

import pytest

from tests.api_client import Api
from tests.server_process import ServerProcess
from tests.trace_requests import START_MS, locations, log_spans, new_otel_id, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/search"
TRACE_COUNT = 150
STATES = ["OK", "ERROR", "IN_PROGRESS"]
TEXTS = ["", "a", "A", "b%", "é", "x" * 120, "x" * 120 + "y"]


@dataclass
class ModelTrace:
    """What the model knows of a trace; None is what it does not have."""

    experiment_id: str
    request_id: str
    timestamp_ms: int
    execution_time_ms: int | None
    status: str
    name: str | None
    tag: str | None
    user: str | None
    session: str | None
    span_name: str
    score: float | None


class Model:
    """The traces, and what MLflow's rules say about them."""

    def __init__(self, api: Api, rng: random.Random) -> None:
        self.api = api
        self.experiment_ids = [api.new_experiment() for _ in range(3)]
        self.traces = [self._random_trace(rng) for _ in range(TRACE_COUNT)]
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(self._create, self.traces))

    def _random_trace(self, rng: random.Random) -> ModelTrace:
        def maybe(values: list[Any]) -> Any:
            return rng.choice(values) if rng.random() < 0.7 else None

        return ModelTrace(
            experiment_id=rng.choice(self.experiment_ids),
            request_id=f"tr-{new_otel_id()}",
            timestamp_ms=START_MS + rng.choice([0, 0, 1000, rng.randrange(5000)]),
            execution_time_ms=maybe([0, 5, 5, 1000, rng.randrange(5000)]),
            status=rng.choice(STATES),
            name=maybe(["chat", "search", *TEXTS[1:]]),
            tag=maybe(TEXTS),
            user=maybe(TEXTS),
            session=maybe(["s1", "s2"]),
            span_name=rng.choice(["llm", "tool", "ask"]),
            score=maybe([0, 0.5, 1, -3]),
        )

    def _create(self, trace: ModelTrace) -> None:
        tags = {"mlflow.traceName": trace.name, "env": trace.tag}
        metadata = {"team": trace.user, "mlflow.trace.session": trace.session}
        source = {"source_type": "CODE", "source_id": "x"}
        scores = [] if trace.score is None else [trace.score]
        fields: dict[str, Any] = {
            "state": trace.status,
            "tags": {key: value for key, value in tags.items() if value is not None},
            "trace_metadata": {key: value for key, value in metadata.items() if value is not None},
            "assessments": [
                {"assessment_name": "score", "source": source, "feedback": {"value": score}} for score in scores
            ],
        }
        if trace.execution_time_ms is not None:
            fields["execution_duration"] = f"{trace.execution_time_ms / 1000}s"
        start = trace.timestamp_ms - START_MS
        start_trace(self.api, trace.experiment_id, trace.request_id, start=start, **fields)
        # Spans that come after the trace change nothing of what its client has said of it.
        span = otel_span(trace.request_id.removeprefix("tr-"), 1, 7, name=trace.span_name, end=60_000)
        log_spans(self.api, trace.experiment_id, span)

    def search(
        self, experiment_ids: list[str], meets: Callable[[ModelTrace], bool], order: list[tuple[str, bool]]
    ) -> list[str]:
        """The ids of the traces, in order."""
        found = [trace for trace in self.traces if trace.experiment_id in experiment_ids and meets(trace)]
        order = [*order, ("timestamp_ms", False), ("request_id", True)]

        def compare(a: ModelTrace, b: ModelTrace) -> int:
            for field, ascending in order:
                x, y = getattr(a, field), getattr(b, field)
                if x != y:
                    if x is None or y is None:
                        return 1 if x is None else -1
                    is_less = x.encode() < y.encode() if isinstance(x, str) else x < y
                    return -1 if is_less == ascending else 1
            return 0

        return [trace.request_id for trace in sorted(found, key=cmp_to_key(compare))]


FILTERS: dict[str, Callable[[ModelTrace], bool]] = {
    "": lambda t: True,
    "status = 'OK'": lambda t: t.status == "OK",
    "status != 'OK' AND execution_time >= 5": lambda t: t.status != "OK" and (t.execution_time_ms or -1) >= 5,
    f"timestamp > {START_MS + 500}": lambda t: t.timestamp_ms > START_MS + 500,
    "name = 'chat'": lambda t: t.name == "chat",
    f"name = '{TEXTS[-1]}'": lambda t: t.name == TEXTS[-1],
    "name LIKE '%a%'": lambda t: t.name is not None and "a" in t.name,
    "tags.env = 'a'": lambda t: t.tag == "a",
    f"tags.env = '{TEXTS[-2]}'": lambda t: t.tag == TEXTS[-2],
    "tags.env ILIKE 'A'": lambda t: t.tag in ("a", "A"),
    "tags.env IS NULL": lambda t: t.tag is None,
    "metadata.team = 'é'": lambda t: t.user == "é",
    "metadata.team != 'é' AND tags.env IS NOT NULL": lambda t: t.user not in (None, "é") and t.tag is not None,
    "metadata.`mlflow.trace.session` = 's1'": lambda t: t.session == "s1",
    "span.name = 'llm'": lambda t: t.span_name == "llm",
    "span.name RLIKE '^(llm|tool)$' AND status IN ('OK', 'ERROR')": lambda t: (
        t.span_name != "ask" and t.status != "IN_PROGRESS"
    ),
    "feedback.score > 0": lambda t: t.score is not None and t.score > 0,
    "feedback.score = '0.5'": lambda t: t.score == 0.5,
    "feedback.score IS NULL": lambda t: t.score is None,
}
ORDERS: dict[str, tuple[str, bool]] = {
    "timestamp ASC": ("timestamp_ms", True),
    "timestamp DESC": ("timestamp_ms", False),
    "execution_time": ("execution_time_ms", True),
    "execution_time DESC": ("execution_time_ms", False),
    "status DESC": ("status", False),
    "tags.env": ("tag", True),
    "metadata.team DESC": ("user", False),
    "metadata.`mlflow.trace.session`": ("session", True),
    "request_id DESC": ("request_id", False),
}


@pytest.fixture(scope="module")
def model(server: ServerProcess) -> Iterator[Model]:
    api = Api(server.url)
    yield Model(api, random.Random(7))
    api.close()


@pytest.mark.parametrize("filter_string", FILTERS)
def test_the_pages_of_a_search_together_are_what_the_rules_say(model: Model, filter_string: str) -> None:
    rng = random.Random(filter_string)
    for _ in range(4):
        experiment_ids = rng.sample(model.experiment_ids, rng.randint(1, 3))
        order_by = rng.sample(list(ORDERS), rng.randint(0, 2))
        order_by = [term for index, term in enumerate(order_by) if ORDERS[term][0] != ORDERS[order_by[index - 1]][0]]
        found: list[str] = []
        pages = model.api.pages(
            "POST",
            PATH,
            locations=locations(*experiment_ids),
            filter=filter_string,
            order_by=order_by,
            max_results=rng.choice([1, 7, 40, 500]) if filter_string else 40,
        )
        for page in pages:
            found += [trace["trace_id"] for trace in page["traces"]]
        assert found == model.search(experiment_ids, FILTERS[filter_string], [ORDERS[term] for term in order_by])


def test_the_older_search_has_the_same_pages(model: Model) -> None:
    pages = model.api.pages("GET", "traces", experiment_ids=model.experiment_ids, max_results=40)
    found = [trace["request_id"] for page in pages for trace in page["traces"]]
    assert found == model.search(model.experiment_ids, lambda trace: True, [])


def test_a_trace_that_is_added_moves_no_other_to_another_page(api: Api, experiment_id: str) -> None:
    ids = [start_trace(api, experiment_id, start=number)["trace_id"] for number in range(4)][::-1]
    first = api.post(PATH, locations=locations(experiment_id), max_results=2)
    start_trace(api, experiment_id, start=1000)
    token = first["next_page_token"]
    second = api.post(PATH, locations=locations(experiment_id), max_results=2, page_token=token)
    assert [trace["trace_id"] for trace in first["traces"] + second["traces"]] == ids
    assert "next_page_token" not in second


def test_a_token_goes_on_with_its_own_search_only(api: Api, experiment_id: str) -> None:
    for number in range(3):
        start_trace(api, experiment_id, start=number)
    search: dict[str, Any] = {"locations": locations(experiment_id), "max_results": 1}
    token = api.post(PATH, **search)["next_page_token"]
    for changed in (
        {"filter": "status = 'OK'"},
        {"order_by": ["status"]},
        {"locations": locations(experiment_id, "0")},
        {"page_token": token[:-4] + "AAAA"},
        {"page_token": "nonsense"},
    ):
        refused = api.post_refused(PATH, **(search | {"page_token": token} | changed))
        assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
        assert refused.message.startswith("Invalid page token")
