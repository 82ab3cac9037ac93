"""From rows to the domain's records and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, TypeVar

from raylift.domain.deployment import Deployment
from raylift.domain.job import Attempt, Event, Job
from raylift.domain.lease import Lease
from raylift.store.tables import AttemptRow, Base, DeploymentRow, EventRow, JobRow, LeaseRow

R = TypeVar("R", Job, Event, Attempt, Deployment, Lease)

# Columns are named as the record's fields; a row may have more.
_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    record: tuple(f.name for f in fields(record)) for record in (Job, Event, Attempt, Deployment, Lease)
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


def job_columns(job: Job) -> dict[str, Any]:
    """Every column of a job's row, the ones that only serve the indices included."""
    return columns(job) | {
        "status": job.status,
        "script_sha256": job.spec.script_sha256,
        "model_name": job.spec.model_name,
        "experiment_name": job.spec.experiment_name,
        "queue_rank": -job.spec.priority,
    }


def columns(record: Job | Event | Attempt | Deployment | Lease) -> dict[str, Any]:
    """The record's fields as columns."""
    return {name: getattr(record, name) for name in _FIELDS[type(record)]}


def _record(kind: type[R], row: Base) -> R:
    return kind(**{name: getattr(row, name) for name in _FIELDS[kind]})
