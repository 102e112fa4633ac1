"""A trace of 30,000 spans: it comes in many requests, is read back whole, and its spans are listed page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from runnel.store.database import Database, open_database
from runnel.store.span_pages import SpanPosition, SpanSummary, list_spans
from tests.api_client import Api
from tests.conftest import NewDatabase, StartServer
from tests.trace_requests import START_MS, get_info, get_spans, log_spans, new_otel_id, otel_span

SPAN_COUNT = 30_000
IN_ONE_REQUEST = 2_000


def parent_of(number: int) -> int | None:
    """Span 1 is the root; every tenth span has the nine behind it as its children, and is a child of the root."""
    if number == 1:
        return None
    return 1 if number % 10 == 0 or number < 10 else number - number % 10


class Stored:
    """A server's database with one trace, whose spans came with the last ones first."""

    def __init__(self, api: Api, uri: str) -> None:
        self.api = api
        self.trace_id = f"tr-{new_otel_id()}"
        experiment_id = api.new_experiment()
        spans = [
            otel_span(
                self.trace_id[3:],
                number,
                parent_of(number),
                name=f"span {number % 7}",
                start=number // 4,
                end=number // 4 + 10,
            )
            for number in range(1, SPAN_COUNT + 1)
        ]
        for end in range(SPAN_COUNT, 0, -IN_ONE_REQUEST):
            log_spans(api, experiment_id, *spans[end - IN_ONE_REQUEST : end])
        self._database: Database = open_database(uri, 2)
        self._database.start()

    def page(self, limit: int, position: SpanPosition | None = None) -> tuple[list[SpanSummary], SpanPosition | None]:
        query = partial(list_spans, trace_id=self.trace_id, limit=limit, position=position)
        return asyncio.run(self._database.read(query))

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def stored(start_server: StartServer, new_database: NewDatabase) -> Iterator[Stored]:
    uri = new_database()
    with Api(start_server("--backend-store-uri", uri).url) as api:
        made = Stored(api, uri)
        yield made
        made.close()


def number_of(span_id: str) -> int:
    return int(span_id, 16)


def test_a_trace_of_very_many_spans_is_read_whole_and_page_by_page(stored: Stored) -> None:
    whole: list[Any] = get_spans(stored.api, stored.trace_id)
    assert len(whole) == SPAN_COUNT
    assert [span["name"] for span in whole[:3]] == ["span 1", "span 2", "span 3"]
    assert get_info(stored.api, stored.trace_id)["execution_duration"] == "7.510s"

    listed: list[SpanSummary] = []
    page, position = stored.page(7_000)
    while position is not None:
        listed += page
        page, position = stored.page(7_000, position)
    listed += page
    assert [number_of(span.span_id) for span in listed] == list(range(1, SPAN_COUNT + 1))
    children = {number: 9 for number in range(10, SPAN_COUNT, 10)} | {1: 8 + SPAN_COUNT // 10}
    assert {number_of(span.span_id): span.child_count for span in listed if span.child_count} == children
    tenth = listed[10]
    assert tenth == SpanSummary(
        span_id=f"{11:016x}",
        parent_span_id=f"{10:016x}",
        name="span 4",
        type=None,
        status="UNSET",
        start_time_unix_nano=(START_MS + 2) * 1_000_000,
        end_time_unix_nano=(START_MS + 12) * 1_000_000,
        child_count=0,
    )
    # A page in the middle of spans that begin at the same time goes on behind its last one.
    assert [number_of(span.span_id) for span in stored.page(3, SpanPosition(*tenth[5:6], tenth.span_id))[0]] == [
        12,
        13,
        14,
    ]
