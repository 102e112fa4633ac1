"""How SQL is written here: in SQLAlchemy Core, compiled once per database, executed on the driver.

Executing a Core statement through SQLAlchemy costs more than the statement itself when it touches one row; the compiled
text and a tuple of parameters are all that the driver needs. So a statement is a module-level ``Statement`` whose
function receives the ``Dialect`` and returns the Core construct, with named ``bindparam``s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from runnel.domain.webhook_notices import WebhookNotice
from runnel.store.dialects import Dialect


class CompiledStatement(NamedTuple):
    """SQL text for the driver, the names of its parameters in their order, and the values of its constants.

    ``writes``: whether it can change something.
    """

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    writes: bool

    def parameters(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values in the order of the placeholders."""
        if self.constants:
            values = {**self.constants, **values}
        return tuple([values[name] for name in self.names])


def compile_statement(construct: sa.Executable, dialect: Dialect) -> CompiledStatement:
    """Compiles a Core construct to text with positional placeholders."""
    compiled = construct.compile(dialect=dialect.sqlalchemy_dialect)  # type: ignore[attr-defined]
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    writes = compiled.isinsert or compiled.isupdate or compiled.isdelete
    return CompiledStatement(str(compiled), tuple(compiled.positiontup or ()), constants, writes)


class Statement:
    """One statement, compiled on first use for each database."""

    def __init__(self, build: Callable[[Dialect], sa.Executable]) -> None:
        self._build = build
        self._compiled: dict[str, CompiledStatement] = {}

    def compiled_for(self, dialect: Dialect) -> CompiledStatement:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = compile_statement(self._build(dialect), dialect)
        return compiled


class CompiledRows(NamedTuple):
    """SQL text whose first placeholders are the rows, and the parameters behind them."""

    sql: str
    rest: CompiledStatement


class RowsStatement:
    """One statement over many rows of parameters: ``build`` receives them as a common table named ``rows``."""

    def __init__(
        self, columns: Sequence[tuple[str, Any]], build: Callable[[Dialect, sa.FromClause], sa.Executable]
    ) -> None:
        self._columns = tuple(columns)
        self._build = build
        self._compiled: dict[tuple[str, int], CompiledRows] = {}

    def compiled_for(self, dialect: Dialect, row_count: int) -> CompiledRows:
        key = (dialect.name, dialect.kept_size(row_count))
        compiled = self._compiled.get(key)
        if compiled is None:
            source, names = dialect.rows_source(self._columns, row_count)
            whole = compile_statement(self._build(dialect, source), dialect)
            if whole.names[: len(names)] != tuple(names):
                raise AssertionError(f"the rows are not the first parameters of: {whole.sql}")
            rest = CompiledStatement(whole.sql, whole.names[len(names) :], whole.constants, whole.writes)
            compiled = self._compiled[key] = CompiledRows(whole.sql, rest)
        return compiled


class Cursor(Protocol):
    """What of a DB-API cursor is used."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class StreamCursor(Protocol):
    """What is used of a cursor that keeps no more rows than were fetched."""

    def execute(self, sql: Any, parameters: Any = (), /) -> Any: ...
    def fetchmany(self, size: int, /) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """What of a driver's connection is used (both ``sqlite3`` and ``psycopg`` have it)."""

    def execute(self, sql: Any, parameters: Any = (), /) -> Cursor: ...


# Writes rows, in few statements.
WriteRows = Callable[["Transaction", Sequence[tuple[Any, ...]]], None]

MAX_LATER_ROWS = 10_000
_STREAMED_ROWS = 200  # that are in memory at once


