"""Spans of plain OpenTelemetry instrumentations at /v1/traces: they read back as if MLflow's client had made them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.api_client import Api
from tests.conftest import StartServer
from tests.trace_requests import (
    attributes_of,
    get_info,
    get_spans,
    key_values,
    locations,
    log_spans,
    new_otel_id,
    otel_span,
)

QUESTION = [{"role": "user", "content": "What is a runnel?"}]
ANSWER = [{"role": "assistant", "content": "A small stream."}]


def chat_attributes(**others: Any) -> dict[str, Any]:
    """A call of a model as the GenAI semantic conventions describe it."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.input.messages": json.dumps(QUESTION),
        "gen_ai.output.messages": json.dumps(ANSWER),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
    } | others


def value_of(value: Any) -> Any:
    """A value on the wire as the value it stands for."""
    if "array_value" in value:
        return [value_of(item) for item in value["array_value"].get("values", [])]
    if "kvlist_value" in value:
        return {member["key"]: value_of(member["value"]) for member in value["kvlist_value"].get("values", [])}
    (kind, held), *_ = value.items()
    return int(held) if kind == "int_value" else held


def values_of(span: Any) -> dict[str, Any]:
    return {key: value_of(value) for key, value in attributes_of(span).items()}


def test_a_gen_ai_span_reads_back_with_mlflows_attributes(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    log_spans(api, experiment_id, otel_span(otel_id, attributes=chat_attributes()))
    (span,) = get_spans(api, f"tr-{otel_id}")
    values = values_of(span)
    assert values["mlflow.spanType"] == "CHAT_MODEL"
    assert values["mlflow.spanInputs"] == QUESTION
    assert values["mlflow.spanOutputs"] == ANSWER
    assert values["mlflow.llm.model"] == "gpt-4o-2024-08-06"
    assert values["mlflow.llm.provider"] == "openai"
    assert values["mlflow.chat.tokenUsage"] == {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    assert values["gen_ai.request.model"] == "gpt-4o"  # and what was sent is still there


def test_the_tokens_of_gen_ai_spans_add_up_for_their_trace(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    log_spans(
        api,
        experiment_id,
        otel_span(otel_id, 1, attributes={"gen_ai.operation.name": "invoke_agent"}),
        otel_span(otel_id, 2, 1, attributes=chat_attributes()),
        otel_span(otel_id, 3, 1, attributes=chat_attributes()),
    )
    metadata = get_info(api, f"tr-{otel_id}")["trace_metadata"]
    usage = json.loads(metadata["mlflow.trace.tokenUsage"])
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (24, 10, 34)


def test_the_previews_of_a_trace_show_translated_inputs_and_outputs(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    attributes = {"input.value": json.dumps({"messages": QUESTION}), "output.value": json.dumps({"messages": ANSWER})}
    log_spans(api, experiment_id, otel_span(otel_id, attributes=attributes))
    info = get_info(api, f"tr-{otel_id}")
    assert info["request_preview"] == "What is a runnel?"
    assert info["response_preview"] == "A small stream."


def test_traces_are_found_by_the_type_of_translated_spans(api: Api, experiment_id: str) -> None:
    retrieving, other = new_otel_id(), new_otel_id()
    log_spans(api, experiment_id, otel_span(retrieving, attributes={"openinference.span.kind": "RETRIEVER"}))
    log_spans(api, experiment_id, otel_span(other, attributes={"openinference.span.kind": "CHAIN"}))
    found = api.post(
        "/api/3.0/mlflow/traces/search", locations=locations(experiment_id), filter="span.type = 'RETRIEVER'"
    )
    assert [trace["trace_id"] for trace in found["traces"]] == [f"tr-{retrieving}"]


def test_content_in_events_becomes_inputs_and_outputs(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    prompt = Span.Event(name="gen_ai.content.prompt", attributes=key_values({"gen_ai.prompt": ["Hi", "there"]}))
    completion = Span.Event(name="gen_ai.content.completion", attributes=key_values({"gen_ai.completion": "Hello"}))
    span = otel_span(otel_id, attributes={"gen_ai.operation.name": "chat"}, events=[prompt, completion])
    log_spans(api, experiment_id, span)
    values = values_of(get_spans(api, f"tr-{otel_id}")[0])
    assert (values["mlflow.spanInputs"], values["mlflow.spanOutputs"]) == (["Hi", "there"], "Hello")


def test_a_cost_that_a_client_sends_is_kept(api: Api, experiment_id: str) -> None:
    otel_id = new_otel_id()
    cost = {"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75}
    log_spans(api, experiment_id, otel_span(otel_id, attributes=chat_attributes(**{"mlflow.llm.cost": cost})))
    assert values_of(get_spans(api, f"tr-{otel_id}")[0])["mlflow.llm.cost"] == cost


@pytest.fixture
def priced_api(start_server: StartServer, tmp_path: Path) -> Iterator[Api]:
    """A server with a list of prices."""
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"gpt-4o-2024-08-06": {"input_cost_per_token": 0.5, "output_cost_per_token": 2}}))
    client = Api(start_server("--model-prices", str(prices)).url)
    yield client
    client.close()


def test_a_cost_that_no_client_sends_is_worked_out_by_the_list_of_prices(priced_api: Api) -> None:
    otel_id = new_otel_id()
    sent = {"input_cost": 1.0, "output_cost": 1.0, "total_cost": 2.0}
    log_spans(
        priced_api,
        "0",
        otel_span(otel_id, 1, attributes={"gen_ai.operation.name": "invoke_agent"}),
        otel_span(otel_id, 2, 1, attributes=chat_attributes()),
        otel_span(otel_id, 3, 1, attributes=chat_attributes(**{"mlflow.llm.cost": sent})),
        otel_span(otel_id, 4, 1, attributes=chat_attributes(**{"gen_ai.response.model": "unheard-of"})),
    )
    costs = {span["span_id"]: values_of(span).get("mlflow.llm.cost") for span in get_spans(priced_api, f"tr-{otel_id}")}
    worked_out = {"input_cost": 6.0, "output_cost": 10.0, "total_cost": 16.0}
    assert list(costs.values()) == [None, worked_out, sent, None]
    metadata = get_info(priced_api, f"tr-{otel_id}")["trace_metadata"]
    assert json.loads(metadata["mlflow.trace.cost"]) == {"input_cost": 7.0, "output_cost": 11.0, "total_cost": 18.0}


def test_a_server_does_not_start_with_prices_that_are_none(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"gpt-4o": {"input_cost_per_token": "cheap"}}')
    command = [sys.executable, "-m", "runnel", "server", "--port", "0", "--model-prices", str(prices)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "'input_cost_per_token' of 'gpt-4o' must be a number of dollars" in done.stderr


def test_odd_values_under_known_keys_are_stored_as_they_came(api: Api, experiment_id: str) -> None:
    texts = ("\0", '"\\ud83d"', '"\\u0000"', "[" * 300 + "]" * 300)
    for odd in ({"a": [1]}, 2**62, float("nan"), *texts):
        otel_id = new_otel_id()
        attributes = dict.fromkeys((*chat_attributes(), "input.value", "ai.operationId", "lk.user_input"), odd)
        attributes["gen_ai.agent.name"] = "gemini-cli"
        log_spans(api, experiment_id, otel_span(otel_id, attributes=attributes))
        assert get_spans(api, f"tr-{otel_id}")
