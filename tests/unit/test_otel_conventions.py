"""What instrumentations say under keys of their own is found under MLflow's."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from runnel.domain.otel_conventions import translate
from runnel.domain.spans import (
    CHAT_TOOLS,
    INPUTS,
    MESSAGE_FORMAT,
    MODEL,
    MODEL_PROVIDER,
    OUTPUTS,
    SPAN_TYPE,
    TOKEN_USAGE,
)

MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
TOOLS = [{"type": "function", "name": "weather"}]


def usage(**tokens: int) -> dict[str, int]:
    return {f"{name}_tokens": count for name, count in tokens.items()}


def added(attributes: dict[str, Any], *events: dict[str, Any]) -> dict[str, Any]:
    """What is added to attributes, all as values instead of their JSON."""
    texts = translate({key: json.dumps(value) for key, value in attributes.items()}, list(events))
    return {key: json.loads(text) for key, text in texts.items()}


def event(name: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "time_unix_nano": 1, "attributes": attributes}


# The attributes of a span as each convention writes them, and what is to be added.
CASES: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "GenAI semantic conventions": [
        (
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.input.messages": MESSAGES,
                "gen_ai.output.messages": MESSAGES,
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.output_tokens": 8,
                "gen_ai.usage.cache_read.input_tokens": 5,
                "gen_ai.usage.cache_write.input_tokens": 4,
                "gen_ai.tool.definitions": TOOLS,
            },
            {
                SPAN_TYPE: "CHAT_MODEL",
                MODEL_PROVIDER: "openai",
                MODEL: "gpt-4o-2024-08-06",
                INPUTS: MESSAGES,
                OUTPUTS: MESSAGES,
                TOKEN_USAGE: usage(input=12, output=8, total=20, cache_read_input=5, cache_creation_input=4),
                CHAT_TOOLS: TOOLS,
            },
        ),
        (
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.call.arguments": {"city": "Bonn"},
                "gen_ai.tool.call.result": "sunny",
            },
            {SPAN_TYPE: "TOOL", INPUTS: {"city": "Bonn"}, OUTPUTS: "sunny"},
        ),
        (
            {"gen_ai.usage.input_tokens": 1, "gen_ai.usage.cache_creation.input_tokens": 2},
            {TOKEN_USAGE: usage(input=1, cache_creation_input=2)},
        ),
    ],
    "OpenInference": [
        (
            {
                "openinference.span.kind": "RERANKER",
                "input.value": "question",
                "output.value": [1, 2],
                "llm.token_count.prompt": 3,
                "llm.token_count.completion": 4,
                "llm.token_count.total": 9,
                "llm.token_count.prompt_details.cache_read": 1,
                "llm.token_count.prompt_details.cache_write": 2,
                "llm.model_name": "claude",
                "llm.provider": "anthropic",
            },
            {
                SPAN_TYPE: "RERANKER",
                INPUTS: "question",
                OUTPUTS: [1, 2],
                TOKEN_USAGE: usage(input=3, output=4, total=9, cache_read_input=1, cache_creation_input=2),
                MODEL: "claude",
                MODEL_PROVIDER: "anthropic",
            },
        ),
        (
            {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e5"},
            {SPAN_TYPE: "EMBEDDING", MODEL: "e5"},
        ),
    ],
    "Gemini CLI": [
        (
            {
                "gen_ai.agent.name": "gemini-cli",
                "gen_ai.operation.name": "llm_call",
                "gen_ai.input.messages": [{"role": "user", "parts": [{"text": "Hi"}]}],
                "gen_ai.output.messages": [{"parts": [{"text": "Hel"}]}, {"parts": [{"text": "lo"}]}],
            },
            {
                SPAN_TYPE: "LLM",
                MESSAGE_FORMAT: "gemini",
                INPUTS: {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
                OUTPUTS: {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}, {"text": "lo"}]}}]},
            },
        ),
        (
            {
                "gen_ai.agent.name": "gemini-cli",
                "gen_ai.operation.name": "system_prompt",
                "gen_ai.input.messages": [{"role": "user", "parts": []}],
            },
            {MESSAGE_FORMAT: "gemini", INPUTS: {"contents": [{"role": "system", "parts": []}]}},
        ),
        # The operations are Gemini CLI's alone.
        ({"gen_ai.agent.name": "other", "gen_ai.operation.name": "llm_call"}, {}),
    ],
    "Claude Code": [
        (
            {
                "span.type": "claude_code.llm_request",
                "new_context": "question",
                "response.model_output": "answer",
                "input_tokens": 10,
                "output_tokens": 7,
                "cache_read_tokens": 100,
                "cache_creation_tokens": 20,
            },
            {
                SPAN_TYPE: "LLM",
                INPUTS: "question",
                OUTPUTS: "answer",
                TOKEN_USAGE: usage(input=130, output=7, total=137, cache_read_input=100, cache_creation_input=20),
            },
        ),
        (
            {"span.type": "interaction", "user_prompt": "<REDACTED>", "new_context": "context"},
            {SPAN_TYPE: "AGENT", INPUTS: "context"},
        ),
        (
            {"span.type": "tool", "tool_input": "<REDACTED>", "full_command": "ls", "file_path": "a.py"},
            {SPAN_TYPE: "TOOL", INPUTS: {"full_command": "ls", "file_path": "a.py"}},
        ),
        ({"span.type": "claude_code.other", "input_tokens": 10}, {}),
    ],
    "Traceloop": [
        (
            {
                "traceloop.span.kind": "workflow",
                "traceloop.entity.input": {"a": 1},
                "traceloop.entity.output": {"b": 2},
                "gen_ai.usage.prompt_tokens": 3,
                "gen_ai.usage.completion_tokens": 4,
                "llm.usage.total_tokens": 7,
                "gen_ai.system": "openai",
            },
            {
                SPAN_TYPE: "WORKFLOW",
                INPUTS: {"a": 1},
                OUTPUTS: {"b": 2},
                TOKEN_USAGE: usage(input=3, output=4, total=7),
                MODEL_PROVIDER: "openai",
            },
        ),
        (
            {
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "Hi",
                "gen_ai.prompt.1.content": "there",
                "gen_ai.completion.0.content": "Hello",
            },
            {INPUTS: "Hi", OUTPUTS: "Hello"},
        ),
        ({"gen_ai.completion.0.tool_calls.1.arguments": {"c": 3}}, {INPUTS: {"c": 3}}),
    ],
    "Google ADK": [
        (
            {"gcp.vertex.agent.llm_request": {"model": "gemini-2"}, "gcp.vertex.agent.llm_response": {"text": "Hi"}},
            {INPUTS: {"model": "gemini-2"}, OUTPUTS: {"text": "Hi"}, MODEL: "gemini-2"},
        ),
        # An object without members says nothing; the next key is asked.
        (
            {"gcp.vertex.agent.llm_request": {}, "gcp.vertex.agent.tool_call_args": [1]},
            {INPUTS: [1]},
        ),
    ],
    "Vercel AI": [
        (
            {"ai.operationId": "ai.toolCall", "ai.toolCall.args": {"a": 1}, "ai.toolCall.result": {"b": 2}},
            {SPAN_TYPE: "TOOL", INPUTS: {"a": 1}, OUTPUTS: {"b": 2}},
        ),
        (
            {
                "ai.operationId": "ai.streamText.doStream",
                "ai.prompt.messages": json.dumps([{"role": "user", "content": "Hi"}]),
                "ai.prompt.tools": [json.dumps({"name": "weather"})],
                "ai.response.text": "Hello",
                "ai.response.finishReason": "stop",
            },
            {
                SPAN_TYPE: "LLM",
                MESSAGE_FORMAT: "vercel_ai",
                INPUTS: {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "weather"}]},
                OUTPUTS: {"text": "Hello", "finishReason": "stop"},
            },
        ),
        # The inputs are not in Vercel's form when they come from another convention.
        (
            {"ai.operationId": "ai.streamText.doStream", "ai.prompt.messages": "x", "gen_ai.input.messages": MESSAGES},
            {SPAN_TYPE: "LLM", INPUTS: MESSAGES},
        ),
    ],
    "VoltAgent": [
        (
            {
                "span.type": "memory",
                "entity.type": "agent",
                "voltagent.operation_id": "1",
                "llm.messages": [{"role": "user", "content": "Hi"}],
                "output": "Hello",
                "usage.prompt_tokens": 1,
                "llm.usage.prompt_tokens": 9,
                "llm.usage.completion_tokens": 2,
                "usage.total_tokens": 4,
            },
            {
                SPAN_TYPE: "MEMORY",
                MESSAGE_FORMAT: "voltagent",
                INPUTS: [{"role": "user", "content": "Hi"}],
                OUTPUTS: "Hello",
                TOKEN_USAGE: usage(input=1, output=2, total=4),
            },
        ),
        ({"entity.type": "agent"}, {SPAN_TYPE: "AGENT"}),
    ],
    "LiveKit": [
        (
            {"lk.agent_name": "Bo", "lk.user_input": "Hi", "lk.response.text": "Hello"},
            {SPAN_TYPE: "AGENT", MESSAGE_FORMAT: "livekit", INPUTS: "Hi", OUTPUTS: "Hello"},
        ),
        ({"lk.function_tool.name": "f"}, {SPAN_TYPE: "TOOL", MESSAGE_FORMAT: "livekit"}),
        ({"lk.tts.streaming": True}, {SPAN_TYPE: "UNKNOWN", MESSAGE_FORMAT: "livekit"}),
        ({"gen_ai.request.model": "m", "gen_ai.operation.name": "odd"}, {SPAN_TYPE: "LLM", MODEL: "m"}),
    ],
    "Laminar": [
        (
            {"lmnr.span.type": "EXECUTOR", "lmnr.span.input": [1], "lmnr.span.output": [2], "gen_ai.system": "mistral"},
            {SPAN_TYPE: "AGENT", MESSAGE_FORMAT: "openai", INPUTS: [1], OUTPUTS: [2], MODEL_PROVIDER: "mistral"},
        ),
    ],
    "Langfuse": [
        (
            {
                "langfuse.observation.type": "guardrail",
                "langfuse.observation.input": {"q": 1},
                "langfuse.observation.output": {"a": 2},
            },
            {SPAN_TYPE: "GUARDRAIL", INPUTS: {"q": 1}, OUTPUTS: {"a": 2}},
        ),
    ],
}


@pytest.mark.parametrize("convention", CASES)
def test_a_span_of_a_convention_gets_mlflows_attributes(convention: str) -> None:
    for attributes, expected in CASES[convention]:
        assert added(attributes) == expected


def test_the_prompt_and_the_completion_of_spring_ai_are_found_in_events() -> None:
    prompt = event("gen_ai.content.prompt", **{"gen_ai.prompt": ["Hi", "there"]})
    completion = event("gen_ai.content.completion", **{"gen_ai.completion": "Hello"})
    assert added({}, prompt, completion) == {INPUTS: ["Hi", "there"], OUTPUTS: "Hello"}


def test_messages_in_events_become_lists_of_messages() -> None:
    found = added(
        {},
        event("gen_ai.system.message", content="Be brief"),
        event("gen_ai.user.message", content='[{"text": "Hi"}]'),
        event("gen_ai.assistant.message", role="assistant"),
        event("gen_ai.choice", content="Hello"),
    )
    assert found[INPUTS] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": [{"text": "Hi"}]},
    ]
    assert found[OUTPUTS] == [{"role": "assistant", "content": "Hello"}]


def test_the_output_of_a_tool_of_claude_code_is_found_in_its_event() -> None:
    outputs = event("tool.output", output="<REDACTED>", diff="+1")
    assert added({"span.type": "tool"}, outputs)[OUTPUTS] == "+1"
    assert OUTPUTS not in added({"span.type": "interaction"}, outputs)


def test_an_attribute_goes_before_an_event() -> None:
    assert added({"input.value": "mine"}, event("gen_ai.user.message", content="other"))[INPUTS] == "mine"


def test_what_a_client_sent_under_mlflows_keys_is_kept() -> None:
    attributes = CASES["GenAI semantic conventions"][0]
    assert added(attributes[0] | dict.fromkeys(attributes[1], "mine")) == {}


def test_a_type_is_replaced_only_when_it_is_unknown() -> None:
    assert added({"gen_ai.operation.name": "chat", SPAN_TYPE: "UNKNOWN"}) == {SPAN_TYPE: "CHAT_MODEL"}
    assert added({"gen_ai.operation.name": "chat", SPAN_TYPE: "AGENT"}) == {}


def test_the_first_convention_that_knows_a_fact_counts() -> None:
    found = added(
        {"langfuse.observation.type": "chain", "openinference.span.kind": "TOOL", "gen_ai.usage.input_tokens": 1}
        | {"span.type": "llm_request", "input_tokens": 5, "output": "last", "output.value": "first"}
    )
    assert found == {SPAN_TYPE: "TOOL", TOKEN_USAGE: usage(input=1), OUTPUTS: "first"}


@pytest.mark.parametrize(
    ("sent", "counted"),
    [(7, 7), ("7", 7), (7.0, 7), (0, 0), (7.5, None), ("seven", None), (True, None), (None, None), (2**70, None)],
)
def test_counts_of_tokens_are_whole_numbers(sent: Any, counted: int | None) -> None:
    expected = {} if counted is None else {TOKEN_USAGE: usage(input=counted)}
    assert added({"gen_ai.usage.input_tokens": sent}) == expected


def test_the_model_is_taken_from_the_inputs_or_the_outputs_where_nothing_else_names_it() -> None:
    assert added({INPUTS: {"model": "a"}, OUTPUTS: {"model": "b"}, SPAN_TYPE: "LLM"}) == {MODEL: "a"}
    assert added({INPUTS: {"messages": []}, OUTPUTS: {"model": "b"}, SPAN_TYPE: "LLM"}) == {MODEL: "b"}
    assert added({INPUTS: {"model": "a"}, SPAN_TYPE: "LLM", MODEL: "c"}) == {}
    assert added({INPUTS: {"model": {"layers": 3}}, SPAN_TYPE: "LLM"}) == {}


def test_spans_of_other_instrumentations_stay_as_they_are() -> None:
    assert added({"http.request.method": "GET", "db.system": "postgresql"}, event("exception", content="x")) == {}


@pytest.mark.parametrize("odd", [None, 3, [], {}, {"a": [1]}, "\x00", "x" * 3_000, [[["x"]]]])
def test_a_value_of_any_kind_is_no_error(odd: Any) -> None:
    for cases in CASES.values():
        for attributes, _ in cases:
            for key in attributes:
                added(attributes | {key: odd}, event("gen_ai.choice", content=odd, role=odd))


@pytest.mark.parametrize("depth", [100, 900, 960, 980, 990, 1_000, 100_000])
def test_content_of_any_depth_is_kept_or_left_alone(depth: int) -> None:
    attributes = {"gen_ai.agent.name": '"gemini-cli"', "gen_ai.input.messages": "[" * depth + "]" * depth}
    inputs = translate(attributes, []).get(INPUTS)
    assert inputs is None or inputs.count("[") == depth


def test_half_of_a_surrogate_pair_becomes_a_character_that_can_be_stored() -> None:
    half = '[{"role": "user", "content": "\\ud83d"}]'
    attributes = {"gen_ai.agent.name": '"gemini-cli"', "gen_ai.input.messages": half}
    assert json.loads(translate(attributes, [])[INPUTS])["contents"] == [{"role": "user", "content": "?"}]


def test_a_span_of_mlflows_own_client_costs_microseconds() -> None:
    content = json.dumps({"messages": [{"role": "user", "content": "x" * 500}]})
    names = ("mlflow.traceRequestId", SPAN_TYPE, INPUTS, OUTPUTS, "mlflow.spanFunctionName", MODEL)
    attributes = dict.fromkeys(names, content)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(500):
            translate(attributes, [])
        times.append((time.perf_counter() - start) / 500)
    assert min(times) < 20e-6  # it takes about 1 µs; reading the content once would take more than this
