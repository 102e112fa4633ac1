"""The search for traces: what filters find, what orders do, what is refused. (Pages: test_trace_search_paging.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_client import Api, invalid
from tests.server_process import ServerProcess
from tests.trace_requests import START_MS, locations, log_spans, new_otel_id, otel_span, start_trace

PATH = "/api/3.0/mlflow/traces/search"
SESSION = "mlflow.trace.session"
UNNAMED = "00"  # a span's trace that is yet to be named


def feedback(name: str, value: Any, **fields: Any) -> dict[str, Any]:
    source = {"source_type": "HUMAN", "source_id": "me"}
    return {"assessment_name": name, "source": source, "feedback": {"value": value}} | fields


def expectation(name: str, value: Any) -> dict[str, Any]:
    source = {"source_type": "HUMAN", "source_id": "me"}
    return {"assessment_name": name, "source": source, "expectation": {"value": value}}


class Known:
    """Five traces in two experiments, found by the tag ``n``; the later the number, the later the trace."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.first, self.second = api.new_experiment(), api.new_experiment()
        self.run, self.other_run = api.new_run(self.first), api.new_run(self.first)
        self.ids: dict[str, str] = {}
        self._add(
            "one",
            self.first,
            1000,
            otel_span(UNNAMED, 1, name="ask", attributes={"mlflow.spanInputs": {"q": 'What is a "fox" in São Paulo?'}}),
            otel_span(
                UNNAMED, 2, 1, name="llm", attributes={"mlflow.spanType": "LLM", "model": "gpt-4", "temperature": 0.7}
            ),
            execution_duration="0.200s",
            client_request_id="req-1",
            tags={"mlflow.traceName": "chat", "env": "dev", "team.x": "blue"},
            trace_metadata={"mlflow.trace.user": "ann", SESSION: "s1", "mlflow.sourceRun": self.run},
            assessments=[feedback("correct", True), feedback("score", 0.5), expectation("answer", "42")],
        )
        self._add(
            "two",
            self.first,
            2000,
            otel_span(UNNAMED, 1, name="ask", status=2),
            otel_span(UNNAMED, 2, 1, name="llm", attributes={"mlflow.spanType": "TOOL", "model": "gpt-4o-mini"}),
            state="ERROR",
            execution_duration="2s",
            tags={"mlflow.traceName": "Chat", "env": "Dev"},
            trace_metadata={"mlflow.trace.user": "Ann", SESSION: "s1", "mlflow.modelId": "m-1"},
            assessments=[feedback("correct", False), feedback("score", 3), feedback("judge", "yes")],
        )
        self._add(
            "three",
            self.second,
            3000,
            otel_span(UNNAMED, 1, name="Search", attributes={"mlflow.spanOutputs": {"found": ["fox", "hen"]}, "n": 5}),
            execution_duration="0.200s",
            tags={"mlflow.traceName": "search", "env": "x" * 100 + "y"},
            trace_metadata={"mlflow.trace.user": "bob", SESSION: "s2"},
            assessments=[feedback("good", "yes", metadata={SESSION: "s2"})],
        )
        self._add(
            "four", self.second, 4000, state="IN_PROGRESS", client_request_id="req-4", trace_metadata={SESSION: "s2"}
        )
        self._add("five", self.first, 5000, otel_span(UNNAMED, 1, name="100%_sure"), tags={"env": "x" * 150})
        ids = [self.ids["two"], self.ids["five"]]
        api.post("traces/link-to-run", run_id=self.run, trace_ids=ids)
        versions = [{"name": "greet", "version": "3"}, {"name": "greet", "version": "12"}]
        api.post("traces/link-prompts", trace_id=self.ids["five"], prompt_versions=versions)

    def _add(self, name: str, experiment_id: str, start: int, *spans: Any, **fields: Any) -> None:
        otel_id = new_otel_id()
        for span in spans:
            span.trace_id = bytes.fromhex(otel_id)
        if spans:
            log_spans(self.api, experiment_id, *spans)
        fields["tags"] = fields.get("tags", {}) | {"n": name}
        self.ids[name] = start_trace(self.api, experiment_id, f"tr-{otel_id}", start=start, **fields)["trace_id"]

    def search(self, **fields: Any) -> list[str]:
        """The names of the traces that are found, in the order of the answer."""
        answer = self.api.post(PATH, **({"locations": locations(self.first, self.second)} | fields))
        return [trace["tags"]["n"] for trace in answer["traces"]]


