"""The endpoint that tells whether two filters for traces have to do with each other."""

from __future__ import annotations

from functools import partial
from typing import NotRequired, TypedDict

from runnel.api.experiments import parse_experiment_ids
from runnel.api.services import Services
from runnel.domain.trace_correlation import npmi, npmi_smoothed
from runnel.store import trace_correlation


class Correlation(TypedDict):
    npmi: NotRequired[float]
    npmi_smoothed: NotRequired[float]
    filter1_count: int
    filter2_count: int
    joint_count: int
    total_count: int


async def calculate_trace_filter_correlation(
    services: Services, experiment_ids: list[str], filter_string1: str, filter_string2: str, base_filter: str = ""
) -> Correlation:
    """How often two filters match the same traces, among all traces or those of a third filter (as NPMI)."""
    query = partial(
        trace_correlation.count_traces,
        experiment_ids=parse_experiment_ids(experiment_ids),
        filter_string1=filter_string1,
        filter_string2=filter_string2,
        base_filter=base_filter,
    )
    counts = await services.database.read(query, may_scan=True)
    answer: Correlation = {
        "filter1_count": counts.filter1,
        "filter2_count": counts.filter2,
        "joint_count": counts.joint,
        "total_count": counts.total,
    }
    plain, smoothed = npmi(counts), npmi_smoothed(counts)
    if plain is not None and smoothed is not None:
        answer["npmi"], answer["npmi_smoothed"] = plain, smoothed
    return answer
