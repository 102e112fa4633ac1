"""Endpoints of traces that older clients use (MLflow's version 2), and those that have no newer version."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal, TypedDict

from runnel.api.experiments import Empty
from runnel.api.traces import accepted_trace_info, artifact_location
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.traces import (
    MlflowExperimentLocation,
    TraceInfo,
    TraceInfoV2Dict,
    TraceLocation,
    accepted_values,
    render_timestamp,
    to_trace_info_v2,
)
from runnel.store import trace_ingestion, traces
from runnel.store.statements import Transaction


class TraceInfoV2Answer(TypedDict):
    trace_info: TraceInfoV2Dict


@dataclass(frozen=True, slots=True)
class TraceTag:
    key: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class PromptVersionRef:
    name: str
    version: str


def start_trace_v2(
    tx: Transaction,
    experiment_id: str,
    timestamp_ms: int = 0,
    request_metadata: list[TraceTag] = [],  # noqa: B006
    tags: list[TraceTag] = [],  # noqa: B006
) -> TraceInfoV2Answer:
    """Makes a trace that has begun; ``end_trace`` completes it, its spans come as an artifact."""
    info = TraceInfo(
        trace_id=uuid.uuid4().hex,
        trace_location=TraceLocation(mlflow_experiment=MlflowExperimentLocation(experiment_id)),
        request_time=render_timestamp(timestamp_ms),
        state="IN_PROGRESS",
        trace_metadata={tag.key: tag.value for tag in request_metadata},
        tags={tag.key: tag.value for tag in tags},
    )
    started = trace_ingestion.start_trace(tx, accepted_trace_info(info), artifact_location, is_finalized=False)
    return {"trace_info": to_trace_info_v2(started)}


def end_trace(
    tx: Transaction,
    request_id: str,
    timestamp_ms: int,
    status: Literal["OK", "ERROR", "IN_PROGRESS"],
    request_metadata: list[TraceTag] = [],  # noqa: B006
    tags: list[TraceTag] = [],  # noqa: B006
) -> TraceInfoV2Answer:
    """Completes a trace; tags and metadata are added to those it has."""
    ended = trace_ingestion.end_trace(
        tx,
        request_id,
        timestamp_ms,
        status,
        accepted_values("request_metadata", {tag.key: tag.value for tag in request_metadata}),
        accepted_values("tags", {tag.key: tag.value for tag in tags}),
    )
    return {"trace_info": to_trace_info_v2(ended)}


def get_trace_info_v2(tx: Transaction, request_id: str) -> TraceInfoV2Answer:
    """A trace without its spans."""
    return {"trace_info": to_trace_info_v2(traces.get_trace_info(tx, request_id))}


def link_prompts_to_trace(tx: Transaction, trace_id: str, prompt_versions: list[PromptVersionRef]) -> Empty:
    """Notes which versions of prompts a trace used."""
    for prompt in prompt_versions:
        if not prompt.version.isdecimal():
            raise InvalidParameterValue(
                f"Invalid value '{prompt.version[:100]}' for parameter 'prompt_versions.version' supplied. "
                "It must be an integer"
            )
    if prompt_versions:
        names = {f"{prompt.name}/{int(prompt.version)}" for prompt in prompt_versions}
        traces.link_prompts_to_trace(tx, trace_id, sorted(names))
    return {}
