"""Conversion between rows and domain records."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, TypeVar

from raylift.domain.deployment import Deployment
from raylift.domain.feedback import Feedback
from raylift.domain.job import Attempt, Event, Job
from raylift.domain.lease import Lease
from raylift.domain.sweep import Sweep
from raylift.domain.traffic import AliasRecord, TrafficChange, TrafficRecord
from raylift.store.engine.tables import (
    AliasRow,
    AttemptRow,
    Base,
    DeploymentRow,
    EventRow,
    FeedbackRow,
    JobRow,
    LeaseRow,
    SweepRow,
    TrafficChangeRow,
    TrafficRow,
)

Record = Job | Event | Attempt | Deployment | Lease | Sweep | TrafficRecord | TrafficChange | AliasRecord | Feedback
R = TypeVar("R", Job, Event, Attempt, Deployment, Lease, Sweep, TrafficRecord, TrafficChange, AliasRecord, Feedback)

# Columns are named as the record's fields; a row may have more.
_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    record: tuple(f.name for f in fields(record))
    for record in (Job, Event, Attempt, Deployment, Lease, Sweep, TrafficRecord, TrafficChange, AliasRecord, Feedback)
}


def job_of(row: JobRow) -> Job:
    return _record(Job, row)


def event_of(row: EventRow) -> Event:
    return _record(Event, row)


def attempt_of(row: AttemptRow) -> Attempt:
    return _record(Attempt, row)


def deployment_of(row: DeploymentRow) -> Deployment:
    return _record(Deployment, row)


def lease_of(row: LeaseRow) -> Lease:
    return _record(Lease, row)


def traffic_of(row: TrafficRow) -> TrafficRecord:
    return _record(TrafficRecord, row)


def traffic_change_of(row: TrafficChangeRow) -> TrafficChange:
    return _record(TrafficChange, row)


def alias_of(row: AliasRow) -> AliasRecord:
    return _record(AliasRecord, row)


def feedback_of(row: FeedbackRow) -> Feedback:
    return _record(Feedback, row)


def sweep_of(row: SweepRow) -> Sweep:
    return _record(Sweep, row)


def job_columns(job: Job) -> dict[str, Any]:
    """Return every column of a job's row, including those that only serve indices."""
    return columns(job) | {
        "status": job.status,
        "script_sha256": job.spec.script_sha256,
        "model_name": job.spec.model_name,
        "experiment_name": job.spec.experiment_name,
        "queue_rank": -job.spec.priority,
        "owner": job.spec.owner,
        "cpus": job.spec.resources.cpus,
        "memory_bytes": job.spec.resources.memory_bytes,
        "gpus": job.spec.resources.gpus,
    }


def columns(record: Record) -> dict[str, Any]:
    """Return the record's fields by column name."""
    return {name: getattr(record, name) for name in _FIELDS[type(record)]}


def _record(kind: type[R], row: Base) -> R:
    return kind(**{name: getattr(row, name) for name in _FIELDS[kind]})
