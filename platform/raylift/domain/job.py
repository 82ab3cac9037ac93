"""A job: its states, the table of moves between them, and its records in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from raylift.domain.batches.batch import BatchSpec
from raylift.domain.identifiers import DEFAULT_OWNER, DEFAULT_WORKSPACE
from raylift.domain.job_data import DataInput, DatasetReference
from raylift.domain.rollouts.gate import Gate


class JobStatus(StrEnum):
    """Status for clients: a closed list."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_BADLY: Final = (JobStatus.FAILED, JobStatus.CANCELLED)
"""Ends of a job after which those that come after it never start."""


class JobState(StrEnum):
    """State of a job, finer than its status. Non-final states are also the names of its phases."""

    QUEUED = "queued"
    """Committed to the store; waits for capacity."""
    ENVIRONMENT = "environment"
    """Admitted. Its requirements are resolved and locked; the environment is downloaded and built."""
    STARTING = "starting"
    """Submitted to Ray as an attempt; the script has not started yet."""
    SCRIPT = "script"
    """The script is running."""
    REGISTRATION = "registration"
    """The script succeeded. Its runs are read and its model is registered."""
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
"""Every allowed move. docs/internals/lifecycle.md explains each arrow."""

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
"""States of an admitted job, which holds resources."""


class Reason(StrEnum):
    """Reason of a wait, a failure or a cancellation: a closed list, documented in docs/internals/lifecycle.md."""

    WAITING_FOR_CAPACITY = "waiting_for_capacity"
    WAITING_FOR_QUOTA = "waiting_for_quota"
    WAITING_FOR_NODE = "waiting_for_node"
    WAITING_FOR_SWEEP = "waiting_for_sweep"
    WAITING_FOR_JOB = "waiting_for_job"
    BUILDING_ENVIRONMENT = "building_environment"
    SCRIPT_ERROR = "script_error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    ENVIRONMENT_ERROR = "environment_error"
    DATA_ERROR = "data_error"
    NODE_LOST = "node_lost"
    NODE_NOT_PREPARED = "node_not_prepared"
    SUBMISSION_ERROR = "submission_error"
    REGISTRATION_ERROR = "registration_error"
    NO_MODEL_LOGGED = "no_model_logged"
    CANCELLED_BY_USER = "cancelled_by_user"
    UPSTREAM_FAILED = "upstream_failed"
    NO_OUTPUT = "no_output"


class Origin(StrEnum):
    """Component that submitted the job to Ray."""

    PLATFORM = "platform"
    RAY = "ray"
    """Submitted directly to Ray's Jobs API with ``job_entrypoints.train`` and adopted by the supervisor."""


class Isolation(StrEnum):
    """Surroundings of a job's script."""

    SANDBOX = "sandbox"
    """Its own work, its data and MLflow."""
    CLUSTER = "cluster"
    """Everything that the platform's user reaches, Ray included."""


class Network(StrEnum):
    """Network of a sandboxed script."""

    FULL = "full"
    """Everything but the ports of the platform."""
    MLFLOW_ONLY = "mlflow-only"
    NONE = "none"


AUTO_TORCH_BACKEND: Final = "auto"
"""Takes the PyTorch build that the platform's package index has."""


class WorkerStrategy(StrEnum):
    """Placement of a job's workers."""

    PACK = "pack"
    """On as few nodes as possible."""
    SPREAD = "spread"
    """On as many nodes as possible."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Equal places for the Ray workers of a job, beside the place of its script."""

    count: int
    cpus: float = 1.0
    """Logical CPUs of each worker."""
    memory_bytes: int = 2 * 2**30
    gpus: float = 0.0
    strategy: WorkerStrategy = WorkerStrategy.PACK


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that a job requests, which are also its limits."""

    cpus: float = 1.0
    """Logical CPUs of its script, fractions allowed."""
    memory_bytes: int = 2 * 2**30
    gpus: float = 0.0
    workers: Workers | None = None
    """Set for a gang: script and workers start together or not at all."""

    @property
    def whole(self) -> Resources:
        """Return what the script and all workers hold together."""
        its = self.workers
        if its is None:
            return self
        cpus, memory, gpus = its.count * its.cpus, its.count * its.memory_bytes, its.count * its.gpus
        return Resources(self.cpus + cpus, self.memory_bytes + memory, self.gpus + gpus)


@dataclass(frozen=True, slots=True)
class SweepPart:
    """A job's place in a sweep (raylift.domain.sweep)."""

    sweep_id: str
    parameters: Mapping[str, str]
    """This job's values, as text. They are also in its ``environment`` or ``args``."""
    registers: bool = True
    """False: the sweep registers only the model of its best job, after all have ended."""


