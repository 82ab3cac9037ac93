"""A schedule: a template of jobs, the moments at which it makes one, and the history of these moments."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from raylift.domain.identifiers import MODEL_NAME
from raylift.domain.job import JobSpec, JobStatus, SchedulePart

SCHEDULE_ID: Final = re.compile(r"schedule_[0-9A-Z]{26}")
NAME_FORM: Final = "1 to 64 letters, digits, dots, dashes and underscores, beginning and ending with a letter or digit"
MAX_NAME: Final = 64
MIN_CATCH_UP_SECONDS: Final = 60
"""Shorter windows could miss a moment while another supervisor takes over."""
MAX_CATCH_UP_SECONDS: Final = 7 * 86_400
MAX_JITTER_SECONDS: Final = 3600


class Overlap(StrEnum):
    """Behaviour at a due moment while a job of the schedule has not ended. Kubernetes' ``concurrencyPolicy``."""

    SKIP = "skip"
    """No job is made. ``Forbid`` in Kubernetes."""
    QUEUE = "queue"
    """The moment waits until the jobs have ended; a later one takes its place."""
    CANCEL_PREVIOUS = "cancel_previous"
    """The jobs are cancelled and the new one is made. ``Replace`` in Kubernetes."""


class TemplateKind(StrEnum):
    """Origin of a schedule's template."""

    TRAIN = "train"
    """An upload. Its requirements are resolved for each job."""
    RERUN = "rerun"
    """An earlier job, with its locked requirements."""
    BATCH = "batch"
    """A batch, with the version that its alias names at the moment."""


class RunOutcome(StrEnum):
    """Outcome of one moment of a schedule."""

    SUBMITTED = "submitted"
    """Its job was made. The job has a status of its own."""
    WAITING = "waiting"
    """It waits until the previous job has ended."""
    SKIPPED = "skipped"
    """The previous job had not ended."""
    MISSED = "missed"
    """The platform did not run, or the moment was beyond the catch-up window."""
    REFUSED = "refused"
    """The owner may not run it any more, or its job was not accepted."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The moments of a schedule, and what happens at one."""

    cron: str
    timezone: str = "UTC"
    overlap: Overlap = Overlap.SKIP
    catch_up_seconds: int = 86_400
    """A due moment that is older is missed. Kubernetes' ``startingDeadlineSeconds``."""
    jitter_seconds: int = 0
    """Jobs are made up to this much after their moment, by a fixed amount for each moment."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as stored. Times are UTC and timezone-aware."""

    schedule_id: str
    name: str
    """Unique in its workspace."""
    workspace: str
    owner: str
    """Account whose rights the jobs have, and for which they count."""
    kind: TemplateKind
    timetable: Timetable
    template: JobSpec
    created_at: datetime
    updated_at: datetime
    updated_by: str
    considered_until: datetime
    """Moments up to this one are done with. It never goes back by itself, even if the clock does."""
    wakes_at: datetime | None
    """Time of the next moment with its jitter; None: there is none."""
    waiting_at: datetime | None = None
    """The moment that waits until the previous job has ended."""
    paused_at: datetime | None = None
    revision: int = 1
    """Grows with each change. A change by somebody who read an older one is dropped."""


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """One moment of a schedule, written in the transaction that makes its job."""

    schedule_id: str
    due_at: datetime
    recorded_at: datetime
    outcome: RunOutcome
    manual: bool = False
    """True: a user asked for it, and ``due_at`` is the time of the request."""
    message: str | None = None
    job_id: str | None = None
    job_status: JobStatus | None = None
    """Present status of the job; None where none was made, or it was deleted."""


def name_error(name: str) -> str | None:
    """Return what is wrong with the name of a schedule, or None."""
    if len(name) <= MAX_NAME and MODEL_NAME.fullmatch(name) and not SCHEDULE_ID.fullmatch(name):
        return None
    return f"is {name!r}; it must be {NAME_FORM}"


def jitter_of(schedule_id: str, due_at: datetime, jitter_seconds: int) -> timedelta:
    """Return the delay of one moment: the same at each call, so that a restart does not draw again."""
    digest = hashlib.sha256(f"{schedule_id} {due_at.timestamp():.0f}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8]) % (jitter_seconds + 1))


def job_spec(schedule: Schedule, due_at: datetime) -> JobSpec:
    """Return the spec of the job that a moment makes."""
    part = SchedulePart(schedule.schedule_id, schedule.name, due_at)
    spec = replace(schedule.template, owner=schedule.owner, workspace=schedule.workspace, schedule=part)
    if spec.batch is None:
        return spec
    return replace(spec, batch=spec.batch.at(due_at.astimezone(ZoneInfo(schedule.timetable.timezone))))
