"""What plain OpenTelemetry instrumentations say about calls of language models, in MLflow's words.

A span that MLflow's clients made carries MLflow's attributes. Others carry those of one convention or another; the
same facts are added to them under MLflow's keys, so that lists, filters, previews and sums see no difference. Nothing
that was sent is changed, but for the type UNKNOWN. The keys and their order are those of
mlflow/tracing/otel/translation 3.17. (Costs, which MLflow works out there, are the matter of ``model_prices``.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runnel.domain import otel_frameworks as frameworks
from runnel.domain.otel_frameworks import Attributes, first_content
from runnel.domain.spans import (
    CHAT_TOOLS,
    INPUTS,
    MESSAGE_FORMAT,
    MODEL,
    MODEL_PROVIDER,
    OUTPUTS,
    SPAN_TYPE,
    TOKEN_USAGE,
    UNKNOWN_TYPE,
    decoded,
)

Rule = Callable[[Attributes], str | None]


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Where a convention counts tokens; of several keys the first that is there counts."""

    input: tuple[str, ...]
    output: tuple[str, ...]
    total: tuple[str, ...] = ()
    cache_read: tuple[str, ...] = ()
    cache_creation: tuple[str, ...] = ()

    def usage(self, attributes: Attributes) -> dict[str, int]:
        """The counts under MLflow's names; without input, output and total there is no usage."""
        counts = {
            "input_tokens": _count(attributes, self.input),
            "output_tokens": _count(attributes, self.output),
            "total_tokens": _count(attributes, self.total),
        }
        if all(count is None for count in counts.values()):
            return {}
        counts["cache_read_input_tokens"] = _count(attributes, self.cache_read)
        counts["cache_creation_input_tokens"] = _count(attributes, self.cache_creation)
        return {name: count for name, count in counts.items() if count is not None}


def _count(attributes: Attributes, keys: tuple[str, ...]) -> int | None:
    for key in keys:
        if key in attributes:
            return frameworks.whole_number(decoded(attributes[key]))
    return None


@dataclass(frozen=True, slots=True)
class Convention:
    """The keys of one convention, and rules where keys are not enough. A rule goes before the keys beside it."""

    kinds: tuple[str, ...] = ()  # the attributes that say what a span is
    types: Mapping[str, str] = field(default_factory=dict)  # their values and MLflow's types
    type_rule: Rule | None = None
    inputs: tuple[str, ...] = ()
    inputs_rule: Rule | None = None
    outputs: tuple[str, ...] = ()
    outputs_rule: Rule | None = None
    tokens: TokenKeys | None = None
    usage_rule: Callable[[Attributes], dict[str, int]] | None = None
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    format_rule: Rule | None = None
    # The form of the inputs, where no convention before this one had any.
    inputs_format_rule: Rule | None = None

    def span_type(self, attributes: Attributes) -> str | None:
        if self.type_rule is not None:
            return self.type_rule(attributes)
        for key in self.kinds:
            if key in attributes and (found := self.types.get(frameworks.kind(attributes, key))):
                return found
        return None

    def usage(self, attributes: Attributes) -> dict[str, int]:
        if self.usage_rule is not None:
            return self.usage_rule(attributes)
        return {} if self.tokens is None else self.tokens.usage(attributes)


