"""The command line: ``runnel server`` and ``runnel db``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from runnel import __version__
from runnel.artifacts.store import StoreUnusable
from runnel.config import OPTIONS, database_option, settings_from_flags
from runnel.log import configure_logging
from runnel.store.database import database_name, database_revision, prepare_database
from runnel.store.migrations import SchemaError
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
    configure_logging(settings.log_format)
    with _schema_errors_shown():
        prepare_database(settings.backend_store_uri, upgrade=settings.upgrade_db)
    try:
        serve(settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except StoreUnusable as error:
        raise click.ClickException(str(error)) from error


@contextlib.contextmanager
def _schema_errors_shown() -> Iterator[None]:
    """Ends the command with one sentence, exit code 1, where the database cannot be used as it is."""
    try:
        yield
    except SchemaError as error:
        raise click.ClickException(str(error)) from error


@main.group()
def db() -> None:
    """Look at the schema of a database, and upgrade it."""


@db.command()
@database_option()
def upgrade(backend_store_uri: str) -> None:
    """Create the schema in an empty database, or bring an older one up to date (SQLite files are copied first)."""
    name = database_name(backend_store_uri)
    with _schema_errors_shown():
        before = database_revision(backend_store_uri)
        prepare_database(backend_store_uri, upgrade=True)
    if before == HEAD_REVISION:
        click.echo(f"{name} is at revision {HEAD_REVISION} already.")
    else:
        click.echo(f"{name} is at revision {HEAD_REVISION} now (it was {before or 'empty'}).")


@db.command()
@database_option()
def current(backend_store_uri: str) -> None:
    """Print the schema revision of a database, and that of this version of Runnel."""
    with _schema_errors_shown():
        revision = database_revision(backend_store_uri)
    click.echo(f"{database_name(backend_store_uri)}: {revision or 'empty'} (this version of Runnel: {HEAD_REVISION})")
