"""Endpoints that delete traces."""

from __future__ import annotations

from functools import partial
from typing import TypedDict

from runnel.api.services import Services
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.validation import parse_experiment_id
from runnel.store import trace_deletion


class TracesDeleted(TypedDict):
    traces_deleted: int


async def delete_traces(
    services: Services,
    experiment_id: str,
    max_timestamp_millis: int | None = None,
    max_traces: int | None = None,
    request_ids: list[str] = [],  # noqa: B006
) -> TracesDeleted:
    """Removes traces of an experiment for good: those named, or those not younger than a time, the oldest first.

    Each trace goes with all that belongs to it or stays; where there are many, others may read and write in between.
    """
    if max_timestamp_millis is None and not request_ids:
        raise InvalidParameterValue("Either `max_timestamp_millis` or `trace_ids` must be specified.")
    if max_timestamp_millis is not None and request_ids:
        raise InvalidParameterValue("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
    if request_ids and max_traces is not None:
        raise InvalidParameterValue("`max_traces` can't be specified if `trace_ids` is specified.")
    if max_traces is not None and max_traces <= 0:
        raise InvalidParameterValue(f"`max_traces` must be a positive integer, received {max_traces}.")
    experiment = parse_experiment_id(experiment_id)
    deleted = 0
    size = trace_deletion.TRACES_AT_ONCE
    if max_timestamp_millis is None:
        names = list(dict.fromkeys(request_ids))
        for start in range(0, len(names), size):
            delete = partial(
                trace_deletion.delete_named_traces,
                experiment_id=experiment,
                trace_ids=names[start : start + size],
            )
            deleted += await services.database.write(delete)
        return {"traces_deleted": deleted}
    while max_traces is None or deleted < max_traces:
        limit = size if max_traces is None else min(size, max_traces - deleted)
        delete = partial(
            trace_deletion.delete_old_traces,
            experiment_id=experiment,
            max_timestamp_ms=max_timestamp_millis,
            limit=limit,
        )
        count = await services.database.write(delete)
        deleted += count
        if count < limit:
            break
    return {"traces_deleted": deleted}


async def delete_traces_v3(
    services: Services,
    experiment_id: str,
    max_timestamp_millis: int | None = None,
    max_traces: int | None = None,
    request_ids: list[str] = [],  # noqa: B006
) -> TracesDeleted:
    """The same at its newer path."""
    return await delete_traces(services, experiment_id, max_timestamp_millis, max_traces, request_ids)
