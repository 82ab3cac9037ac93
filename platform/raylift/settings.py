"""Every setting of the platform's server side, in one tree. Built at the roots (launcher, tests) and handed down.

The tree travels to the gateway and the supervisor as constructor arguments, never through the environment: jobs
inherit the environment of the Ray head, and the database's address is not theirs to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.domain.deployment import Batching, DeploymentConfig
from raylift.domain.identifiers import TORCH_BACKEND
from raylift.domain.job import AUTO_TORCH_BACKEND
from raylift.domain.quota import Quota


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnerQuota(_Section):
    """null: unbounded."""

    max_running_jobs: Annotated[int | None, Field(ge=0)] = None
    """Jobs of one owner that may start, run or register at a time."""
    max_queued_jobs: Annotated[int | None, Field(ge=0)] = None
    """Jobs of one owner that may wait; an upload beyond that is refused with 429."""
    max_cpus: Annotated[float | None, Field(ge=0)] = None
    """CPUs of an owner's running jobs together."""
    max_memory_bytes: Annotated[int | None, Field(ge=0)] = None
    """Memory of an owner's running jobs together."""

    def bounds(self) -> Quota:
        return Quota(self.max_running_jobs, self.max_queued_jobs, self.max_cpus, self.max_memory_bytes)


class QuotaSettings(_Section):
    default: OwnerQuota = OwnerQuota()
    """Of every owner that ``owners`` does not name."""
    owners: dict[str, OwnerQuota] = {}
    """By owner; in the place of ``default``, not beside it."""

    def of(self, owner: str) -> Quota:
        return self.owners.get(owner, self.default).bounds()


class JobSettings(_Section):
    min_timeout_seconds: int = 60
    """Smallest ``timeout_seconds`` of an upload."""
    max_timeout_seconds: int = 3600
    """Largest ``timeout_seconds`` of an upload."""
    min_memory_bytes: int = 16 * 1024**2
    """Smallest ``resources.memory`` of an upload: with less, no Python starts."""
    max_script_bytes: int = 1024 * 1024
    """Largest script, decoded."""
    max_project_bytes: int = 32 * 1024**2
    """Largest archive of a project, as uploaded."""
    max_project_unpacked_bytes: int = 128 * 1024**2
    """Largest project, unpacked. The gateway holds it in memory while it checks it, one project at a time."""
    max_project_files: int = 5000
    """Most files of a project."""
    max_project_ratio: int = 100
    """Most times its archive's size that a project may unpack to, from 4 MiB on."""
    max_sweep_jobs: int = 100
    """Most jobs of one sweep."""
    max_infrastructure_losses: int = 3
    """Attempts lost to a node, the head or Ray itself after which a job fails with ``node_lost``."""
    stop_grace_seconds: float = 10.0
    """Time between SIGTERM and SIGKILL, so that scripts can save."""
    max_log_bytes: int = 64 * 1024 * 1024
    """Cap of one attempt's stored output; the head and the tail are kept and the cut is marked."""
    max_processes: int = 2048
    """Processes and threads that a job may have at a time."""
    max_scratch_bytes: int = 10 * 1024**3
    """What a job may write in its working directory and its TMPDIR, never more than 80 % of what is free when it starts."""
    nice: int = 10
    """Added to the niceness of job processes, so that the platform and the models answer while jobs train."""
    quotas: QuotaSettings = QuotaSettings()
    """What each owner may have at a time (docs/guides/queue.md)."""
    start_timeout_seconds: float = 600.0
    """Seconds that Ray may take to start an attempt before it counts as lost. Its environment is built before that."""


class ServingSettings(_Section):
    min_replicas: int = 0
    """Default ``min_replicas`` of a version's deployment: 0 scales to zero, 1 keeps one process ready."""
    max_replicas: int = 2
    """Default ``max_replicas``."""
    target_ongoing_requests: float = 8.0
    """Default requests in progress per replica that autoscaling aims for."""
    max_ongoing_requests: int = 64
    """Default requests in progress per replica before new ones queue."""
    max_queued_requests: int = 128
    """Default requests that queue per replica before new ones are refused with 429."""
    cpus: float = 0.1
    """Default logical CPUs of a replica."""
    batch_max_rows: int = 64
    """Default ``batching.max_rows``, for models that are faster in groups and answer the same bits; 1 for no batching."""
    batch_wait_ms: float = 0.0
    """Default ``batching.wait_ms``: how long a request with company waits for more. One that is alone never waits."""
    scale_up_timeout_seconds: float = 60.0
    """How long a request waits for a version that has no ready replica, unless it says X-Scale-Up-Timeout."""
    upscale_delay_seconds: float = 3.0
    """Default ``upscale_delay_s``: how long demand must last before a replica is added."""
    downscale_delay_seconds: float = 300.0
    """Default ``downscale_delay_s``: how long a replica must be needless before it goes; without one a version is parked."""
    deploy_registered_versions: bool = True
    """Also deploy versions that were registered by other means than a job (MLflow's UI or client)."""
    max_starting: int = 2
    """Versions that may start their first replica at a time; each is a process that imports and loads."""
    warm_models: int = Field(default=8, ge=0)
    """Versions without a replica that warm processes of one gateway may answer for at a time; 0: no warm processes."""
    warm_idle_seconds: float = Field(default=300.0, gt=0)
    """How long a version's warm process must be without a request before it ends."""
    warm_memory_bytes: int = Field(default=2 * 1024**3, gt=0)
    """What the versions' warm processes may have of memory together before the longest unused end."""

    def default_deployment(self) -> DeploymentConfig:
        """What a version's deployment gets when nobody said otherwise."""
        return DeploymentConfig(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            target_ongoing_requests=self.target_ongoing_requests,
            max_ongoing_requests=self.max_ongoing_requests,
            max_queued_requests=self.max_queued_requests,
            upscale_delay_s=self.upscale_delay_seconds,
            downscale_delay_s=self.downscale_delay_seconds,
            cpus=self.cpus,
            batching=Batching(self.batch_max_rows, self.batch_wait_ms) if self.batch_max_rows > 1 else None,
        )


