"""The values of assessments: what of them is kept, shown and found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_client import Api, invalid
from tests.trace_requests import get_info, locations, start_trace

TRACES = "/api/3.0/mlflow/traces"
SOURCE = {"source_type": "HUMAN", "source_id": "me"}


@pytest.fixture
def trace_id(api: Api, experiment_id: str) -> str:
    """A trace to assess."""
    new: str = start_trace(api, experiment_id)["trace_id"]
    return new


def feedback(value: Any, **fields: Any) -> dict[str, Any]:
    return {"assessment_name": "f", "source": SOURCE, "feedback": {"value": value}} | fields


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("3", "3.0"),
        ("true", "true"),
        ('{"a": [1, "1", null]}', '{"a":[1.0,"1",null]}'),
        ("-0", "0.0"),
        ("1e3", "1000.0"),
    ],
)
def test_a_number_is_shown_as_a_double(api: Api, trace_id: str, sent: str, shown: str) -> None:
    assessment = f'"assessment_name": "f", "source": {{"source_type": "CODE"}}, "feedback": {{"value": {sent}}}'
    body = f'{{"assessment": {{{assessment}}}}}'
    answer = api.send(
        "POST", f"{TRACES}/{trace_id}/assessments", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200
    assert f'"feedback":{{"value":{shown}}}' in answer.text
    assert f'"feedback":{{"value":{shown}}}' in api.send("GET", f"{TRACES}/{trace_id}").text


def test_a_whole_number_is_found_as_it_was_written(api: Api, experiment_id: str, trace_id: str) -> None:
    api.post(f"{TRACES}/{trace_id}/assessments", assessment=feedback(3))
    for filter_string, found in (("feedback.f = '3'", 1), ("feedback.f = '3.0'", 1), ("feedback.f = '30'", 0)):
        answer = api.post(f"{TRACES}/search", locations=locations(experiment_id), filter=filter_string)
        assert len(answer["traces"]) == found, filter_string


def test_a_value_that_protobuf_cannot_hold_is_refused(api: Api, trace_id: str) -> None:
    path = f"{TRACES}/{trace_id}/assessments"
    api.post(path, assessment=feedback(nested(100)))
    assert api.post_refused(path, assessment=feedback(nested(101))) == invalid(
        "The value of an assessment is nested too deeply: at most 100 levels are allowed"
    )
    assert api.post_refused(path, assessment=feedback(nested(900))).status == 400
    assert api.post_refused(path, assessment=feedback(10**400)).status == 400
    assert len(get_info(api, trace_id)["assessments"]) == 1


def test_an_error_is_shown_beside_the_value_that_there_is(api: Api, trace_id: str) -> None:
    for value in (None, 0.5):
        sent = feedback(value, feedback={"value": value, "error": {"error_code": "E"}})
        answer = api.post(f"{TRACES}/{trace_id}/assessments", assessment=sent)
        assert answer["assessment"]["feedback"] == {"value": value, "error": {"error_code": "E"}}


def test_the_assessments_of_a_trace_are_listed_by_their_time(api: Api, trace_id: str) -> None:
    for name, time in (("second", "2023-11-14T22:13:21Z"), ("first", "2023-11-14T22:13:20Z"), ("last", "")):
        sent = feedback(1, assessment_name=name, **({"create_time": time} if time else {}))
        api.post(f"{TRACES}/{trace_id}/assessments", assessment=sent)
    listed = [each["assessment_name"] for each in get_info(api, trace_id)["assessments"]]
    assert listed == ["first", "second", "last"]
