"""A job: its states, the one table of moves between them, and the records the store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from raylift.domain.identifiers import DEFAULT_OWNER


class JobStatus(StrEnum):
    """What a client branches on. No other value, ever."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """Where a job is. Finer than its status; the non-final ones are also the names of its phases."""

    QUEUED = "queued"
    """Committed to the store; waits for capacity."""
    ENVIRONMENT = "environment"
    """Admitted: its requirements are being resolved and locked, and their environment is downloaded and built."""
    STARTING = "starting"
    """Handed to Ray as an attempt; its script has not started yet."""
    SCRIPT = "script"
    """The script runs."""
    REGISTRATION = "registration"
    """The script succeeded; its runs are read and its model is registered."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


S = JobState

JOB_MOVES: Final[Mapping[JobState, frozenset[JobState]]] = {
    S.QUEUED: frozenset({S.ENVIRONMENT, S.STARTING, S.FAILED, S.CANCELLED}),
    S.ENVIRONMENT: frozenset({S.STARTING, S.QUEUED, S.FAILED, S.CANCELLED}),
    S.STARTING: frozenset({S.SCRIPT, S.QUEUED, S.FAILED, S.CANCELLED}),
    S.SCRIPT: frozenset({S.REGISTRATION, S.QUEUED, S.FAILED, S.CANCELLED}),
    S.REGISTRATION: frozenset({S.COMPLETED, S.FAILED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
"""Every move a job may make. docs/internals/lifecycle.md explains each arrow."""

STATUS_OF: Final[Mapping[JobState, JobStatus]] = {
    S.QUEUED: JobStatus.QUEUED,
    S.ENVIRONMENT: JobStatus.QUEUED,
    S.STARTING: JobStatus.QUEUED,
    S.SCRIPT: JobStatus.RUNNING,
    S.REGISTRATION: JobStatus.RUNNING,
    S.COMPLETED: JobStatus.COMPLETED,
    S.FAILED: JobStatus.FAILED,
    S.CANCELLED: JobStatus.CANCELLED,
}

FINAL_STATES: Final = frozenset(s for s, moves in JOB_MOVES.items() if not moves)
ACTIVE_STATES: Final = frozenset(S) - FINAL_STATES - {S.QUEUED}
"""States in which a job has been admitted and holds resources."""


class Reason(StrEnum):
    """Why a job waits, failed or was cancelled: a closed list, documented in docs/internals/lifecycle.md."""

    WAITING_FOR_CAPACITY = "waiting_for_capacity"
    WAITING_FOR_QUOTA = "waiting_for_quota"
    WAITING_FOR_NODE = "waiting_for_node"
    WAITING_FOR_SWEEP = "waiting_for_sweep"
    BUILDING_ENVIRONMENT = "building_environment"
    SCRIPT_ERROR = "script_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    ENVIRONMENT_ERROR = "environment_error"
    NODE_LOST = "node_lost"
    SUBMISSION_ERROR = "submission_error"
    REGISTRATION_ERROR = "registration_error"
    NO_MODEL_LOGGED = "no_model_logged"
    CANCELLED_BY_USER = "cancelled_by_user"


class Origin(StrEnum):
    """Who handed the job to Ray."""

    PLATFORM = "platform"
    RAY = "ray"
    """Submitted straight to Ray's Jobs API with ``job_entrypoints.train`` and adopted by the supervisor."""


AUTO_TORCH_BACKEND: Final = "auto"
"""Leaves the build of PyTorch to the platform's package index."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job asks for, and what it is held to."""

    cpus: float = 1.0
    """Logical CPUs, fractions allowed."""
    memory_bytes: int = 2 * 2**30
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class SweepPart:
    """A job's place in a sweep (raylift.domain.sweep)."""

    sweep_id: str
    parameters: Mapping[str, str]
    """The values that are this job's own, as text; they are in its ``environment`` or its ``args``, too."""
    registers: bool = True
    """False: the sweep registers the model of its best job, when all have ended."""


@dataclass(frozen=True, slots=True)
class RayRequest:
    """What one of Ray's own clients asked for, kept to be given back in its words."""

    entrypoint: str
    submission_id: str | None = None
    """The id that the client chose; None where the job's own id is its submission id."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    runtime_env: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Without ``env_vars``, which are the spec's ``environment``."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What the user asked to run. Never changes after the upload."""

    script_sha256: str
    script_name: str
    experiment_name: str
    model_name: str | None = None
    requirements: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the script. Their values may be secrets: never printed, never logged."""
    args: tuple[str, ...] = ()
    timeout_seconds: int = 600
    resources: Resources = field(default_factory=Resources)
    max_retries: int = 0
    priority: int = 50
    autolog: bool = True
    deploy: bool = True
    register: str | None = None
    """Which of the models that the script logs is registered: a name, a class or a run. None: the platform's own rule."""
    take_traffic: bool = True
    """Let the deployed version answer requests that name only its model, in place of the version that does so now."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters that are no secrets: MLflow params of the job's run. They are in ``environment``, too."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = DEFAULT_OWNER
    """For whom it runs: fair share and quotas go by it."""
    origin: Origin = Origin.PLATFORM
    environment_lock: tuple[str, ...] | None = None
    """Pinned requirements to use as they are (a rerun), instead of resolving ``requirements`` again."""
    torch_backend: str | None = None
    """Which build of PyTorch ``requirements`` get; None: as the platform's settings say."""
    project_sha256: str | None = None
    """The project that the script is of; None for a single script."""
    entrypoint: str | None = None
    """The script's path in the project; ``script_name`` is its last part."""
    requirements_source: str | None = None
    """Where ``requirements`` come from: the request, the script's own metadata, or a file of the project."""
    command: str | None = None
    """A shell command to run in the place of a Python script; its text is also what is stored as the script."""
    python_path: tuple[str, ...] = ()
    """Folders of the project to be put on PYTHONPATH; ``.`` is the project itself."""
    ray: RayRequest | None = None
    """Set where the job came through Ray's Jobs API."""
    sweep: SweepPart | None = None
    """Of a job that a sweep made; a rerun of it is a job by itself."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt consumed, over its whole process tree."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    wall_seconds: float = 0.0
    memory_enforced_by: str | None = None
    """``cgroup`` | ``watchdog`` | None where nothing ran."""
    cpu_enforced_by: str | None = None
    """``cgroup`` | ``affinity`` | None where it may use every core."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it. All times are UTC and timezone-aware."""

    job_id: str
    spec: JobSpec
    state: JobState
    created_at: datetime
    entered_at: datetime
    """When the present state was entered."""
    reason: Reason | None = None
    message: str | None = None
    attempt: int = 1
    """Number of the present (or last) attempt, from 1."""
    infrastructure_losses: int = 0
    """Attempts lost to a node, the head or Ray itself, so far."""
    submission_id: str | None = None
    """Ray submission id of the present attempt, once there is one."""
    started_at: datetime | None = None
    """When the script of the present attempt started."""
    deadline_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    stop_reason: Reason | None = None
    """Why the supervisor ended the attempt (time-out, cancel); set before the stop is sent."""
    phases: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds spent in each state that is over, summed over attempts."""
    usage: Usage | None = None
    exit_code: int | None = None
    environment_lock: tuple[str, ...] | None = None
    """The pinned packages beyond the base environment; None until resolved."""
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    model_version: str | None = None

    @property
    def status(self) -> JobStatus:
        return STATUS_OF[self.state]

    @property
    def why(self) -> Reason | None:
        """The reason to show: a job in the queue waits for capacity, unless it came back there for another reason."""
        return Reason.WAITING_FOR_CAPACITY if self.reason is None and self.state is JobState.QUEUED else self.reason

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """What admission needs to know of a job that waits."""

    job_id: str
    owner: str
    priority: int
    created_at: datetime
    resources: Resources


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a job, written in the transaction that made it."""

    job_id: str
    sequence: int
    at: datetime
    before: JobState | None
    """None for the upload itself."""
    after: JobState
    attempt: int
    reason: Reason | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Ray submission of a job."""

    job_id: str
    number: int
    submission_id: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    reason: Reason | None = None
    message: str | None = None
    usage: Usage | None = None
