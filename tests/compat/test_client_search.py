"""The client searches: filters, orders, views, and pages that end."""

import mlflow
import pytest
from mlflow.entities import Metric, Param, ViewType
from mlflow.store.entities import PagedList

from tests.api_client import unique_name

BACKENDS = ["sqlite"]


@pytest.fixture
def many(client: mlflow.MlflowClient, experiment_id: str) -> list[str]:
    """Runs 0 to 24, with their number as metric, param, tag and start time."""
    run_ids = []
    for number in range(25):
        run = client.create_run(
            experiment_id, start_time=1000 + number, run_name=f"run {number}", tags={"n": f"{number}"}
        )
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("n", float(number), 1, 0)],
            params=[Param("parity", "even" if number % 2 == 0 else "odd")],
        )
        run_ids.append(run.info.run_id)
    return run_ids


def numbers(runs: "PagedList[mlflow.entities.Run] | list[mlflow.entities.Run]") -> list[int]:
    return [int(run.data.metrics["n"]) for run in runs]


def test_pages_hold_every_run_once_and_in_order(
    client: mlflow.MlflowClient, experiment_id: str, many: list[str]
) -> None:
    found: list[int] = []
    token, pages = None, 0
    while True:
        page = client.search_runs([experiment_id], max_results=7, order_by=["metrics.n DESC"], page_token=token)
        found += numbers(page)
        pages += 1
        token = page.token
        if not token:
            break
    assert found == list(range(24, -1, -1))
    assert pages == 4


def test_the_newest_run_comes_first(client: mlflow.MlflowClient, experiment_id: str, many: list[str]) -> None:
    assert numbers(client.search_runs([experiment_id])) == list(range(24, -1, -1))


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("metrics.n > 22", [23, 24]),
        ("metrics.n >= 3 AND metrics.n < 8 AND params.parity = 'odd'", [3, 5, 7]),
        ("params.parity != 'odd' AND metrics.n <= 4", [0, 2, 4]),
        ("tags.n = '7'", [7]),
        ("tags.n LIKE '1_'", list(range(10, 20))),
        ("params.parity ILIKE 'EV%' AND metrics.n < 3", [0, 2]),
        ("attributes.start_time <= 1002", [0, 1, 2]),
        ("run_name = 'run 9'", [9]),
        ("attributes.run_name LIKE 'run 2%'", [2, 20, 21, 22, 23, 24]),
        ("status = 'RUNNING' AND metrics.`n` = 4", [4]),
    ],
)
def test_a_filter_finds_the_runs_it_describes(
    client: mlflow.MlflowClient, experiment_id: str, many: list[str], filter: str, expected: list[int]
) -> None:
    assert numbers(client.search_runs([experiment_id], filter, order_by=["metrics.n"])) == expected


def test_runs_are_found_by_their_ids(client: mlflow.MlflowClient, experiment_id: str, many: list[str]) -> None:
    wanted = ", ".join(f"'{run_id}'" for run_id in many[3:6])
    found = client.search_runs([experiment_id], f"attributes.run_id IN ({wanted})", order_by=["start_time"])
    assert numbers(found) == [3, 4, 5]


def test_runs_are_ordered_by_several_keys(client: mlflow.MlflowClient, experiment_id: str, many: list[str]) -> None:
    found = client.search_runs([experiment_id], order_by=["params.parity ASC", "metrics.n DESC"])
    assert numbers(found) == [*range(24, -1, -2), *range(23, 0, -2)]


def test_runs_come_as_a_table(experiment_id: str, many: list[str]) -> None:
    table = mlflow.search_runs([experiment_id], "metrics.n < 3", order_by=["metrics.n ASC"])
    assert table["metrics.n"].tolist() == [0, 1, 2]
    assert table["params.parity"].tolist() == ["even", "odd", "even"]
    assert table["tags.n"].tolist() == ["0", "1", "2"]
    assert table["run_id"].tolist() == many[:3]
    assert set(table["status"]) == {"RUNNING"}


def test_runs_of_several_experiments_are_found_together(client: mlflow.MlflowClient, experiment_id: str) -> None:
    names = [unique_name(), unique_name()]
    for name in names:
        mlflow.set_experiment(name)
        with mlflow.start_run(run_name=name):
            pass
    found = mlflow.search_runs(experiment_names=names, output_format="list")
    assert {run.info.run_name for run in found} == set(names)
    assert client.search_runs([experiment_id]) == []


def test_deleted_runs_are_a_view_of_their_own(client: mlflow.MlflowClient, experiment_id: str, many: list[str]) -> None:
    client.delete_run(many[0])

    def found(view: str) -> list[int]:
        return numbers(client.search_runs([experiment_id], "metrics.n < 2", run_view_type=view, order_by=["metrics.n"]))

    assert found(ViewType.ACTIVE_ONLY) == [1]
    assert found(ViewType.DELETED_ONLY) == [0]
    assert found(ViewType.ALL) == [0, 1]


def test_experiments_are_searched_by_name_and_tag_over_pages(client: mlflow.MlflowClient) -> None:
    prefix = unique_name()
    for number in range(5):
        client.create_experiment(f"{prefix}-{number}", tags={"batch": prefix, "even": str(number % 2 == 0)})
    found = []
    token = None
    while True:
        page = client.search_experiments(
            filter_string=f"name LIKE '{prefix}%'", max_results=2, order_by=["name DESC"], page_token=token
        )
        found += [experiment.name for experiment in page]
        token = page.token
        if not token:
            break
    assert found == [f"{prefix}-{number}" for number in (4, 3, 2, 1, 0)]
    even = mlflow.search_experiments(
        filter_string=f"tags.batch = '{prefix}' AND tags.even = 'True'", order_by=["name ASC"]
    )
    assert [experiment.name for experiment in even] == [f"{prefix}-{number}" for number in (0, 2, 4)]


def test_deleted_experiments_are_a_view_of_their_own(client: mlflow.MlflowClient) -> None:
    name = unique_name()
    client.delete_experiment(client.create_experiment(name))
    assert client.search_experiments(filter_string=f"name = '{name}'") == []
    (found,) = client.search_experiments(filter_string=f"name = '{name}'", view_type=ViewType.DELETED_ONLY)
    assert found.lifecycle_stage == "deleted"
