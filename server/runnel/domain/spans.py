"""Spans: how MLflow keeps one, and what a trace takes from its spans.

A span is kept as MLflow's own dictionary: ids in base64, every attribute as JSON in text. So it reads back as it was
sent, and the filters, the clients and their old artifact files all know the form.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.traces import TRACE_NAME_TAG, accepted_tag

# Attributes with a meaning of their own (mlflow/tracing/constant.py 3.17).
REQUEST_ID = "mlflow.traceRequestId"
INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"
SPAN_TYPE = "mlflow.spanType"
TOKEN_USAGE = "mlflow.chat.tokenUsage"
COST = "mlflow.llm.cost"
MODEL = "mlflow.llm.model"
MODEL_PROVIDER = "mlflow.llm.provider"
MESSAGE_FORMAT = "mlflow.message.format"
CHAT_TOOLS = "mlflow.chat.tools"
TRACE_TAG_PREFIX = "mlflow.traceTag."
_SESSION_IDS = ("session.id", "gen_ai.conversation.id")
_USER_ID = "user.id"

UNKNOWN_TYPE = "UNKNOWN"

TOKEN_KEYS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
COST_KEYS = ("input_cost", "output_cost", "total_cost")

_STATUS_NAMES = ("UNSET", "OK", "ERROR")  # in the order of OpenTelemetry's status codes
STATUS_CODE_NAMES = tuple(f"STATUS_CODE_{name}" for name in _STATUS_NAMES)

MAX_PREVIEW_LENGTH = 1_000


class SpanContent(NamedTuple):
    """A span with the columns by which it is found. Ids in hexadecimal, times in nanoseconds since the epoch."""

    trace_id: str  # MLflow's: "tr-" and the hexadecimal OpenTelemetry id
    span_id: str
    parent_span_id: str | None
    name: str
    status_code: int  # OpenTelemetry's: 0 unset, 1 ok, 2 error
    start_time_ns: int
    end_time_ns: int | None
    attributes: dict[str, str]  # what ``telling_attributes`` leaves, each value as JSON
    content: str  # the whole span as MLflow keeps it, as JSON
    resource: Mapping[str, Any]  # the attributes of what made the span
    searched_keys: tuple[str, ...] = ()  # those of all attributes by which the span is found

    @property
    def status(self) -> str:
        return _STATUS_NAMES[self.status_code]


# Most spans have these: who looks for one of them walks through the traces anyway.
UNSEARCHED_KEYS = frozenset(
    {
        "mlflow.spanFunctionName",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.spanType",
        "mlflow.traceRequestId",
    }
)
MAX_SEARCHED_KEYS = 100  # of one span
SEARCHED_LENGTH = 100  # of a key
ANY_KEY = ("",)  # of a span with more keys: it may have the one that is looked for


@lru_cache(maxsize=256)
def _shared(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The same keys, held once for all spans that have them."""
    return keys


