"""The search for logged models: what filters and datasets find, what orders do, pages, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_client import Api, Refusal, invalid, metric, missing, pairs, wrong_type
from tests.server_process import ServerProcess

PATH = "logged-models/search"
TRAIN = {"dataset_name": "train", "dataset_digest": "t1"}
TEST_1 = {"dataset_name": "test", "dataset_digest": "e1"}
TEST_2 = {"dataset_name": "test", "dataset_digest": "e2"}


class Known:
    """Six models in two experiments, found by their names; ``old`` is deleted, which no search shows."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.first, self.second, self.empty = (api.new_experiment() for _ in range(3))
        self.run = api.new_run(self.first)
        self.ids: dict[str, str] = {}
        self._add("one", self.first, "agent", {"lr": "0.1", "size": "s"}, {"env": "dev", "team.x": "blue"})
        self._add("two", self.first, "llm", {"lr": "0.10"}, {"env": "Dev"}, source_run_id=self.run)
        self._add("three", self.second, "llm", {"lr": "x" * 150}, {})
        self._add("four", self.second, "", {}, {"quote": "it's", "empty": ""})
        self._add("five", self.first, "agent", {"lr": "x" * 100 + "y"}, {"env": "prod"}, source_run_id="elsewhere")
        self._add("old", self.first, "agent", {"lr": "0.1"}, {"env": "dev"})
        self._log("one", "acc", (0.1, 1, 0), (0.9, 2, 0))
        self._log("two", "acc", (0.5, 5, 0), **TRAIN)
        self._log("two", "acc", (0.2, 6, 0), **TEST_1)
        self._log("two", "acc", (0.7, 4, 0), **TEST_2)
        self._log("three", "acc", ("NaN", 1, 0))
        self._log("three", "loss", (3, 1, 0), **TEST_1)
        self._log("four", "acc", (0.3, 2, 9), (0.6, 2, 10), (0.4, 1, 11))
        self._log("four", "my metric", (1, 1, 0))
        self._log("old", "acc", (0.9, 1, 0))
        api.send("PATCH", f"logged-models/{self.ids['two']}", json={"status": "LOGGED_MODEL_READY"})
        next_millisecond()
        api.send("PATCH", f"logged-models/{self.ids['five']}", json={"status": "LOGGED_MODEL_UPLOAD_FAILED"})
        api.send("DELETE", f"logged-models/{self.ids['old']}")

    def _add(
        self,
        name: str,
        experiment_id: str,
        model_type: str,
        params: dict[str, str],
        tags: dict[str, str],
        source_run_id: str = "",
    ) -> None:
        described = {"name": name, "model_type": model_type, "source_run_id": source_run_id}
        items = {"params": pairs(**params), "tags": pairs(**tags)}
        created = self.api.post("logged-models", experiment_id=experiment_id, **described, **items)["model"]["info"]
        self.ids[name] = created["model_id"]
        next_millisecond()

    def _log(self, name: str, key: str, *points: tuple[Any, int, int], **dataset: str) -> None:
        batch = [metric(key, *point) | {"model_id": self.ids[name]} | dataset for point in points]
        self.api.post("runs/log-batch", run_id=self.run, metrics=batch)

    def search(self, **fields: Any) -> list[str]:
        """The names of the models that are found, in the order of the answer."""
        answer = self.api.post(PATH, **({"experiment_ids": [self.first, self.second]} | fields))
        return names(answer)

    def refused(self, **fields: Any) -> Refusal:
        return self.api.post_refused(PATH, **({"experiment_ids": [self.first]} | fields))


def next_millisecond() -> None:
    """Lets the server's clock go on, so that what comes now is newer than what was before."""
    time.sleep(0.002)


def names(answer: Any) -> list[str]:
    return [model["info"]["name"] for model in answer["models"]]


