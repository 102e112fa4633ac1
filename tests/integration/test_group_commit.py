"""Commands that wait together share a transaction, and none of them suffers from another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runnel.domain.errors import InvalidParameterValue, MlflowError, TemporarilyUnavailable
from runnel.domain.experiments import ExperimentTag
from runnel.store import experiments, group_commit
from runnel.store.dialects import SQLITE
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import SqliteDatabase
from runnel.store.statements import Transaction


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteDatabase]:
    """A database with one experiment, whose id is 1."""
    path = folder / "group.db"
    prepare_sqlite(path)
    database = SqliteDatabase(path)
    database.start()
    try:
        await database.write(lambda tx: experiments.create_experiment(tx, "e", [], "", str))
        yield database
    finally:
        await asyncio.to_thread(database.close)


def set_tag(key: str, error: Exception | None = None) -> Callable[[Transaction], str]:
    """A command that writes a tag, and fails behind that if there is an error."""

    def command(tx: Transaction) -> str:
        experiments.set_experiment_tag(tx, 1, ExperimentTag(key, "v"))
        if error is not None:
            raise error
        return key

    return command


async def run_together(database: SqliteDatabase, commands: list[Callable[[Transaction], Any]]) -> list[Any]:
    """What becomes of commands that have all come while another one kept the writer."""
    release = threading.Event()
    first = asyncio.create_task(database.write(lambda tx: release.wait(10)))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(database.write(command)) for command in commands]
    await asyncio.sleep(0.05)
    release.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def tags(database: SqliteDatabase) -> set[str]:
    experiment = await database.read(lambda tx: experiments.get_experiment(tx, 1))
    return {tag["key"] for tag in experiment.get("tags", [])}


def test_commands_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            begun: list[str] = []
            database._connection.set_trace_callback(lambda sql: begun.append(sql) if "BEGIN" in sql else None)
            outcomes = await run_together(database, [set_tag(f"k{number}") for number in range(20)])
            assert outcomes == [f"k{number}" for number in range(20)]
            assert len(begun) == 2  # that of the command before them, and theirs
            assert await tags(database) == set(outcomes)

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [InvalidParameterValue("wrong"), RuntimeError("a defect")])
def test_a_command_that_fails_after_it_has_written_takes_back_its_own_writes_only(
    tmp_path: Path, error: Exception
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            commands = [set_tag("a"), set_tag("lost", error), set_tag("b"), set_tag("lost too", error), set_tag("c")]
            assert await run_together(database, commands) == ["a", error, "b", error, "c"]
            assert await tags(database) == {"a", "b", "c"}
            await database.write(set_tag("later"))
            assert await tags(database) == {"a", "b", "c", "later"}

    asyncio.run(scenario())


def test_a_command_that_fails_before_it_writes_disturbs_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            runs = 0

            def counted(tx: Transaction) -> str:
                nonlocal runs
                runs += 1
                return set_tag("a")(tx)

            def refused(tx: Transaction) -> str:
                raise InvalidParameterValue("wrong")

            outcomes = await run_together(database, [counted, refused])
            assert outcomes[0] == "a"
            assert isinstance(outcomes[1], MlflowError)
            assert runs == 1
            assert await tags(database) == {"a"}

    asyncio.run(scenario())


def test_rows_of_commands_with_an_order_are_written_at_once_without_those_of_a_command_that_fails() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    transaction = Transaction(connection, SQLITE)
    written: list[list[tuple[Any, ...]]] = []

    def write(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
        written.append(list(rows))

    def keeps(row: str, error: Exception | None = None) -> Callable[[Transaction], str]:
        def command(tx: Transaction) -> str:
            tx.write_later(write, [(row,)])
            if error is not None:
                raise error
            return row

        return command

    loop, error = asyncio.new_event_loop(), InvalidParameterValue("wrong")
    ordered = [("a", None), ("lost", error), ("b", None)]
    commands = [group_commit.Command(keeps(row, error), "r", loop.create_future(), loop) for row, error in ordered]
    sees = group_commit.Command(lambda tx: list(written), None, loop.create_future(), loop)
    outcomes = group_commit.run_together([*commands, sees, commands[0]], transaction)
    # What may read the rows finds them written; those behind it are written by the end of the group.
    assert outcomes == ["a", group_commit.Failure(error), "b", [[("a",), ("b",)]], "a"]
    assert written == [[("a",), ("b",)], [("a",)]]
    keeps("alone")(transaction)
    assert written[2:] == [[("alone",)]]
    loop.close()
    connection.close()


def test_what_has_been_accepted_is_written_before_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            release = threading.Event()
            tasks = [asyncio.create_task(database.write(lambda tx: release.wait(10)))]
            await asyncio.sleep(0.05)
            tasks += [asyncio.create_task(database.write(set_tag(f"k{number}"))) for number in range(300)]
            await asyncio.sleep(0.05)
            closing = asyncio.create_task(asyncio.to_thread(database.close))
            await asyncio.sleep(0.05)
            with pytest.raises(TemporarilyUnavailable, match="shutting down"):
                await database.write(set_tag("too late"))
            release.set()
            await closing
            assert (await asyncio.gather(*tasks))[1:] == [f"k{number}" for number in range(300)]

    asyncio.run(scenario())

    async def afterwards() -> None:
        database = SqliteDatabase(tmp_path / "group.db")
        database.start()
        assert await tags(database) == {f"k{number}" for number in range(300)}
        await asyncio.to_thread(database.close)

    asyncio.run(afterwards())


def test_more_than_may_wait_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 3)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            outcomes = await run_together(database, [set_tag(f"k{number}") for number in range(5)])
            # One place is taken by the command before them.
            assert outcomes[:2] == ["k0", "k1"]
            assert all(isinstance(outcome, TemporarilyUnavailable) for outcome in outcomes[2:])
            assert await tags(database) == {"k0", "k1"}
            await database.write(set_tag("later"))

    asyncio.run(scenario())


def test_a_client_that_does_not_wait_any_more_holds_up_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            release = threading.Event()
            first = asyncio.create_task(database.write(lambda tx: release.wait(10)))
            await asyncio.sleep(0.05)
            gone, there = (asyncio.create_task(database.write(set_tag(key))) for key in ("gone", "there"))
            await asyncio.sleep(0.05)
            gone.cancel()
            release.set()
            assert await there == "there"
            await first
            assert "there" in await tags(database)

    asyncio.run(scenario())
