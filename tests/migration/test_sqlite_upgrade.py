"""An older SQLite file is copied beside itself and upgraded when a newer release starts, and nothing can be lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runnel.store import migrations
from runnel.store.migrations import SchemaError, prepare_sqlite
from runnel.store.schema import HEAD_REVISION
from tests.migration.releases import Release, experiment_names

INSERT = (
    "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time) "
    "VALUES (?, 'mlflow-artifacts:/1', 'active', 0, 0)"
)
FAILS = """
    op.create_table("reviews", sa.Column("id", sa.Integer, nullable=False))
    op.execute("DELETE FROM experiments")
    op.execute("INSERT INTO no_such_table VALUES (1)")
"""
IS_KILLED = """
    op.create_table("reviews", sa.Column("text", sa.Text))
    op.execute("DELETE FROM experiments")
    op.execute("PRAGMA cache_size=1")  # so that changes reach the disk before they are committed
    for _ in range(1000):
        op.execute("INSERT INTO reviews VALUES ('" + "x" * 1000 + "')")
    os.kill(os.getpid(), signal.SIGKILL)
"""
TAKES_LONG = """
    op.create_table("reviews", sa.Column("id", sa.Integer, nullable=False))
    time.sleep(3)
"""


@pytest.fixture
def older(current: Release, file: Path) -> Path:
    """A file of this release, with an experiment in it: to the next release it is an older one."""
    assert current.run("db", "upgrade", "--backend-store-uri", uri(file)).returncode == 0
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(INSERT, ("kept",))
        connection.commit()
    return file


@pytest.fixture
def backup(file: Path) -> Path:
    """Where the copy of an older file is to be found."""
    return file.with_name(f"{file.name}.{HEAD_REVISION}.backup")


def test_a_start_copies_an_older_file_beside_itself_and_upgrades_it(
    older: Path, backup: Path, current: Release, newer: Release
) -> None:
    before = content(older)
    with newer.serve(uri(older), older.parent) as server:
        assert experiment_names(server) == {"Default", "kept"}
        assert str(backup) in server.log
    assert revision(older) == newer.revision
    assert "reviews" in tables(older)
    assert content(backup) == before
    shutil.copy(backup, older)
    with current.serve(uri(older), older.parent) as server:
        assert experiment_names(server) == {"Default", "kept"}


def test_what_only_the_log_of_a_killed_server_holds_is_in_the_copy_and_in_the_upgraded_file(
    older: Path, backup: Path, newer: Release
) -> None:
    program = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(older)!r}, isolation_level=None)
connection.execute({INSERT!r}, ("in the log",))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert b"in the log" not in older.read_bytes()
    upgrade(newer, older)
    assert experiments(older) == experiments(backup) == {"kept", "in the log"}


def test_an_earlier_copy_is_never_overwritten(older: Path, backup: Path, newer: Release) -> None:
    before = content(older)
    backup.write_bytes(b"precious")
    second, third = (backup.with_name(f"{backup.name}-{number}") for number in (2, 3))
    second.write_bytes(b"precious too")
    upgrade(newer, older)
    assert (backup.read_bytes(), second.read_bytes()) == (b"precious", b"precious too")
    assert content(third) == before


def test_what_an_interrupted_copy_has_left_is_cleared_away(older: Path, backup: Path, newer: Release) -> None:
    incomplete = backup.with_name(f"{backup.name}.incomplete")
    incomplete.write_bytes(b"half of a copy")
    before = content(older)
    upgrade(newer, older)
    assert content(backup) == before
    assert files(older) == {older.name, backup.name}


def test_the_copy_can_be_read_by_those_who_could_read_the_file(older: Path, backup: Path, newer: Release) -> None:
    older.chmod(0o640)
    upgrade(newer, older)
    assert backup.stat().st_mode & 0o777 == older.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_copied_is_not_upgraded(older: Path, newer: Release) -> None:
    before = content(older)
    largest = older.stat().st_size // 2
    full_disk = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest}))"
    done = newer.run("db", "upgrade", "--backend-store-uri", uri(older), first=full_disk)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"Error: {older} ")
    assert "cannot be copied first" in sentence
    assert content(older) == before
    assert files(older) == {older.name}


def test_a_failed_upgrade_leaves_the_file_as_it_was_and_tells_where_the_copy_is(
    older: Path, backup: Path, current: Release, release: Callable[[str], Release]
) -> None:
    before = content(older)
    failing = release(FAILS)
    done = failing.run("db", "upgrade", "--backend-store-uri", uri(older))
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith(f"Error: {older} ")
    assert "no_such_table" in sentence
    assert str(backup) in sentence
    assert content(older) == content(backup) == before
    with current.serve(uri(older), older.parent) as server:
        assert experiment_names(server) == {"Default", "kept"}


def test_a_start_that_fails_again_and_again_does_not_fill_the_disk_with_copies(
    older: Path, backup: Path, release: Callable[[str], Release]
) -> None:
    failing = release(FAILS)
    for _ in range(3):
        assert failing.run("server", "--port", "0", "--backend-store-uri", uri(older)).returncode == 1
    assert files(older) == {older.name, backup.name}


def test_an_upgrade_that_is_killed_leaves_the_file_usable_by_the_older_release_and_the_next_upgrade(
    older: Path, backup: Path, current: Release, newer: Release, release: Callable[[str], Release]
) -> None:
    before = content(older)
    done = release(IS_KILLED).run("db", "upgrade", "--backend-store-uri", uri(older))
    assert done.returncode == -signal.SIGKILL
    assert older.with_name("mlflow.db-wal").stat().st_size > 500_000
    assert content(backup) == before
    with current.serve(uri(older), older.parent) as server:
        assert experiment_names(server) == {"Default", "kept"}
    upgrade(newer, older)
    assert (revision(older), experiments(older)) == (newer.revision, {"Default", "kept"})


def test_an_upgrade_in_the_way_of_rollback_journals_survives_a_kill_too(
    older: Path, current: Release, release: Callable[[str], Release]
) -> None:
    with closing(sqlite3.connect(older)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    assert release(IS_KILLED).run("db", "upgrade", "--backend-store-uri", uri(older)).returncode == -signal.SIGKILL
    with current.serve(uri(older), older.parent) as server:
        assert experiment_names(server) == {"Default", "kept"}


def test_a_file_with_a_write_that_was_cut_off_in_its_journal_is_upgraded(older: Path, newer: Release) -> None:
    program = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(older)!r}, isolation_level=None)
connection.execute("PRAGMA journal_mode=DELETE")
connection.execute("PRAGMA cache_size=1")
connection.execute("BEGIN")
for number in range(3000):
    connection.execute({INSERT!r}, (f"cut off {{number}}",))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert older.with_name("mlflow.db-journal").stat().st_size > 0
    upgrade(newer, older)
    assert experiments(older) == {"kept"}


def test_servers_that_start_at_the_same_moment_upgrade_a_file_once(
    older: Path, backup: Path, release: Callable[[str], Release]
) -> None:
    slow = release(TAKES_LONG)
    with slow.serve_together(2, uri(older), older.parent) as servers:
        assert [experiment_names(server) for server in servers] == [{"Default", "kept"}] * 2
        assert sorted("Upgrading" in server.log for server in servers) == [False, True]
    assert files(older) == {older.name, backup.name}


def test_a_start_that_finds_the_file_locked_says_that_it_waits_and_gives_up_in_the_end(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrations, "SILENT_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0.5)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SchemaError, match=r"is locked by another process, for more than 0\.5 seconds"):
            prepare_sqlite(file)
    assert caplog.messages == [f"Waiting for another process, which has locked {file} (an upgrade, perhaps)"]


def test_a_file_named_by_a_symbolic_link_is_copied_where_it_lies(
    older: Path, tmp_path_factory: pytest.TempPathFactory, backup: Path, newer: Release
) -> None:
    link = tmp_path_factory.mktemp("elsewhere") / "link.db"
    link.symlink_to(older)
    before = content(older)
    upgrade(newer, link)
    assert content(backup) == before
    assert os.listdir(link.parent) == ["link.db"]


def uri(file: Path) -> str:
    return f"sqlite:///{file}"


def upgrade(release: Release, file: Path) -> None:
    done = release.run("db", "upgrade", "--backend-store-uri", uri(file))
    assert done.returncode == 0, done.stderr


def read(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def content(file: Path) -> list[str]:
    """All that a database holds, as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def revision(file: Path) -> object:
    return read(file, "SELECT version_num FROM alembic_version")[0][0]


def tables(file: Path) -> set[object]:
    return {name for (name,) in read(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def experiments(file: Path) -> set[object]:
    return {name for (name,) in read(file, "SELECT name FROM experiments")}


def files(file: Path) -> set[str]:
    """The names of the database and of the files beside it, without those that SQLite keeps while it is open."""
    return {path.name for path in file.parent.glob("mlflow.db*") if path.suffix not in (".db-wal", ".db-shm")}