def searched_keys(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of attributes by which a span is found, of long ones the beginning."""
    keys = tuple([key[:SEARCHED_LENGTH] for key in attributes if key not in UNSEARCHED_KEYS])
    return _shared(keys) if len(keys) <= MAX_SEARCHED_KEYS else ANY_KEY


# What a trace and the columns of a span take from attributes.
_TELLING = (SPAN_TYPE, TOKEN_USAGE, COST, MODEL, MODEL_PROVIDER, *_SESSION_IDS, _USER_ID)
_TELLING_OF_ROOT = (*_TELLING, INPUTS, OUTPUTS)


def telling_attributes(attributes: Mapping[str, str], *, is_root: bool) -> dict[str, str]:
    """The attributes that are needed beside the whole content, which holds them all."""
    telling = {key: attributes[key] for key in (_TELLING_OF_ROOT if is_root else _TELLING) if key in attributes}
    if is_root:
        telling |= {key: text for key, text in attributes.items() if key.startswith(TRACE_TAG_PREFIX)}
    return telling


def decoded(text: str | None) -> Any:
    """The value of a JSON text; a text that is no JSON stands for itself."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def text_attribute(span: SpanContent, key: str, max_length: int = 500) -> str | None:
    """An attribute that is a text, cut to a length; None for anything else."""
    text = span.attributes.get(key)
    if text is None:
        return None
    # Almost always a text without escapes: to take its quotes off is much cheaper than to read JSON.
    value = text[1:-1] if text[:1] == '"' and "\\" not in text else decoded(text)
    return without_nul(value[:max_length]) if isinstance(value, str) and value else None


def without_nul(text: str) -> str:
    """A text without NUL characters, which JSON's escapes can hold and PostgreSQL cannot."""
    return text.replace("\0", "\ufffd")


@dataclass(frozen=True, slots=True)
class TraceTotals:
    """What the spans of one request say about their trace."""

    start_ms: int
    end_ms: int | None
    state: str | None  # of the root span; None while that has not come
    request_preview: str | None
    response_preview: str | None
    session_id: str | None
    user_id: str | None
    name: str | None
    tags: Mapping[str, str]


def totals_of(spans: Sequence[SpanContent]) -> TraceTotals:
    """Works out what the spans of one trace say about it."""
    ends = [span.end_time_ns for span in spans if span.end_time_ns]
    root = next((span for span in spans if span.parent_span_id is None), None)
    tags = _tags_of(spans, root)
    return TraceTotals(
        start_ms=min(span.start_time_ns for span in spans) // 1_000_000,
        end_ms=max(ends) // 1_000_000 if ends else None,
        state=None if root is None else ("ERROR" if root.status == "ERROR" else "OK"),
        request_preview=None if root is None else preview(root.attributes.get(INPUTS), "user"),
        response_preview=None if root is None else preview(root.attributes.get(OUTPUTS), "assistant"),
        session_id=_first_text(spans, _SESSION_IDS),
        user_id=_first_text(spans, (_USER_ID,)),
        name=tags.get(TRACE_NAME_TAG) or (None if root is None else root.name[: limits.MAX_TRACE_NAME_LENGTH]),
        tags=tags,
    )


def _tags_of(spans: Sequence[SpanContent], root: SpanContent | None) -> dict[str, str]:
    """Tags from the resource (its service and so on) and, above them, those a client put on the root span.

    What cannot be a tag of a trace is left out: the spans must not be lost for it.
    """
    found: dict[str, str] = {}
    for key, value in next((span.resource for span in spans if span.resource), {}).items():
        # The SDK's own data says nothing of the trace; MLflow's namespace is not a resource's to write.
        if not key.startswith(("telemetry.sdk.", "mlflow.")):
            found[key] = value if isinstance(value, str) else json.dumps(value)
    if root is not None:
        for key, text in root.attributes.items():
            if key.startswith(TRACE_TAG_PREFIX):
                found[key.removeprefix(TRACE_TAG_PREFIX)] = without_nul(str(decoded(text)))
    tags: dict[str, str] = {}
    for key, value in found.items():
        with contextlib.suppress(InvalidParameterValue):
            tags[key] = accepted_tag(key, value)
        if len(tags) == limits.MAX_TRACE_METADATA_COUNT:
            break
    return tags


def _first_text(spans: Iterable[SpanContent], keys: Sequence[str]) -> str | None:
    for span in spans:
        for key in keys:
            if key in span.attributes:
                value = decoded(span.attributes[key])
                if value not in (None, ""):
                    return without_nul(str(value)[: limits.MAX_SESSION_ID_LENGTH])
    return None


def preview(text: str | None, role: str) -> str | None:
    """What a list shows of a root span's inputs or outputs: the last message of the role, or the JSON, cut short."""
    if text is None:
        return None
    messages = _messages_in(decoded(text))
    shown = _text_of_last(messages, role) if messages else None
    shown = without_nul(shown or text)
    return shown if len(shown) <= MAX_PREVIEW_LENGTH else f"{shown[: MAX_PREVIEW_LENGTH - 3]}..."


def _messages_in(value: Any) -> list[dict[str, Any]]:
    """The messages in the forms of OpenAI's chat and responses APIs (as MLflow looks for them)."""
    if not isinstance(value, dict):
        return []
    choices = value.get("choices")
    if (
        isinstance(choices, list)
        and choices
        and isinstance(choices[0], dict)
        and _is_message(choices[0].get("message"))
    ):
        in_choices = [choices[0]["message"]]
    else:
        in_choices = []
    for found in (value.get("messages"), in_choices, value.get("input"), value.get("output")):
        if isinstance(found, list) and found:
            return [message for message in found if _is_message(message)]
    return _messages_in(value["request"]) if "request" in value else []


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _text_of_last(messages: Sequence[dict[str, Any]], role: str) -> str | None:
    wanted = [message for message in messages if message["role"] == role] or messages
    content = wanted[-1]["content"]
    if isinstance(content, list):
        texts = [part if isinstance(part, str) else _text_of_part(part) for part in content]
        content = next((text for text in texts if text is not None), None)
    return content if isinstance(content, str) else None


def _text_of_part(part: Any) -> str | None:
    is_text = isinstance(part, dict) and part.get("type") in ("text", "output_text")
    text = part.get("text") if is_text else None
    return text if isinstance(text, str) else None
