"""Frameworks that write their GenAI spans in a way that no table of keys describes.

Facts from mlflow/tracing/otel/translation 3.17 and the telemetry documentation of each framework. Attributes are JSON
texts, as a span keeps them; so is what these functions give back as inputs and outputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runnel.domain.spans import UNKNOWN_TYPE, decoded

Attributes = Mapping[str, str]
Events = Sequence[Mapping[str, Any]]

# What several of them share: OpenTelemetry's own conventions for GenAI.
OPERATION = "gen_ai.operation.name"
REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_TYPES = {
    "chat": "CHAT_MODEL",
    "create_agent": "AGENT",
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
    "generate_content": "LLM",
    "invoke_agent": "AGENT",
    "text_completion": "LLM",
    "response": "LLM",
}
GEN_AI_INPUTS = ("gen_ai.input.messages", "gen_ai.tool.call.arguments")
GEN_AI_OUTPUTS = ("gen_ai.output.messages", "gen_ai.tool.call.result")

_INT64 = range(-(2**63), 2**63)
# No JSON without content (null, false, 0, "", [], {}) is longer, but for blanks that nobody writes.
_LONGEST_EMPTY = 16


def content(attributes: Attributes, key: str) -> str | None:
    """An attribute that is there and says something; null, false, 0 and what is empty say nothing."""
    text = attributes.get(key)
    if text is None or len(text) > _LONGEST_EMPTY or (text[0:1] == '"' and len(text) > 2):
        return text
    return text if decoded(text) else None


def first_content(attributes: Attributes, keys: Iterable[str]) -> str | None:
    """The first of several attributes that says something."""
    return next((text for key in keys if (text := content(attributes, key)) is not None), None)


def kind(attributes: Attributes, key: str) -> str:
    """An attribute that is a text, or the empty text."""
    if key not in attributes:
        return ""
    value = decoded(attributes[key])
    return value if isinstance(value, str) else ""


def whole_number(value: Any) -> int | None:
    """A count of tokens, which some instrumentations send as text or 3.0; None for all but integers of 64 bits."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _INT64 else None


def dump(value: Any) -> str:
    """The JSON of a value; half of a surrogate pair, which JSON's escapes can hold and UTF-8 cannot, becomes "?"."""
    return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


# Gemini CLI: the GenAI conventions with operations of its own, messages in the form of Gemini's API.

_GEMINI_CLI_AGENT = "gen_ai.agent.name"
_GEMINI_CLI_TYPES = {"llm_call": "LLM", "tool_call": "TOOL", "agent_call": "AGENT"}


def _is_gemini_cli(attributes: Attributes) -> bool:
    return kind(attributes, _GEMINI_CLI_AGENT) == "gemini-cli"


def gemini_cli_type(attributes: Attributes) -> str | None:
    return _GEMINI_CLI_TYPES.get(kind(attributes, OPERATION)) if _is_gemini_cli(attributes) else None


def gemini_cli_format(attributes: Attributes) -> str | None:
    return "gemini" if _is_gemini_cli(attributes) else None


def gemini_cli_inputs(attributes: Attributes) -> str | None:
    """The messages as ``contents``; those of a system prompt, which come as the user's, as the system's."""
    text = first_content(attributes, GEN_AI_INPUTS) if _is_gemini_cli(attributes) else None
    messages = decoded(text)
    if isinstance(messages, list) and kind(attributes, OPERATION) == "system_prompt":
        messages = [
            message | {"role": "system"} if isinstance(message, dict) and message.get("role") == "user" else message
            for message in messages
        ]
    return dump({"contents": messages}) if isinstance(messages, list | str) else text


def gemini_cli_outputs(attributes: Attributes) -> str | None:
    """The parts of all streamed pieces as those of one candidate."""
    text = first_content(attributes, GEN_AI_OUTPUTS) if _is_gemini_cli(attributes) else None
    pieces = decoded(text)
    if not isinstance(pieces, list):
        return text
    lists = [piece["parts"] for piece in pieces if isinstance(piece, dict) and isinstance(piece.get("parts"), list)]
    parts = [part for one in lists for part in one]
    return dump({"candidates": [{"content": {"role": "model", "parts": parts}}]}) if parts else text


# Claude Code: keys without a prefix, recognized by ``span.type``, whose values had the prefix in some versions only.

_CLAUDE_CODE_KIND = "span.type"
_CLAUDE_CODE_TYPES = {"interaction": "AGENT", "llm_request": "LLM", "tool": "TOOL"}
_CLAUDE_CODE_TOOL_DETAILS = ("full_command", "file_path", "skill_name", "subagent_type")
_CLAUDE_CODE_TOOL_EVENT = "tool.output"
_REDACTED = "<REDACTED>"  # stands for every content that its user did not allow to be sent