@pytest.fixture(scope="module")
def known(server: ServerProcess) -> Iterator[Known]:
    api = Api(server.url)
    yield Known(api)
    api.close()


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        # Metrics: any point counts; NaN is unequal to everything and compares to nothing else.
        ("metrics.acc > 0.5", "one two four"),
        ("metrics.acc >= 0.9", "one"),
        ("metrics.acc < 0.2", "one"),
        ("metrics.acc = 0.4", "four"),
        ("metrics.acc != 0.1", "one two three four"),
        ("metrics.acc > 0.8 AND metrics.acc < 0.2", "one"),
        ("metric.acc <= 0.3", "one two four"),
        ("metrics.`my metric` = 1", "four"),
        ("metrics.never > 0", ""),
        # Params and tags; a number needs no quotes.
        ("params.lr = '0.1'", "one"),
        ("params.lr = 0.1", "one"),
        ("params.lr != 0.1", "two three five"),
        ("params.lr = '{150x}'", "three"),
        ("params.lr LIKE 'x%'", "three five"),
        ("params.lr IN ('0.1', '0.10')", "one two"),
        ("params.lr NOT IN ('0.1', '0.10')", "three five"),
        ("tags.env = 'dev'", "one"),
        ("tags.env ILIKE 'dev'", "one two"),
        ("tags.`team.x` = 'blue'", "one"),
        ("tags.quote = 'it''s'", "four"),
        ("tags.empty = ''", "four"),
        # Attributes.
        ("name = 'one'", "one"),
        ("attributes.name != 'one'", "two three four five"),
        ("name LIKE 't%'", "two three"),
        ("name IN ('one', 'old', 'five')", "one five"),
        ("model_id = '{two}'", "two"),
        ("model_id NOT IN ('{two}', '{one}')", "three four five"),
        ("model_type = 'agent'", "one five"),
        ("source_run_id = 'elsewhere'", "five"),
        ("source_run_id = ''", "one three four"),
        ("source_run_id = '{run}'", "two"),
        ("status = 'READY'", "two"),
        ("status = 'LOGGED_MODEL_READY'", "two"),
        ("status = 2", "two"),
        ("status != 'PENDING'", "two five"),
        ("status IN ('READY', 'FAILED')", "two five"),
        ("status LIKE '%PENDING'", "one three four"),
        ("creation_time > 0", "one two three four five"),
        ("creation_timestamp < 1.5", ""),
        ("creation_timestamp_ms != 0 AND last_updated_timestamp > 0", "one two three four five"),
        ("attributes.last_updated_timestamp_ms < 0", ""),
        # Glue.
        ("", "one two three four five"),
        ("params.lr LIKE '%' AND metrics.acc > 0 and tags.env = 'Dev'", "two"),
    ],
)
def test_a_filter_finds_what_it_says(known: Known, filter: str, expected: str) -> None:
    filter = filter.replace("{150x}", "x" * 150)
    for name, id_ in (known.ids | {"run": known.run}).items():
        filter = filter.replace(f"{{{name}}}", id_)
    assert set(known.search(filter=filter)) == set(expected.split())
    # The same when the first sort key is a metric, which is another way through the data.
    assert set(known.search(filter=filter, order_by=[{"field_name": "metrics.acc"}])) == set(expected.split())