@pytest.fixture(scope="module")
def known(server: ServerProcess) -> Iterator[Known]:
    api = Api(server.url)
    yield Known(api)
    api.close()


ALL = "one two three four five"
AT_3000 = START_MS + 3000


@pytest.mark.parametrize(
    ("filter_string", "found"),
    [
        ("", ALL),
        # Attributes
        ("status = 'OK'", "one three five"),
        ("status != 'OK'", "two four"),
        ("status IN ('OK', 'IN_PROGRESS')", "one three four five"),
        ("status NOT IN ('OK')", "two four"),
        ("attributes.status LIKE 'E%'", "two"),
        ("trace.status ILIKE 'e%'", "two"),
        ("attribute.status RLIKE '^(OK|ERR)'", "one two three five"),
        ("state = 'ERROR'", "two"),
        (f"timestamp > {AT_3000}", "four five"),
        (f"timestamp_ms >= {AT_3000} AND timestamp_ms < {AT_3000 + 2000}", "three four"),
        (f"trace.timestamp_ms = '{AT_3000}'", "three"),
        (f"attributes.timestamp != {AT_3000}", "one two four five"),
        (f"timestamp > {AT_3000}.5", "four five"),
        ("execution_time = 200", "one three"),
        ("execution_time_ms > 200", "two"),
        ("execution_time != 200", "two"),
        ("trace.execution_time <= 200.5", "one three"),
        (f"end_time >= {AT_3000 + 1000}", "two four five"),
        (f"end_time_ms = {START_MS + 1200}", "one"),
        ("name = 'chat'", "one"),
        ("name != 'chat'", "two three five"),
        ("name ILIKE 'chat'", "one two"),
        ("name IN ('chat', 'search')", "one three"),
        ("name RLIKE 'ch$'", "three"),
        ("name IS NULL", "four"),
        ("name IS NOT NULL", "one two three five"),
        ("client_request_id = 'req-1'", "one"),
        ("client_request_id != 'req-1'", "four"),
        ("client_request_id IN ('req-1', 'req-4')", "one four"),
        ("client_request_id LIKE '%-4'", "four"),
        ("request_id = '$one'", "one"),
        ("trace_id IN ('$one', '$two', 'tr-unknown')", "one two"),
        ("request_id != '$one'", "two three four five"),
        # Runs and prompts
        ("run_id = '$run'", "one two five"),
        ("attribute.run_id IN ('$run', 'unknown')", "one two five"),
        ("run_id != '$other'", "one"),
        ("run_id IS NULL", "two three four five"),
        ("metadata.`mlflow.sourceRun` = '$run'", "one two five"),
        ("run_id = '$other'", ""),
        ("prompt = 'greet/3'", "five"),
        ("prompt = 'greet/1'", ""),
        # Tags and metadata
        ("tags.env = 'dev'", "one"),
        ("tag.env != 'dev'", "two three five"),
        ("tags.env ILIKE 'DEV'", "one two"),
        ("tags.env LIKE '_ev'", "one two"),
        ("tags.env RLIKE '^[dD]ev$'", "one two"),
        ("tags.team.x = 'blue'", "one"),
        ("tags.`team.x` = 'blue'", "one"),
        ('tags."team.x" IS NULL', "two three four five"),
        ("tags.env IS NOT NULL", "one two three five"),
        (f"tags.env = '{'x' * 100}'", ""),
        (f"tags.env = '{'x' * 150}'", "five"),
        ("tags.unknown != 'x'", ""),
        ("tags.`mlflow.traceName` = 'chat'", "one"),
        ("tags.`mlflow.traceName` IS NULL", "four five"),
        ("metadata.mlflow.trace.user = 'ann'", "one"),
        ("request_metadata.`mlflow.trace.user` != 'ann'", "two three"),
        ("metadata.`mlflow.trace.user` RLIKE '(?i)^ANN$'", "one two"),
        ("request_metadata.`mlflow.modelId` = 'm-1'", "two"),
        ("metadata.`mlflow.modelId` IS NULL", "one three four five"),
        ("metadata.`mlflow.trace.session` = 's1'", "one two"),
        ("metadata.`mlflow.trace.session` != 's1'", "three four"),
        ("metadata.`mlflow.trace.session` IS NULL", "five"),
        # Spans
        ("span.name = 'llm'", "one two"),
        ("span.name != 'ask'", "one two three five"),
        ("span.name ILIKE 'search'", "three"),
        ("span.name LIKE '100%'", "five"),
        ("span.name RLIKE '^[0-9]+%_'", "five"),
        ("span.name IN ('ask', 'Search')", "one two three"),
        ("span.name NOT IN ('ask', 'llm')", "three five"),
        ("span.type = 'TOOL'", "two"),
        ("span.type IN ('LLM', 'TOOL')", "one two"),
        ("span.status = 'ERROR'", "two"),
        ("span.name = 'llm' AND span.type = 'LLM'", "one"),
        ("span.name = 'ask' AND span.type = 'LLM'", ""),
        ("span.content LIKE '%fox%'", "one three"),
        ("text ILIKE '%FOX%'", "one three"),
        ("trace.text LIKE '%São Paulo%'", "one"),
        ("span.attributes.model = 'gpt-4'", "one"),
        ("span.attributes.model != 'gpt-4'", "two"),
        ("span.attributes.model LIKE '%4%'", "one two"),
        ("span.attributes.model LIKE 'gpt-4_-%'", "two"),
        ("span.attributes.model ILIKE '%MINI'", "two"),
        ("span.attributes.model IN ('gpt-4', 'x')", "one"),
        ("span.attributes.model RLIKE '^gpt-4$'", "one"),
        ("span.attributes.temperature = '0.7'", "one"),
        ("span.attributes.n RLIKE '^5$'", "three"),
        ("span.attributes.`mlflow.spanInputs` LIKE '%\"fox\"%'", ""),
        ("span.attributes.mlflow.spanInputs LIKE '%\\\"fox\\\"%'", "one"),
        ("span.attributes.mlflow.spanOutputs LIKE '%fox%'", "three"),
        ("span.attributes.unknown LIKE '%'", ""),
        # Assessments
        ("feedback.correct = 'true'", "one"),
        ("feedback.correct != 'true'", "two"),
        ("feedback.correct IS NOT NULL", "one two"),
        ("feedback.correct IS NULL", "three four five"),
        ("feedback.score >= 0.5", "one two"),
        ("feedback.score > 0.5", "two"),
        ("feedback.score < -1", ""),
        ("feedback.score = '3'", "two"),
        ("feedback.judge = 'yes'", "two"),
        ("feedback.judge > 1", ""),
        ("feedback.judge LIKE '%yes%'", "two"),
        ("feedback.judge RLIKE 'y.s'", "two"),
        ("expectation.answer = '42'", "one"),
        ("expectation.correct IS NOT NULL", ""),
        ("issue.id = 'issue-1'", ""),
        # An assessment of a session is one of each trace in it.
        ("feedback.good = 'yes'", "three four"),
        ("feedback.good IS NOT NULL", "three four"),
        ("feedback.good IS NULL", "one two five"),
        # Several conditions
        ("status = 'OK' AND tags.env = 'dev' AND execution_time > 100", "one"),
        ("status = 'OK' and name like 'ch%'", "one"),
        ("tags.env = 'dev' AND tags.env = 'Dev'", ""),
        ("status = 'OK' AND", "one three five"),
    ],
)
def test_a_filter_finds_the_traces_that_meet_all_of_its_conditions(
    known: Known, filter_string: str, found: str
) -> None:
    replaced = filter_string.replace("$run", known.run).replace("$other", known.other_run)
    for name, trace_id in known.ids.items():
        replaced = replaced.replace(f"${name}", trace_id)
    assert known.search(filter=replaced) == found.split()[::-1]


