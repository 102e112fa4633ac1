"""How SQLite finds models, prompts and versions of them, and how much work that is as there are more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from runnel.store import model_versions, registered_models
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.model_version_search import search_model_versions
from runnel.store.model_versions import NewVersion
from runnel.store.registered_model_search import search_registered_models
from runnel.store.sqlite import connect
from runnel.store.statements import Transaction
from tests.integration.test_query_plans import Filled, Recorder

PAGE = 5
IS_PROMPT = {"mlflow.prompt.is_prompt": "true"}
PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


class Registry(Filled):
    """A database with registered models and prompts, and versions of both."""

    def grow(self, models: int, versions: int) -> None:
        """Adds versions to models, and the models where they are missing; the first ones have what no other has."""
        self.connection.execute("BEGIN")
        for number in range(models):
            tags = IS_PROMPT if number % 3 == 0 else {}
            name = f"model-{number:04}"
            if registered_models.find_model(self.tx, name) is None:
                kind = {"kind": "rare" if number < PAGE else "common"}
                registered_models.create_registered_model(self.tx, name, {**tags, **kind}, None)
            for _ in range(versions):
                new = NewVersion(f"s3://b/{name}", f"s3://b/{name}", f"run-{number}", "", "", "")
                model_versions.create_model_version(self.tx, name, new, {**tags, "of": name})
        self.connection.execute("COMMIT")

    def models(self, filter: str = "", order_by: tuple[str, ...] = (), page: int = 1) -> None:
        self._search(search_registered_models, filter, order_by, page)

    def versions(self, filter: str = "", order_by: tuple[str, ...] = (), page: int = 1) -> None:
        self._search(search_model_versions, filter, order_by, page)

    def _search(
        self, search: Callable[..., tuple[list[object], str | None]], filter: str, order: object, page: int
    ) -> None:
        token = ""
        for _ in range(page):
            self.recorder.executed.clear()
            found, next_token = search(self.tx, filter, order, PAGE, token)
            assert found
            token = next_token or ""


@contextmanager
def filled(folder: Path, models: int, versions: int) -> Iterator[Registry]:
    path = folder / "plans.db"
    prepare_sqlite(path)
    with closing(connect(str(path))) as connection:
        recorder = Recorder(connection)
        database = Registry(connection, recorder, Transaction(recorder, SQLITE), [], [], None)  # type: ignore[arg-type]
        database.grow(models, versions)
        yield database


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with filled(tmp_path_factory.mktemp("registry"), 40, 8) as made:
        yield made


def in_order(plan: list[str]) -> bool:
    """Whether rows come in the order of an index (ties in the first key apart)."""
    return "USE TEMP B-TREE FOR ORDER BY" not in plan


def test_lists_of_models_are_read_in_the_order_of_their_indexes(registry: Registry) -> None:
    for order_by, step in (
        ((), "SEARCH registered_models USING INDEX ix_registered_models_listing (is_prompt=?)"),
        (("name DESC",), "SEARCH registered_models USING INDEX ix_registered_models_listing (is_prompt=?)"),
        (("timestamp DESC",), "SEARCH registered_models USING INDEX ix_registered_models_updated (is_prompt=?)"),
    ):
        for filter in ("", PROMPTS):
            registry.models(filter, order_by)
            plan = registry.plan("registered_models")
            assert plan[0] == step
            assert in_order(plan[:2])
    registry.models(page=2)
    assert registry.plan("registered_models")[0].endswith("ix_registered_models_listing (is_prompt=? AND name>?)")


def test_the_latest_of_a_stage_is_the_end_of_an_index(registry: Registry) -> None:
    registry.models()
    plan = registry.plan("registered_models")
    assert "SEARCH other USING COVERING INDEX ix_model_versions_stage (registered_model=? AND current_stage=?)" in plan
    assert not [step for step in plan if step.startswith(("SCAN model_versions", "SCAN model_version_tags"))]


@pytest.mark.parametrize(
    ("filter", "order_by", "step"),
    [
        ("", (), "ix_model_versions_listing (is_prompt=?)"),
        (PROMPTS, (), "ix_model_versions_listing (is_prompt=?)"),
        ("", ("creation_timestamp DESC",), "ix_model_versions_created (is_prompt=?)"),
        ("", ("name",), "ix_model_versions_by_name (is_prompt=?)"),
        ("name = 'model-0001'", (), "ix_model_versions_of_name (name=?)"),
        ("name = 'model-0001'", ("version_number DESC",), "ix_model_versions_name (name=?)"),
        (f"name = 'model-0003' AND {PROMPTS}", ("version_number DESC",), "ix_model_versions_name (name=?)"),
    ],
)
def test_lists_of_versions_are_read_in_the_order_of_their_indexes(
    registry: Registry, filter: str, order_by: tuple[str, ...], step: str
) -> None:
    for page in (1, 2):
        registry.versions(filter, order_by, page)
        plan = registry.plan("model_versions")
        assert plan[0].startswith(f"SEARCH model_versions USING INDEX {step[:-1]}")
        assert in_order(plan)


@pytest.mark.parametrize(
    ("filter", "step"),
    [
        ("run_id = 'run-1'", "SEARCH model_versions USING COVERING INDEX ix_model_versions_run (run_id=?)"),
        ("source_path = 's3://b/model-0001'", "SEARCH model_versions USING INDEX ix_model_versions_source (<expr>=?)"),
        (
            "tags.of = 'model-0001'",
            "SEARCH model_version_tags USING INDEX ix_model_version_tags_search (key=? AND <expr>=?)",
        ),
    ],
)
def test_a_condition_that_few_versions_meet_is_looked_up(registry: Registry, filter: str, step: str) -> None:
    registry.versions(filter)
    plan = registry.plan()
    assert step in plan
    assert any(line.startswith("SEARCH model_versions USING") and "rowid=?)" in line for line in plan)
    assert not [line for line in plan if line.startswith(("SCAN model_versions", "SCAN model_version_tags"))]


def test_the_work_of_a_page_stays_the_same_as_there_are_more_versions(tmp_path: Path) -> None:
    searches = {
        "models": lambda database: database.models(),
        "prompts": lambda database: database.models(PROMPTS),
        "models by their last change": lambda database: database.models(order_by=("timestamp DESC",)),
        "models by a tag": lambda database: database.models("tags.kind = 'rare'"),
        "versions": lambda database: database.versions(),
        "versions, next page": lambda database: database.versions(page=2),
        "versions of a model": lambda database: database.versions("name = 'model-0001'"),
        "versions of a model by number": lambda database: database.versions(
            "name = 'model-0001'", ("version_number DESC",)
        ),
        "versions of a prompt": lambda database: database.versions(f"name = 'model-0003' AND {PROMPTS}"),
    }
    with filled(tmp_path, 20, 10) as database:
        before = {name: database.work(partial(search, database)) for name, search in searches.items()}
        database.grow(60, 60)
        after = {name: database.work(partial(search, database)) for name, search in searches.items()}
        # What no index orders is sorted: a measure that the measure works.
        sorted_by_number = database.work(partial(database.versions, "", ("version_number",)))
        assert sorted_by_number > 5 * after["versions"]
    grown = {name: (before[name], after[name]) for name in searches if after[name] > 1.3 * before[name] + 20}
    assert not grown


def test_a_page_takes_few_statements(registry: Registry) -> None:
    registry.models()
    assert len(registry.recorder.executed) == 5
    registry.versions()
    assert len(registry.recorder.executed) == 2
