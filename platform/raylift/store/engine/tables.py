"""Tables. Rows stay inside the store; repositories return domain records.

A change here needs a migration (``migrations/versions``); tests/contract/test_migrations.py compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import PlainSerializer
from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, MetaData, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from raylift.domain.access import Role
from raylift.domain.audit import Outcome
from raylift.domain.identifiers import DEFAULT_OWNER, DEFAULT_WORKSPACE
from raylift.domain.job import JobSpec, JobState, JobStatus, Reason, Resources, Usage
from raylift.domain.job_data import DatasetReference
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.models.feedback import Truth
from raylift.domain.monitoring.monitor import Check
from raylift.domain.rollouts.gate import GateOutcome
from raylift.domain.rollouts.rollout import RolloutStatus
from raylift.domain.schedules.schedule import RunOutcome, TemplateKind, Timetable
from raylift.domain.sweep import SweepSpec, SweepState
from raylift.domain.traffic import TrafficAction, TrafficTable
from raylift.domain.webhooks.delivery import DeliveryStatus
from raylift.domain.webhooks.webhook import WebhookFormat
from raylift.store.engine.columns import CleanText, JsonOf, Key, UtcDateTime
from raylift.store.engine.columns import names_of as _names
from raylift.store.engine.sealed import SealedJsonOf, SealedVariablesColumn


def _finite_or_name(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


Number = Annotated[float, PlainSerializer(_finite_or_name)]
"""A float. JSON has no NaN or infinity, so they are stored as strings."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy declares it a class variable)
        str: CleanText(),
        datetime: UtcDateTime(),
        bytes: LargeBinary(),
        JobState: _names(JobState),
        JobStatus: _names(JobStatus),
        Reason: _names(Reason),
        DeploymentStatus: _names(DeploymentStatus),
        TrafficAction: _names(TrafficAction),
        Role: _names(Role),
        Outcome: _names(Outcome),
        JobSpec: SealedJsonOf(JobSpec),
        SweepState: _names(SweepState),
        SweepSpec: JsonOf(SweepSpec),
        RunOutcome: _names(RunOutcome),
        TemplateKind: _names(TemplateKind),
        Timetable: JsonOf(Timetable),
        DeliveryStatus: _names(DeliveryStatus),
        WebhookFormat: _names(WebhookFormat),
        Check: _names(Check),
        Usage: JsonOf(Usage),
        DatasetReference: JsonOf(DatasetReference),
        Resources: JsonOf(Resources),
        DeploymentConfig: SealedJsonOf(DeploymentConfig),
        TrafficTable: JsonOf(TrafficTable),
        GateOutcome: _names(GateOutcome),
        RolloutStatus: _names(RolloutStatus),
        Mapping[str, float]: JsonOf(dict[str, Number]),
        dict[str, str]: JsonOf(dict[str, str]),
        tuple[str, ...]: JsonOf(tuple[str, ...]),
    }


class ScriptRow(Base):
    __tablename__ = "scripts"

    sha256: Mapped[str] = mapped_column(Key, primary_key=True)
    content: Mapped[bytes]


class ProjectRow(Base):
    __tablename__ = "projects"

    sha256: Mapped[str] = mapped_column(Key, primary_key=True)
    content: Mapped[bytes]


