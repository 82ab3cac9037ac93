"""Reads progress.json, with suspicion: the script could have written anything in the wrapper's place.

``job_entrypoints.contract`` has its format (``StartedRecord``, ``FinishedRecord``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from job_entrypoints import contract
from raylift.domain.job import Usage
from raylift.domain.sources.script_notes import ScriptNotes

_MAX_TEXT: Final = 4000


class Outcome(StrEnum):
    """Outcome of an attempt, as the wrapper reports it."""

    EXITED = contract.EXITED
    SIGNALED = contract.SIGNALED
    OUT_OF_MEMORY = contract.OUT_OF_MEMORY
    PROCESS_LIMIT = contract.PROCESS_LIMIT
    DISK_LIMIT = contract.DISK_LIMIT
    STOPPED = contract.STOPPED
    ENVIRONMENT_ERROR = contract.ENVIRONMENT_ERROR
    DATA_ERROR = contract.DATA_ERROR
    WRAPPER_ERROR = contract.WRAPPER_ERROR


@dataclass(frozen=True, slots=True)
class Progress:
    """The wrapper's last report. ``outcome`` is None while the script runs."""

    script_started_at: datetime | None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None
    held_by: str | None = None
    """Sentence on the threads that kept the process of a stopped script after its main thread had ended; else None."""
    notes: ScriptNotes = field(default_factory=ScriptNotes)
    finished_at: datetime | None = None
    usage: Usage | None = None
    wrapper_pid: int | None = None
    """Process of the monitor, which will write the end; only while the script runs."""
    host: str | None = None
    """Machine of that process."""


def read_progress(content: bytes) -> Progress:
    """Parse progress.json.

    Raises:
        ValueError: No wrapper writes that: values that no database, clock or client could take.
    """
    record = _RECORDS.validate_json(content)
    if isinstance(record, _Started):
        return Progress(_moment(record.script_started_at), wrapper_pid=record.wrapper_pid, host=record.host)
    return Progress(
        script_started_at=None if record.script_started_at is None else _moment(record.script_started_at),
        outcome=record.outcome,
        exit_code=record.exit_code,
        signal=record.signal,
        message=_shortened(record.message),
        held_by=_shortened(record.held_by),
        notes=ScriptNotes(
            tracks_at=_shortened(record.tracking_uri),
            library=_shortened(record.library),
            autolog_failure=_shortened(record.autolog_failure),
        ),
        finished_at=_moment(record.finished_at),
        usage=Usage(**record.usage.model_dump()) if record.usage else None,
    )


@dataclass(frozen=True, slots=True)
class LiveUsage:
    """Present usage of a running script."""

    at: datetime
    cpu_seconds: float
    cpus: float
    memory_bytes: int
    processes: int


def read_live_usage(content: bytes) -> LiveUsage:
    """Parse usage.json. Raises ValueError as ``read_progress`` does."""
    record = _Live.model_validate_json(content)
    return LiveUsage(_moment(record.at), record.cpu_seconds, record.cpus, record.memory_bytes, record.processes)


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
    isolated_by: tuple[Annotated[str, Field(max_length=40)], ...] = Field(default=(), max_length=16)


class _Live(_Record):
    at: _Epoch
    cpu_seconds: _Amount
    cpus: _Amount
    memory_bytes: Annotated[int, Field(ge=0, le=2**60)]
    processes: Annotated[int, Field(ge=0, le=2**31)]


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


def _shortened(text: str | None) -> str | None:
    return text and text[:_MAX_TEXT]


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
