"""The search for runs: what filters find, what orders do, what is refused. (Pages are in test_run_search_paging.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_client import Api, invalid, metric, pairs, wrong_type
from tests.server_process import ServerProcess

PATH = "runs/search"


def dataset(name: str, context: str) -> dict[str, Any]:
    described = {"name": name, "digest": f"{name}-digest", "source_type": "code", "source": "{}"}
    return {"dataset": described, "tags": pairs(**{"mlflow.data.context": context})}


class Known:
    """Six runs in two experiments, found by their names; ``old`` is deleted."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.first, self.second = api.new_experiment(), api.new_experiment()
        self.ids: dict[str, str] = {}
        self._add(
            "one", self.first, 1000, "ann", {"acc": 0.5, "loss": 2.0, "my metric": 1}, {"lr": "0.1", "model": "a"}
        )
        self._add("two", self.first, 2000, "Ann", {"acc": 0.9, "loss": "NaN"}, {"lr": "0.1", "model": "A%b"})
        self._add("three", self.second, 3000, "bob", {"acc": "Infinity", "loss": -1}, {"lr": "", "quote": "it's"})
        self._add("four", self.second, 3500, "b_b", {"loss": 0}, {"lr": "x" * 150})
        self._add("five", self.first, 4000, "", {"acc": "NaN"}, {"lr": "x" * 100 + "y"})
        self._add("old", self.first, 5000, "ann", {"acc": 0.5}, {"lr": "0.1"})
        api.post("runs/log-batch", run_id=self.ids["one"], tags=pairs(env="dev", **{"team.x": "blue"}))
        api.post("runs/log-batch", run_id=self.ids["two"], tags=pairs(env="Dev"))
        api.post("runs/log-batch", run_id=self.ids["four"], tags=pairs(env="prod", empty=""))
        api.post("runs/update", run_id=self.ids["one"], status="FINISHED", end_time=1500)
        api.post("runs/update", run_id=self.ids["three"], status="FAILED", end_time=9000)
        api.post("runs/delete", run_id=self.ids["old"])
        api.post("runs/log-inputs", run_id=self.ids["one"], datasets=[dataset("train set", "train")])
        both = [dataset("train set", "eval"), dataset("Test", "test")]
        api.post("runs/log-inputs", run_id=self.ids["two"], datasets=both, models=[{"model_id": "m-used"}])
        api.post("runs/outputs", run_id=self.ids["three"], models=[{"model_id": "m-made"}])

    def _add(
        self, name: str, experiment_id: str, start: int, user: str, metrics: dict[str, Any], params: dict[str, str]
    ) -> None:
        run_id = self.api.new_run(experiment_id, run_name=name, start_time=start, user_id=user)
        points = [metric(key, value) for key, value in metrics.items()]
        self.api.post("runs/log-batch", run_id=run_id, metrics=points, params=pairs(**params))
        self.ids[name] = run_id

    def search(self, **fields: Any) -> list[str]:
        """The names of the runs that are found, in the order of the answer."""
        answer = self.api.post(PATH, **({"experiment_ids": [self.first, self.second]} | fields))
        return [run["info"]["run_name"] for run in answer["runs"]]


