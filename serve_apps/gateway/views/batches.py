"""Batches in the REST API."""

from __future__ import annotations

from datetime import datetime

from raylift.api.jobs.batches import (
    BatchAccepted,
    BatchProgressView,
    BatchResultView,
    BatchSummary,
    BatchView,
)
from raylift.domain.batches.batch import BatchSpec
from raylift.domain.job import Job, JobStatus
from raylift.engines.batches.directory import BatchProgress, BatchResult
from raylift.services.batches.batches import Batch
from serve_apps.gateway.http.paths import batch_links
from serve_apps.gateway.views.jobs import duration


def batch_accepted(job: Job, spec: BatchSpec) -> BatchAccepted:
    """Answer a request. A repeated one gets the same answer."""
    named = f"version {spec.version}" if spec.version else f"the version that {spec.version_of} registers"
    return BatchAccepted(
        batch_id=job.job_id,
        status=JobStatus.QUEUED,
        model_name=spec.model_name,
        model_version=spec.shown_version,
        created_at=job.created_at,
        message=f"The batch is queued, with {spec.model_name} {named}; follow it at links.self.",
        links=batch_links(job.job_id, is_kept=False, has_rejected=False),
    )


def batch_summary(batch: Batch, now: datetime) -> BatchSummary:
    job, spec, result = batch.job, batch.spec, batch.result
    is_kept = result is not None and result.output is None
    return BatchSummary(
        batch_id=job.job_id,
        status=job.status.value,
        reason=job.shown_reason,
        message=job.message,
        model_name=spec.model_name,
        model_version=spec.shown_version,
        alias=spec.alias,
        input=spec.input,
        output=spec.output,
        owner=job.spec.owner,
        workspace=job.spec.workspace,
        attempt=job.attempt,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        duration_seconds=duration(job, now),
        progress=None if batch.progress is None else _progress(batch.progress),
        result=None if result is None else _result(result),
        links=batch_links(job.job_id, is_kept=is_kept, has_rejected=result is not None and is_kept and result.rejected > 0),
    )


def batch_view(batch: Batch, now: datetime) -> BatchView:
    spec, job = batch.spec, batch.job.spec
    return BatchView(
        **dict(batch_summary(batch, now)),
        uploads=list(spec.uploads),
        input_format=None if spec.input_format is None else spec.input_format.value,
        output_format=spec.output_format.value,
        columns=None if spec.columns is None else list(spec.columns),
        keep=None if spec.keep is None else list(spec.keep),
        return_probabilities=spec.probabilities,
        on_error=spec.on_error.value,
        stamp=spec.stamp,
        params=dict(spec.params),
        secrets=list(job.secrets),
        tags=dict(job.tags),
        timeout_seconds=job.timeout_seconds,
        max_retries=job.max_retries,
        priority=job.priority,
    )


def _progress(progress: BatchProgress) -> BatchProgressView:
    return BatchProgressView(
        phase="writing" if progress.phase == "writing" else "scoring",
        rows=progress.rows,
        rows_total=progress.rows_total,
        rejected=progress.rejected,
        parts=progress.items,
        parts_total=progress.items_total,
        rows_per_second=progress.rows_per_second,
        eta_seconds=progress.eta_seconds,
    )


def _result(result: BatchResult) -> BatchResultView:
    return BatchResultView(
        rows=result.rows,
        rows_written=result.rows_written,
        rejected=result.rejected,
        files=result.files,
        output=result.output,
        rejected_output=result.rejected_output,
    )
