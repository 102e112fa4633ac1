"""Records of evaluation datasets that are refused: wrong types, JSON that is none, too many, too large, too deep."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api_client import Api, invalid, missing, not_there, wrong_type

PATH = "/api/3.0/mlflow/datasets"


@pytest.fixture
def dataset_id(api: Api) -> str:
    """A new dataset."""
    created: str = api.post(f"{PATH}/create", name="questions")["dataset"]["dataset_id"]
    return created


def upsert(api: Api, dataset_id: str, *records: Any) -> None:
    api.post(f"{PATH}/{dataset_id}/records", records=json.dumps(records))


def records(api: Api, dataset_id: str) -> Any:
    return json.loads(api.get(f"{PATH}/{dataset_id}/records")["records"])


def get(api: Api, dataset_id: str) -> Any:
    return api.get(f"{PATH}/{dataset_id}")["dataset"]


@pytest.mark.parametrize(
    ("record", "path", "shown"),
    [
        ("x", "", '"x"'),
        ([], "", "[]"),
        ({"inputs": None}, ".inputs", "null"),
        ({"inputs": "x"}, ".inputs", '"x"'),
        ({"inputs": [1]}, ".inputs", "[1]"),
        ({"expectations": "x"}, ".expectations", '"x"'),
        ({"expectations": float("nan")}, ".expectations", "NaN"),
        ({"tags": ["x"]}, ".tags", '["x"]'),
        ({"source": "x"}, ".source", '"x"'),
        ({"source": {"source_type": "CODE", "source_data": "x"}}, ".source.source_data", '"x"'),
    ],
)
def test_a_part_of_a_wrong_type_is_refused_by_its_name(
    api: Api, dataset_id: str, record: Any, path: str, shown: str
) -> None:
    refused = api.post_refused(f"{PATH}/{dataset_id}/records", records=json.dumps([{"inputs": {"q": 1}}, record]))
    assert refused == invalid(f"Invalid value {shown} for parameter 'records[1]{path}' supplied: It must be an object.")
    assert records(api, dataset_id) == []


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "Invalid value \"{}\" for parameter 'records' supplied: It must be a JSON list of records, as text."),
        (
            "nothing",
            "Invalid value \"nothing\" for parameter 'records' supplied: It must be a JSON list of records, as text.",
        ),
        ("[", "'records' is not valid JSON: Expecting value: line 1 column 2 (char 1)"),
        ("[{}", "'records' is not valid JSON: Expecting ',' delimiter (char 3)"),
        ("[{},]", "'records' is not valid JSON: Expecting value: line 1 column 5 (char 4)"),
        ("[{} {}]", "'records' is not valid JSON: Expecting ',' delimiter (char 4)"),
        ("[{}] x", "'records' is not valid JSON: Extra data (char 4)"),
        (
            '[{"inputs": {"a}}]',
            "'records' is not valid JSON: Unterminated string starting at: line 1 column 14 (char 13)",
        ),
        ("[" * 100_000, "'records' is nested too deeply: at most 100 levels are allowed"),
        (
            json.dumps([{"inputs": nested(100)}]),
            "'records[0]' is nested too deeply: at most 100 levels are allowed",
        ),
        (
            json.dumps([{"source": {"source_type": "WRONG"}}]),
            "Invalid dataset record source type: WRONG. Valid source types: "
            "['UNSPECIFIED', 'TRACE', 'HUMAN', 'DOCUMENT', 'CODE']",
        ),
        (
            json.dumps([{"source": {"source_type": "CODE", "extra": 1}}]),
            'Invalid value {"extra":1,"source_type":"CODE"} for parameter \'records[0].source\' supplied: '
            "It can only have source_data and source_type.",
        ),
        (
            json.dumps([{"tags": {"mlflow.user": "u" * 256}}]),
            "'records[0].tags.mlflow.user' exceeds the maximum length of 255 characters",
        ),
        (
            json.dumps([{"tags": {"mlflow.user": "\0"}}]),
            "'records[0].tags.mlflow.user' must not contain NUL characters or lone surrogates",
        ),
    ],
)
def test_records_that_cannot_be_are_refused(api: Api, dataset_id: str, text: str, message: str) -> None:
    before = get(api, dataset_id)
    assert api.post_refused(f"{PATH}/{dataset_id}/records", records=text) == invalid(message)
    assert get(api, dataset_id) == before


def test_records_must_be_given_as_text(api: Api, dataset_id: str) -> None:
    path = f"{PATH}/{dataset_id}/records"
    assert api.post_refused(path) == missing("records")
    assert api.post_refused(path, records=[{}]) == wrong_type("records", "[{}]", "list")


def test_records_deep_but_not_too_deep_are_kept(api: Api, dataset_id: str) -> None:
    record = {"inputs": nested(98), "outputs": nested(98)}
    upsert(api, dataset_id, record)
    upsert(api, dataset_id, record)
    assert records(api, dataset_id)[0]["outputs"] == nested(98)


def test_one_wrong_record_among_thousands_keeps_all_out(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"n": 0}})
    before = get(api, dataset_id), records(api, dataset_id)
    sent = [*[{"inputs": {"n": n}, "outputs": n} for n in range(1_500)], {"inputs": 5}]
    refused = api.post_refused(f"{PATH}/{dataset_id}/records", records=json.dumps(sent))
    assert refused == invalid("Invalid value 5 for parameter 'records[1500].inputs' supplied: It must be an object.")
    assert (get(api, dataset_id), records(api, dataset_id)) == before


def test_a_request_has_a_bounded_number_of_records(api: Api, dataset_id: str) -> None:
    refused = api.post_refused(f"{PATH}/{dataset_id}/records", records=json.dumps([{}] * 50_001))
    assert refused == invalid("'records' can contain at most 50000 records; send the others in further requests")
    assert records(api, dataset_id) == []


def test_a_record_has_a_bounded_size_also_when_it_is_merged(api: Api, dataset_id: str) -> None:
    too_long = invalid(
        "'records[0]' exceeds the maximum length of 10485760 characters "
        "(as JSON, merged with the record of the same inputs that the dataset has)"
    )
    path = f"{PATH}/{dataset_id}/records"
    assert api.post_refused(path, records=json.dumps([{"inputs": {"q": "x" * 10_485_760}}])) == too_long
    upsert(api, dataset_id, {"inputs": {"q": 1}, "expectations": {"a": "x" * 6_000_000}})
    addition = {"inputs": {"q": 1}, "expectations": {"b": "x" * 6_000_000}}
    assert api.post_refused(path, records=json.dumps([addition])) == too_long
    assert list(records(api, dataset_id)[0]["expectations"]) == ["a"]


def test_records_of_a_dataset_that_is_not_there(api: Api) -> None:
    absent = f"d-{'0' * 32}"
    refused = api.post_refused(f"{PATH}/{absent}/records", records="[]")
    assert refused == not_there(f"Evaluation dataset with id '{absent}' not found")
    assert api.get(f"{PATH}/{absent}/records") == {"records": "[]"}
    assert api.send("DELETE", f"{PATH}/{absent}/records").json() == {"deleted_count": 0}


def test_what_a_request_is_merged_with_is_bounded(api: Api, dataset_id: str) -> None:
    for n in range(14):
        upsert(api, dataset_id, {"inputs": {"n": n}, "outputs": "x" * 10_000_000})
    before = get(api, dataset_id)
    sent = [{"inputs": {"n": n}, "expectations": {"n": n}} for n in range(14)]
    assert api.post_refused(f"{PATH}/{dataset_id}/records", records=json.dumps(sent)) == invalid(
        "The records that 'records' are to be merged with have more than 134217728 characters; send fewer at once"
    )
    assert get(api, dataset_id) == before
    upsert(api, dataset_id, *sent[:13])


def test_a_large_record_is_merged_with_thousands_at_once(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"q": 1}, "expectations": {"a": "x" * 5_000_000}})
    upsert(api, dataset_id, *[{"inputs": {"q": 1}, "expectations": {str(n): n}} for n in range(5_000)])
    (record,) = records(api, dataset_id)
    assert len(record["expectations"]) == 5_001