@dataclass(frozen=True, slots=True)
class SchedulePart:
    """The moment of a schedule that made a job (raylift.domain.schedules)."""

    schedule_id: str
    name: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class RayRequest:
    """Request of a Ray client, kept to be returned as it was sent."""

    entrypoint: str
    submission_id: str | None = None
    """The id that the client chose. None: the job's own id is its submission id."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    runtime_env: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Without ``env_vars``, which are in the spec's ``environment``."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The user's request. It changes once at most: when the jobs before it have completed, with what they have made."""

    script_sha256: str
    script_name: str
    experiment_name: str
    model_name: str | None = None
    requirements: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the script. Values may be secrets: never printed or logged."""
    secrets: tuple[str, ...] = ()
    """Names of secrets whose variables the script gets. Variables of ``environment`` have precedence."""
    args: tuple[str, ...] = ()
    timeout_seconds: int = 600
    resources: Resources = field(default_factory=Resources)
    max_retries: int = 0
    priority: int = 50
    autolog: bool = True
    deploy: bool = True
    register: str | None = None
    """Selects the logged model to register, by name, class or run. None: the platform's rule."""
    take_traffic: bool = True
    """Let the deployed version answer requests that name only its model, in place of the present version."""
    promote: Gate | None = None
    """Gate of the version: it holds back until it has passed. None: ``take_traffic`` decides."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters without secrets: MLflow params of the job's run. They are also in ``environment``."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = DEFAULT_OWNER
    """Name of the caller that uploaded the job."""
    workspace: str = DEFAULT_WORKSPACE
    """Workspace that sees the job (raylift.domain.access)."""
    origin: Origin = Origin.PLATFORM
    environment_lock: tuple[str, ...] | None = None
    """Pinned requirements of a rerun, used instead of resolving ``requirements`` again."""
    torch_backend: str | None = None
    """PyTorch build for ``requirements``. None: the platform's setting."""
    project_sha256: str | None = None
    """The project that contains the script; None for a single script."""
    entrypoint: str | None = None
    """The script's path in the project; ``script_name`` is its last part."""
    requirements_source: str | None = None
    """Source of ``requirements``: the request, the script's metadata, or a file of the project."""
    command: str | None = None
    """A shell command to run instead of a Python script. Its text is stored as the script."""
    python_path: tuple[str, ...] = ()
    """Folders of the project for PYTHONPATH; ``.`` is the project itself."""
    data: tuple[DataInput, ...] = ()
    """Versions of datasets of the workspace that the script may read."""
    isolation: Isolation = Isolation.SANDBOX
    network: Network = Network.FULL
    ray: RayRequest | None = None
    """Set for jobs that came through Ray's Jobs API."""
    sweep: SweepPart | None = None
    """Set for jobs of a sweep. A rerun of one does not belong to the sweep."""
    schedule: SchedulePart | None = None
    """Set for jobs that a schedule made. A rerun of one does not belong to the schedule."""
    batch: BatchSpec | None = None
    """Set for batches: their script predicts with a version, and registers nothing."""
    after: tuple[str, ...] = ()
    """Jobs of the workspace that have to complete before this one starts."""
    output_dataset: str | None = None
    """Dataset that gets a version of what the script writes to ``RAYLIFT_OUTPUT``."""

    @property
    def account(self) -> str:
        """Return the name under which fair share and quotas count: owners of other workspaces have it before theirs."""
        return account_of(self.workspace, self.owner)


def account_of(workspace: str, owner: str) -> str:
    """Return ``owner`` in the default workspace, else ``workspace/owner``."""
    return owner if workspace == DEFAULT_WORKSPACE else f"{workspace}/{owner}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources that an attempt consumed, over its whole process tree."""

    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    wall_seconds: float = 0.0
    memory_enforced_by: str | None = None
    """``cgroup``, ``watchdog``, or None where nothing ran."""
    cpu_enforced_by: str | None = None
    """``cgroup``, ``affinity``, or None where it may use every core."""
    isolated_by: tuple[str, ...] = ()
    """Mechanisms that confined the script; empty for a job of the cluster."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. All times are UTC and timezone-aware."""

    job_id: str
    spec: JobSpec
    state: JobState
    created_at: datetime
    entered_at: datetime
    """Time at which the present state was entered."""
    reason: Reason | None = None
    message: str | None = None
    attempt: int = 1
    """Number of the present (or last) attempt, from 1."""
    infrastructure_losses: int = 0
    """Attempts lost so far to a failure of a node, the head or Ray."""
    submission_id: str | None = None
    """Ray submission id of the present attempt, once there is one."""
    started_at: datetime | None = None
    """Start of the script of the present attempt."""
    deadline_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    stop_reason: Reason | None = None
    """Reason for which the supervisor stops the attempt (timeout, cancel). Set before the stop is sent."""
    phases: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds spent in each past state, summed over attempts."""
    usage: Usage | None = None
    exit_code: int | None = None
    environment_lock: tuple[str, ...] | None = None
    """The pinned packages beyond the base environment; None until resolved."""
    mlflow_experiment_id: str | None = None
    mlflow_run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    model_version: str | None = None
    output: DatasetReference | None = None
    """Version of the dataset that it has made."""

    @property
    def status(self) -> JobStatus:
        return STATUS_OF[self.state]

    @property
    def shown_reason(self) -> Reason | None:
        """The reason to show. A queued job without a stored reason waits for capacity."""
        return Reason.WAITING_FOR_CAPACITY if self.reason is None and self.state is JobState.QUEUED else self.reason

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """The fields of a queued job that admission needs."""

    job_id: str
    account: str
    priority: int
    created_at: datetime
    resources: Resources


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a job, written in the same database transaction."""

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
