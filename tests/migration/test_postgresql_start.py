"""What a start makes of a PostgreSQL database: it creates the schema, and upgrades it only where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from runnel.store.schema import HEAD_REVISION
from tests.migration.releases import Release, experiment_names

FAILS = """
    op.create_table("reviews", sa.Column("id", sa.Integer, nullable=False))
    op.execute("DELETE FROM experiments")
    op.execute("INSERT INTO no_such_table VALUES (1)")
"""


@pytest.fixture
def older(current: Release, postgresql_uri: str) -> str:
    """A database of this release: to the next release it is an older one."""
    assert upgrade(current, postgresql_uri) == (0, "")
    return postgresql_uri


def test_servers_that_start_at_the_same_moment_on_an_empty_database_all_come_up(
    current: Release, postgresql_uri: str, tmp_path: Path
) -> None:
    with current.serve_together(3, postgresql_uri, tmp_path) as servers:
        assert [experiment_names(server) for server in servers] == [{"Default"}] * 3


def test_an_older_database_stops_the_start_with_a_sentence_that_names_the_command(
    older: str, newer: Release, database: sa.Connection
) -> None:
    done = newer.run("server", "--port", "0", "--backend-store-uri", older)
    assert_one_sentence(done.stderr, "runnel db upgrade", "--upgrade-db")
    assert (done.returncode, done.stdout) == (1, "")
    assert revision(database) == HEAD_REVISION


def test_an_older_database_is_upgraded_by_the_command(older: str, newer: Release, database: sa.Connection) -> None:
    assert upgrade(newer, older)[0] == 0
    assert revision(database) == newer.revision
    assert has_reviews(database)


def test_servers_that_start_with_upgrade_db_at_the_same_moment_upgrade_once(
    older: str, newer: Release, database: sa.Connection, tmp_path: Path
) -> None:
    with newer.serve_together(2, older, tmp_path, "--upgrade-db") as servers:
        assert [experiment_names(server) for server in servers] == [{"Default"}] * 2
    assert revision(database) == newer.revision


def test_a_failed_upgrade_leaves_the_database_as_it_was(
    older: str, current: Release, release: Callable[[str], Release], database: sa.Connection, tmp_path: Path
) -> None:
    with current.serve(older, tmp_path):
        pass
    code, stderr = upgrade(release(FAILS), older)
    assert code == 1
    assert stderr.splitlines()[-1].startswith("Error: ")
    assert "no_such_table" in stderr.splitlines()[-1]
    assert not has_reviews(database)
    with current.serve(older, tmp_path) as server:
        assert experiment_names(server) == {"Default"}


@pytest.mark.parametrize("command", [["server", "--port", "0"], ["db", "upgrade"]], ids=["server", "upgrade"])
@pytest.mark.parametrize(
    ("found", "reason"),
    [("1b5f0d9ad7c1", "MLflow's own database"), (HEAD_REVISION, "belongs to another program"), (None, "no Runnel")],
    ids=["mlflow", "a revision like ours", "no revision"],
)
def test_the_database_of_another_program_stops_the_start_with_one_sentence_and_stays_as_it_is(
    found: str | None, reason: str, command: list[str], current: Release, postgresql_uri: str, database: sa.Connection
) -> None:
    for table in ("experiments", "runs", "metrics"):
        database.exec_driver_sql(f"CREATE TABLE {table} (id bigint)")
    if found:
        database.exec_driver_sql("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
        database.execute(sa.text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": found})
    database.commit()
    before = tables(database)
    done = current.run(*command, "--backend-store-uri", postgresql_uri)
    assert_one_sentence(done.stderr, reason)
    assert (done.returncode, done.stdout) == (1, "")
    assert tables(database) == before


def test_the_database_of_a_newer_release_stops_the_start_with_one_sentence(
    current: Release, newer: Release, postgresql_uri: str, database: sa.Connection
) -> None:
    assert upgrade(newer, postgresql_uri) == (0, "")
    done = current.run("server", "--port", "0", "--backend-store-uri", postgresql_uri)
    assert_one_sentence(done.stderr, f"knows none after {HEAD_REVISION}. Upgrade Runnel")
    assert done.returncode == 1
    assert revision(database) == newer.revision


def test_a_database_that_cannot_be_reached_stops_the_start_with_one_sentence(current: Release, postgresql: str) -> None:
    done = current.run("server", "--port", "0", "--backend-store-uri", postgresql.format("no_such_database"))
    assert_one_sentence(done.stderr, "no_such_database")
    assert (done.returncode, done.stdout) == (1, "")


def upgrade(release: Release, uri: str) -> tuple[int, str]:
    done = release.run("db", "upgrade", "--backend-store-uri", uri)
    return done.returncode, done.stderr


def revision(database: sa.Connection) -> object:
    with database.begin():
        return database.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()


def tables(database: sa.Connection) -> list[object]:
    with database.begin():
        names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        return list(database.exec_driver_sql(names).scalars())


def has_reviews(database: sa.Connection) -> bool:
    return "reviews" in tables(database)


def assert_one_sentence(stderr: str, *parts: str) -> None:
    assert stderr.startswith("Error: "), stderr
    assert len(stderr.splitlines()) == 1, stderr
    for part in parts:
        assert part in stderr
