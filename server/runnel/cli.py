"""The command line: ``runnel server`` and ``runnel db``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from runnel import __version__
from runnel.config import OPTIONS, Settings, database_option, settings_from_flags
from runnel.store.migrations import SchemaError, prepare_sqlite, sqlite_revision
from runnel.store.schema import HEAD_REVISION


@click.group(context_settings={"help_option_names": ["--help"], "max_content_width": 120})
@click.version_option(__version__, message="runnel %(version)s")
def main() -> None:
    """Runnel: a lightweight tracking server that speaks the MLflow REST API."""


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@main.command()
@_with_options
def server(**flags: Any) -> None:
    """Run the tracking server.

    Flags and variables are those of `mlflow server`; the database and the artifacts' folder are created when missing.
    """
    from runnel.serve import serve  # what the other commands do not need is imported when it is

    settings = settings_from_flags(flags)
    _prepare(settings.sqlite_path)
    try:
        serve(settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@main.group()
def db() -> None:
    """Look at the schema of a database, and upgrade it."""


@db.command()
@database_option()
def upgrade(backend_store_uri: str) -> None:
    """Create the schema in an empty database, or bring an older one up to date (SQLite files are copied first)."""
    path = Settings(backend_store_uri=backend_store_uri).sqlite_path
    before, _ = _revision(path)
    _prepare(path)
    if before == HEAD_REVISION:
        click.echo(f"{path} is at revision {HEAD_REVISION} already.")
    else:
        click.echo(f"{path} is at revision {HEAD_REVISION} now (it was {before or 'empty'}).")


@db.command()
@database_option()
def current(backend_store_uri: str) -> None:
    """Print the schema revision of a database, and that of this version of Runnel."""
    path = Settings(backend_store_uri=backend_store_uri).sqlite_path
    revision, tables = _revision(path)
    click.echo(f"{path}: {revision or ('unknown' if tables else 'empty')} (this version of Runnel: {HEAD_REVISION})")


def _revision(path: Path) -> tuple[str | None, set[str]]:
    try:
        return sqlite_revision(path)
    except SchemaError as error:
        _fail(str(error))


def _prepare(path: Path) -> None:
    try:
        prepare_sqlite(path)
    except SchemaError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