_OPEN_INFERENCE = Convention(
    kinds=("openinference.span.kind",),
    types={
        name: name
        for name in (
            *("TOOL", "CHAIN", "LLM", "RETRIEVER", "EMBEDDING", "AGENT", "RERANKER", "GUARDRAIL", "EVALUATOR"),
            UNKNOWN_TYPE,
        )
    },
    inputs=("input.value",),
    outputs=("output.value",),
    tokens=TokenKeys(
        input=("llm.token_count.prompt",),
        output=("llm.token_count.completion",),
        total=("llm.token_count.total",),
        cache_read=("llm.token_count.prompt_details.cache_read",),
        cache_creation=("llm.token_count.prompt_details.cache_write",),
    ),
    models=("llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"),
    providers=("llm.provider",),
)
_GEMINI_CLI = Convention(
    type_rule=frameworks.gemini_cli_type,
    inputs_rule=frameworks.gemini_cli_inputs,
    outputs_rule=frameworks.gemini_cli_outputs,
    format_rule=frameworks.gemini_cli_format,
)
_GEN_AI_MESSAGES = Convention(
    kinds=(frameworks.OPERATION,),
    types=frameworks.GEN_AI_TYPES,
    inputs=frameworks.GEN_AI_INPUTS,
    outputs=frameworks.GEN_AI_OUTPUTS,
)
# Apart from its messages, because these numbers go before Claude Code's.
_GEN_AI_NUMBERS = Convention(
    tokens=TokenKeys(
        input=("gen_ai.usage.input_tokens",),
        output=("gen_ai.usage.output_tokens",),
        cache_read=("gen_ai.usage.cache_read.input_tokens",),
        cache_creation=("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    ),
    models=("gen_ai.response.model", frameworks.REQUEST_MODEL),
    providers=("gen_ai.provider.name",),
    tools=("gen_ai.tool.definitions",),
)
_CLAUDE_CODE = Convention(
    type_rule=frameworks.claude_code_type,
    inputs_rule=frameworks.claude_code_inputs,
    outputs_rule=frameworks.claude_code_outputs,
    usage_rule=frameworks.claude_code_usage,
)
_TRACELOOP = Convention(
    kinds=("traceloop.span.kind",),
    types={"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL", "unknown": UNKNOWN_TYPE},
    inputs_rule=frameworks.traceloop_inputs,
    outputs_rule=frameworks.traceloop_outputs,
    tokens=TokenKeys(
        input=("gen_ai.usage.prompt_tokens",),
        output=("gen_ai.usage.completion_tokens",),
        total=("llm.usage.total_tokens",),
    ),
    providers=("gen_ai.system",),
)
_GOOGLE_ADK = Convention(
    inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"),
    outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
)
_VERCEL_AI = Convention(
    kinds=(frameworks.VERCEL_AI_KIND,),
    types={
        "ai.generateText": "LLM",
        "ai.generateText.doGenerate": "LLM",
        "ai.toolCall": "TOOL",
        "ai.streamText": "LLM",
        "ai.streamText.doStream": "LLM",
        "ai.generateObject": "LLM",
        "ai.generateObject.doGenerate": "LLM",
        "ai.streamObject": "LLM",
        "ai.streamObject.doStream": "LLM",
        "ai.embed": "EMBEDDING",
        "ai.embed.doEmbed": "EMBEDDING",
        "ai.embedMany": "EMBEDDING",
    },
    inputs_rule=frameworks.vercel_ai_inputs,
    outputs_rule=frameworks.vercel_ai_outputs,
    inputs_format_rule=frameworks.vercel_ai_format,
)
_VOLTAGENT = Convention(
    # The span's own type first: what lies below an agent has the agent's entity type.
    kinds=("span.type", "entity.type"),
    types={"agent": "AGENT", "llm": "LLM", "tool": "TOOL", "memory": "MEMORY"},
    inputs=("agent.messages", "llm.messages", "input"),
    outputs=("output",),
    tokens=TokenKeys(
        input=("usage.prompt_tokens", "llm.usage.prompt_tokens"),
        output=("usage.completion_tokens", "llm.usage.completion_tokens"),
        total=("usage.total_tokens", "llm.usage.total_tokens"),
    ),
    format_rule=lambda attributes: (
        "voltagent" if "voltagent.operation_id" in attributes or "voltagent.conversation_id" in attributes else None
    ),
)
_LIVEKIT = Convention(
    type_rule=frameworks.livekit_type,
    inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"),
    outputs=("lk.response.text", "lk.response.function_calls"),
    format_rule=frameworks.livekit_format,
)
_LAMINAR = Convention(
    kinds=("lmnr.span.type",),
    types={
        "LLM": "LLM",
        "TOOL": "TOOL",
        "DEFAULT": "CHAIN",
        "PIPELINE": "CHAIN",
        "EXECUTOR": "AGENT",
        "EVALUATOR": "EVALUATOR",
        "HUMAN_EVALUATOR": "EVALUATOR",
        "EVALUATION": "EVALUATOR",
        "CACHED": "LLM",
    },
    inputs=("lmnr.span.input",),
    outputs=("lmnr.span.output",),
    format_rule=lambda attributes: "openai" if "lmnr.span.type" in attributes else None,
)
_LANGFUSE = Convention(
    kinds=("langfuse.observation.type",),
    types={
        "generation": "LLM",
        "embedding": "EMBEDDING",
        "tool": "TOOL",
        "retriever": "RETRIEVER",
        "agent": "AGENT",
        "chain": "CHAIN",
        "evaluator": "EVALUATOR",
        "guardrail": "GUARDRAIL",
        "span": UNKNOWN_TYPE,
    },
    inputs=("langfuse.observation.input",),
    outputs=("langfuse.observation.output",),
)

# For each fact the first convention that knows it counts.
CONVENTIONS = (
    _OPEN_INFERENCE,
    _GEMINI_CLI,
    _GEN_AI_NUMBERS,
    _CLAUDE_CODE,
    _GEN_AI_MESSAGES,
    _TRACELOOP,
    _GOOGLE_ADK,
    _VERCEL_AI,
    _VOLTAGENT,
    _LIVEKIT,
    _LAMINAR,
    _LANGFUSE,
)

_MODELS = tuple(key for convention in CONVENTIONS for key in convention.models)
_PROVIDERS = tuple(key for convention in CONVENTIONS for key in convention.providers)
_TOOLS = tuple(key for convention in CONVENTIONS for key in convention.tools)
_FORMAT_RULES = tuple(rule for convention in CONVENTIONS if (rule := convention.format_rule) is not None)

# Every key that a rule or a table reads begins with one of these.
_PREFIXES = (
    *("ai.", "agent.messages", "embedding.model_name", "entity.type", "gcp.vertex.agent.", "gen_ai.", "input"),
    *("langfuse.observation.", "lk.", "llm.", "lmnr.span.", "openinference.", "output", "span.type", "traceloop."),
    *("usage.", "voltagent."),
)


def translate(attributes: dict[str, str], events: list[dict[str, Any]]) -> dict[str, str]:
    """What to add to a span's attributes: its facts under MLflow's keys, each value as JSON."""
    if not _has_conventions(attributes, events):
        return _model_in_content(attributes)
    try:
        return _translation(attributes, events)
    except RecursionError:  # content nested too deep to be written again: the span stays as it was sent
        return {}


def _has_conventions(attributes: Attributes, events: list[dict[str, Any]]) -> bool:
    # A loop: it costs half of any(), and every span of MLflow's own clients goes through it.
    for key in attributes:
        if key.startswith(_PREFIXES):
            return True
    return bool(events) and any(event["name"] in frameworks.CONTENT_EVENTS for event in events)


def _translation(attributes: dict[str, str], events: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str | None] = {}
    if decoded(attributes.get(SPAN_TYPE)) in (None, UNKNOWN_TYPE):
        found[SPAN_TYPE] = _dumped(_first(convention.span_type(attributes) for convention in CONVENTIONS))
    message_format = None
    if INPUTS not in attributes:
        inputs, message_format = _inputs(attributes)
        found[INPUTS] = inputs or frameworks.inputs_in_events(events)
    if OUTPUTS not in attributes:
        found[OUTPUTS] = _outputs(attributes) or frameworks.outputs_in_events(events, attributes)
    if TOKEN_USAGE not in attributes:
        found[TOKEN_USAGE] = _usage(attributes)
    if MESSAGE_FORMAT not in attributes:
        found[MESSAGE_FORMAT] = _dumped(message_format or _first(rule(attributes) for rule in _FORMAT_RULES))
    for key, sources in ((CHAT_TOOLS, _TOOLS), (MODEL, _MODELS), (MODEL_PROVIDER, _PROVIDERS)):
        if key not in attributes:
            found[key] = first_content(attributes, sources)
    additions = {key: text for key, text in found.items() if text is not None}
    return additions | _model_in_content(attributes | additions)


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value is not None), None)