@pytest.mark.parametrize(
    ("order_by", "found"),
    [
        ([], "five four three two one"),
        (["timestamp ASC"], ALL),
        (["trace.timestamp_ms DESC"], "five four three two one"),
        (["execution_time"], "three one two five four"),
        (["execution_time DESC", "timestamp ASC"], "two one three four five"),
        (["end_time"], "one three four two five"),
        (["status", "timestamp ASC"], "two four one three five"),
        (["name"], "five two one three four"),
        (["tags.env DESC"], "three five one two four"),
        (["metadata.`mlflow.trace.user`"], "two one three five four"),
        (["run_id"], "one five four three two"),
        (["metadata.`mlflow.trace.session` DESC"], "four three two one five"),
        (["experiment_id DESC", "timestamp ASC"], "three four one two five"),
    ],
)
def test_traces_come_in_the_order_asked_for_and_those_without_the_value_last(
    known: Known, order_by: list[str], found: str
) -> None:
    assert known.search(order_by=order_by) == found.split()


def test_an_order_by_id_is_that_of_the_ids(known: Known) -> None:
    by_id = sorted(known.ids, key=lambda name: known.ids[name])
    assert known.search(order_by=["request_id"]) == by_id
    assert known.search(order_by=["trace_id DESC"]) == by_id[::-1]


