"""Events that webhooks report: their types, and their records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from raylift.domain.batches.batch import BatchSpec
from raylift.domain.job import Job, JobStatus
from raylift.domain.models.deployment import Deployment
from raylift.domain.monitoring.monitor import Alert, alert_data
from raylift.domain.rollouts.gate import GateOutcome, Promotion
from raylift.domain.rollouts.rollout import Rollout, RolloutEventKind
from raylift.domain.schedules.schedule import Schedule, ScheduleRun
from raylift.domain.traffic import Target, TrafficChange, TrafficTable


class EventType(StrEnum):
    """Types of events: ``subject.change``. A feature that has events of its own adds their types here."""

    JOB_QUEUED = "job.queued"
    JOB_RUNNING = "job.running"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_QUEUED = "batch.queued"
    BATCH_RUNNING = "batch.running"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_CANCELLED = "batch.cancelled"
    SCHEDULE_MISSED = "schedule.missed"
    MODEL_VERSION_REGISTERED = "model_version.registered"
    """The platform has seen the version for the first time."""
    MODEL_VERSION_READY = "model_version.ready"
    """The version answers requests. A scale-up from zero is no event."""
    MODEL_VERSION_UNHEALTHY = "model_version.unhealthy"
    ALIAS_MOVED = "alias.moved"
    """An alias was set, moved or deleted, through the platform or in MLflow."""
    TRAFFIC_CHANGED = "traffic.changed"
    MONITOR_ALERT = "monitor.alert"
    """A window of a watched version has raised alerts, or ended them."""
    MODEL_VERSION_PROMOTED = "model_version.promoted"
    """The gate of its job was passed."""
    MODEL_VERSION_KEPT = "model_version.kept"
    """The gate of its job was not passed; the message says why."""
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_ADVANCED = "rollout.advanced"
    """The next step has begun."""
    ROLLOUT_AWAITING_APPROVAL = "rollout.awaiting_approval"
    ROLLOUT_COMPLETED = "rollout.completed"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    """The traffic is what it was before; the message says why."""
    ROLLOUT_SUPERSEDED = "rollout.superseded"
    """Somebody changed the traffic by hand, and the rollout ended without touching it."""
    QUOTA_REACHED = "quota.reached"
    """An account has as many queued jobs as its quota allows: its next upload is refused."""
    WEBHOOK_TEST = "webhook.test"
    """A user asked for a test delivery. No filter selects it."""


SELECTABLE: Final = tuple(each for each in EventType if each is not EventType.WEBHOOK_TEST)
"""Types that a filter may select."""

_OF_STATUS: Final[Mapping[JobStatus, EventType]] = {
    JobStatus.QUEUED: EventType.JOB_QUEUED,
    JobStatus.RUNNING: EventType.JOB_RUNNING,
    JobStatus.COMPLETED: EventType.JOB_COMPLETED,
    JobStatus.FAILED: EventType.JOB_FAILED,
    JobStatus.CANCELLED: EventType.JOB_CANCELLED,
}
_OF_BATCH: Final[Mapping[JobStatus, EventType]] = {
    JobStatus.QUEUED: EventType.BATCH_QUEUED,
    JobStatus.RUNNING: EventType.BATCH_RUNNING,
    JobStatus.COMPLETED: EventType.BATCH_COMPLETED,
    JobStatus.FAILED: EventType.BATCH_FAILED,
    JobStatus.CANCELLED: EventType.BATCH_CANCELLED,
}


OF_ROLLOUT: Final[Mapping[RolloutEventKind, EventType]] = {
    RolloutEventKind.STARTED: EventType.ROLLOUT_STARTED,
    RolloutEventKind.ADVANCED: EventType.ROLLOUT_ADVANCED,
    RolloutEventKind.PROMOTED: EventType.ROLLOUT_ADVANCED,
    RolloutEventKind.AWAITING_APPROVAL: EventType.ROLLOUT_AWAITING_APPROVAL,
    RolloutEventKind.COMPLETED: EventType.ROLLOUT_COMPLETED,
    RolloutEventKind.ROLLED_BACK: EventType.ROLLOUT_ROLLED_BACK,
    RolloutEventKind.SUPERSEDED: EventType.ROLLOUT_SUPERSEDED,
}
"""Changes of rollouts that are events. Pauses and approvals are only in the history."""


@dataclass(frozen=True, slots=True)
class PlatformEvent:
    """An event as it is sent."""

    type: EventType
    subject: str
    """Object that it is about, such as ``job_01J…`` or ``churn/3``. Deliveries about one object keep their order."""
    at: datetime
    data: Mapping[str, Any]
    """JSON values. Never values of environment variables or secrets."""
    model_name: str | None = None
    experiment_name: str | None = None
    owner: str | None = None


def job_event(job: Job) -> PlatformEvent:
    """Return the event of a job that has entered its present status: of a batch, where it is one."""
    spec = job.spec
    if spec.batch is not None:
        return _batch_event(job, spec.batch)
    data = {
        "job_id": job.job_id,
        "status": job.status,
        "reason": job.reason,
        "message": job.message,
        "workspace": spec.workspace,
        "owner": spec.owner,
        "experiment_name": spec.experiment_name,
        "script_name": spec.script_name,
        "model_name": spec.model_name,
        "model_version": job.model_version,
        "mlflow_run_id": job.mlflow_run_id,
        "metrics": {name: value if math.isfinite(value) else str(value) for name, value in job.metrics.items()},
        "attempt": job.attempt,
        "exit_code": job.exit_code,
        "tags": dict(spec.tags),
        "schedule": None if spec.schedule is None else spec.schedule.name,
        "sweep_id": None if spec.sweep is None else spec.sweep.sweep_id,
        "created_at": _text(job.created_at),
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
    }
    type_ = _OF_STATUS[job.status]
    return PlatformEvent(type_, job.job_id, job.entered_at, data, spec.model_name, spec.experiment_name, spec.owner)


def _batch_event(job: Job, batch: BatchSpec) -> PlatformEvent:
    spec = job.spec
    data = {
        "batch_id": job.job_id,
        "status": job.status,
        "reason": job.reason,
        "message": job.message,
        "workspace": spec.workspace,
        "owner": spec.owner,
        "model_name": batch.model_name,
        "model_version": batch.version,
        "alias": batch.alias,
        "input": batch.input,
        "output": batch.output,
        "attempt": job.attempt,
        "tags": dict(spec.tags),
        "created_at": _text(job.created_at),
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
    }
    type_ = _OF_BATCH[job.status]
    return PlatformEvent(type_, job.job_id, job.entered_at, data, batch.model_name, spec.experiment_name, spec.owner)


def missed_event(schedule: Schedule, run: ScheduleRun) -> PlatformEvent:
    """Return the event of a moment that made no job."""
    spec = schedule.template
    data = {
        "schedule_id": schedule.schedule_id,
        "schedule": schedule.name,
        "workspace": schedule.workspace,
        "owner": schedule.owner,
        "due_at": _text(run.due_at),
        "message": run.message,
        "experiment_name": spec.experiment_name,
        "model_name": spec.model_name,
    }
    at, owner = run.recorded_at, schedule.owner
    return PlatformEvent(
        EventType.SCHEDULE_MISSED, schedule.schedule_id, at, data, spec.model_name, spec.experiment_name, owner
    )


def version_event(kind: EventType, deployment: Deployment, workspace: str) -> PlatformEvent:
    """Return an event of a model version."""
    data = {
        "model_name": deployment.model_name,
        "model_version": deployment.version,
        "workspace": workspace,
        "status": deployment.status,
        "message": deployment.message,
        "job_id": deployment.job_id,
    }
    subject = f"{deployment.model_name}/{deployment.version}"
    return PlatformEvent(kind, subject, deployment.updated_at, data, deployment.model_name)


def traffic_event(change: TrafficChange, workspace: str) -> PlatformEvent:
    """Return the event of a changed traffic table or a moved alias."""
    data: dict[str, Any] = {"model_name": change.model_name, "workspace": workspace, "who": change.who, "action": change.action}
    if change.alias is not None:
        data |= {"alias": change.alias, "before_version": change.before_version, "after_version": change.after_version}
        return PlatformEvent(EventType.ALIAS_MOVED, change.model_name, change.at, data, change.model_name)
    data |= {"revision": change.revision, "before": _table(change.before), "after": _table(change.after)}
    return PlatformEvent(EventType.TRAFFIC_CHANGED, change.model_name, change.at, data, change.model_name)


def alert_event(
    version: tuple[str, str],
    window: tuple[datetime, datetime] | None,
    workspace: str,
    raised: Sequence[Alert],
    ended: Sequence[Alert],
    at: datetime,
) -> PlatformEvent:
    """Return the event of raised and ended alerts. ``window`` is None where a change of the settings has ended them."""
    data = {
        "model_name": version[0],
        "model_version": version[1],
        "workspace": workspace,
        "window_start": _text(window and window[0]),
        "window_end": _text(window and window[1]),
        "raised": [alert_data(alert) for alert in raised],
        "ended": [alert_data(alert) for alert in ended],
    }
    return PlatformEvent(EventType.MONITOR_ALERT, "/".join(version), at, data, version[0])


def rollout_event(rollout: Rollout, kind: RolloutEventKind) -> PlatformEvent:
    """Return the event of a rollout that has changed. ``kind`` is one of ``OF_ROLLOUT``."""
    data = {
        "rollout_id": rollout.rollout_id,
        "model_name": rollout.model_name,
        "workspace": rollout.workspace,
        "champion": rollout.champion,
        "candidate": rollout.candidate,
        "status": rollout.status,
        "step": None if rollout.step is None else rollout.step + 1,
        "steps": len(rollout.plan.steps),
        "message": rollout.message,
        "owner": rollout.created_by,
        "job_id": rollout.job_id,
    }
    type_, at = OF_ROLLOUT[kind], rollout.updated_at
    return PlatformEvent(type_, rollout.rollout_id, at, data, rollout.model_name, owner=rollout.created_by)


def promotion_event(job: Job, promotion: Promotion) -> PlatformEvent:
    """Return the event of a decided gate."""
    spec = job.spec
    data = {
        "job_id": job.job_id,
        "model_name": spec.model_name,
        "model_version": promotion.version,
        "workspace": spec.workspace,
        "owner": spec.owner,
        "alias": None if spec.promote is None else spec.promote.alias,
        "champion": promotion.champion,
        "message": promotion.message,
        "values": {name: value if math.isfinite(value) else str(value) for name, value in promotion.values.items()},
        "rollout_id": promotion.rollout_id,
    }
    promoted = promotion.outcome is GateOutcome.PROMOTED
    type_ = EventType.MODEL_VERSION_PROMOTED if promoted else EventType.MODEL_VERSION_KEPT
    at, subject = promotion.decided_at or job.entered_at, f"{spec.model_name}/{promotion.version}"
    return PlatformEvent(type_, subject, at, data, spec.model_name, spec.experiment_name, spec.owner)


def quota_event(workspace: str, owner: str, max_queued: int, at: datetime) -> PlatformEvent:
    """Return the event of an account with as many queued jobs as its quota allows."""
    data = {"workspace": workspace, "owner": owner, "quota": "max_queued_jobs", "limit": max_queued}
    return PlatformEvent(EventType.QUOTA_REACHED, f"{workspace}/{owner}", at, data, owner=owner)


def _table(table: TrafficTable | None) -> dict[str, Any] | None:
    if table is None:
        return None
    routes = [{**_target(route.target), "weight": route.weight} for route in table.routes]
    return {"routes": routes, "shadow": [_target(target) for target in table.shadow]}


def _target(target: Target) -> dict[str, Any]:
    return {"version": target.version} if target.version is not None else {"alias": target.alias}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
