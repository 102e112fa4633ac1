"""Records of evaluation datasets: how they are added, merged, listed and deleted, and what the dataset says of them."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api_client import Api, invalid, refusal, wrong_type

PATH = "/api/3.0/mlflow/datasets"


@pytest.fixture
def dataset_id(api: Api) -> str:
    """A new dataset."""
    created: str = api.post(f"{PATH}/create", name="questions")["dataset"]["dataset_id"]
    return created


def upsert(api: Api, dataset_id: str, *records: Any) -> tuple[int, int]:
    """How many records were new, and how many were there."""
    answer = api.post(f"{PATH}/{dataset_id}/records", records=json.dumps(records))
    assert set(answer) == {"inserted_count", "updated_count"}
    return answer["inserted_count"], answer["updated_count"]


def records(api: Api, dataset_id: str, **fields: Any) -> list[dict[str, Any]]:
    pages = api.pages("GET", f"{PATH}/{dataset_id}/records", **fields)
    return [record for page in pages for record in json.loads(page["records"])]


def only_record(api: Api, dataset_id: str) -> dict[str, Any]:
    (record,) = records(api, dataset_id)
    return record


def get(api: Api, dataset_id: str) -> Any:
    return api.get(f"{PATH}/{dataset_id}")["dataset"]


def delete(api: Api, dataset_id: str, **fields: Any) -> httpx.Response:
    return api.send("DELETE", f"{PATH}/{dataset_id}/records", json=fields)


# Add


def test_a_record_is_read_back_as_it_was_sent(api: Api, dataset_id: str) -> None:
    sent = {
        "inputs": {"question": "wo?", "n": 1, "nested": {"b": [1.0, None, True], "a": "é\0\ud800"}},
        "outputs": {"answer": "da"},
        "expectations": {"facts": ["x"]},
        "tags": {"mlflow.user": "ann", "weight": 2},
        "source": {"source_type": "human", "source_data": {"source_id": "s-1", "page": 3}},
    }
    assert upsert(api, dataset_id, sent) == (1, 0)
    record = only_record(api, dataset_id)
    assert re.fullmatch(r"dr-[0-9a-f]{32}", record["dataset_record_id"])
    assert record["last_update_time"] == record["created_time"]
    assert record == sent | {
        "dataset_record_id": record["dataset_record_id"],
        "dataset_id": dataset_id,
        "source": {"source_type": "HUMAN", "source_data": {"source_id": "s-1", "page": 3}},
        "source_id": "s-1",
        "source_type": "HUMAN",
        "created_time": record["created_time"],
        "last_update_time": record["created_time"],
        "created_by": "ann",
        "last_updated_by": "ann",
    }


def test_what_a_record_does_not_say_is_not_there(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {}, {"inputs": {"q": 1}, "outputs": None, "expectations": None, "tags": None, "source": {}})
    common = {"dataset_record_id", "dataset_id", "inputs", "tags", "created_time", "last_update_time"}
    nothing, little = records(api, dataset_id)
    assert set(nothing) == common | {"outputs"}
    assert (nothing["inputs"], nothing["outputs"], nothing["tags"]) == ({}, {}, {})
    assert set(little) == common
    assert (little["inputs"], little["tags"]) == ({"q": 1}, {})


@pytest.mark.parametrize("outputs", ["text", 0, False, [1, {"a": 2}], {}, 123456789012345678901234567890, "NaN", ""])
def test_outputs_may_be_of_any_type(api: Api, dataset_id: str, outputs: Any) -> None:
    upsert(api, dataset_id, {"inputs": {"q": 1}, "outputs": outputs})
    read = only_record(api, dataset_id)["outputs"]
    assert (read, type(read)) == (outputs, type(outputs))


def test_what_is_not_a_number_survives(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"q": float("nan"), "r": float("inf")}})
    inputs = only_record(api, dataset_id)["inputs"]
    assert inputs["q"] != inputs["q"]
    assert inputs["r"] == float("inf")


@pytest.mark.parametrize(
    ("source", "shown", "source_id"),
    [
        ({"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}, None, "tr-1"),
        ({"source_type": "TRACE", "source_data": {"source_id": "s"}}, None, None),
        ({"source_type": "DOCUMENT", "source_data": {"source_id": 5}}, None, "5"),
        ({"source_type": "Code"}, {"source_type": "CODE", "source_data": {}}, None),
        ({"source_type": "UNSPECIFIED", "source_data": None}, {"source_type": "UNSPECIFIED", "source_data": {}}, None),
    ],
)
def test_a_record_says_where_it_comes_from(
    api: Api, dataset_id: str, source: Any, shown: Any, source_id: str | None
) -> None:
    upsert(api, dataset_id, {"inputs": {"q": 1}, "source": source})
    record = only_record(api, dataset_id)
    assert record["source"] == (shown or source)
    assert record["source_type"] == record["source"]["source_type"]
    assert record.get("source_id") == source_id


# Merge


def test_the_same_inputs_are_one_record(api: Api, dataset_id: str) -> None:
    first = {"inputs": {"a": 1, "b": {"c": 2, "d": 3}}, "tags": {"mlflow.user": "ann", "x": 1, "y": 1}}
    first |= {"outputs": "old", "expectations": {"e": 1, "f": 1}, "source": {"source_type": "CODE"}}
    assert upsert(api, dataset_id, first) == (1, 0)
    before = only_record(api, dataset_id)
    again = {"inputs": {"b": {"d": 3, "c": 2}, "a": 1}, "tags": {"mlflow.user": "bob", "y": 2}}
    again |= {"outputs": ["new"], "expectations": {"f": 2, "g": 2}, "source": {"source_type": "HUMAN"}}
    assert upsert(api, dataset_id, again) == (0, 1)
    after = only_record(api, dataset_id)
    assert after == before | {
        "outputs": ["new"],
        "expectations": {"e": 1, "f": 2, "g": 2},
        "tags": {"mlflow.user": "bob", "x": 1, "y": 2},
        "last_update_time": after["last_update_time"],
        "last_updated_by": "bob",
    }
    assert after["last_update_time"] >= before["last_update_time"]


@pytest.mark.parametrize(
    ("changes", "outputs"), [({}, "old"), ({"outputs": None}, None), ({"outputs": {}}, {}), ({"outputs": 0}, 0)]
)
def test_outputs_are_replaced_where_they_are_sent(api: Api, dataset_id: str, changes: Any, outputs: Any) -> None:
    upsert(api, dataset_id, {"inputs": {"q": 1}, "outputs": "old", "expectations": {"e": 1}, "tags": {"t": "1"}})
    upsert(api, dataset_id, {"inputs": {"q": 1}, "expectations": {}, "tags": None} | changes)
    record = only_record(api, dataset_id)
    assert record.get("outputs") == outputs
    assert (record["expectations"], record["tags"]) == ({"e": 1}, {"t": "1"})


def test_records_of_one_request_are_merged_one_after_the_other(api: Api, dataset_id: str) -> None:
    sent = [{"inputs": {"q": q}, "expectations": {str(n): n}} for n, q in enumerate("abacab")]
    assert upsert(api, dataset_id, *sent) == (3, 3)
    expected = {record["inputs"]["q"]: record["expectations"] for record in records(api, dataset_id)}
    assert expected == {"a": {"0": 0, "2": 2, "4": 4}, "b": {"1": 1, "5": 5}, "c": {"3": 3}}


def test_inputs_of_different_types_are_different_records(api: Api, dataset_id: str) -> None:
    inputs: list[Any] = [{"q": 1}, {"q": 1.0}, {"q": "1"}, {"q": True}, {"q": None}, {}]
    assert upsert(api, dataset_id, *[{"inputs": each} for each in inputs]) == (6, 0)


def test_two_datasets_share_no_records(api: Api, dataset_id: str) -> None:
    other = api.post(f"{PATH}/create", name="others")["dataset"]["dataset_id"]
    assert upsert(api, dataset_id, {"inputs": {"q": 1}}) == upsert(api, other, {"inputs": {"q": 1}}) == (1, 0)
    assert only_record(api, dataset_id)["dataset_record_id"] != only_record(api, other)["dataset_record_id"]


def test_thousands_of_records_come_at_once_and_are_merged_at_once(api: Api, dataset_id: str) -> None:
    sent = [{"inputs": {"n": n}, "expectations": {"double": 2 * n}} for n in range(2_500)]
    assert upsert(api, dataset_id, *sent, *sent[:10]) == (2_500, 10)
    assert upsert(api, dataset_id, *sent, {"inputs": {"n": -1}}) == (1, 2_500)
    read = records(api, dataset_id)
    assert [record["inputs"]["n"] for record in read] == [*range(2_500), -1]
    assert [record["expectations"]["double"] for record in read[:-1]] == [2 * n for n in range(2_500)]
    assert json.loads(get(api, dataset_id)["profile"]) == {"num_records": 2_501}


def test_requests_at_the_same_time_lose_nothing(api: Api, dataset_id: str) -> None:
    def send(number: int) -> tuple[int, int]:
        shared = [{"inputs": {"shared": n}, "expectations": {str(number): n}} for n in range(20)]
        return upsert(api, dataset_id, *shared, {"inputs": {"own": number}})

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(send, range(16)))
    assert sum(inserted for inserted, _ in counts) == 36
    assert json.loads(get(api, dataset_id)["profile"]) == {"num_records": 36}
    shared = [record for record in records(api, dataset_id) if "shared" in record["inputs"]]
    merged = {record["inputs"]["shared"]: record["expectations"] for record in shared}
    assert merged == {n: {str(number): n for number in range(16)} for n in range(20)}


# What the dataset says of its records


def test_the_schema_has_the_first_type_of_each_field(api: Api, dataset_id: str) -> None:
    assert "schema" not in get(api, dataset_id)
    values = {"a": None, "b": True, "c": 1, "d": 1.5, "e": "x", "f": [1], "g": {"h": 1}}
    types = {"a": "null", "b": "boolean", "c": "integer", "d": "float", "e": "string", "f": "array", "g": "object"}
    upsert(api, dataset_id, {"inputs": values, "outputs": values}, {"inputs": {"c": "text"}, "expectations": values})
    schema = get(api, dataset_id)["schema"]
    assert json.loads(schema) == {"inputs": types, "outputs": types, "expectations": types, "version": "1.0"}
    upsert(api, dataset_id, {"inputs": {"z": 1, "a": 1}, "outputs": "text"})
    assert json.loads(get(api, dataset_id)["schema"]) == json.loads(schema) | {"inputs": types | {"z": "integer"}}


def test_outputs_that_are_no_objects_have_one_type(api: Api, dataset_id: str) -> None:
    for outputs in ("text", 5, {"a": 1}):
        upsert(api, dataset_id, {"inputs": {"q": 1}, "outputs": outputs})
        assert json.loads(get(api, dataset_id)["schema"])["outputs"] == "string"


def test_the_schema_lists_a_bounded_number_of_fields(api: Api, dataset_id: str) -> None:
    inputs = {str(n): n for n in range(1_500)} | {"k" * 251: 1}
    upsert(api, dataset_id, {"inputs": inputs})
    assert list(json.loads(get(api, dataset_id)["schema"])["inputs"]) == [str(n) for n in range(1_000)]
    assert only_record(api, dataset_id)["inputs"] == inputs


def test_a_dataset_says_when_and_by_whom_it_was_changed_last(api: Api) -> None:
    created = api.post(f"{PATH}/create", name="d", tags=json.dumps({"mlflow.user": "ann"}))["dataset"]
    dataset_id = created["dataset_id"]
    users: list[Any] = [{"mlflow.user": "bob"}, {"mlflow.user": "eve"}, {}]
    upsert(api, dataset_id, *[{"inputs": {"n": n}, "tags": tags} for n, tags in enumerate(users)])
    changed = get(api, dataset_id)
    assert (changed["created_by"], changed["last_updated_by"]) == ("ann", "eve")
    assert changed["created_time"] == created["created_time"]
    digest = hashlib.sha256(f"d:{changed['last_update_time']}".encode()).hexdigest()[:8]
    assert changed["digest"] == digest
    upsert(api, dataset_id)
    emptily = get(api, dataset_id)
    assert "last_updated_by" not in emptily
    assert (emptily["profile"], emptily["schema"]) == (changed["profile"], changed["schema"])


def test_no_records_leave_a_new_dataset_without_schema_and_profile(api: Api, dataset_id: str) -> None:
    assert upsert(api, dataset_id) == (0, 0)
    assert not {"schema", "profile"} & set(get(api, dataset_id))


# List


def test_records_are_listed_page_by_page_in_the_order_in_which_they_came(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, *[{"inputs": {"n": n}} for n in range(7)])
    upsert(api, dataset_id, {"inputs": {"n": 3}, "outputs": 1}, {"inputs": {"n": 7}})
    pages = api.pages("GET", f"{PATH}/{dataset_id}/records", max_results=3)
    numbers = [[record["inputs"]["n"] for record in json.loads(page["records"])] for page in pages]
    assert numbers == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_pages_stand_while_records_come_and_go(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, *[{"inputs": {"n": n}} for n in range(4)])
    numbers = []
    for page in api.pages("GET", f"{PATH}/{dataset_id}/records", max_results=2):
        (first, *_) = read = json.loads(page["records"])
        numbers += [record["inputs"]["n"] for record in read]
        delete(api, dataset_id, dataset_record_ids=[first["dataset_record_id"]])
    assert numbers == [0, 1, 2, 3]


def test_a_record_that_comes_after_a_deleted_one_is_not_overlooked(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, *[{"inputs": {"n": n}} for n in range(3)])
    token = api.get(f"{PATH}/{dataset_id}/records", max_results=2)["next_page_token"]
    _, *last = [record["dataset_record_id"] for record in records(api, dataset_id)]
    delete(api, dataset_id, dataset_record_ids=last)
    upsert(api, dataset_id, {"inputs": {"n": 3}})
    (behind,) = json.loads(api.get(f"{PATH}/{dataset_id}/records", page_token=token)["records"])
    assert behind["inputs"] == {"n": 3}


def test_a_page_of_large_records_ends_early(api: Api, dataset_id: str) -> None:
    sizes = [3_000_000, 3_000_000, 5_000_000, 10, 10]
    for n, size in enumerate(sizes):
        upsert(api, dataset_id, {"inputs": {"n": n}, "outputs": "x" * size})
    pages = api.pages("GET", f"{PATH}/{dataset_id}/records")
    numbers = [[record["inputs"]["n"] for record in json.loads(page["records"])] for page in pages]
    assert numbers == [[0], [1], [2], [3, 4]]
    # They are merged although they cannot be read at once.
    again = [{"inputs": {"n": n}, "expectations": {"n": n}} for n in range(5)]
    assert upsert(api, dataset_id, *again) == (0, 5)
    read = records(api, dataset_id)
    assert [len(record["outputs"]) for record in read] == sizes
    assert [record["expectations"] for record in read] == [{"n": n} for n in range(5)]


def test_zero_asks_for_pages_of_the_usual_size(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, *[{"inputs": {"n": n}} for n in range(1_001)])
    for fields in ({}, {"max_results": 0}):
        pages = api.pages("GET", f"{PATH}/{dataset_id}/records", **fields)
        assert [len(json.loads(page["records"])) for page in pages] == [1_000, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
        (
            {"page_token": "zzz"},
            "Invalid page token 'zzz': it is damaged, or belongs to a request with another filter or order",
        ),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(api: Api, dataset_id: str, fields: dict[str, Any], message: str) -> None:
    assert api.get_refused(f"{PATH}/{dataset_id}/records", **fields) == invalid(message)


def test_a_page_token_belongs_to_its_dataset(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"n": 0}}, {"inputs": {"n": 1}})
    token = api.get(f"{PATH}/{dataset_id}/records", max_results=1)["next_page_token"]
    other = api.post(f"{PATH}/create", name="others")["dataset"]["dataset_id"]
    refused = api.get_refused(f"{PATH}/{other}/records", page_token=token)
    assert refused.message.startswith("Invalid page token")


# Delete


def test_records_are_deleted_by_their_ids(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, *[{"inputs": {"n": n}} for n in range(3)])
    before = get(api, dataset_id)
    first, second, third = [record["dataset_record_id"] for record in records(api, dataset_id)]
    assert delete(api, dataset_id, dataset_record_ids=[first, third, "dr-none"]).json() == {"deleted_count": 2}
    assert only_record(api, dataset_id)["dataset_record_id"] == second
    assert get(api, dataset_id) == before | {"profile": '{"num_records": 1}'}
    assert delete(api, dataset_id, dataset_record_ids=[first]).json() == {"deleted_count": 0}
    assert delete(api, dataset_id, dataset_record_ids=[second]).json() == {"deleted_count": 1}
    assert records(api, dataset_id) == []
    assert get(api, dataset_id) == before | {"profile": "null"}
    assert upsert(api, dataset_id, {"inputs": {"n": 0}}) == (1, 0)
    assert get(api, dataset_id)["profile"] == '{"num_records": 1}'


def test_no_ids_delete_nothing(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"n": 0}})
    assert delete(api, dataset_id).json() == {"deleted_count": 0}
    assert len(records(api, dataset_id)) == 1


def test_records_of_another_dataset_are_not_deleted(api: Api, dataset_id: str) -> None:
    upsert(api, dataset_id, {"inputs": {"n": 0}})
    other = api.post(f"{PATH}/create", name="others")["dataset"]["dataset_id"]
    ids = [only_record(api, dataset_id)["dataset_record_id"]]
    assert delete(api, other, dataset_record_ids=ids).json() == {"deleted_count": 0}
    assert len(records(api, dataset_id)) == 1


def test_ids_must_be_a_list(api: Api, dataset_id: str) -> None:
    refused = refusal(delete(api, dataset_id, dataset_record_ids="dr-1"))
    assert refused == wrong_type("dataset_record_ids", '"dr-1"', "str")
