"""Addresses within the site. They are relative, so that it works below any path of a proxy."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

Query = Sequence[tuple[str, str]]


def quoted(segment: str) -> str:
    """A value as one segment of a path."""
    # A segment of dots alone would lead up the path.
    return urllib.parse.quote(segment, safe="") if segment.strip(".") else segment.replace(".", "%2E")


def experiment_path(experiment_id: int | str) -> str:
    return f"experiments/{quoted(str(experiment_id))}"


def run_path(run_id: str) -> str:
    return f"runs/{quoted(run_id)}"


def trace_path(trace_id: str) -> str:
    """Where a trace is shown: as the API answers it, as long as there is no page for it."""
    return f"api/3.0/mlflow/traces/{quoted(trace_id)}"


def artifact_path(run_id: str, path: str) -> str:
    """Where a file of a run is downloaded."""
    return f"get-artifact?{urllib.parse.urlencode({'run_id': run_id, 'path': path})}"


def query_string(query: Query, **changes: str | None) -> str:
    """The query string of a page with some fields changed, or taken away where they are None."""
    kept = [(name, value) for name, value in query if name not in changes]
    kept += [(name, value) for name, value in changes.items() if value]
    return "?" + urllib.parse.urlencode(kept)
