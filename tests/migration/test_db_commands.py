"""``runnel db upgrade`` and ``runnel db current``, on both kinds of databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.migration.releases import Release


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, file: Path) -> str:
    """An empty database of each kind."""
    return f"sqlite:///{file}" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_uri"))


def test_current_tells_the_revision_of_the_database_and_that_of_the_program(
    uri: str, current: Release, newer: Release
) -> None:
    assert say(current, "current", uri).endswith(f": empty (this version of Runnel: {current.revision})\n")
    say(current, "upgrade", uri)
    assert say(newer, "current", uri).endswith(f": {current.revision} (this version of Runnel: {newer.revision})\n")


def test_current_changes_nothing(file: Path, current: Release) -> None:
    say(current, "current", f"sqlite:///{file}")
    assert not file.exists()
    say(current, "upgrade", f"sqlite:///{file}")
    before = file.read_bytes()
    say(current, "current", f"sqlite:///{file}")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_current_tells_the_revision_of_another_programs_database(file: Path, current: Release) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('1b5f0d9ad7c1')")
        connection.commit()
    assert say(current, "current", f"sqlite:///{file}").startswith(f"{file}: 1b5f0d9ad7c1 (")


def test_current_does_not_take_a_database_with_tables_for_an_empty_one(file: Path, current: Release) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    done = current.run("db", "current", "--backend-store-uri", f"sqlite:///{file}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no Runnel database" in done.stderr


def test_upgrade_creates_the_schema_then_brings_it_to_a_newer_revision_then_has_nothing_to_do(
    uri: str, current: Release, newer: Release
) -> None:
    assert f"is at revision {current.revision} now (it was empty)." in say(current, "upgrade", uri)
    assert f"is at revision {current.revision} already." in say(current, "upgrade", uri)
    assert f"is at revision {newer.revision} now (it was {current.revision})." in say(newer, "upgrade", uri)
    assert f"is at revision {newer.revision} already." in say(newer, "upgrade", uri)


def say(release: Release, command: str, uri: str) -> str:
    done = release.run("db", command, "--backend-store-uri", uri)
    assert done.returncode == 0, done.stderr
    return done.stdout