def _claude_code_kind(attributes: Attributes) -> str:
    return kind(attributes, _CLAUDE_CODE_KIND).removeprefix("claude_code.")


def claude_code_type(attributes: Attributes) -> str | None:
    return _CLAUDE_CODE_TYPES.get(_claude_code_kind(attributes))


def claude_code_inputs(attributes: Attributes) -> str | None:
    match _claude_code_kind(attributes):
        case "interaction":
            return _unredacted(attributes, "user_prompt") or _unredacted(attributes, "new_context")
        case "llm_request":
            return _unredacted(attributes, "new_context")
        case "tool":
            details = {
                key: decoded(text)
                for key in _CLAUDE_CODE_TOOL_DETAILS
                if (text := _unredacted(attributes, key)) is not None
            }
            return _unredacted(attributes, "tool_input") or (dump(details) if details else None)
    return None


def claude_code_outputs(attributes: Attributes) -> str | None:
    match _claude_code_kind(attributes):
        case "llm_request":
            return _unredacted(attributes, "response.model_output")
        case "tool":
            return _unredacted(attributes, "new_context")
    return None


def claude_code_usage(attributes: Attributes) -> dict[str, int]:
    """The tokens of a request. Claude counts those of its cache apart; MLflow counts them as input too."""
    if _claude_code_kind(attributes) != "llm_request":
        return {}
    keys = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_input_tokens": "cache_read_tokens",
        "cache_creation_input_tokens": "cache_creation_tokens",
    }
    counts = {name: whole_number(decoded(attributes.get(key))) for name, key in keys.items()}
    usage = {name: count for name, count in counts.items() if count is not None}
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return {}
    if "input_tokens" in usage:
        usage["input_tokens"] += usage.get("cache_read_input_tokens", 0) + usage.get("cache_creation_input_tokens", 0)
    return usage


def _unredacted(attributes: Attributes, key: str) -> str | None:
    text = content(attributes, key)
    return None if text is None or decoded(text) == _REDACTED else text


# Traceloop (OpenLLMetry): messages in numbered keys, of which MLflow shows the first.

_TRACELOOP_PROMPT = re.compile(r"gen_ai\.prompt\.\d+\.content")
_TRACELOOP_ARGUMENTS = re.compile(r"gen_ai\.completion\.\d+\.tool_calls\.\d+\.arguments")
_TRACELOOP_COMPLETION = re.compile(r"gen_ai\.completion\.\d+\.content")


def traceloop_inputs(attributes: Attributes) -> str | None:
    return (
        content(attributes, "traceloop.entity.input")
        or _first_match(attributes, _TRACELOOP_PROMPT)
        or _first_match(attributes, _TRACELOOP_ARGUMENTS)
    )


def traceloop_outputs(attributes: Attributes) -> str | None:
    return content(attributes, "traceloop.entity.output") or _first_match(attributes, _TRACELOOP_COMPLETION)


def _first_match(attributes: Attributes, pattern: re.Pattern[str]) -> str | None:
    return first_content(attributes, (key for key in attributes if pattern.match(key)))


# Vercel AI SDK: a call of a model has its inputs and outputs in many attributes, which make one object.

VERCEL_AI_KIND = "ai.operationId"
_VERCEL_AI_INPUTS = ("ai.prompt", "ai.toolCall.args", "ai.value", "ai.values")
_VERCEL_AI_OUTPUTS = (
    "ai.response.text",
    "ai.toolCall.result",
    "ai.response.object",
    "ai.embedding",
    "ai.embeddings",
)
_VERCEL_AI_CHATS = ("ai.generateText.doGenerate", "ai.streamText.doStream")


def vercel_ai_format(attributes: Attributes) -> str | None:
    return "vercel_ai" if kind(attributes, VERCEL_AI_KIND) in _VERCEL_AI_CHATS else None


def vercel_ai_inputs(attributes: Attributes) -> str | None:
    if vercel_ai_format(attributes) is None:
        return first_content(attributes, _VERCEL_AI_INPUTS)
    inputs = _members(attributes, "ai.prompt.")
    if isinstance(inputs.get("tools"), list):
        inputs["tools"] = [_unwrapped(tool) for tool in inputs["tools"]]
    return dump(inputs) if inputs else None


