"""What a command tells of is told when it is committed: once, and never when it is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.experiments import ExperimentTag
from runnel.domain.webhook_notices import WebhookNotice, prompt_tag_deleted
from runnel.store import experiments
from runnel.store.database import Database, open_database, prepare_database
from runnel.store.statements import Transaction
from tests.postgresql_process import new_postgresql_database


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mlflow.db"
    return new_postgresql_database(request.getfixturevalue("postgresql"))


class Heard:
    """Listens to a database, and keeps what it hears with what was committed at that moment."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.batches = 0

    def __call__(self, notices: Any) -> None:
        self.batches += 1
        self.keys += [notice.data["key"] for notice in notices]


@asynccontextmanager
async def opened(uri: str) -> AsyncIterator[tuple[Database, Heard]]:
    """A database with one experiment, whose id is 1, and what is heard of it."""
    prepare_database(uri, upgrade=True)
    database = open_database(uri, 4)
    heard = Heard()
    database.listen(heard)
    database.start()
    try:
        await database.write(lambda tx: experiments.create_experiment(tx, "e", [], "", str))
        yield database, heard
    finally:
        await asyncio.to_thread(database.close)


def notice(key: str) -> WebhookNotice:
    return prompt_tag_deleted("p", key)


def telling(key: str, error: Exception | None = None, *, writes: bool = True) -> Callable[[Transaction], str]:
    """A command that tells of a key, and fails behind that if there is an error."""

    def command(tx: Transaction) -> str:
        if writes:
            experiments.set_experiment_tag(tx, 1, ExperimentTag(key, "v"))
        tx.after_commit(notice(key))
        if error is not None:
            raise error
        return key

    return command


async def run_together(database: Database, commands: list[Callable[[Transaction], Any]]) -> list[Any]:
    """What becomes of commands that have all come while another one kept the writer."""
    release = threading.Event()
    first = asyncio.create_task(database.write(lambda tx: release.wait(10), ""))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(database.write(command, "")) for command in commands]
    await asyncio.sleep(0.05)
    release.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_what_a_command_tells_of_is_told_once_when_it_is_committed(uri: str) -> None:
    async def scenario() -> None:
        async with opened(uri) as (database, heard):
            assert await database.write(telling("a")) == "a"
            assert heard.keys == ["a"]
            await database.write(lambda tx: None)
            assert (heard.keys, heard.batches) == (["a"], 1)

    asyncio.run(scenario())


def test_what_is_told_can_be_read_already(uri: str) -> None:
    async def scenario() -> None:
        async with opened(uri) as (database, _):
            loop, found = asyncio.get_running_loop(), []

            def read(tx: Transaction) -> set[str]:
                return {tag["key"] for tag in experiments.get_experiment(tx, 1).get("tags", [])}

            def listen(_: Any) -> None:
                found.append(asyncio.run_coroutine_threadsafe(database.read(read), loop).result(10))

            database.listen(listen)
            await database.write(telling("a"))
            assert found == [{"a"}]

    asyncio.run(scenario())


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("error", [InvalidParameterValue("wrong"), RuntimeError("a defect")])
def test_a_command_that_fails_tells_nothing(uri: str, error: Exception, writes: bool) -> None:
    async def scenario() -> None:
        async with opened(uri) as (database, heard):
            with pytest.raises(type(error)):
                await database.write(telling("lost", error, writes=writes))
            await database.write(telling("a"))
            assert heard.keys == ["a"]

    asyncio.run(scenario())


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("error", [InvalidParameterValue("wrong"), RuntimeError("a defect")])
def test_of_commands_that_share_a_commit_those_that_succeed_are_told_once(
    uri: str, error: Exception, writes: bool
) -> None:
    async def scenario() -> None:
        async with opened(uri) as (database, heard):
            lost = telling("lost", error, writes=writes)
            outcomes = await run_together(database, [telling("a"), lost, telling("b"), lost, telling("c")])
            assert outcomes == ["a", error, "b", error, "c"]
            assert heard.keys == ["a", "b", "c"]
            assert await run_together(database, [telling("d"), telling("e")]) == ["d", "e"]
            assert heard.keys == ["a", "b", "c", "d", "e"]

    asyncio.run(scenario())


def test_a_command_that_is_run_again_after_a_conflict_tells_once(postgresql: str) -> None:
    async def scenario() -> None:
        async with opened(new_postgresql_database(postgresql)) as (database, heard):
            attempts = 0

            def conflicting(tx: Transaction) -> str:
                nonlocal attempts
                attempts += 1
                tx.after_commit(notice(f"attempt {attempts}"))
                if attempts < 3:
                    raise psycopg.errors.SerializationFailure
                return "done"

            assert await database.write(conflicting) == "done"
            assert heard.keys == ["attempt 3"]

    asyncio.run(scenario())


def test_a_listener_that_fails_takes_nothing_from_the_command(uri: str) -> None:
    async def scenario() -> None:
        async with opened(uri) as (database, heard):

            def listen(_: Any) -> None:
                raise RuntimeError("a defect of the listener")

            database.listen(listen)
            assert await database.write(telling("a")) == "a"
            database.listen(heard)
            await database.write(telling("b"))
            assert heard.keys == ["b"]
            experiment = await database.read(lambda tx: experiments.get_experiment(tx, 1))
            assert {tag["key"] for tag in experiment.get("tags", [])} == {"a", "b"}

    asyncio.run(scenario())
