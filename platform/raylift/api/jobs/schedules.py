"""Schemas of ``/mlops/schedules``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.jobs.batches import BatchRequest
from raylift.api.resources import ResourceView
from raylift.api.training import TrainingUpload
from raylift.domain.schedules.schedule import MAX_CATCH_UP_SECONDS, MAX_JITTER_SECONDS, MIN_CATCH_UP_SECONDS

Overlap = Literal["skip", "queue", "cancel_previous"]
Outcome = Literal["submitted", "waiting", "skipped", "missed", "refused"]

_CRON = (
    "Five fields as in crontab: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly."
)
_TIME_ZONE = "Name of the IANA time zone in which the expression is read."
_OVERLAP = (
    "While a job of the schedule has not ended: skip makes none; queue lets one moment wait for its end; cancel_previous "
    "cancels the job and makes the new one."
)
_CATCH_UP = "Age at which a due moment is missed, for instance because the platform did not run."
_JITTER = "Jobs are made up to this much after their moment, by a fixed amount for each moment."
_TRAIN = "The job to make each time: an upload. Its requirements are resolved for each job."
_BATCH = (
    "In place of train: a batch to make each time, as for `POST /mlops/batches`. `{date}` and `{time}` in its paths are those "
    "of the moment, in the time zone (`2026-01-31`, `030000`). An alias, or the newest version, is looked up at each moment."
)
_RERUN = "In place of train: id of a job to run again each time, with its locked requirements."

CatchUp = Annotated[int, Field(ge=MIN_CATCH_UP_SECONDS, le=MAX_CATCH_UP_SECONDS, description=_CATCH_UP)]
Jitter = Annotated[int, Field(ge=0, le=MAX_JITTER_SECONDS, description=_JITTER)]


class ScheduleRequest(BaseModel):
    """Body of ``POST /mlops/schedules``. As a form: the parts of an upload, and the part ``schedule`` with the other fields."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(description="Unique in the workspace.")]
    cron: Annotated[str, Field(max_length=200, description=_CRON)]
    timezone: Annotated[str, Field(max_length=100, description=_TIME_ZONE)] = "UTC"
    overlap: Annotated[Overlap, Field(description=_OVERLAP)] = "skip"
    catch_up_seconds: CatchUp = 86_400
    jitter_seconds: Jitter = 0
    paused: Annotated[bool, Field(description="Make no jobs until it is resumed.")] = False
    train: Annotated[TrainingUpload | None, Field(description=_TRAIN)] = None
    rerun: Annotated[str | None, Field(description=_RERUN)] = None
    batch: Annotated[BatchRequest | None, Field(description=_BATCH)] = None


class SchedulePatch(BaseModel):
    """Body of ``PATCH /mlops/schedules/{schedule_name}``, as JSON or as a form. Omitted fields stay."""

    model_config = ConfigDict(extra="forbid")

    cron: Annotated[str | None, Field(max_length=200, description=_CRON)] = None
    timezone: Annotated[str | None, Field(max_length=100, description=_TIME_ZONE)] = None
    overlap: Annotated[Overlap | None, Field(description=_OVERLAP)] = None
    catch_up_seconds: CatchUp | None = None
    jitter_seconds: Jitter | None = None
    paused: Annotated[bool | None, Field(description="true: make no jobs. false: go on with the next moment.")] = None
    train: Annotated[TrainingUpload | None, Field(description="A new upload. You become the owner.")] = None
    rerun: Annotated[str | None, Field(description="In place of train: id of a job. You become the owner.")] = None
    batch: Annotated[BatchRequest | None, Field(description="In place of train: a batch. You become the owner.")] = None
    take_over: Annotated[bool, Field(description="Become the owner: the jobs have your rights from now on.")] = False


class ScheduleRunView(BaseModel):
    """One moment of a schedule."""

    due_at: Annotated[datetime, Field(description="The moment, in the schedule's time zone.")]
    recorded_at: datetime
    outcome: Annotated[Outcome, Field(description="submitted: its job was made.")]
    manual: Annotated[bool, Field(description="A user asked for it, outside of the timetable.")]
    message: str | None
    job_id: str | None
    job_status: Annotated[
        Literal["queued", "running", "completed", "failed", "cancelled"] | None,
        Field(description="null: no job was made, or it was deleted."),
    ]


class ScheduleRunPage(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    runs: list[ScheduleRunView]
    next_cursor: str | None


class ScheduleSummary(BaseModel):
    """A schedule in a list."""

    schedule_id: str
    name: str
    workspace: str
    owner: Annotated[str, Field(description="Account whose rights the jobs have at the time of each run.")]
    cron: str
    timezone: str
    overlap: Overlap
    catch_up_seconds: int
    jitter_seconds: int
    paused: bool
    paused_at: datetime | None
    kind: Literal["train", "rerun", "batch"]
    script_name: str
    experiment_name: str
    model_name: str | None
    next_runs: Annotated[
        list[datetime], Field(description="Next moments in the schedule's time zone, before jitter; none while it is paused.")
    ]
    last_run: ScheduleRunView | None
    created_at: datetime
    updated_at: datetime
    updated_by: str
    links: dict[str, str]


class ScheduleView(ScheduleSummary):
    """``GET /mlops/schedules/{schedule_name}``."""

    entrypoint: str | None
    requirements: list[str]
    args: list[str]
    environment: Annotated[dict[str, str], Field(description="Values are masked.")]
    secrets: list[str]
    params: dict[str, str]
    tags: dict[str, str]
    isolation: Literal["sandbox", "cluster"]
    input: Annotated[str | None, Field(description="Input of its batches.")] = None
    output: Annotated[str | None, Field(description="Output of its batches.")] = None
    notes: Annotated[list[str], Field(description="Deviations from the upload's own values.")] = []


class ScheduleCheck(BaseModel):
    """Answer to ``POST /mlops/schedules?dry_run=true``."""

    next_runs: Annotated[list[datetime], Field(description="First moments in the schedule's time zone, before jitter.")]
    script_name: Annotated[str | None, Field(description="null: no train and no rerun was given.")]
    requirements: list[str]
    resources: ResourceView | None
    notes: Annotated[list[str], Field(description="Deviations from the upload's own values.")]


class ScheduleList(BaseModel):
    """By name."""

    schedules: list[ScheduleSummary]