def vercel_ai_outputs(attributes: Attributes) -> str | None:
    if vercel_ai_format(attributes) is None:
        return first_content(attributes, _VERCEL_AI_OUTPUTS)
    outputs = _members(attributes, "ai.response.")
    return dump(outputs) if outputs else None


def _members(attributes: Attributes, prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): _unwrapped(text) for key, text in attributes.items() if key.startswith(prefix)}


def _unwrapped(value: Any) -> Any:
    """A value out of the JSON texts within each other that it comes in."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        value = decoded(value)
    return value


# LiveKit Agents: the kind of a span shows in which attributes it has; messages may come as events.

LIVEKIT_PREFIX = "lk."
_LIVEKIT_TYPES_BY_PREFIX = (
    ("lk.retry_count", "LLM"),
    ("lk.function_tool", "TOOL"),
    ("lk.agent_name", "AGENT"),
    ("lk.instructions", "AGENT"),
    ("lk.generation_id", "AGENT"),
    ("lk.tts", UNKNOWN_TYPE),  # speech, for which there is no type
    ("lk.input_text", UNKNOWN_TYPE),
    ("lk.user_transcript", UNKNOWN_TYPE),
    ("lk.transcript_confidence", UNKNOWN_TYPE),
    ("lk.transcription_delay", UNKNOWN_TYPE),
)
_LIVEKIT_WHOLE_PREFIXES = ("lk.function_tool", "lk.tts")


def livekit_type(attributes: Attributes) -> str | None:
    """LLM for whatever names the model it asked, else what the operation or the first telling attribute says."""
    if REQUEST_MODEL in attributes:
        return "LLM"
    if (operation := kind(attributes, OPERATION).lower()) in GEN_AI_TYPES:
        return GEN_AI_TYPES[operation]
    for key in attributes:
        if key.startswith(LIVEKIT_PREFIX):
            for start, span_type in _LIVEKIT_TYPES_BY_PREFIX:
                if key == start or (start in _LIVEKIT_WHOLE_PREFIXES and key.startswith(start)):
                    return span_type
    return None


def livekit_format(attributes: Attributes) -> str | None:
    return "livekit" if any(key.startswith(LIVEKIT_PREFIX) for key in attributes) else None


# Content in events: Spring AI's, then the GenAI conventions' former messages (LiveKit's), then Claude Code's tools.

_PROMPT_EVENT, _PROMPT = "gen_ai.content.prompt", "gen_ai.prompt"
_COMPLETION_EVENT, _COMPLETION = "gen_ai.content.completion", "gen_ai.completion"
_MESSAGE_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
}
_CHOICE_EVENT = "gen_ai.choice"
CONTENT_EVENTS = frozenset({_PROMPT_EVENT, _COMPLETION_EVENT, _CHOICE_EVENT, _CLAUDE_CODE_TOOL_EVENT, *_MESSAGE_ROLES})


def inputs_in_events(events: Events) -> str | None:
    """The inputs that events carry."""
    if prompt := _event_value(events, _PROMPT_EVENT, _PROMPT):
        return dump(_object_in(prompt))
    messages = [
        {"role": _MESSAGE_ROLES[event["name"]], "content": _value_in(event["attributes"]["content"])}
        for event in events
        if event["name"] in _MESSAGE_ROLES and event["attributes"].get("content")
    ]
    return dump(messages) if messages else None


def outputs_in_events(events: Events, attributes: Attributes) -> str | None:
    """The outputs that events carry."""
    if completion := _event_value(events, _COMPLETION_EVENT, _COMPLETION):
        return dump(_object_in(completion))
    messages = [
        {
            "role": _value_in(event["attributes"].get("role", "assistant")),
            "content": _value_in(event["attributes"]["content"]),
        }
        for event in events
        if event["name"] == _CHOICE_EVENT and event["attributes"].get("content")
    ]
    if messages:
        return dump(messages)
    if _claude_code_kind(attributes) == "tool":
        for event in events:
            if event["name"] == _CLAUDE_CODE_TOOL_EVENT:
                for key in ("output", "content", "diff"):
                    value = _value_in(event["attributes"].get(key))
                    if value and value != _REDACTED:
                        return dump(value)
    return None


def _event_value(events: Events, name: str, key: str) -> Any:
    found = (event["attributes"].get(key) for event in events if event["name"] == name)
    return next((value for value in found if value), None)


def _value_in(value: Any) -> Any:
    return decoded(value) if isinstance(value, str) else value


def _object_in(value: Any) -> Any:
    """A prompt that is the JSON of an object, a list or a text is that; one that happens to be a number stays text."""
    inner = _value_in(value)
    return inner if isinstance(inner, str | list | dict) else value