@pytest.mark.parametrize(
    ("datasets", "filter", "expected"),
    [
        ([TRAIN], "", "two"),
        ([TEST_1], "", "two three"),
        ([{"dataset_name": "test"}], "", "two three"),
        ([TRAIN, TEST_1], "name != 'two'", "three"),
        ([TRAIN], "metrics.acc > 0.4", "two"),
        ([TRAIN], "metrics.acc > 0.6", ""),
        ([TEST_1], "metrics.acc > 0.4", ""),
        ([{"dataset_name": "test"}], "metrics.acc > 0.4", "two"),
        ([TRAIN, TEST_1], "metrics.acc > 0.4 AND metrics.acc < 0.3", "two"),
        ([{"dataset_name": "nothing"}], "", ""),
        ([{"dataset_name": "train", "dataset_digest": "e1"}], "metrics.acc > 0", ""),
    ],
)
def test_metrics_can_be_asked_for_on_some_datasets_only(
    known: Known, datasets: list[Any], filter: str, expected: str
) -> None:
    assert set(known.search(datasets=datasets, filter=filter)) == set(expected.split())


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ([], "five four three two one"),
        # The latest point by time, then step; NaN and what has no value come last, the newest first among equals.
        ([{"field_name": "metrics.acc"}], "two four one three five"),
        ([{"field_name": "metrics.acc", "ascending": False}], "one four two three five"),
        ([{"field_name": "metrics.acc", **TRAIN}], "two five four three one"),
        ([{"field_name": "metrics.loss", "dataset_name": "test"}, {"field_name": "name"}], "three five four one two"),
        ([{"field_name": "metrics.never"}], "five four three two one"),
        ([{"field_name": "name"}], "five four one three two"),
        ([{"field_name": "name", "ascending": False}], "two three one four five"),
        ([{"field_name": "creation_time"}], "one two three four five"),
        ([{"field_name": "creation_timestamp", "ascending": False}], "five four three two one"),
        ([{"field_name": "last_updated_timestamp_ms"}], "one three four two five"),
        ([{"field_name": "model_type"}, {"field_name": "metrics.acc"}], "four one five two three"),
        ([{"field_name": "status"}, {"field_name": "name"}], "four one three two five"),
        ([{"field_name": "name"}, {"field_name": "name", "ascending": False}], "five four one three two"),
    ],
)
def test_order_by_sorts(known: Known, order_by: list[Any], expected: str) -> None:
    assert known.search(order_by=order_by) == expected.split()
    # One experiment at a time, without those of the other.
    one_by_one = known.search(experiment_ids=[known.first], order_by=order_by)
    assert one_by_one == [name for name in expected.split() if name in ("one", "two", "five")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"order_by": [{"field_name": "metrics.acc", "ascending": False}]},
        {"order_by": [{"field_name": "metrics.acc", "dataset_name": "test"}, {"field_name": "name"}]},
        {"order_by": [{"field_name": "model_type"}, {"field_name": "metrics.acc"}]},
        {"order_by": [{"field_name": "metrics.acc"}], "filter": "name != 'two'"},
        {"filter": "metrics.acc > 0", "order_by": [{"field_name": "metrics.acc"}]},
        {"datasets": [TEST_1]},
    ],
)
@pytest.mark.parametrize("size", [1, 2])
def test_pages_joined_are_the_whole_list(known: Known, fields: dict[str, Any], size: int) -> None:
    request = {"experiment_ids": [known.first, known.second], "max_results": size, **fields}
    pages = [names(answer) for answer in known.api.pages("POST", PATH, **request)]
    assert all(len(page) == size for page in pages[:-1])
    assert [name for page in pages for name in page] == known.search(**fields)


def test_a_page_goes_on_where_the_last_one_ended_whatever_was_added_since(api: Api, experiment_id: str) -> None:
    for name in ("one", "two", "three"):
        api.post("logged-models", experiment_id=experiment_id, name=name)
        next_millisecond()
    first = api.post(PATH, experiment_ids=[experiment_id], max_results=2)
    api.post("logged-models", experiment_id=experiment_id, name="four")
    second = api.post(PATH, experiment_ids=[experiment_id], max_results=2, page_token=first["next_page_token"])
    assert names(first) + names(second) == ["three", "two", "one"]
    assert names(api.post(PATH, experiment_ids=[experiment_id])) == ["four", "three", "two", "one"]


