"""Findings of `raylift doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``advice`` says how to correct a problem."""

    name: str
    level: Level
    detail: str
    advice: str | None = None