@pytest.fixture(scope="module")
def known(server: ServerProcess) -> Iterator[Known]:
    api = Api(server.url)
    yield Known(api)
    api.close()


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        # Metrics: NaN is unequal to everything and compares to nothing else.
        ("metrics.acc > 0.5", "two three"),
        ("metrics.acc >= 0.5", "one two three"),
        ("metrics.acc < 0.9", "one"),
        ("metrics.acc <= 0.9", "one two"),
        ("metric.acc = 0.5", "one"),
        ("metrics.acc != 0.5", "two three five"),
        ("metrics.acc > 1e300", "three"),
        ("metrics.loss = 0", "four"),
        ("metrics.loss < 0", "three"),
        ("metrics.`my metric` = 1", "one"),
        ('metrics."my metric" > .5', "one"),
        ("metrics.acc > 0 AND metrics.loss > -2", "one three"),
        ("metrics.never != 1", ""),
        # Params and tags.
        ("params.lr = '0.1'", "one two"),
        ('param.lr = "0.1"', "one two"),
        ("parameters.lr != '0.1'", "three four five"),
        ("params.lr = ''", "three"),
        ("params.lr = '{150x}'", "four"),
        ("params.lr = '{100xy}'", "five"),
        ("params.lr = '{100x}'", ""),
        ("params.model LIKE 'a%'", "one"),
        ("params.model ILIKE 'a%'", "one two"),
        ("params.model LIKE 'A_b'", "two"),
        ("params.quote = 'it''s'", "three"),
        ('params.quote = "it\'s"', "three"),
        ("params.model IS NULL", "three four five"),
        ("params.model IS NOT NULL", "one two"),
        ("tags.env = 'dev'", "one"),
        ("tags.env != 'dev'", "two four"),
        ("tag.env ILIKE 'dev'", "one two"),
        ("tags.team.x = 'blue'", "one"),
        ("tags.`team.x` = 'blue'", "one"),
        ("tags.empty = ''", "four"),
        ("tags.env IS NULL", "three five"),
        ("tags.`mlflow.runName` LIKE 't%'", "two three"),
        # Attributes.
        ("run_name = 'one'", "one"),
        ("attributes.run_name LIKE 'f%'", "four five"),
        ("`Run name` = 'one'", "one"),
        ("run_name ILIKE 'T%'", "two three"),
        ("status = 'FINISHED'", "one"),
        ("attr.status != 'RUNNING'", "one three"),
        ("status LIKE 'F%'", "one three"),
        ("user_id = 'ann'", "one"),
        ("user_id ILIKE 'ANN'", "one two"),
        ("user_id LIKE 'b\\_b'", ""),  # a backslash is an ordinary character
        ("user_id != ''", "one two three four"),
        ("start_time >= 3000", "three four five"),
        ("start_time > 2999.5 AND start_time < 3000.5", "three"),
        ("created = 1000", "one"),
        ("end_time > 0", "one three"),
        ("end_time != 1500", "three"),
        ("artifact_uri LIKE 'mlflow-artifacts:/%'", "one two three four five"),
        ("run_id = '{one}'", "one"),
        ("run_id != '{one}'", "two three four five"),
        ("run_id IN ('{one}', '{four}', 'nobody')", "one four"),
        ("run_id NOT IN ('{one}', '{four}')", "two three five"),
        # Datasets and models.
        ("dataset.name = 'train set'", "one two"),
        ("datasets.name ILIKE 'te%'", "two"),
        ("dataset.name != 'train set'", "two"),
        ("dataset.name IN ('Test', 'nothing')", "two"),
        ("dataset.name NOT IN ('Test')", "one two"),
        ("dataset.digest = 'Test-digest'", "two"),
        ("dataset.context = 'train'", "one"),
        ("dataset.context LIKE 't%'", "one two"),
        ("dataset.context IN ('eval')", "two"),
        ("dataset.name = 'train set' AND dataset.context = 'eval'", "two"),
        ("models.model_id = 'm-used'", "two"),
        ("model.model_id IN ('m-made', 'm-used')", "two three"),
        # Glue.
        ("", "one two three four five"),
        ("params.lr = '0.1' AND params.model = 'a' AND", "one"),
        ("params.lr='0.1'and metrics.acc>0.6", "two"),
    ],
)
def test_a_filter_finds_what_it_says(known: Known, filter: str, expected: str) -> None:
    for name, value in {"{150x}": "x" * 150, "{100x}": "x" * 100, "{100xy}": "x" * 100 + "y"}.items():
        filter = filter.replace(name, value)
    for name, run_id in known.ids.items():
        filter = filter.replace(f"{{{name}}}", run_id)
    assert set(known.search(filter=filter)) == set(expected.split())
    # The same when the first sort key is a metric, which is another way through the data.
    assert set(known.search(filter=filter, order_by=["metrics.acc"])) == set(expected.split())


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        # A value, then NaN, then nothing, whichever way the values are sorted; the newest first among equals.
        (["metrics.acc"], "one two three five four"),
        (["metrics.acc DESC"], "three two one five four"),
        (["metrics.loss asc"], "three four one two five"),
        (["metrics.`my metric`", "start_time"], "one two three four five"),
        (["params.lr", "run_name"], "three one two four five"),
        (["params.lr DESC", "run_name"], "five four one two three"),
        (["tags.env"], "two one four five three"),
        (["start_time"], "one two three four five"),
        (["attributes.start_time DESC"], "five four three two one"),
        ([], "five four three two one"),
        (["end_time"], "one three five four two"),
        (["end_time DESC"], "three one five four two"),
        (["status", "start_time DESC"], "three one five four two"),
        (["run_name DESC"], "two three one four five"),
        (["user_id", "metrics.acc"], "five two one four three"),
        (["Created"], "one two three four five"),
        (["metrics.never", "run_name"], "five four one three two"),
    ],
)
def test_order_by_sorts(known: Known, order_by: list[str], expected: str) -> None:
    assert known.search(order_by=order_by) == expected.split()


