"""Sweeps in the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from raylift.api.sweeps import SweepAccepted, SweepJob, SweepRow, SweepSummary, SweepView
from raylift.domain.job import Job, JobStatus
from raylift.domain.sweep import Sweep, count_by_status, status_of
from raylift.services.jobs.sweeps import SweepDetails
from raylift.store import AddedSweep, SweepListing
from serve_apps.gateway.http.paths import sweep_links
from serve_apps.gateway.views.jobs import duration

_QUEUED: Final = "The sweep's jobs are queued; follow it at links.self."


def sweep_accepted(added: AddedSweep, notes: Sequence[str] = ()) -> SweepAccepted:
    """Answer an upload. A repeated upload gets the same answer."""
    return SweepAccepted(
        sweep_id=added.sweep.sweep_id,
        status=JobStatus.QUEUED,
        created_at=added.sweep.created_at,
        message=_QUEUED,
        notes=list(notes),
        jobs=[SweepJob(job_id=job.job_id, parameters=_parameters(job)) for job in added.jobs],
        links=sweep_links(added.sweep.sweep_id),
    )


def sweep_summary(listing: SweepListing) -> SweepSummary:
    return SweepSummary.model_validate(_summary(listing.sweep, listing.counts))


def sweep_view(details: SweepDetails, now: datetime) -> SweepView:
    sweep, spec = details.sweep, details.sweep.spec
    view = {
        **_summary(sweep, count_by_status(details.jobs)),
        "as": spec.passed_as.value,
        "register": spec.registration.value,
        "max_parallel": spec.max_parallel,
        "tags": dict(spec.tags),
        "mlflow_experiment_id": sweep.mlflow_experiment_id,
        "mlflow_run_id": sweep.parent_run_id,
        "best": _row(details.best, now) if details.best else None,
        "jobs": [_row(job, now) for job in details.jobs],
    }
    return SweepView.model_validate(view)


def _summary(sweep: Sweep, counts: dict[JobStatus, int]) -> dict[str, Any]:
    spec = sweep.spec
    return {
        "sweep_id": sweep.sweep_id,
        "status": status_of(sweep.state, counts).value,
        "message": sweep.message,
        "experiment_name": spec.experiment_name,
        "model_name": spec.model_name,
        "script_name": spec.script_name,
        "parameters": {name: list(values) for name, values in spec.parameters.items()},
        "metric": spec.metric,
        "mode": spec.mode.value,
        "created_at": sweep.created_at,
        "finished_at": sweep.finished_at,
        "counts": {status.value: count for status, count in counts.items()},
        "links": sweep_links(sweep.sweep_id),
    }


def _row(job: Job, now: datetime) -> SweepRow:
    return SweepRow(
        job_id=job.job_id,
        parameters=_parameters(job),
        status=job.status.value,
        reason=job.shown_reason,
        message=job.message,
        metrics=dict(job.metrics),
        mlflow_run_id=job.mlflow_run_id,
        model_version=job.model_version,
        duration_seconds=duration(job, now),
    )


def _parameters(job: Job) -> dict[str, str]:
    return dict(job.spec.sweep.parameters) if job.spec.sweep else {}
