"""Traces to search, and some hundreds of filters and orders over all that MLflow's search for traces knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from tests.api_client import Api
from tests.trace_requests import START_MS, locations, log_spans, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/search"
TRACE_COUNT = 48
SESSION = "mlflow.trace.session"
COLOURS = ["red", "Red", "blue", "a%b", "a_b", "é", "É", "it's", "", "10", "9"]


class SeededServer:
    """A server that holds the traces: two experiments, their ids the same on every server."""

    def __init__(self, url: str) -> None:
        self.api = Api(url)
        self.experiments = [self.api.new_experiment(), self.api.new_experiment()]
        self.runs = [self.api.new_run(self.experiments[0]) for _ in range(2)]
        for number in range(TRACE_COUNT):
            self._add(number)
        some = [trace_id(number) for number in range(0, TRACE_COUNT, 7)]
        self.api.post("traces/link-to-run", run_id=self.runs[1], trace_ids=some)
        versions = [{"name": "greet", "version": "3"}]
        self.api.post("traces/link-prompts", trace_id=trace_id(4), prompt_versions=versions)

    def _add(self, number: int) -> None:
        experiment_id = self.experiments[number % 5 == 4]
        start = number // 2 * 1000  # two traces begin at the same time
        colour = COLOURS[number % len(COLOURS)]
        status = number % 3
        if number % 6 != 5:
            attributes = {
                "mlflow.spanInputs": {"question": f"What is {colour}?"},
                "mlflow.spanType": "CHAIN",
                "n": number,
            }
            spans = [otel_span(trace_id(number)[3:], 1, name=f"root {colour}", start=start, attributes=attributes)]
            model = {"mlflow.spanType": "LLM", "model": f"gpt-{number % 4}", "city": "São Paulo"}
            spans.append(
                otel_span(trace_id(number)[3:], 2, 1, name="llm", start=start, status=status, attributes=model)
            )
            if number % 4 == 0:
                spans.append(otel_span(trace_id(number)[3:], 3, 2, name="TOOL_1", start=start, status=1))
            log_spans(self.api, experiment_id, *spans)
        tags = {"colour": colour, "my.key": str(number), "k ey": "x"} if number % 4 else {"name": "named"}
        if number % 6 != 5 or number % 12 == 5:  # Runnel finds what has no name by that of its root span
            tags["mlflow.traceName"] = f"name {colour}"
        metadata = {"team": colour, "mlflow.trace.user": f"user {number % 4}"} if number % 7 else {}
        if number % 3 == 0:
            metadata[SESSION] = f"session {number % 4}"
        if number % 5 == 0:
            metadata["mlflow.sourceRun"] = self.runs[0]
        if number % 8 == 1:
            metadata["mlflow.trace.tokenUsage"] = '{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}'
        fields: dict[str, Any] = {"client_request_id": f"client {number}"} if number % 4 == 1 else {}
        if number % 5:
            fields["execution_duration"] = f"{number % 9 / 10:.1f}s"
        fields |= {"state": ("OK", "ERROR", "IN_PROGRESS")[status], "tags": tags, "trace_metadata": metadata}
        start_trace(self.api, experiment_id, trace_id(number), start=start, **fields)
        for name, value in _assessments(number):
            kind = "expectation" if name.startswith("expected") else "feedback"
            source = {"source_type": "HUMAN", "source_id": "me"}
            body = {"assessment_name": name, "trace_id": trace_id(number), "source": source, kind: {"value": value}}
            if name == "of session":
                body["metadata"] = {SESSION: metadata[SESSION]}
            self.api.post(f"/api/3.0/mlflow/traces/{trace_id(number)}/assessments", assessment=body)

    def search(
        self, filter_string: str, order_by: list[str], *, everywhere: bool = True, page_size: int = 500
    ) -> tuple[int, list[str]]:
        """The status, and the ids that are found in their order, on all pages."""
        experiments = self.experiments if everywhere else self.experiments[:1]
        body: dict[str, Any] = {"locations": locations(*experiments), "order_by": order_by, "max_results": page_size}
        body["filter"] = filter_string.replace("$run0", self.runs[0]).replace("$run1", self.runs[1])
        found: list[str] = []
        while True:
            response = self.api.send("POST", PATH, json=body)
            answer = response.json()
            found += [trace["trace_id"] for trace in answer.get("traces", [])]
            if not answer.get("next_page_token"):
                return response.status_code, found
            body["page_token"] = answer["next_page_token"]


def trace_id(number: int) -> str:
    """Ids that do not sort in the order of the numbers."""
    return f"tr-{(number * 37 % 101 + 1) << 64 | number:032x}"


def _assessments(number: int) -> Iterator[tuple[str, object]]:
    if number % 2 == 0:
        yield "correct", number % 4 == 0
    if number % 3 == 0:
        yield "score", number / 10 if number % 2 else number
    if number % 5 == 0:
        yield "judge", ("yes", "No", "5", "é", 'a"b')[number // 5 % 5]
    if number % 9 == 0:
        yield "of session", "good"
    if number % 11 == 0:
        yield "expected", {"answer": number}
        yield "expected text", "forty-two"


_PATTERNS = ["%e%", "red", "RED", "r__", "%a%b%", "%", "É", "%Ed", ""]
_EXPRESSIONS = ["^r", "d$", "^(red|blue)$", "[0-9]+", "e", "(?i)RED", "a.b"]
_VALUES = ["red", "Red", "é", "", "10", "nothing"]


def _texts(column: str, values: list[str], *, lists: bool = False, absence: bool = False) -> Iterator[str]:
    for operator, value in product(("=", "!="), values):
        yield f"{column} {operator} '{value}'"
    for operator, value in product(("LIKE", "ILIKE"), [*_PATTERNS, *(value.upper() for value in values[:2])]):
        yield f"{column} {operator} '{value}'"
    for value in _EXPRESSIONS:
        yield f"{column} RLIKE '{value}'"
    if lists:
        quoted = ", ".join(f"'{value}'" for value in values[:2])
        yield f"{column} IN ({quoted})"
        yield f"{column} NOT IN ({quoted})"
        yield f"{column} IN ('nothing')"
    if absence:
        yield f"{column} IS NULL"
        yield f"{column} IS NOT NULL"


def _numbers(column: str, values: list[str]) -> Iterator[str]:
    for operator, value in product(("=", "!=", "<", "<=", ">", ">="), values):
        yield f"{column} {operator} {value}"


def filters() -> list[str]:
    """Every kind of column with every comparator it takes, and several together."""
    times = [str(START_MS + 5000), str(START_MS + 5300), str(START_MS - 1)]
    names = ["name red", "name Red", "nothing"]
    found = ["", "status = 'OK' AND", "status='OK'"]
    found += _texts("status", ["OK", "ERROR", "ok"], lists=True)
    found += _texts("request_id", [trace_id(3), trace_id(4)], lists=True)
    found += _texts("client_request_id", ["client 5", "client 9"], lists=True)
    found += _texts("name", names, absence=True)
    found += _texts("trace.name", names[:1])
    for column in ("timestamp_ms", "attributes.timestamp", "end_time", "trace.end_time_ms"):
        found += _numbers(column, times)
    found += _numbers("execution_time", ["300", "0", "200"])
    found += _numbers("trace.execution_time_ms", ["100"])
    found += [f"run_id {rest}" for rest in ("= '$run0'", "= '$run1'", "!= '$run0'", "= 'none'", "LIKE '$run0%'")]
    found += ["run_id IS NULL", "run_id IS NOT NULL", "metadata.`mlflow.sourceRun` = '$run0'"]
    found += [*_texts("tags.colour", _VALUES, absence=True), *_texts("tag.`k ey`", ["x"], absence=True)]
    found += [*_texts("tags.my.key", ["10"]), *_texts("tags.`mlflow.traceName`", names, absence=True)]
    found += [*_texts("metadata.team", _VALUES, absence=True), 'tags.colour = "it\'s"', 'metadata.team != "it\'s"']
    found += [*_texts("request_metadata.`mlflow.trace.user`", ["user 1"], absence=True)]
    found += [*_texts(f"metadata.`{SESSION}`", ["session 0", "session 3"], absence=True)]
    found += ["metadata.`mlflow.trace.tokenUsage` IS NULL", "metadata.`mlflow.trace.tokenUsage` IS NOT NULL"]
    found += _texts("span.name", ["llm", "root red", "TOOL_1"], lists=True)
    found += _texts("span.type", ["LLM", "CHAIN", "llm"], lists=True)
    found += _texts("span.status", ["OK", "ERROR", "UNSET"], lists=True)
    for column, operator, text in product(("span.content", "trace.text"), ("LIKE", "ILIKE"), [*_PATTERNS, "%WHAT is%"]):
        found.append(f"{column} {operator} '{text}'")
    for text in ("%gpt-1%", "%GPT-2%", "%Paulo%", "%nothing%"):
        attribute = "city" if "Paulo" in text else "model"
        found += [f"span.attributes.{attribute} {operator} '{text}'" for operator in ("LIKE", "ILIKE")]
    found += [f"span.attributes.model RLIKE '{text}'" for text in ("^gpt-[12]$", "gpt", "-3$", "^pt")]
    found += ["span.name = 'llm' AND span.type = 'LLM'", "span.name = 'llm' AND span.type = 'CHAIN'"]
    found += ["span.type = 'LLM' AND span.status = 'ERROR' AND tags.colour != 'red'"]
    for name, values in {
        "feedback.correct": ["true", "false"],
        "feedback.score": ["0.9", "5.5", "6.0"],
        "feedback.judge": ["yes", "No", "5", "é"],
        "feedback.`of session`": ["good"],
        "expectation.expected": ["x"],
        'expectation."expected text"': ["forty-two"],
        "feedback.none": ["x"],
    }.items():
        found += _texts(name, values, absence=True)
        found += [f"{name} {operator} {value}" for operator in ("<", "<=", ">", ">=") for value in ("0.9", "6", "-1")]
    found += ["issue.id = 'none'", "prompt = 'greet/3'", "prompt = 'greet/4'"]
    found += ["status = 'OK' AND feedback.correct = 'true' AND tags.colour IS NOT NULL AND span.name LIKE 'root%'"]
    found += [f"run_id = '$run1' AND timestamp_ms > {times[0]} AND status != 'ERROR'"]
    return found


ORDERS = [
    [f"{column} {direction}".strip()]
    for column in (
        "timestamp_ms",
        "trace.timestamp",
        "execution_time",
        "execution_time_ms",
        "status",
        "name",
        "run_id",
        "request_id",
        "experiment_id",
        "tags.colour",
        "tag.`k ey`",
        "metadata.team",
        "request_metadata.`mlflow.trace.session`",
        "tags.`mlflow.traceName`",
    )
    for direction in ("", "DESC")
] + [["status", "execution_time DESC"], ["name DESC", "timestamp_ms"], ["tags.colour", "metadata.team DESC", "status"]]