def test_runs_that_started_together_are_in_the_order_of_their_ids(api: Api, experiment_id: str) -> None:
    ids = sorted(api.new_run(experiment_id, start_time=7) for _ in range(5))
    for order_by in ([], ["start_time"], ["metrics.none"], ["status DESC"]):
        answer = api.post(PATH, experiment_ids=[experiment_id], order_by=order_by)
        assert [run["info"]["run_id"] for run in answer["runs"]] == ids


@pytest.mark.parametrize(
    ("view_type", "expected"),
    [
        ("ACTIVE_ONLY", {"one", "two", "five"}),
        ("DELETED_ONLY", {"old"}),
        ("ALL", {"one", "two", "five", "old"}),
        (2, {"old"}),
        (None, {"one", "two", "five"}),
    ],
)
@pytest.mark.parametrize("order_by", [[], ["metrics.acc"]])
def test_the_view_type_chooses_among_active_and_deleted(
    known: Known, view_type: Any, order_by: list[str], expected: set[str]
) -> None:
    found = known.search(experiment_ids=[known.first], run_view_type=view_type, order_by=order_by)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_run_that_is_found_is_shown_as_it_is_read(known: Known) -> None:
    found = known.api.post(PATH, experiment_ids=[known.first, known.second])["runs"]
    assert found == [known.api.run(run["info"]["run_id"]) for run in found]


def test_a_search_in_no_experiments_finds_nothing(known: Known) -> None:
    for experiment_ids in ([], None, ["987654321"]):
        assert known.search(experiment_ids=experiment_ids) == []


def test_an_experiment_that_is_named_twice_counts_once(known: Known) -> None:
    assert len(known.search(experiment_ids=[known.first] * 3)) == 3


def test_a_filter_of_1000_run_ids_is_answered(known: Known) -> None:
    ids = [known.ids["one"], *(f"{number:032x}" for number in range(999))]
    listed = ", ".join(f"'{run_id}'" for run_id in ids)
    assert known.search(filter=f"run_id IN ({listed})") == ["one"]


def test_a_search_of_many_experiments_is_answered(api: Api, experiment_id: str) -> None:
    run_id = api.new_run(experiment_id)
    api.post("runs/log-metric", run_id=run_id, key="acc", value=1, timestamp=1)
    ids = [experiment_id, *(str(number) for number in range(10_000_000, 10_009_999))]
    for order_by in ([], ["metrics.acc"]):
        answer = api.post(PATH, experiment_ids=ids, run_view_type="ALL", order_by=order_by)
        assert [run["info"]["run_id"] for run in answer["runs"]] == [run_id]
    assert api.post_refused(PATH, experiment_ids=[*ids, "1"]) == invalid(
        "'experiment_ids' can contain at most 10000 ids, got 10001"
    )