def test_only_the_experiments_named_are_searched(known: Known) -> None:
    assert known.search(locations=locations(known.second)) == ["four", "three"]
    assert known.search(locations=locations(known.second), filter="tags.env = 'dev'") == []
    assert known.search(locations=locations(known.first), filter=f"run_id = '{known.run}'") == ["five", "two", "one"]
    assert known.search(locations=locations(known.second), filter=f"run_id = '{known.run}'") == []
    assert known.search(locations=locations("999999999")) == []
    assert known.search(locations=[]) == []


def test_a_location_of_another_kind_holds_no_traces(known: Known) -> None:
    table = {"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "a.b.c"}}
    assert known.search(locations=[table]) == []
    assert known.search(locations=[table, *locations(known.second)]) == ["four", "three"]


def test_a_trace_is_found_as_it_is_read(known: Known) -> None:
    answer = known.api.post(PATH, locations=locations(known.first), filter=f"trace_id = '{known.ids['one']}'")
    read = known.api.get(f"/api/3.0/mlflow/traces/{known.ids['one']}")
    assert answer == {"traces": [read["trace"]["trace_info"]]}
    assert len(answer["traces"][0]["assessments"]) == 3


def test_the_older_search_finds_the_same_in_the_older_form(known: Known) -> None:
    answer = known.api.get("traces", experiment_ids=[known.first, known.second], filter="tags.env = 'dev'")
    (trace,) = answer["traces"]
    assert trace["request_id"] == known.ids["one"]
    assert trace["experiment_id"] == known.first
    assert (trace["timestamp_ms"], trace["execution_time_ms"]) == (START_MS + 1000, 200)
    assert trace["status"] == "OK"
    assert {"key": "env", "value": "dev"} in trace["tags"]
    assert {"key": "mlflow.trace.user", "value": "ann"} in trace["request_metadata"]


INVALID_FILTERS = {
    "status = OK": "Parameter value is either not quoted or unidentified quote types used for string value OK. "
    "Use either single or double quotes.",
    "status > 'OK'": "Invalid comparator '>' not one of ",
    "status IS NULL": "Invalid comparator 'IS NULL' not one of ",
    "client_request_id IS NULL": "Invalid comparator 'IS NULL' not one of ",
    "timestamp LIKE '17%'": "Invalid comparator 'LIKE' not one of ",
    "timestamp IN ('1')": "Only ['client_request_id', 'name', 'request_id', 'run_id', 'status'] attributes support ",
    "timestamp > 'soon'": "Expected numeric value type for numeric attribute: timestamp_ms. Found 'soon'",
    "tags.env IN ('dev')": "Invalid comparator 'IN' not one of ",
    "tags.env = 5": "Expected a quoted string value for tag (e.g. 'my-value'). Got value 5",
    "metadata.`mlflow.trace.tokenUsage` LIKE '%7%'": "Invalid comparator 'LIKE' not one of ",
    "span.foo = 'x'": "Invalid span attribute 'foo'. Supported attributes: name, status, type, "
    "attributes.<attribute_name>.",
    "span.attributes = 'x'": "Invalid span attribute 'attributes'.",
    "span.name IS NULL": "span.name comparator 'IS NULL' not one of ",
    "span.content = 'x'": "span.content comparator '=' not one of ",
    "span.attributes.`a\"b` = 'x'": "Invalid span attribute 'a\"b': quotes and backslashes cannot be searched",
    "text = 'x'": "Invalid comparator '=' not one of ",
    "feedback.score = 1.2": "Expected a quoted string value for feedback (e.g. 'my-value'). Got value 1.2",
    "feedback.score > '1'": "Expected numeric value type for feedback. Found '1'",
    "feedback.score IN ('1')": "assessment.score comparator 'IN' not one of ",
    "issue.id != 'x'": "issue.id comparator '!=' not one of ",
    "issue.name = 'x'": "Invalid issue attribute 'name'. Supported attributes: id",
    "prompt = 'p'": "Invalid prompts filter value 'p'. Expected format: prompt = \"name/version\"",
    "prompt LIKE 'p/%'": "Invalid comparator 'LIKE' not one of ",
    "foo = 'x'": "Invalid attribute key 'foo' specified. Valid keys are ",
    "foo.bar = 'x'": "Invalid entity type 'foo'. Valid values are ",
    "status = 'OK' OR status = 'ERROR'": "Invalid clause(s) in filter string: 'OR'",
    "(status = 'OK')": "Invalid clause(s) in filter string: ",
    "status =": "Invalid clause(s) in filter string: 'status ='",
    "name RLIKE '('": "Invalid RLIKE pattern '(': ",
    "name RLIKE '(a)\\1'": "Invalid RLIKE pattern '(a)\\1': ",
    f"name RLIKE '{'a' * 1001}'": "An RLIKE pattern can have at most 1000 characters",
}


@pytest.mark.parametrize("filter_string", INVALID_FILTERS)
def test_what_is_no_filter_for_traces_is_refused_with_the_reason(known: Known, filter_string: str) -> None:
    refused = known.api.post_refused(PATH, locations=locations(known.first), filter=filter_string)
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(INVALID_FILTERS[filter_string])


INVALID_ORDERS = {
    "foo": "Invalid attribute key 'foo' specified. Valid keys are ",
    "client_request_id": "Invalid attribute key 'client_request_id' specified. Valid keys are ",
    "feedback.correct": "Invalid order_by entity: feedback",
    "span.name": "Invalid order_by entity: span",
    "timestamp FOO": "Invalid ordering key in order_by clause 'timestamp FOO'.",
    "timestamp, name": "Invalid order_by clause 'timestamp, name'. Could not be parsed.",
    "metadata.`mlflow.trace.cost`": "Ordering by reserved metadata 'mlflow.trace.cost' is not supported",
}


@pytest.mark.parametrize("term", INVALID_ORDERS)
def test_what_traces_cannot_be_ordered_by_is_refused_with_the_reason(known: Known, term: str) -> None:
    refused = known.api.post_refused(PATH, locations=locations(known.first), order_by=[term])
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(INVALID_ORDERS[term])


def test_an_order_names_no_field_twice(known: Known) -> None:
    terms = ["timestamp", "timestamp_ms"]
    refused = known.api.post_refused(PATH, locations=locations(known.first), order_by=terms)
    assert refused == invalid("`order_by` contains duplicate fields: ['timestamp', 'timestamp_ms']")


@pytest.mark.parametrize(
    ("max_results", "reason"), [(0, "a positive integer"), (-1, "a positive integer"), (501, "at most 500")]
)
def test_a_page_has_between_1_and_500_traces(known: Known, max_results: int, reason: str) -> None:
    expected = invalid(f"Invalid value {max_results} for parameter 'max_results' supplied. It must be {reason}")
    assert known.api.post_refused(PATH, locations=locations(known.first), max_results=max_results) == expected
    assert known.api.get_refused("traces", experiment_ids=[known.first], max_results=max_results) == expected


def test_an_experiment_id_is_a_number(known: Known) -> None:
    expected = invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer.")
    assert known.api.post_refused(PATH, locations=locations("abc")) == expected
