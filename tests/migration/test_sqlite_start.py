"""What a start makes of the file that --backend-store-uri names."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runnel.store.schema import HEAD_REVISION
from tests.migration.releases import BOUND_BY_PERMISSIONS, Release, experiment_names

COMMANDS = {"server": ["server", "--port", "0"], "upgrade": ["db", "upgrade"]}

# Tables of MLflow's database, and its schema revision, of a version of 2026.
MLFLOW_TABLES = "experiments runs metrics latest_metrics params tags experiment_tags inputs datasets trace_info spans"
MLFLOW_REVISION = "1b5f0d9ad7c1"


def test_an_empty_file_becomes_a_database(current: Release, file: Path) -> None:
    file.touch()
    with current.serve(uri(file), file.parent) as server:
        assert experiment_names(server) == {"Default"}


def test_a_missing_folder_is_created(current: Release, tmp_path: Path) -> None:
    file = tmp_path / "a new folder" / "and one in it" / "mlflow.db"
    with current.serve(uri(file), tmp_path) as server:
        assert experiment_names(server) == {"Default"}
    assert file.is_file()


def test_nothing_but_the_database_is_left_in_the_folder(current: Release, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for _ in range(2):
        assert current.run("db", "upgrade", "--backend-store-uri", uri(folder / "mlflow.db")).returncode == 0
        assert os.listdir(folder) == ["mlflow.db"]
    with current.serve(uri(folder / "mlflow.db"), tmp_path):
        pass
    assert os.listdir(folder) == ["mlflow.db"]


def test_servers_that_start_at_the_same_moment_on_a_new_file_all_come_up(current: Release, file: Path) -> None:
    with current.serve_together(3, uri(file), file.parent) as servers:
        assert [experiment_names(server) for server in servers] == [{"Default"}] * 3


# What a start refuses


def text_file(file: Path, _: Release) -> None:
    file.write_text("Shopping list: bread, milk, a database\n" * 100)


def one_byte(file: Path, _: Release) -> None:
    file.write_bytes(b"\n")


def mlflow_database(file: Path, _: Release) -> None:
    other_database(file, *MLFLOW_TABLES.split(), revision=MLFLOW_REVISION)


def other_database_with_a_revision_like_ours(file: Path, _: Release) -> None:
    other_database(file, "customers", "orders", revision=HEAD_REVISION)


def other_database_without_revisions(file: Path, _: Release) -> None:
    other_database(file, "customers", "orders", revision=None)


def database_of_a_newer_release(file: Path, newer: Release) -> None:
    assert newer.run("db", "upgrade", "--backend-store-uri", uri(file)).returncode == 0


def database_without_one_of_its_tables(file: Path, newer: Release) -> None:
    database_of_a_newer_release(file, newer)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (HEAD_REVISION,))
        connection.execute("DROP TABLE params")
        connection.commit()


REFUSED = [
    (text_file, "is not a SQLite database"),
    (one_byte, "is not a SQLite database"),
    (mlflow_database, "MLflow's own database"),
    (other_database_with_a_revision_like_ours, "belongs to another program"),
    (other_database_without_revisions, "is no Runnel database"),
    (database_of_a_newer_release, f"knows none after {HEAD_REVISION}. Upgrade Runnel"),
    (database_without_one_of_its_tables, "no table params"),
]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("make", "reason"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_a_file_that_cannot_be_used_stops_the_start_with_one_sentence_and_stays_as_it_is(
    make: Callable[[Path, Release], None],
    reason: str,
    command: list[str],
    current: Release,
    newer: Release,
    file: Path,
) -> None:
    make(file, newer)
    before = folder_content(file.parent)
    done = current.run(*command, "--backend-store-uri", uri(file))
    assert_one_sentence(done.stderr, str(file), reason)
    assert (done.returncode, done.stdout) == (1, "")
    assert folder_content(file.parent) == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_newer_database_whose_server_was_killed_stays_as_it_is(
    command: list[str], current: Release, newer: Release, file: Path
) -> None:
    with newer.serve(uri(file), file.parent) as server:
        server.kill()
    assert file.with_name("mlflow.db-wal").stat().st_size > 0
    before = folder_content(file.parent)
    done = current.run(*command, "--backend-store-uri", uri(file))
    assert_one_sentence(done.stderr, "Upgrade Runnel")
    assert folder_content(file.parent) == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_folder_that_cannot_be_written_to_stops_the_start_with_one_sentence(
    command: list[str], current: Release, tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    for file in (folder / "mlflow.db", folder / "deeper" / "mlflow.db"):
        folder.chmod(0o555)
        done = current.run(*command, "--backend-store-uri", uri(file), first=BOUND_BY_PERMISSIONS)
        folder.chmod(0o755)
        assert_one_sentence(done.stderr, f"folder {file.parent} cannot be")
        assert (done.returncode, done.stdout) == (1, "")
        assert os.listdir(folder) == []


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_database_that_cannot_be_written_to_stops_the_start_with_one_sentence(
    command: list[str], current: Release, file: Path
) -> None:
    assert current.run("db", "upgrade", "--backend-store-uri", uri(file)).returncode == 0
    before = folder_content(file.parent)
    for locked in (file, file.parent):
        mode = locked.stat().st_mode
        locked.chmod(mode & ~0o222)
        done = current.run(*command, "--backend-store-uri", uri(file), first=BOUND_BY_PERMISSIONS)
        locked.chmod(mode)
        assert_one_sentence(done.stderr, f"{locked} cannot be written to")
        assert (done.returncode, done.stdout) == (1, "")
        assert folder_content(file.parent) == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_folder_in_place_of_the_file_stops_the_start_with_one_sentence(
    command: list[str], current: Release, tmp_path: Path
) -> None:
    done = current.run(*command, "--backend-store-uri", uri(tmp_path))
    assert_one_sentence(done.stderr, f"{tmp_path} is not a file")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_file_in_place_of_the_folder_stops_the_start_with_one_sentence(
    command: list[str], current: Release, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("not a folder")
    done = current.run(*command, "--backend-store-uri", uri(tmp_path / "note" / "mlflow.db"))
    assert_one_sentence(done.stderr, f"folder {tmp_path / 'note'} cannot be")
    assert (done.returncode, done.stdout) == (1, "")


def uri(file: Path) -> str:
    return f"sqlite:///{file}"


def other_database(file: Path, *tables: str, revision: str | None) -> None:
    """What another program keeps, which may use alembic as well."""
    with closing(sqlite3.connect(file)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name VARCHAR(256))")
            connection.execute(f"INSERT INTO {table} (name) VALUES ('precious')")
        if revision is not None:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.commit()


def folder_content(folder: Path) -> dict[str, bytes]:
    """The bytes of the database and of the files that SQLite keeps beside it (-shm aside, a scratch memory)."""
    return {path.name: path.read_bytes() for path in folder.glob("mlflow.db*") if path.suffix != ".db-shm"}


def assert_one_sentence(stderr: str, *parts: str) -> None:
    assert stderr.startswith("Error: "), stderr
    assert len(stderr.splitlines()) == 1, stderr
    for part in parts:
        assert part in stderr