@pytest.mark.parametrize(
    ("filter", "problem"),
    [
        ("metrics.acc", "Invalid clause(s) in filter string: 'metrics.acc' (expected a comparator, such as = or LIKE)"),
        ("metrics.acc >", "Invalid clause(s) in filter string: 'metrics.acc >' (expected a value)"),
        ("metrics.acc = 'a'", "Expected numeric value type for metric. Found 'a'"),
        ("metrics.acc IS NULL", "IS NULL / IS NOT NULL is only supported for "),
        ("params.lr = 1", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),
        ("params.lr > '1'", "Invalid comparator '>' not one of "),
        ("params.lr = '1' OR params.lr = '2'", "Invalid clause(s) in filter string: 'OR' "),
        ("tags.env RLIKE 'd.*'", "Invalid comparator 'RLIKE' not one of "),
        ("start_time = 'a'", "Expected numeric value type for numeric attribute: start_time. Found 'a'"),
        (
            "run_id IN ()",
            "While parsing a list in the query, expected a non-empty list of string values, but got empty ",
        ),
        ("run_id IN ('a'", "While parsing a list in the query, "),
        ("foo = 'x'", "Invalid attribute key 'foo' specified. Valid keys are "),
        ("foo.bar = 'x'", "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', 'attribute', "),
        ("dataset.foo = 'x'", "Invalid dataset key 'foo' specified. Valid keys are 'context', 'digest', 'name'"),
        ("metrics.acc > 0; DROP TABLE runs", "Invalid clause(s) in filter string: ';' "),
        ("(params.lr = '1')", "Invalid clause(s) in filter string: '(params.lr' "),
        ("params.lr = 'unclosed", "Invalid clause(s) in filter string: "),
        ("params.lr = 'a\0b'", "Parameter 'filter' must not contain NUL characters"),
        ("x" * 50_001, "The filter has 50001 characters, more than the 50000 allowed."),
        ("params.a = 'b' AND " * 101, "The filter has more than the 100 comparisons allowed."),
    ],
)
def test_a_wrong_filter_is_refused_with_the_reason(api: Api, experiment_id: str, filter: str, problem: str) -> None:
    refused = api.post_refused(PATH, experiment_ids=[experiment_id], filter=filter)
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(problem)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"order_by": ["foo"]}, "Invalid attribute key 'foo' specified. Valid keys are "),
        ({"order_by": ["metrics.acc UP"]}, "Invalid ordering key in order_by clause 'metrics.acc UP'."),
        ({"order_by": [""]}, "Invalid order_by clause ''. Could not be parsed."),
        ({"order_by": ["metrics.acc", "metrics.acc DESC"]}, "`order_by` contains duplicate fields: "),
        ({"order_by": ["dataset.name"]}, "Invalid order_by entity: dataset"),
        ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
        ({"max_results": 50_001}, "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
        ({"experiment_ids": ["x"]}, "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
        ({"page_token": "x"}, "Invalid page token 'x': it is damaged, or belongs to a request with another filter or "),
    ],
)
def test_a_wrong_search_is_refused_with_the_reason(api: Api, fields: dict[str, Any], problem: str) -> None:
    refused = api.post_refused(PATH, **({"experiment_ids": ["0"]} | fields))
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert refused.message.startswith(problem)


def test_a_search_refuses_fields_of_a_wrong_type(api: Api) -> None:
    assert api.post_refused(PATH, experiment_ids="1") == wrong_type("experiment_ids", '"1"', "str")
    assert api.post_refused(PATH, experiment_ids=[0]) == wrong_type("experiment_ids[0]", "0", "int")
    assert api.post_refused(PATH, run_view_type="X") == wrong_type("run_view_type", '"X"', "str")
    assert api.post_refused(PATH, max_results="x") == wrong_type("max_results", '"x"', "str")
