"""A SQLite file behind the server: what readers see, how long they may take, and what a full disk does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runnel.domain.errors import InvalidParameterValue, TemporarilyUnavailable
from runnel.domain.experiments import ExperimentTag
from runnel.store import experiments, sqlite
from runnel.store.migrations import prepare_sqlite
from runnel.store.sqlite import SqliteDatabase
from runnel.store.statements import Transaction

# Counts for hours, a row at a time.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@contextlib.asynccontextmanager
async def opened(folder: Path, read_timeout: float = 30) -> AsyncIterator[SqliteDatabase]:
    """A database with one experiment, whose id is 1."""
    path = folder / "mlflow.db"
    prepare_sqlite(path)
    database = SqliteDatabase(path, read_timeout)
    database.start()
    try:
        await database.write(lambda tx: experiments.create_experiment(tx, "e", [], "", str))
        yield database
    finally:
        await asyncio.to_thread(database.close)


def set_tag(key: str, value: str = "v") -> Callable[[Transaction], str]:
    def command(tx: Transaction) -> str:
        experiments.set_experiment_tag(tx, 1, ExperimentTag(key, value))
        return key

    return command


def set_large_tags(prefix: str, count: int = 10) -> Callable[[Transaction], None]:
    """A command that sets tags of 20,000 characters, others each time."""

    def command(tx: Transaction) -> None:
        for number in range(count):
            set_tag(f"{prefix}-{number}", os.urandom(10_000).hex())(tx)

    return command


def get_tags(tx: Transaction) -> set[str]:
    return {tag["key"] for tag in experiments.get_experiment(tx, 1).get("tags", [])}


def run_endless_query(tx: Transaction) -> object:
    return tx.connection.execute(ENDLESS).fetchone()


def wal_bytes(database: SqliteDatabase) -> int:
    return database.path.with_name(f"{database.path.name}-wal").stat().st_size


# What readers see


def test_a_read_sees_what_was_written_before_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            for number in range(50):
                await database.write(set_tag(f"k{number}"))
                assert f"k{number}" in await database.read(get_tags)

    asyncio.run(scenario())


def test_a_read_sees_nothing_of_a_transaction_that_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            has_written, may_commit = threading.Event(), threading.Event()

            def command(tx: Transaction) -> None:
                set_tag("unfinished")(tx)
                has_written.set()
                may_commit.wait(10)

            writing = asyncio.create_task(database.write(command))
            await asyncio.to_thread(has_written.wait, 10)
            assert await database.read(get_tags) == set()
            may_commit.set()
            await writing
            assert await database.read(get_tags) == {"unfinished"}

    asyncio.run(scenario())


def test_a_read_sees_one_state_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            has_looked, may_look_again = threading.Event(), threading.Event()

            def query(tx: Transaction) -> tuple[set[str], set[str]]:
                first = get_tags(tx)
                has_looked.set()
                may_look_again.wait(10)
                return first, get_tags(tx)

            reading = asyncio.create_task(database.read(query))
            await asyncio.to_thread(has_looked.wait, 10)
            await database.write(set_tag("meanwhile"))
            may_look_again.set()
            assert await reading == (set(), set())
            assert await database.read(get_tags) == {"meanwhile"}

    asyncio.run(scenario())


def test_a_read_cannot_write(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await database.read(set_tag("k"))
            assert await database.read(get_tags) == set()

    asyncio.run(scenario())


# How long readers may take


def test_a_query_past_its_time_is_an_error_that_names_the_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, read_timeout=0.2) as database:
            started = time.monotonic()
            with pytest.raises(InvalidParameterValue, match=r"The query took longer than 0\.2 seconds"):
                await database.read(run_endless_query)
            assert time.monotonic() - started < 5
            # The thread that ran it answers as before.
            for _ in range(20):
                assert await database.read(get_tags) == set()

    asyncio.run(scenario())


def test_a_like_pattern_that_takes_long_with_every_row_has_a_time_limit_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, read_timeout=0.2) as database:
            pattern = f"%{'a' * 990}b%"
            slow = (
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) "
                "SELECT count(*) FROM n WHERE replace(printf('%8000d', i), ' ', 'a') LIKE ?"
            )
            started = time.monotonic()
            with pytest.raises(InvalidParameterValue, match="longer than"):
                await database.read(lambda tx: tx.connection.execute(slow, (pattern,)).fetchone())
            assert time.monotonic() - started < 5

    asyncio.run(scenario())


def test_writes_and_short_reads_go_on_beside_endless_queries(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path, read_timeout=1) as database:
            endless = [asyncio.create_task(database.read(run_endless_query)) for _ in range(sqlite.READER_THREADS - 1)]
            await asyncio.sleep(0.1)
            for number in range(20):
                started = time.monotonic()
                await database.write(set_tag(f"k{number}"))
                assert f"k{number}" in await database.read(get_tags)
                assert time.monotonic() - started < 0.5
            for outcome in await asyncio.gather(*endless, return_exceptions=True):
                assert isinstance(outcome, InvalidParameterValue)

    asyncio.run(scenario())


def test_more_queries_than_may_wait_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAITING_QUERIES", 6)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            release = threading.Event()
            waiting = [asyncio.create_task(database.read(lambda tx: release.wait(10))) for _ in range(6)]
            await asyncio.sleep(0.05)
            with pytest.raises(TemporarilyUnavailable, match="too many queries waiting"):
                await database.read(get_tags)
            release.set()
            await asyncio.gather(*waiting)
            assert await database.read(get_tags) == set()

    asyncio.run(scenario())


def test_a_file_that_cannot_be_opened_for_a_moment_can_be_read_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            path, database.path = database.path, tmp_path
            with pytest.raises(TemporarilyUnavailable, match="unable to open database file"):
                await database.read(get_tags)
            database.path = path
            for _ in range(2 * sqlite.READER_THREADS):
                assert await database.read(get_tags) == set()

    asyncio.run(scenario())


# The write-ahead log


def test_readers_who_take_turns_do_not_make_the_log_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 4 * 1024 * 1024)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            ends = asyncio.Event()

            async def read_for_a_while(delay: float) -> None:
                await asyncio.sleep(delay)
                while not ends.is_set():
                    await database.read(lambda tx: (get_tags(tx), time.sleep(0.2)))

            readers = [asyncio.create_task(read_for_a_while(delay)) for delay in (0, 0.07, 0.14)]
            longest = 0
            written = 0
            while written < 60 * 1024 * 1024:
                await database.write(set_large_tags("k", 100))
                written += 100 * 20_000
                longest = max(longest, wal_bytes(database))
                await asyncio.sleep(0.1)
            ends.set()
            await asyncio.gather(*readers)
            assert longest < 30 * 1024 * 1024

    asyncio.run(scenario())


def test_an_endless_query_makes_way_for_the_log_to_be_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 1024 * 1024)
    monkeypatch.setattr(sqlite, "URGENT_TIMEOUT_SECONDS", 0.5)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            endless = asyncio.create_task(database.read(run_endless_query))
            while not endless.done():
                await database.write(set_large_tags("k"))
            with pytest.raises(InvalidParameterValue, match=r"longer than 0\.5 seconds"):
                await endless
            assert len(await database.read(get_tags)) == 10  # reads go on

    asyncio.run(scenario())


def test_another_program_that_reads_for_long_holds_up_neither_writes_nor_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 1024 * 1024)
    monkeypatch.setattr(sqlite, "URGENT_TIMEOUT_SECONDS", 0.2)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM experiment_tags").fetchone()
                deadline = time.monotonic() + 3
                while time.monotonic() < deadline:
                    started = time.monotonic()
                    await database.write(set_large_tags("k"))
                    assert len(await database.read(get_tags)) == 10
                    assert time.monotonic() - started < 2
                    await asyncio.sleep(0.01)
                assert wal_bytes(database) > 2 * 1024 * 1024

    asyncio.run(scenario())


# A full disk


def fill_disk(database: SqliteDatabase, pages_left: int) -> None:
    """Lets the file grow by no more than some pages, as a full disk would."""
    connection = database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + pages_left}")


def make_room(database: SqliteDatabase) -> None:
    database._connection.execute("PRAGMA max_page_count=1000000000")


def test_a_write_to_a_full_disk_may_be_tried_again_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = set_large_tags("large", 100)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await database.write(set_tag("before"))
            fill_disk(database, 20)
            with pytest.raises(TemporarilyUnavailable, match="disk is full"):
                await database.write(command)
            assert await database.read(get_tags) == {"before"}
            make_room(database)
            await database.write(set_tag("after"))
            assert await database.read(get_tags) == {"before", "after"}
            await database.write(command)
            assert len(await database.read(get_tags)) == 102

    asyncio.run(scenario())


def test_what_still_fits_on_a_full_disk_is_written_and_the_rest_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            for number in range(5):
                await database.write(set_tag(f"small{number}", "old"))
            fill_disk(database, 10)
            release = threading.Event()
            first = asyncio.create_task(database.write(lambda tx: release.wait(10)))
            await asyncio.sleep(0.05)
            commands: list[Callable[[Transaction], object]] = []
            for number in range(5):
                commands.append(set_tag(f"small{number}", "new"))
                commands.append(set_large_tags(f"large{number}"))
            waiting = [asyncio.create_task(database.write(command)) for command in commands]
            await asyncio.sleep(0.05)
            release.set()
            await first
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            experiment = await database.read(lambda tx: experiments.get_experiment(tx, 1))
            tags = {tag["key"]: tag["value"] for tag in experiment["tags"]}
            # Whatever fits beside the others: what was answered is there as a whole, and nothing else is.
            assert all(isinstance(outcome, TemporarilyUnavailable) for outcome in outcomes[1::2])
            assert set(tags) == {f"small{number}" for number in range(5)}
            for number, outcome in enumerate(outcomes[::2]):
                assert tags[f"small{number}"] == ("new" if outcome == f"small{number}" else "old")

    asyncio.run(scenario())


# Several servers


def test_a_write_waits_for_another_process_that_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                writing = asyncio.create_task(database.write(set_tag("k")))
                await asyncio.sleep(0.3)
                assert not writing.done()
                assert await database.read(get_tags) == set()  # reads do not wait
                other.execute("COMMIT")
                assert await writing == "k"

    asyncio.run(scenario())


def test_a_lock_that_lasts_is_no_failure_of_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.2)

    async def scenario() -> None:
        async with opened(tmp_path) as database:
            with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(TemporarilyUnavailable, match="database is locked"):
                    await database.write(set_tag("k"))
                other.execute("ROLLBACK")
            await database.write(set_tag("later"))
            assert await database.read(get_tags) == {"later"}

    asyncio.run(scenario())
