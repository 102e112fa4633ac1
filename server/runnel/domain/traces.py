"""Traces: what is in one, and how its times are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.assessments import Assessment, AssessmentDict
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import check_key, check_length, invalid_value

TraceState = Literal["OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"]

# Tags and metadata with a meaning of their own (mlflow/tracing/constant.py 3.17).
TRACE_NAME_TAG = "mlflow.traceName"
SPANS_LOCATION_TAG = "mlflow.trace.spansLocation"
ARTIFACT_LOCATION_TAG = "mlflow.artifactLocation"
LINKED_PROMPTS_TAG = "mlflow.linkedPrompts"
SOURCE_RUN_METADATA = "mlflow.sourceRun"
SESSION_METADATA = "mlflow.trace.session"
USER_METADATA = "mlflow.trace.user"
TOKEN_USAGE_METADATA = "mlflow.trace.tokenUsage"
COST_METADATA = "mlflow.trace.cost"
SIZE_STATS_METADATA = "mlflow.trace.sizeStats"
INFO_FINALIZED_METADATA = "mlflow.trace.infoFinalized"

IN_TRACKING_STORE = "TRACKING_STORE"
# Only the server says where the spans of a trace are.
_PROTECTED_TAGS = frozenset({SPANS_LOCATION_TAG, "mlflow.trace.archiveLocation", "mlflow.trace.archivalFailure"})

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?s")


@dataclass(frozen=True, slots=True)
class MlflowExperimentLocation:
    experiment_id: str = ""


@dataclass(frozen=True, slots=True)
class TraceLocation:
    type: Literal["MLFLOW_EXPERIMENT", "INFERENCE_TABLE", "TRACE_LOCATION_TYPE_UNSPECIFIED"] = "MLFLOW_EXPERIMENT"
    mlflow_experiment: MlflowExperimentLocation = MlflowExperimentLocation()


@dataclass(frozen=True, slots=True)
class TraceInfo:
    """A trace as a client sends it; times as protobuf's JSON writes them."""

    trace_id: str
    trace_location: TraceLocation
    request_time: str = ""
    execution_duration: str = ""
    state: TraceState = "STATE_UNSPECIFIED"
    client_request_id: str = ""
    request_preview: str = ""
    response_preview: str = ""
    trace_metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    assessments: tuple[Assessment, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    trace_info: TraceInfo


class MlflowExperimentDict(TypedDict):
    experiment_id: str


class TraceLocationDict(TypedDict):
    type: str
    mlflow_experiment: MlflowExperimentDict


class TraceInfoDict(TypedDict):
    """A trace as clients see it."""

    trace_id: str
    trace_location: TraceLocationDict
    request_time: str
    state: str
    execution_duration: NotRequired[str]
    client_request_id: NotRequired[str]
    request_preview: NotRequired[str]
    response_preview: NotRequired[str]
    trace_metadata: NotRequired[dict[str, str]]
    tags: NotRequired[dict[str, str]]
    assessments: NotRequired[list[AssessmentDict]]


class KeyValueDict(TypedDict):
    key: str
    value: str


class TraceInfoV2Dict(TypedDict):
    """A trace in the form of MLflow's version 2; times in milliseconds (since the epoch)."""

    request_id: str
    experiment_id: str
    timestamp_ms: int
    execution_time_ms: int
    status: str
    request_metadata: NotRequired[list[KeyValueDict]]
    tags: NotRequired[list[KeyValueDict]]


class TraceDict(TypedDict):
    trace_info: TraceInfoDict
    spans: NotRequired[list[Any]]


def parse_timestamp(text: str, path: str) -> int:
    """Milliseconds since the epoch of a time such as ``2026-11-24T14:42:07.924Z``."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise InvalidParameterValue(invalid_value(path, text, "It must be a time such as 2026-11-24T14:42:07.924Z"))
    try:
        seconds = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise InvalidParameterValue(invalid_value(path, text, str(error))) from None
    return int(seconds) * 1000 + int((match[2] or "").ljust(3, "0")[:3])


def render_timestamp(milliseconds: int) -> str:
    """The time as protobuf's JSON writes it: with three digits behind the point, or none."""
    seconds, rest = divmod(milliseconds, 1000)
    try:
        clock = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    except (ValueError, OverflowError, OSError):  # a clock that was far off; the year 9999 is where protobuf ends
        return "9999-12-31T23:59:59Z" if seconds > 0 else "0001-01-01T00:00:00Z"
    return f"{clock}.{rest:03d}Z" if rest else f"{clock}Z"


def parse_duration(text: str, path: str) -> int:
    """Milliseconds of a duration such as ``1.5s``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidParameterValue(invalid_value(path, text, "It must be a duration such as 1.5s"))
    whole = abs(int(match[1])) * 1000 + int((match[2] or "").ljust(3, "0")[:3])
    return -whole if match[1].startswith("-") else whole


def render_duration(milliseconds: int) -> str:
    """The duration as protobuf's JSON writes it."""
    sign = "-" if milliseconds < 0 else ""
    seconds, rest = divmod(abs(milliseconds), 1000)
    return f"{sign}{seconds}.{rest:03d}s" if rest else f"{sign}{seconds}s"


def to_trace_info_v2(info: TraceInfoDict) -> TraceInfoV2Dict:
    """The same trace in the form of version 2, whose clients expect no longer values than it allowed."""
    state = info["state"]
    shown: TraceInfoV2Dict = {
        "request_id": info["trace_id"],
        "experiment_id": info["trace_location"]["mlflow_experiment"]["experiment_id"],
        "timestamp_ms": parse_timestamp(info["request_time"], "request_time"),
        "execution_time_ms": parse_duration(info.get("execution_duration", "0s"), "execution_duration"),
        "status": "TRACE_STATUS_UNSPECIFIED" if state == "STATE_UNSPECIFIED" else state,
    }
    if "trace_metadata" in info:
        shown["request_metadata"] = _pairs(info["trace_metadata"], limits.MAX_TRACE_V2_METADATA_LENGTH)
    if "tags" in info:
        shown["tags"] = _pairs(info["tags"], limits.MAX_TRACE_V2_TAG_LENGTH)
    return shown


def _pairs(values: dict[str, str], max_length: int) -> list[KeyValueDict]:
    return [{"key": key, "value": value[:max_length]} for key, value in values.items()]


def accepted_tag(key: str, value: str) -> str:
    """The value of a tag as it is kept: cut to 8,000 characters, as MLflow does; refuses keys that MLflow refuses."""
    check_key(key, "key", "key", limits.MAX_TRACE_TAG_KEY_LENGTH)
    if key == TRACE_NAME_TAG:
        check_length("Trace name", value, limits.MAX_TRACE_NAME_LENGTH)
    return value[: limits.MAX_TRACE_TAG_VALUE_LENGTH]


def accepted_values(field_name: str, values: Mapping[str, str]) -> dict[str, str]:
    """The tags or metadata of a trace as they are kept: values are cut to 8,000 characters, keys of more than 250 and
    more than 1,000 entries are refused, and so are a name and a session id that are too long to be searched."""
    if len(values) > limits.MAX_TRACE_METADATA_COUNT:
        raise InvalidParameterValue(f"'{field_name}' can have at most {limits.MAX_TRACE_METADATA_COUNT} entries")
    for key, value in values.items():
        check_length(f"{field_name} key", key, limits.MAX_TRACE_METADATA_KEY_LENGTH)
        if key == TRACE_NAME_TAG:
            check_length("Trace name", value, limits.MAX_TRACE_NAME_LENGTH)
        elif key == SESSION_METADATA:
            check_length("Session ID", value, limits.MAX_SESSION_ID_LENGTH)
    return {key: value[: limits.MAX_TRACE_METADATA_VALUE_LENGTH] for key, value in values.items()}


def check_tag_may_change(key: str, operation: Literal["set", "deleted"]) -> None:
    """Refuses a client's change of the tags that say where the spans are."""
    if key in _PROTECTED_TAGS:
        raise InvalidParameterValue(f"Tag '{key}' is immutable and cannot be {operation} on a trace.")


def numbers_in(text: str | None) -> dict[str, float]:
    """The finite numbers of a JSON object in text, as MLflow keeps token usage and cost; {} for anything else."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {
        key: number
        for key, number in value.items()
        if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 2**63
    }