def _dumped(value: str | None) -> str | None:
    return None if value is None else f'"{value}"'


def _inputs(attributes: Attributes) -> tuple[str | None, str | None]:
    """The inputs, and the form they have where their convention says so."""
    message_format = None
    for convention in CONVENTIONS:
        if convention.inputs_format_rule is not None:
            message_format = convention.inputs_format_rule(attributes)
        rule = convention.inputs_rule
        text = first_content(attributes, convention.inputs) if rule is None else rule(attributes)
        if text is not None:
            return text, message_format
    return None, message_format


def _outputs(attributes: Attributes) -> str | None:
    for convention in CONVENTIONS:
        rule = convention.outputs_rule
        text = first_content(attributes, convention.outputs) if rule is None else rule(attributes)
        if text is not None:
            return text
    return None


def _usage(attributes: Attributes) -> str | None:
    for convention in CONVENTIONS:
        if usage := convention.usage(attributes):
            if "input_tokens" in usage and "output_tokens" in usage:
                usage.setdefault("total_tokens", usage["input_tokens"] + usage["output_tokens"])
            return frameworks.dump(usage)
    return None


def _model_in_content(attributes: Attributes) -> dict[str, str]:
    """The model that the inputs or the outputs name, where nothing else does."""
    if MODEL in attributes:
        return {}
    for key in (INPUTS, OUTPUTS):
        text = attributes.get(key)
        # The texts can be long; few of them are worth reading.
        if text is not None and '"model"' in text and isinstance(value := decoded(text), dict):
            model = value.get("model")
            if model:
                return {MODEL: frameworks.dump(model)} if isinstance(model, str) else {}
    return {}