class SupervisorSettings(_Section):
    tick_seconds: float = 0.2
    """Pause between two looks at the store."""
    lease_seconds: float = 15.0
    """How long a silent supervisor keeps the lease before another may take it."""
    registry_sync_seconds: float = 5.0
    """Pause between two looks for versions that were registered without a job."""
    max_starting: int = 4
    """Attempts that may be on their way into Ray at a time; each is a process that starts."""
    serving_reserve_cpus: float = 1.0
    """Logical CPUs of the cluster that are never given to jobs, so that replicas can start while jobs fill the machine."""


class EnvironmentSettings(_Section):
    max_bytes: int = 20 * 1024**3
    """What the environments of one machine may sum up to before the longest unused are removed, never one in use."""
    mechanism: Literal["overlay", "ray_uv"] = "overlay"
    """``overlay``: small environments above the base, by our plugin. ``ray_uv``: Ray's ``uv`` field, for nodes without it."""
    torch_backend: Annotated[str, Field(pattern=TORCH_BACKEND.pattern)] = AUTO_TORCH_BACKEND
    """Which build of PyTorch jobs get whose upload names none: ``auto``, ``cpu``, ``cu128``, …"""

    def backend_of(self, asked: str | None) -> str:
        """The build of PyTorch for whoever ``asked`` for one, or for none."""
        return self.torch_backend if asked is None else asked


class GatewaySettings(_Section):
    replicas: int = 1
    """Processes of the gateway."""
    max_body_bytes: int = 100 * 1024 * 1024
    """Largest request body."""
    idempotency_hours: float = 24.0
    """How long an Idempotency-Key is remembered."""
    ray_package_hours: float = 24.0
    """How long a package that `ray job submit` uploaded is kept after a client last asked for it; jobs keep their own copy."""


class RetentionSettings(_Section):
    """How long what is over is kept (docs/reference/retention.md). null: for ever."""

    finished_jobs_days: Annotated[float | None, Field(ge=0)] = 90.0
    """Days after its end until a job's record goes, with its events, its files and, unless another job has them, its script."""
    max_finished_jobs: Annotated[int | None, Field(ge=0)] = 200_000
    """Records of finished jobs before the oldest go, however young they are."""
    logs_days: Annotated[float | None, Field(ge=0)] = 30.0
    """Days after its job's end until an attempt's log and all other files go; the record stays."""
    scratch_days: Annotated[float | None, Field(ge=0)] = 1.0
    """Days after its job's end until the working directory of an attempt goes; the log stays."""
    payload_days: Annotated[float | None, Field(ge=0)] = 30.0
    """Days until a file of a payload log goes."""
    payload_max_bytes: Annotated[int | None, Field(ge=0)] = 10 * 1024**3
    """What the files of all payload logs may sum up to before the oldest go."""
    feedback_days: Annotated[float | None, Field(ge=0)] = 365.0
    """Days after it was last given until feedback to a prediction goes."""


class ObservabilitySettings(_Section):
    """What replicas write of requests (docs/guides/monitoring.md)."""

    slow_request_seconds: Annotated[float | None, Field(ge=0)] = 1.0
    """A prediction that takes longer gets a line in its replica's log, as errors do, and requests that clients named
    themselves (X-Request-ID, traceparent). null: only those do."""
    access_log: bool = False
    """A line in the replica's log for every prediction."""
    payload_file_bytes: Annotated[int, Field(gt=0)] = 8 * 1024**2
    """Bodies that a process collects for a payload log before it writes a file."""
    payload_file_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long it collects them at most: what a process that is killed may lose."""


class IngressSettings(_Section):
    """The HAProxy of this machine, where the launcher prepared it."""

    directory: Path
    """Its runtime socket and its map of names lie below it."""
    token: str
    """What replicas ask of requests: the ingress alone can say it."""

    @property
    def worked_on(self) -> Path:
        """Where processes note which requests they work on, for those that come after them."""
        return self.directory / "worked-on"


class PlatformSettings(_Section):
    state_dir: Path
    """Everything the platform keeps lies below it. On a cluster: a file system that every node mounts at this path."""
    database_url: str
    """SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``."""
    mlflow_url: str
    """Tracking server, as the jobs, the replicas, the supervisor and the gateway reach it."""
    ray_dashboard_url: str
    """Ray's dashboard, which serves the Ray Jobs API."""
    gateway_url: str
    """The platform's own ingress, as the gateway reaches it."""
    ingress: IngressSettings | None = None
    """None: an ingress that cannot be told anything; then the gateway answers all routes that name only a model."""
    jobs: JobSettings = JobSettings()
    serving: ServingSettings = ServingSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    gateway: GatewaySettings = GatewaySettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    retention: RetentionSettings = RetentionSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    @property
    def attempts_dir(self) -> Path:
        """One directory per attempt: what the wrapper is given and what it leaves (docs/internals/architecture.md)."""
        return self.state_dir / "attempts"

    @property
    def counters_dir(self) -> Path:
        """Where the processes of model versions count their requests (engines/metrics/counter_files.py)."""
        return self.state_dir / "counters"

    @property
    def payloads_dir(self) -> Path:
        """Requests and answers that payload logs keep (engines/metrics/payload_files.py)."""
        return self.state_dir / "payloads"

    @property
    def environments_dir(self) -> Path:
        """Built overlays, by the hash of their lock."""
        return self.state_dir / "environments"
