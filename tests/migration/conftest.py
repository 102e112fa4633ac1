"""Releases of Runnel that differ in their schema, and databases of a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.migration.releases import Release, this_release
from tests.postgresql_process import new_postgresql_database

ADDS_A_TABLE_AND_A_COLUMN = """
    op.create_table("reviews", sa.Column("id", sa.Integer, nullable=False))
    op.add_column("runs", sa.Column("reviewed", sa.BigInteger))
"""


@pytest.fixture(scope="session")
def current() -> Release:
    """This version of Runnel."""
    return this_release()


@pytest.fixture(scope="session")
def release(current: Release, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Release]:
    """Makes a later version of Runnel, whose one new revision does what is given as the body of ``upgrade``."""
    return lambda body: current.successor(tmp_path_factory.mktemp("release"), body)


@pytest.fixture(scope="session")
def newer(release: Callable[[str], Release]) -> Release:
    """A later version of Runnel, with a new table and a new column."""
    return release(ADDS_A_TABLE_AND_A_COLUMN)


@pytest.fixture
def postgresql_uri(postgresql: str) -> str:
    """The URI of an empty database."""
    return new_postgresql_database(postgresql)


@pytest.fixture
def database(postgresql_uri: str) -> Iterator[sa.Connection]:
    """A connection to the database of ``postgresql_uri``, for looking into it."""
    with connect(postgresql_uri) as connection:
        yield connection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a SQLite database may be made."""
    return tmp_path / "mlflow.db"


def connect(uri: str) -> sa.Connection:
    engine = sa.create_engine(uri.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    return engine.connect()