class Transaction:
    """The transaction that one request, or a group of them, runs in: executes statements, gives back plain tuples."""

    def __init__(
        self, connection: Connection, dialect: Dialect, open_stream: Callable[[], StreamCursor] | None = None
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self._open_stream = open_stream
        # Drivers keep statements prepared for the next time; of these, made for one search, there is no end.
        self.one_off_characters = 0
        self.write_count = 0  # statements so far that may have changed something
        self._later: dict[WriteRows, list[tuple[Any, ...]]] | None = None
        self._notices: list[WebhookNotice] = []

    # What others are to hear of, but only when it is true: a transaction may still fail, or be run again.

    def after_commit(self, notice: WebhookNotice) -> None:
        """Tells the database's listener when the transaction has been committed; if it is not, nobody hears of it."""
        self._notices.append(notice)

    def take_notices(self) -> list[WebhookNotice]:
        """What has been gathered, and gathers anew: the transaction has ended."""
        notices, self._notices = self._notices, []
        return notices

    @property
    def notice_count(self) -> int:
        """How much is gathered, to go back to by ``forget_notices_behind``."""
        return len(self._notices)

    def forget_notices_behind(self, count: int) -> None:
        """Forgets what a command has gathered since ``notice_count``: it failed."""
        del self._notices[count:]

    # What many commands of a group write to the same table costs a fraction of the time when it is written at once.

    def begin_group(self) -> None:
        """From now on ``write_later`` keeps its rows."""
        self._later = {}

    def end_group(self) -> None:
        """Writes the rows that are kept, and keeps none any more."""
        self.write_kept_rows()
        self._later = None

    def abandon_group(self) -> None:
        """Forgets the rows that are kept: the transaction is rolled back."""
        self._later = None

    def write_later(self, write: WriteRows, rows: Sequence[tuple[Any, ...]]) -> None:
        """Writes rows by the end of the group; at once, where there is none or a group has many rows already.

        Commands of a group must not read what another one of them writes later.
        """
        if self._later is None:
            write(self, rows)
            return
        kept = self._later.setdefault(write, [])
        kept.extend(rows)
        if len(kept) >= MAX_LATER_ROWS:
            self.write_kept_rows()

    def write_kept_rows(self) -> None:
        """Writes what ``write_later`` has kept so far."""
        while self._later:
            write, rows = self._later.popitem()
            write(self, rows)

    def kept_counts(self) -> dict[WriteRows, int]:
        """How many rows are kept, to go back to by ``forget_rows_behind``."""
        return {write: len(rows) for write, rows in (self._later or {}).items()}

    def forget_rows_behind(self, counts: Mapping[WriteRows, int]) -> None:
        """Forgets the rows that a command has kept since ``kept_counts``: it failed."""
        for write, rows in (self._later or {}).items():
            del rows[counts.get(write, 0) :]

    def _compiled(self, statement: Statement | sa.Executable) -> CompiledStatement:
        if isinstance(statement, Statement):
            return statement.compiled_for(self.dialect)
        compiled = compile_statement(statement, self.dialect)
        self.one_off_characters += len(compiled.sql)
        return compiled

    def execute(self, statement: Statement | sa.Executable, /, **parameters: Any) -> Cursor:
        """Runs a statement; list parameters are those of ``Dialect.is_in``."""
        compiled = self._compiled(statement)
        self.write_count += compiled.writes
        values = compiled.parameters(parameters)
        return self.connection.execute(compiled.sql, self.dialect.driver_values(values))

    def row(self, statement: Statement | sa.Executable, /, **parameters: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return self.execute(statement, **parameters).fetchone()

    def rows(self, statement: Statement | sa.Executable, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.execute(statement, **parameters).fetchall()

    def stream(self, statement: Statement | sa.Executable, /, **parameters: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one after another, few of them in memory; other statements may run meanwhile."""
        assert self._open_stream is not None, "only what reads is streamed"
        compiled = self._compiled(statement)
        cursor = self._open_stream()
        try:
            cursor.execute(compiled.sql, self.dialect.driver_values(compiled.parameters(parameters)))
            while rows := cursor.fetchmany(_STREAMED_ROWS):
                yield from rows
        finally:
            cursor.close()

    def write_rows(self, statement: RowsStatement, rows: Sequence[tuple[Any, ...]], /, **constants: Any) -> int:
        """Runs a statement over rows of parameters, in few executions; gives back how many rows were written."""
        written = 0
        for chunk in self.dialect.row_chunks(rows):
            compiled = statement.compiled_for(self.dialect, len(chunk))
            values = self.dialect.rows_values(chunk) + compiled.rest.parameters(constants)
            self.write_count += 1
            written += self.connection.execute(compiled.sql, values).rowcount
        return written
