"""Jobs in the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from raylift.api import paths
from raylift.api.resources import ResourceView, WorkersView
from raylift.api.rollouts.gates import PromotionView
from raylift.api.training import (
    AttemptView,
    DownloadProgress,
    EventView,
    JobAccepted,
    JobDataView,
    JobSummary,
    JobView,
    LiveUsageView,
    UploadCheck,
    UsageView,
)
from raylift.domain.job import STATUS_OF, Attempt, Event, Job, JobState, JobStatus, Reason, Resources, Usage
from raylift.domain.job_data import DataInput
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.rollouts.gate import Gate, Promotion
from raylift.engines.environments.uv.process import Downloads
from raylift.services.jobs.training import JobDetails
from raylift.services.uploads.dry_run import DryRun
from serve_apps.gateway.http.paths import job_links, route_path
from serve_apps.gateway.views.job_order import ordered, output_view

_SUMMARY_METRICS: Final = 3
MASK: Final = "***"
"""Shown for the value of every environment variable: many are secrets."""

DEPLOYMENT_PHASE: Final = "deployment"


def accepted(job: Job, message: str, notes: Sequence[str] = ()) -> JobAccepted:
    """Answer an upload. A repeated upload gets the same answer."""
    return JobAccepted(
        job_id=job.job_id,
        status=JobStatus.QUEUED,
        created_at=job.created_at,
        message=message,
        notes=list(notes),
        links=job_links(job.job_id),
    )


def upload_check(found: DryRun) -> UploadCheck:
    """Answer an upload that was only checked."""
    spec = found.upload.spec
    return UploadCheck(
        script_name=spec.script_name,
        entrypoint=spec.entrypoint,
        experiment_name=spec.experiment_name,
        model_name=spec.model_name,
        owner=spec.owner,
        workspace=spec.workspace,
        requirements=list(spec.requirements),
        requirements_source=spec.requirements_source,
        resources=resource_view(spec.resources),
        timeout_seconds=spec.timeout_seconds,
        isolation=spec.isolation.value,
        network=spec.network.value,
        data={each.alias: f"{each.name}@{each.version}" if each.version else f"job:{each.of_job}" for each in spec.data},
        after=list(spec.after),
        output_dataset=spec.output_dataset,
        jobs=found.jobs,
        nodes=list(found.nodes),
        queue_position=found.queue_position,
        waits_for=found.waits_for,
        notes=list(found.upload.notes),
    )


def resource_view(wanted: Resources) -> ResourceView:
    its = wanted.workers
    workers = None
    if its is not None:
        workers = WorkersView(
            count=its.count, cpus=its.cpus, memory=its.memory_bytes, gpus=its.gpus, strategy=its.strategy.value
        )
    return ResourceView(cpus=wanted.cpus, memory=wanted.memory_bytes, gpus=wanted.gpus, workers=workers)


def job_summary(job: Job, now: datetime, place: int | None = None) -> JobSummary:
    spec = job.spec
    return JobSummary(
        job_id=job.job_id,
        status=job.status.value,
        reason=job.shown_reason,
        message=job.message,
        experiment_name=spec.experiment_name,
        model_name=spec.model_name,
        model_version=job.model_version,
        mlflow_experiment_id=job.mlflow_experiment_id,
        mlflow_run_id=job.mlflow_run_id,
        script_name=spec.script_name,
        priority=spec.priority,
        owner=spec.owner,
        workspace=spec.workspace,
        tags=dict(spec.tags),
        sweep_id=spec.sweep.sweep_id if spec.sweep else None,
        sweep_parameters=dict(spec.sweep.parameters) if spec.sweep else None,
        schedule=spec.schedule.name if spec.schedule else None,
        kind="train" if spec.batch is None else "batch",
        attempt=job.attempt,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        duration_seconds=duration(job, now),
        phase=job.state.value,
        resources=resource_view(spec.resources),
        queue_position=place,
        metrics={name: job.metrics[name] for name in sorted(job.metrics, key=_rank)[:_SUMMARY_METRICS]},
        links=_links(job),
    )


def _rank(metric: str) -> tuple[bool, str]:
    """Order metrics for a list. Those of the training data have the prefix ``train`` or, of autologging, ``training``."""
    return metric.startswith("train"), metric


def job_view(details: JobDetails, now: datetime) -> JobView:
    job, spec = details.job, details.job.spec
    return JobView(
        **dict(job_summary(job, now, details.queue_position).model_copy(update={"metrics": dict(job.metrics)})),
        script_sha256=spec.script_sha256,
        project_sha256=spec.project_sha256,
        entrypoint=spec.entrypoint,
        command=spec.command,
        requirements=list(spec.requirements),
        requirements_source=spec.requirements_source,
        torch_backend=spec.torch_backend,
        environment_lock=None if job.environment_lock is None else list(job.environment_lock),
        environment_note=details.build.note if details.build else None,
        environment_progress=download_progress(details.build.downloads) if details.build else None,
        environment=dict.fromkeys(spec.environment, MASK),
        secrets=list(spec.secrets),
        data=[data_view(each) for each in spec.data],
        after=ordered(details.neighbours.before) if details.neighbours else [],
        followed_by=ordered(details.neighbours.after) if details.neighbours else [],
        output_dataset=spec.output_dataset,
        output=output_view(job.output),
        args=list(spec.args),
        params=dict(spec.params),
        timeout_seconds=spec.timeout_seconds,
        max_retries=spec.max_retries,
        autolog=spec.autolog,
        deploy=spec.deploy,
        registers=spec.register,
        take_traffic=spec.take_traffic,
        promotion=_promotion(spec.promote, details.promotion),
        isolation=spec.isolation.value,
        network=spec.network.value,
        phases=_phases(job, details.deployment, now),
        usage=_usage(job.usage),
        live_usage=None if details.live_usage is None else LiveUsageView.model_validate(asdict(details.live_usage)),
        logs=details.log_tail,
        exit_code=job.exit_code,
        ray_submission_id=job.submission_id,
    )


def data_view(data: DataInput) -> JobDataView:
    links = {"dataset": paths.dataset(data.name)}
    if data.version:
        links["version"] = paths.dataset_version(data.name, data.version)
    if data.of_job:
        links["job"] = paths.job(data.of_job)
    return JobDataView(
        alias=data.alias,
        name=data.name,
        version=data.version or None,
        digest=data.digest,
        of_job=data.of_job,
        links=links,
    )


def _promotion(gate: Gate | None, promotion: Promotion | None) -> PromotionView | None:
    if gate is None or promotion is None:
        return None
    return PromotionView(
        alias=gate.alias,
        when=gate.when,
        outcome=promotion.outcome.value,
        message=promotion.message,
        champion=promotion.champion,
        values=dict(promotion.values),
        rollout_id=promotion.rollout_id,
        decided_at=promotion.decided_at,
    )


def download_progress(downloads: Downloads | None) -> DownloadProgress | None:
    return None if downloads is None else DownloadProgress(downloaded=downloads.done, size=downloads.size)


def event_view(event: Event, job: Job, canceller: str | None) -> EventView:
    who = job.spec.owner if event.before is None else canceller if event.reason is Reason.CANCELLED_BY_USER else None
    return EventView(
        at=event.at,
        before=event.before,
        after=event.after,
        status=STATUS_OF[event.after],
        attempt=event.attempt,
        reason=event.reason,
        message=event.message,
        who=who,
    )


def attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        number=attempt.number,
        ray_submission_id=attempt.submission_id,
        created_at=attempt.created_at,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        message=attempt.message,
        usage=_usage(attempt.usage),
    )


def _links(job: Job) -> dict[str, str]:
    links = job_links(job.job_id)
    if job.spec.model_name and job.model_version:
        version = paths.version(job.spec.model_name, job.model_version)
        links |= {"version": version, "deployment": f"{version}/deployment"}
        links["endpoint"] = route_path(job.spec.model_name, job.model_version)
    if job.spec.batch:
        links["batch"] = paths.batch(job.job_id)
    if job.spec.schedule:
        links["schedule"] = paths.schedule(job.spec.schedule.schedule_id)
    if job.spec.sweep:
        links["sweep"] = paths.sweep(job.spec.sweep.sweep_id)
    return links


def duration(job: Job, now: datetime) -> float | None:
    """Seconds from the start of the script to its end, or to ``now``."""
    if job.started_at is None:
        return None
    if job.usage and job.usage.wall_seconds > 0 and job.state is not JobState.SCRIPT:
        return round(job.usage.wall_seconds, 3)
    return round(((job.finished_at or now) - job.started_at).total_seconds(), 3)


def _phases(job: Job, deployment: Deployment | None, now: datetime) -> dict[str, float]:
    """Seconds in each past state, and in the present one up to ``now``."""
    phases = dict(job.phases)
    if not job.is_final:
        phases[job.state] = phases.get(job.state, 0.0) + (now - job.entered_at).total_seconds()
    if deployment and deployment.wanted and deployment.status is not DeploymentStatus.UNHEALTHY:
        phases[DEPLOYMENT_PHASE] = ((deployment.ready_at or now) - deployment.created_at).total_seconds()
    return {name: round(max(seconds, 0.0), 3) for name, seconds in phases.items()}


def _usage(usage: Usage | None) -> UsageView | None:
    if usage is None:
        return None
    rounded = {"cpu_seconds": round(usage.cpu_seconds, 3), "wall_seconds": round(usage.wall_seconds, 3)}
    return UsageView.model_validate(asdict(usage) | rounded)
