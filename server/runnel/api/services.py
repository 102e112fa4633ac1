"""What endpoint functions may ask for beside the fields of their request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from runnel.artifacts.store import ArtifactStore
from runnel.config import Settings
from runnel.store.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the running server, put together by ``app``."""

    settings: Settings
    database: Database
    # Where mlflow-artifacts: URIs are kept; None with --no-serve-artifacts.
    artifacts: ArtifactStore | None
    # Where the default artifact root is a place of its own that the server can read (a folder), that store.
    default_root_artifacts: ArtifactStore | None
    artifact_threads: ThreadPoolExecutor