class JobRow(Base):
    """One row per job. The columns from ``status`` to ``gang`` repeat fields for the indices and for admission."""

    __tablename__ = "jobs"

    job_id: Mapped[str] = mapped_column(Key, primary_key=True)
    spec: Mapped[JobSpec]
    state: Mapped[JobState]
    created_at: Mapped[datetime]
    entered_at: Mapped[datetime]
    reason: Mapped[Reason | None]
    message: Mapped[str | None]
    attempt: Mapped[int]
    infrastructure_losses: Mapped[int]
    submission_id: Mapped[str | None]
    started_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    stop_reason: Mapped[Reason | None]
    phases: Mapped[Mapping[str, float]]
    usage: Mapped[Usage | None]
    exit_code: Mapped[int | None]
    environment_lock: Mapped[tuple[str, ...] | None]
    mlflow_experiment_id: Mapped[str | None]
    mlflow_run_id: Mapped[str | None]
    metrics: Mapped[Mapping[str, float]]
    model_version: Mapped[str | None]
    output: Mapped[DatasetReference | None]

    status: Mapped[JobStatus]
    script_sha256: Mapped[str] = mapped_column(Key, ForeignKey("scripts.sha256"), index=True)
    model_name: Mapped[str | None] = mapped_column(Key)
    experiment_name: Mapped[str] = mapped_column(Key)
    queue_rank: Mapped[int]
    """Negative priority, so an ascending index has the order of the queue."""
    owner: Mapped[str] = mapped_column(Key)
    workspace: Mapped[str] = mapped_column(Key, server_default=DEFAULT_WORKSPACE)
    account: Mapped[str] = mapped_column(Key, server_default=DEFAULT_OWNER)
    """Owner within the workspace: quotas and fair share count by it."""
    cpus: Mapped[float]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    gpus: Mapped[float]
    gang: Mapped[Resources | None]

    __table_args__ = (
        Index(None, "created_at", "job_id"),
        Index(None, "status", "created_at", "job_id"),
        Index(None, "status", "workspace", "reason"),
        Index(None, "model_name", "created_at", "job_id"),
        Index(None, "model_name", "status", "created_at", "job_id"),
        Index(None, "experiment_name", "created_at", "job_id"),
        Index(None, "experiment_name", "status", "created_at", "job_id"),
        Index(None, "owner", "created_at", "job_id"),
        Index(None, "owner", "status", "created_at", "job_id"),
        Index(None, "workspace", "created_at", "job_id"),
        Index(None, "workspace", "status", "created_at", "job_id"),
        Index(None, "state", "queue_rank", "created_at", "job_id"),
        Index(None, "state", "account", "queue_rank", "created_at", "job_id"),
        # SQLite uses a partial index only where it can prove the condition, so these are literals.
        Index(
            "ix_jobs_cancelling",
            "cancel_requested_at",
            "job_id",
            sqlite_where=text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
            postgresql_where=text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
        ),
    )


class JobProjectRow(Base):
    """The project of a job. A separate table, because SQLite cannot add a foreign key to an existing one."""

    __tablename__ = "job_projects"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    project_sha256: Mapped[str] = mapped_column(Key, ForeignKey("projects.sha256"), index=True)


class RaySubmissionRow(Base):
    """A submission id chosen by a Ray client, and its job."""

    __tablename__ = "ray_submissions"

    submission_id: Mapped[str] = mapped_column(Key, primary_key=True)
    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), index=True)


class RayPackageRow(Base):
    """A package uploaded by a Ray client for jobs that it will submit."""

    __tablename__ = "ray_packages"

    name: Mapped[str] = mapped_column(Key, primary_key=True)
    content: Mapped[bytes]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SweepRow(Base):
    __tablename__ = "sweeps"

    sweep_id: Mapped[str] = mapped_column(Key, primary_key=True)
    spec: Mapped[SweepSpec]
    state: Mapped[SweepState]
    created_at: Mapped[datetime]
    entered_at: Mapped[datetime]
    message: Mapped[str | None]
    cancel_requested_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    mlflow_experiment_id: Mapped[str | None]
    parent_run_id: Mapped[str | None]
    best_job_id: Mapped[str | None] = mapped_column(Key)
    """No foreign key: the choice outlives the job's row."""
    workspace: Mapped[str] = mapped_column(Key, server_default=DEFAULT_WORKSPACE)

    __table_args__ = (
        Index(None, "created_at", "sweep_id"),
        Index(None, "workspace", "created_at", "sweep_id"),
        Index(
            "ix_sweeps_unfinished",
            "created_at",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )


class SweepJobRow(Base):
    """A job's sweep and its position in it."""

    __tablename__ = "sweep_jobs"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    sweep_id: Mapped[str] = mapped_column(Key, ForeignKey("sweeps.sweep_id", ondelete="CASCADE"))
    position: Mapped[int]

    __table_args__ = (Index(None, "sweep_id", "position"),)


class JobTagRow(Base):
    """A job's tags, for the tag filter. ``created_at`` is the job's, so pages need no sort."""

    __tablename__ = "job_tags"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Key, primary_key=True)
    value: Mapped[str] = mapped_column(Key)
    created_at: Mapped[datetime]

    __table_args__ = (
        Index(None, "key", "value", "created_at", "job_id"),
        Index(None, "key", "created_at", "job_id"),
    )


