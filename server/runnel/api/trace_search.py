"""Endpoints of the search for traces."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from runnel.api.experiments import parse_experiment_ids
from runnel.domain import limits
from runnel.domain.traces import TraceInfoDict, TraceInfoV2Dict, TraceLocation, to_trace_info_v2
from runnel.domain.validation import check_max_results
from runnel.store import trace_search
from runnel.store.statements import Transaction

DEFAULT_RESULTS = 100


class TracesPage(TypedDict):
    traces: list[TraceInfoDict]
    next_page_token: NotRequired[str]


class TracesPageV2(TypedDict):
    traces: list[TraceInfoV2Dict]
    next_page_token: NotRequired[str]


def search_traces_v3(
    tx: Transaction,
    locations: list[TraceLocation],
    filter: str = "",
    max_results: int = DEFAULT_RESULTS,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> TracesPage:
    """A page of the traces of experiments that match a filter, newest first unless ordered otherwise."""
    # Locations of other kinds hold no traces of this server.
    ids = [id_ for location in locations if (id_ := location.mlflow_experiment.experiment_id)]
    traces, token = _search(tx, ids, filter, max_results, order_by, page_token)
    page: TracesPage = {"traces": traces}
    if token:
        page["next_page_token"] = token
    return page


def search_traces(
    tx: Transaction,
    experiment_ids: list[str],
    filter: str = "",
    max_results: int = DEFAULT_RESULTS,
    order_by: list[str] = [],  # noqa: B006
    page_token: str = "",
) -> TracesPageV2:
    """The same in the form of MLflow's version 2."""
    traces, token = _search(tx, experiment_ids, filter, max_results, order_by, page_token)
    page: TracesPageV2 = {"traces": [to_trace_info_v2(trace) for trace in traces]}
    if token:
        page["next_page_token"] = token
    return page


def search_may_scan(filter: str, order_by: list[str], **_: object) -> bool:
    """Whether a search may have to look at every trace of its experiments."""
    return trace_search.may_scan(filter, order_by)


def _search(
    tx: Transaction,
    experiment_ids: list[str],
    filter_string: str,
    max_results: int,
    order_by: list[str],
    page_token: str,
) -> tuple[list[TraceInfoDict], str | None]:
    check_max_results(max_results, limits.MAX_TRACES_PER_SEARCH)
    ids = parse_experiment_ids(experiment_ids)
    return trace_search.search_traces(tx, ids, filter_string, order_by, max_results, page_token)
