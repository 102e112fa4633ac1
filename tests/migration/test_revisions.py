"""The revisions, run one after the other, lead to the schema in which an empty database is created."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from runnel.store.dialects import SQLITE
from runnel.store.migrations import creation_statements, known_revisions, migrations_folder, run_migrations
from runnel.store.schema import HEAD_REVISION


def test_the_head_of_the_revisions_is_the_one_that_the_schema_names() -> None:
    assert revisions().get_heads() == [HEAD_REVISION]


def test_the_revisions_are_known_by_the_names_of_their_files_in_their_order() -> None:
    in_order = [script.revision for script in revisions().walk_revisions()][::-1]
    assert known_revisions() == in_order


def test_a_revision_does_not_depend_on_the_package_which_goes_on_changing() -> None:
    for script in (migrations_folder() / "versions").glob("*.py"):
        assert not re.search(r"^\s*(from|import) runnel", script.read_text(), re.M), script


def test_the_revisions_lead_to_the_created_schema_on_sqlite() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in creation_statements(SQLITE.sqlalchemy_dialect):
            connection.execute(statement)
        created = sqlite_schema(connection)
    with sa.create_engine("sqlite://").connect() as connection:
        run_migrations(connection)
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, sqlite3.Connection)
        migrated = sqlite_schema(driver_connection)
    assert migrated == created
    assert "table runs" in created


def test_the_revisions_lead_to_the_created_schema_on_postgresql(database: sa.Connection) -> None:
    for statement in creation_statements(database.dialect):
        database.exec_driver_sql(statement)
    created = postgresql_schema(database)
    database.rollback()
    assert postgresql_schema(database) == set()
    database.rollback()
    with database.begin():
        run_migrations(database)
    assert postgresql_schema(database) == created
    assert any(row[:3] == ("column", "runs", "run_uuid") for row in created)


def revisions() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    return ScriptDirectory.from_config(config)


# What a SQLite database is made of


def sqlite_schema(connection: sqlite3.Connection) -> dict[str, Any]:
    """Every table and index: its definition, down to the names of constraints."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {f"{kind} {name}": definition(sql) for kind, name, sql in rows}


def definition(sql: str) -> Any:
    """A statement in a form without the differences that ALTER TABLE makes: quotes, spaces, where constraints stand."""
    sql = re.sub(r"\s+", " ", sql.replace('"', "")).strip()
    if not sql.startswith("CREATE TABLE"):
        return sql
    start, end = sql.index("("), sql.rindex(")")
    items = [item.strip() for item in re.split(r",(?![^(]*\))", sql[start + 1 : end])]
    constraints = [item for item in items if item.startswith("CONSTRAINT ")]
    columns = [item for item in items if item not in constraints]
    return columns, sorted(constraints), sql[end + 1 :].strip()


# What a PostgreSQL database is made of

COLUMNS = """
    SELECT 'column', t.relname, c.attname, row_number() OVER (PARTITION BY t.oid ORDER BY c.attnum),
           format_type(c.atttypid, c.atttypmod), c.attnotnull, c.attidentity, c.attgenerated,
           collations.collname, pg_get_expr(defaults.adbin, defaults.adrelid)
    FROM pg_class AS t
    JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
    LEFT JOIN pg_collation AS collations ON collations.oid = c.attcollation
    LEFT JOIN pg_attrdef AS defaults ON defaults.adrelid = t.oid AND defaults.adnum = c.attnum
    WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p', 'v', 'm')
"""
CONSTRAINTS = """
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
"""
INDEXES = "SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
SEQUENCES = """
    SELECT 'sequence', sequencename, data_type::text, start_value, min_value, max_value, increment_by, cycle,
           owner.refobjid::regclass::text, owner.refobjsubid
    FROM pg_sequences
    JOIN pg_depend AS owner ON owner.objid = format('%%I.%%I', schemaname, sequencename)::regclass
                           AND owner.deptype IN ('a', 'i')
    WHERE schemaname = current_schema()
"""


def postgresql_schema(connection: sa.Connection) -> set[Any]:
    """Every column, constraint, index and sequence, with all that describes it."""
    queries = (COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES)
    return {tuple(row) for query in queries for row in connection.exec_driver_sql(query)}
