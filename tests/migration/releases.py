"""Versions of Runnel to run: this one, and copies of it with one schema revision more, as a later release has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from runnel.store.schema import HEAD_REVISION
from tests.server_process import ServerProcess, clean_environment

ROOT = Path(__file__).resolve().parents[2]

REVISION = '''"""{revision}"""

import os, signal, time

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{previous}"

def upgrade():
{body}
'''

# Permissions bind root too in a process that has put down the capability to override them.
BOUND_BY_PERMISSIONS = """
import ctypes, os
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
    raise SystemExit("root's capability could not be put down")
"""


@dataclass(frozen=True)
class Release:
    """A version of Runnel: the folder that its package lies in, and the schema revision that it brings."""

    folder: Path
    revision: str

    def successor(self, folder: Path, body: str) -> Release:
        """A copy of this release, in its installed form, with one revision more."""
        revision = f"{int(self.revision) + 1:04d}"
        shutil.copytree(ROOT / "server" / "runnel", folder / "runnel")
        shutil.copytree(ROOT / "migrations", folder / "runnel" / "migrations")
        schema = folder / "runnel" / "store" / "schema" / "__init__.py"
        text, changes = re.subn(
            r"^HEAD_REVISION = .*$", f'HEAD_REVISION = "{revision}"', schema.read_text(), flags=re.M
        )
        assert changes == 1
        schema.write_text(text)
        versions = folder / "runnel" / "migrations" / "versions"
        (versions / f"{revision}_next.py").write_text(
            REVISION.format(revision=revision, previous=self.revision, body=body)
        )
        return Release(folder, revision)

    def run(self, *arguments: str, first: str = "") -> subprocess.CompletedProcess[str]:
        """Runs ``runnel`` with these arguments to its end; ``first`` is Python that limits the process beforehand."""
        command = [sys.executable, "-m", "runnel", *arguments]
        if first:
            command = [sys.executable, "-c", f"{first}\nimport os\nos.execv({command[0]!r}, {command!r})"]
        environment = clean_environment() | self._environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    @contextmanager
    def serve(self, uri: str, folder: Path, *flags: str) -> Iterator[ServerProcess]:
        """A server, stopped at the end; a folder is made for it in the one given."""
        with self.serve_together(1, uri, folder, *flags) as (server,):
            yield server

    @contextmanager
    def serve_together(self, count: int, uri: str, folder: Path, *flags: str) -> Iterator[list[ServerProcess]]:
        """Several servers on one database, started at the same moment."""

        def start() -> ServerProcess:
            own_folder = Path(tempfile.mkdtemp(prefix="server-", dir=folder))
            return ServerProcess(own_folder, "--backend-store-uri", uri, *flags, environment=self._environment)

        servers: list[ServerProcess] = []
        try:
            with ThreadPoolExecutor(count) as threads:
                starts = [threads.submit(start) for _ in range(count)]
            servers += [begun.result() for begun in starts if begun.exception() is None]
            for begun in starts:
                begun.result()
            yield servers
            for server in servers:
                server.check_ends_well()
        finally:
            for server in servers:
                server.kill()

    @property
    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}


def this_release() -> Release:
    """The version under test, as it is."""
    return Release(ROOT / "server", HEAD_REVISION)


def experiment_names(server: ServerProcess) -> set[str]:
    """The names of the experiments, as a client gets them."""
    found = httpx.post(f"{server.url}/api/2.0/mlflow/experiments/search", json={"max_results": 100})
    assert found.status_code == 200, found.text
    return {experiment["name"] for experiment in found.json()["experiments"]}