def test_a_page_has_50_models_unless_told_otherwise_and_never_more_than_1000(api: Api, experiment_id: str) -> None:
    for _ in range(1001):
        api.post("logged-models", experiment_id=experiment_id)
    request = {"experiment_ids": [experiment_id]}
    assert len(names(api.post(PATH, **request))) == 50
    assert len(names(api.post(PATH, **request, max_results=0))) == 100  # MLflow's second default
    largest = api.post(PATH, **request, max_results=1_000_000)
    assert len(names(largest)) == 1000
    rest = api.post(PATH, **request, max_results=1_000_000, page_token=largest["next_page_token"])
    assert len(names(rest)) == 1
    assert "next_page_token" not in rest


def test_a_model_is_found_as_it_is_read(known: Known) -> None:
    answer = known.api.post(PATH, experiment_ids=[known.first, known.second], filter="name = 'two'")
    assert answer["models"] == [known.api.get(f"logged-models/{known.ids['two']}")["model"]]


def test_experiments_without_models_and_none_at_all_have_an_empty_page(known: Known) -> None:
    for experiment_ids in ([], [known.empty], ["987654321"]):
        assert known.api.post(PATH, experiment_ids=experiment_ids) == {"models": []}
    assert known.search(experiment_ids=[known.first, known.first]) == ["five", "two", "one"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"experiment_ids": ["x"]}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        ({"max_results": -1}, "Invalid value -1 for parameter 'max_results' supplied. It must be a positive integer"),
        (
            {"filter": "name > 'a'"},
            "Invalid comparator '>' not one of '!=', '=', 'ILIKE', 'IN', 'LIKE', 'NOT IN'",
        ),
        (
            {"filter": "params.lr IS NULL"},
            "Invalid comparator 'IS NULL' not one of '!=', '=', 'ILIKE', 'IN', 'LIKE', 'NOT IN'",
        ),
        (
            {"filter": "other.name = 'a'"},
            "Invalid entity type 'other'. Valid values are ['attribute', 'metric', 'parameter', 'tag']",
        ),
        (
            {"filter": "bogus = 'a'"},
            "Invalid attribute key 'bogus' specified. Valid keys are 'creation_timestamp', 'last_updated_timestamp', "
            "'model_id', 'model_type', 'name', 'source_run_id', 'status'",
        ),
        ({"filter": "metrics.acc > 'a'"}, "Expected numeric value type for metric. Found 'a'"),
        ({"datasets": [{}]}, "`dataset_name` in the `datasets` clause must be specified."),
        ({"datasets": [TRAIN] * 101}, "'datasets' can contain at most 100 datasets, got 101"),
        ({"order_by": [{"field_name": "bogus"}]}, "Invalid order by field name: bogus"),
        ({"order_by": [{}]}, "Invalid order by field name: "),
        (
            {"order_by": [{"field_name": "params.lr"}]},
            "Invalid order by field name: params.lr. Only metrics are supported.",
        ),
        ({"order_by": [{"field_name": "name"}] * 11}, "'order_by' can contain at most 10 fields, got 11"),
    ],
)
def test_what_cannot_be_searched_for_is_refused(known: Known, fields: dict[str, Any], message: str) -> None:
    assert known.refused(**fields) == invalid(message)


def test_the_experiments_must_be_named_as_a_list(known: Known) -> None:
    assert known.api.post_refused(PATH) == missing("experiment_ids")
    assert known.refused(experiment_ids="1") == wrong_type("experiment_ids", '"1"', "str")


def test_a_token_of_another_search_and_a_damaged_one_are_refused(known: Known) -> None:
    request = {"max_results": 1, "order_by": [{"field_name": "metrics.acc"}]}
    token = known.api.post(PATH, experiment_ids=[known.first], **request)["next_page_token"]
    for changed in (
        {"filter": "name != 'x'"},
        {"order_by": [{"field_name": "metrics.loss"}]},
        {"order_by": [{"field_name": "metrics.acc", **TRAIN}]},
        {"datasets": [TRAIN]},
        {"experiment_ids": [known.second]},
        {"page_token": token[:-4]},
        {"page_token": "nonsense"},
    ):
        refused = known.refused(**({"page_token": token} | request | changed))
        assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
        assert refused.message.startswith("Invalid page token")