class EventRow(Base):
    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    before: Mapped[JobState | None]
    after: Mapped[JobState]
    attempt: Mapped[int]
    reason: Mapped[Reason | None]
    message: Mapped[str | None]


class AttemptRow(Base):
    __tablename__ = "job_attempts"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    reason: Mapped[Reason | None]
    message: Mapped[str | None]
    usage: Mapped[Usage | None]


class IdempotencyRow(Base):
    """An Idempotency-Key and its job. The key is claimed before the job is written; hence the deferred foreign key."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(Key, primary_key=True)
    body_sha256: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    job_id: Mapped[str] = mapped_column(
        Key, ForeignKey("jobs.job_id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True
    )


class DeploymentRow(Base):
    __tablename__ = "deployments"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    model_uri: Mapped[str]
    config: Mapped[DeploymentConfig]
    status: Mapped[DeploymentStatus]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    wanted: Mapped[bool]
    generation: Mapped[int]
    applied_generation: Mapped[int]
    replicas: Mapped[int]
    message: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(Key)
    """No foreign key: the deployment outlives the job's row."""
    environment_lock: Mapped[tuple[str, ...]]
    ready_at: Mapped[datetime | None]
    tags: Mapped[dict[str, str]]
    demanded_at: Mapped[datetime | None]
    files: Mapped[dict[str, str] | None]


class TrafficRow(Base):
    """A model's traffic table; ``table`` is null after a DELETE. Rows are never deleted, so revisions never repeat."""

    __tablename__ = "traffic_tables"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    revision: Mapped[int]
    table: Mapped[TrafficTable | None]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class TrafficChangeRow(Base):
    """Audit of traffic changes. Rows are added, never changed."""

    __tablename__ = "traffic_changes"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str]
    action: Mapped[TrafficAction]
    revision: Mapped[int | None]
    before: Mapped[TrafficTable | None]
    after: Mapped[TrafficTable | None]
    alias: Mapped[str | None] = mapped_column(Key)
    before_version: Mapped[str | None] = mapped_column(Key)
    after_version: Mapped[str | None] = mapped_column(Key)


class AliasRow(Base):
    """An alias as last read from MLflow, and an announced move of it by the platform's API, if any."""

    __tablename__ = "model_aliases"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    alias: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str | None] = mapped_column(Key)
    revision: Mapped[int]
    announced_by: Mapped[str | None]
    announced_as: Mapped[TrafficAction | None]
    announced_version: Mapped[str | None] = mapped_column(Key)
    announced_at: Mapped[datetime | None]


class FeedbackRow(Base):
    """True value of a prediction. No foreign key: versions may be deleted, and requests have no rows."""

    __tablename__ = "feedback"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    request_id: Mapped[str] = mapped_column(Key, primary_key=True)
    true_value: Mapped[Truth] = mapped_column(JsonOf(Any), nullable=False)
    received_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (Index(None, "model_name", "version", "received_at", "request_id"),)


class SecretRow(Base):
    """A secret. ``variables`` has its names in clear text and its values encrypted."""

    __tablename__ = "secrets"

    workspace: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key, primary_key=True)
    variables: Mapped[Mapping[str, str]] = mapped_column(SealedVariablesColumn(), nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]


class LeaseRow(Base):
    """A lease. Rows are never deleted, so tokens never repeat. ``holder`` is empty after a release."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Key, primary_key=True)
    holder: Mapped[str] = mapped_column(Key)
    token: Mapped[int]
    expires_at: Mapped[datetime]
