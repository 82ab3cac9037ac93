"""progress.json, as the supervisor reads it: its script could have written anything in the wrapper's place.

The wrapper's side is ``job_entrypoints.attempt.progress``; it imports nothing from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from raylift.domain.job import Usage
from raylift.domain.script_notes import ScriptNotes

_MAX_MESSAGE: Final = 4000


class Outcome(StrEnum):
    """How the wrapper says an attempt ended."""

    EXITED = "exited"
    SIGNALED = "signaled"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    STOPPED = "stopped"
    ENVIRONMENT_ERROR = "environment_error"
    WRAPPER_ERROR = "wrapper_error"


@dataclass(frozen=True, slots=True)
class Progress:
    """What the wrapper last wrote. ``outcome`` is None while the script runs."""

    script_started_at: datetime | None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None
    held_by: str | None = None
    """Of a stopped script: that its main thread had ended before, and what kept its process."""
    notes: ScriptNotes = field(default_factory=ScriptNotes)
    finished_at: datetime | None = None
    usage: Usage | None = None
    wrapper_pid: int | None = None
    """Of the process that keeps the script and writes its end; only while the script runs."""
    host: str | None = None
    """The machine that process is on."""


def read_progress(content: bytes) -> Progress:
    """What progress.json says.

    Raises:
        ValueError: no wrapper writes that. Whoever believed it could store what no database, no clock and no client takes.
    """
    record = _RECORDS.validate_json(content)
    if isinstance(record, _Started):
        return Progress(_moment(record.script_started_at), wrapper_pid=record.wrapper_pid, host=record.host)
    return Progress(
        script_started_at=None if record.script_started_at is None else _moment(record.script_started_at),
        outcome=record.outcome,
        exit_code=record.exit_code,
        signal=record.signal,
        message=record.message and record.message[:_MAX_MESSAGE],
        held_by=record.held_by and record.held_by[:_MAX_MESSAGE],
        notes=ScriptNotes(
            tracks_at=record.tracking_uri and record.tracking_uri[:_MAX_MESSAGE],
            library=record.library and record.library[:_MAX_MESSAGE],
            autolog_failure=record.autolog_failure and record.autolog_failure[:_MAX_MESSAGE],
        ),
        finished_at=_moment(record.finished_at),
        usage=Usage(**record.usage.model_dump()) if record.usage else None,
    )


_Epoch = Annotated[float, Field(ge=0, le=2**33)]
"""Seconds, up to the year 2242."""
_Amount = Annotated[float, Field(ge=0, le=2**50)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Used(_Record):
    cpu_seconds: _Amount = 0.0
    peak_memory_bytes: Annotated[int, Field(ge=0, le=2**60)] = 0
    wall_seconds: _Amount = 0.0
    memory_enforced_by: Literal["cgroup", "watchdog"] | None = None
    cpu_enforced_by: Literal["cgroup", "affinity"] | None = None


class _Started(_Record):
    state: Literal["started"]
    script_started_at: _Epoch
    wrapper_pid: Annotated[int | None, Field(gt=0, le=2**31)] = None
    host: str | None = None


class _Finished(_Record):
    state: Literal["finished"]
    outcome: Outcome
    script_started_at: _Epoch | None = None
    finished_at: _Epoch
    exit_code: Annotated[int | None, Field(ge=0, le=255)] = None
    signal: Annotated[int | None, Field(gt=0, le=64)] = None
    message: str | None = None
    held_by: str | None = None
    tracking_uri: str | None = None
    library: str | None = None
    autolog_failure: str | None = None
    usage: _Used | None = None


_RECORDS: Final = TypeAdapter[_Started | _Finished](Annotated[_Started | _Finished, Field(discriminator="state")])


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
