"""Logged models as inputs and outputs of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class ModelInput:
    model_id: str


@dataclass(frozen=True, slots=True)
class ModelOutput:
    model_id: str
    step: int = 0


class ModelInputDict(TypedDict):
    model_id: str


class ModelOutputDict(TypedDict):
    model_id: str
    step: int
