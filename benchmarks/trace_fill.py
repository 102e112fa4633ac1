"""Multiplies the traces of a Runnel database: copies of what the server itself has stored, written in bulk.

A million traces through HTTP take an hour; copies of some hundreds that came that way take minutes, and are rows as the
server writes them. The server must not be running.
"""

import base64
import random
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg

# What belongs to a trace, with the columns that hold its internal key.
TABLES = {
    "traces": "id",
    "trace_tags": "trace_id",
    "trace_metadata": "trace_id",
    "trace_runs": "trace_id",
    "spans": "trace_id",
    "assessments": "trace_id",
}
_BATCH = 2_000  # traces
_STEP_MS = 2_000  # between two traces

Row = tuple[Any, ...]


class Templates:
    """The rows of the traces to copy, by table and internal key."""

    def __init__(self, connection: Any, experiment_id: int, count: int) -> None:
        self.columns: dict[str, list[str]] = {}
        self.rows: dict[str, dict[int, list[Row]]] = {}
        newest = f"SELECT id FROM traces WHERE experiment_id = {experiment_id} ORDER BY id DESC LIMIT {count}"
        keys = [row[0] for row in connection.execute(newest).fetchall()]
        for table, key in TABLES.items():
            cursor = connection.execute(f"SELECT * FROM {table} WHERE {key} IN ({','.join(map(str, keys))})")
            self.columns[table] = [column[0] for column in cursor.description]
            position = self.columns[table].index(key)
            self.rows[table] = {}
            for row in cursor.fetchall():
                self.rows[table].setdefault(row[position], []).append(tuple(row))
        self.keys = keys

    def copies(self, first_key: int, count: int, start_ms: int, rng: random.Random) -> dict[str, list[Row]]:
        """Rows of ``count`` new traces with these internal keys, each with an id and a time of its own."""
        made: dict[str, list[Row]] = {table: [] for table in TABLES}
        for number in range(count):
            source = self.keys[(first_key + number) % len(self.keys)]
            (trace,) = self.rows["traces"][source]
            old_id = trace[self.columns["traces"].index("request_id")]
            new_id = f"tr-{secrets.token_hex(16)}"
            shift = start_ms + number * _STEP_MS - trace[self.columns["traces"].index("timestamp_ms")]
            old, new = (base64.b64encode(bytes.fromhex(text[3:])).decode() for text in (old_id, new_id))
            session = f"-{(first_key + number) // (8 * len(self.keys))}"  # of eight traces each
            changes = {
                "id": lambda value, key=first_key + number: key,
                "trace_id": lambda value, key=first_key + number: key,
                "request_id": lambda value, new_id=new_id: new_id,
                "timestamp_ms": lambda value, shift=shift: value + shift,
                "session_id": lambda value, session=session: value and value + session,
                "execution_time_ms": lambda value: rng.randrange(20_000),
                "start_time_unix_nano": lambda value, shift=shift: value + shift * 1_000_000,
                "end_time_unix_nano": lambda value, shift=shift: value + shift * 1_000_000,
                "content": lambda value, old=old, new=new, a=old_id, b=new_id: value.replace(old, new).replace(a, b),
            }
            for table in TABLES:
                columns = self.columns[table]
                places = [
                    (position, changes[column])
                    for position, column in enumerate(columns)
                    if column in changes and not (table == "assessments" and column == "id")
                ]
                for row in self.rows[table].get(source, ()):
                    values = list(row)
                    if table == "trace_metadata" and values[columns.index("key")] == "mlflow.trace.session":
                        values[columns.index("value")] += session
                    for position, change in places:
                        values[position] = change(values[position])
                    if table == "assessments":
                        values[columns.index("id")] = None
                        values[columns.index("assessment_id")] = f"a-{secrets.token_hex(16)}"
                    made[table].append(tuple(values))
        return made


def fill(store_uri: str, experiment_id: int, template_count: int, count: int, start_ms: int) -> int:
    """Adds ``count`` traces behind ``start_ms``; gives back the time of the last one."""
    if store_uri.startswith("sqlite:"):
        path = store_uri.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA cache_size=-1000000")
            for batch in _batches(connection, experiment_id, template_count, count, start_ms):
                connection.execute("BEGIN")
                for table, (columns, rows) in batch.items():
                    marks = ",".join("?" * len(columns))
                    connection.executemany(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", rows)
                connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("ANALYZE traces")
            connection.execute("DROP TABLE sqlite_stat1")  # the server works without
    else:
        with psycopg.connect(store_uri, autocommit=True) as postgresql:
            for batch in _batches(postgresql, experiment_id, template_count, count, start_ms):
                with postgresql.transaction(), postgresql.cursor() as cursor:
                    for table, (columns, rows) in batch.items():
                        with cursor.copy(f"COPY {table} ({','.join(columns)}) FROM STDIN".encode()) as copy:
                            for row in rows:
                                copy.write_row(row)
            postgresql.execute("SELECT setval(pg_get_serial_sequence('traces', 'id'), (SELECT max(id) FROM traces))")
            for table in TABLES:
                postgresql.execute(f"VACUUM ANALYZE {table}".encode())
    return start_ms + count * _STEP_MS


def _batches(
    connection: Any, experiment_id: int, template_count: int, count: int, start_ms: int
) -> Iterator[dict[str, tuple[list[str], Sequence[Row]]]]:
    templates = Templates(connection, experiment_id, template_count)
    rng = random.Random(1)
    key = 1 + connection.execute("SELECT max(id) FROM traces").fetchone()[0]
    for start in range(0, count, _BATCH):
        size = min(_BATCH, count - start)
        made = templates.copies(key + start, size, start_ms + start * _STEP_MS, rng)
        batch: dict[str, tuple[list[str], Sequence[Row]]] = {}
        for table, rows in made.items():
            columns = templates.columns[table]
            if table == "assessments":  # the database counts these
                rows = [row[:position] + row[position + 1 :] for row in rows for position in [columns.index("id")]]
                columns = [column for column in columns if column != "id"]
            batch[table] = (columns, rows)
        yield batch
