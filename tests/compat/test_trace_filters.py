"""The search for traces beside that of a real `mlflow server`: the same filters and orders find the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.mlflow_process import MlflowProcess
from tests.compat.trace_filters import ORDERS, SeededServer, filters
from tests.server_process import ServerProcess

BACKENDS = ["sqlite"]

# The first test waits for a server that needs up to a minute to start.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeededServer]:
    """MLflow's server with the traces."""
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    try:
        seeded = SeededServer(server.url)
        yield seeded
        seeded.api.close()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def ours(server: ServerProcess) -> Iterator[SeededServer]:
    """Runnel with the same traces."""
    seeded = SeededServer(server.url)
    yield seeded
    seeded.api.close()


def test_a_filter_finds_what_mlflow_finds(theirs: SeededServer, ours: SeededServer) -> None:
    asked = filters()[::3]  # all of them take minutes; a third has every column
    assert len(asked) > 300
    answers = {text: (theirs.search(text, []), ours.search(text, [])) for text in asked}
    assert {text: answer for text, answer in answers.items() if answer[0] != answer[1]} == {}
    # Filters that nothing or everything meets would show little.
    telling = [found for _, (status, found) in answers.values() if status == 200 and 0 < len(found) < 48]
    assert len(telling) > len(asked) // 3


@pytest.mark.parametrize("order_by", ORDERS, ids=" ".join)
def test_an_order_is_that_of_mlflow(theirs: SeededServer, ours: SeededServer, order_by: list[str]) -> None:
    for everywhere in (True, False):
        expected = theirs.search("", order_by, everywhere=everywhere)
        assert ours.search("", order_by, everywhere=everywhere) == expected
        assert expected[0] == 200


def test_the_pages_of_a_search_are_those_of_mlflow(theirs: SeededServer, ours: SeededServer) -> None:
    for text, order_by in (("span.name = 'llm'", ["tags.colour"]), ("feedback.score >= 0", []), ("", ["name DESC"])):
        assert ours.search(text, order_by, page_size=7) == theirs.search(text, order_by, page_size=7)
