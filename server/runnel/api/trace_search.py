"""Endpoints of the search for traces."""

from __future__ import annotations

from functools import partial
from typing import NotRequired, TypedDict

from runnel.api.experiments import parse_experiment_ids
from runnel.api.services import Services
from runnel.domain import limits
from runnel.domain.traces import TraceInfoDict, TraceInfoV2Dict, TraceLocation, to_trace_info_v2
from runnel.domain.validation import check_max_results
from runnel.store import trace_search

DEFAULT_RESULTS = 100


class TracesPage(TypedDict):
    traces: list[TraceInfoDict]
    next_page_token: NotRequired[str]


class TracesPageV2(TypedDict):
    traces: list[TraceInfoV2Dict]
    next_page_token: NotRequired[str]


async def search_traces_v3(
    services: Services,
    locations: list[TraceLocation],
    filter: str = "",
    max_results: int = DEFAULT_RESULTS,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> TracesPage:
    """A page of the traces of experiments that match a filter, newest first unless ordered otherwise."""
    # Locations of other kinds hold no traces of this server.
    ids = [id_ for location in locations if (id_ := location.mlflow_experiment.experiment_id)]
    traces, token = await _search(services, ids, filter, max_results, order_by, page_token)
    page: TracesPage = {"traces": traces}
    if token:
        page["next_page_token"] = token
    return page


async def search_traces(
    services: Services,
    experiment_ids: list[str],
    filter: str = "",
    max_results: int = DEFAULT_RESULTS,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> TracesPageV2:
    """The same in the form of MLflow's version 2."""
    traces, token = await _search(services, experiment_ids, filter, max_results, order_by, page_token)
    page: TracesPageV2 = {"traces": [to_trace_info_v2(trace) for trace in traces]}
    if token:
        page["next_page_token"] = token
    return page


async def _search(
    services: Services,
    experiment_ids: list[str],
    filter_string: str,
    max_results: int,
    order_by: list[str],
    page_token: str,
) -> tuple[list[TraceInfoDict], str | None]:
    check_max_results(max_results, limits.MAX_TRACES_PER_SEARCH)
    query = partial(
        trace_search.search_traces,
        experiment_ids=parse_experiment_ids(experiment_ids),
        filter_string=filter_string,
        order_by=order_by,
        max_results=max_results,
        page_token=page_token,
    )
    return await services.database.read(query, may_scan=trace_search.may_scan(filter_string, order_by))
