"""What endpoint functions may ask for beside the fields of their request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from runnel.api.answers import AnswerMemory
from runnel.api.artifact_threads import ArtifactThreads
from runnel.api.readiness import Readiness
from runnel.api.request_bodies import BodyMemory
from runnel.api.span_intake import SpanIntake
from runnel.artifacts.store import ArtifactStore
from runnel.config import Settings
from runnel.store.database import Database
from runnel.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the running server, put together by ``app``."""

    settings: Settings
    bodies: BodyMemory
    database: Database
    # Where mlflow-artifacts: URIs are kept; None with --no-serve-artifacts.
    artifacts: ArtifactStore | None
    # Where the default artifact root is a place of its own that the server can read (a folder or S3), that store.
    default_root_artifacts: ArtifactStore | None
    artifact_threads: ArtifactThreads
    # How many uploads to a remote store may keep a part in memory.
    upload_slots: asyncio.Semaphore
    span_intake: SpanIntake
    webhooks: Webhooks
    readiness: Readiness = field(default_factory=Readiness)
    answers: AnswerMemory = field(default_factory=AnswerMemory)
