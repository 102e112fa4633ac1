"""The comparison of two answers finds what differs, and overlooks what the policy says."""

from typing import Any

from tests.compat.compare import differences
from tests.compat.exchange import Answer

BACKENDS = ["sqlite"]


def found(there: Any, here: Any) -> set[str]:
    return set(differences(Answer(200, "application/json", there), Answer(200, "application/json", here)))


def test_equal_answers_do_not_differ() -> None:
    assert found({"run": {"info": {"status": "RUNNING"}}}, {"run": {"info": {"status": "RUNNING"}}}) == set()


def test_another_value_another_type_and_an_absent_field_are_found() -> None:
    assert found({"a": 1, "b": 1, "c": {"d": 1}, "e": 0}, {"a": 2, "b": "1", "c": {}, "e": False}) == {
        "a",
        "b",
        "c.d",
        "e",
    }
    assert found({}, {"a": ""}) == {"a"}


def test_the_status_and_the_type_of_the_content_count() -> None:
    error = Answer(404, "text/html", "no")
    assert set(differences(Answer(200, "application/json", {"a": 1}), error)) == {"status", "content-type", "a", "text"}


def test_empty_lists_and_objects_are_absent() -> None:
    assert found({"runs": [], "inputs": {}}, {}) == set()


def test_a_clocks_value_may_differ_but_not_its_type() -> None:
    assert found({"creation_time": 5}, {"creation_time": 7}) == set()
    assert found({"creation_time": 5}, {"creation_time": "5"}) == {"creation_time"}
    assert found({"creation_time": 5}, {}) == {"creation_time"}


def test_the_order_counts_where_it_says_something() -> None:
    runs = [{"info": {"run_id": "1"}}, {"info": {"run_id": "2"}}]
    assert found({"runs": runs}, {"runs": runs[::-1]}) == {"runs[0].info.run_id", "runs[1].info.run_id"}
    params = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    assert found({"run": {"data": {"params": params}}}, {"run": {"data": {"params": params[::-1]}}}) == set()


def test_a_longer_list_is_found() -> None:
    assert found({"runs": [{"a": 1}]}, {"runs": [{"a": 1}, {"a": 2}]}) == {"runs[1].a"}
