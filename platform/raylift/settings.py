"""All settings of the server in one tree, built at the roots (launcher, tests) and passed down.

The gateway and the supervisor receive it as constructor arguments, not through the environment, because jobs inherit the Ray
head's environment and must not see the database's address.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork

from raylift.access_settings import BatchSettings, LimitSettings, OidcSettings, ReportSettings, TlsSettings, WebhookSettings
from raylift.dataset_settings import DatasetSettings
from raylift.domain.identifiers import TORCH_BACKEND
from raylift.domain.job import AUTO_TORCH_BACKEND
from raylift.domain.models.deployment import Batching, DeploymentConfig
from raylift.domain.nodes.labels import CONTROL, NODE_LABEL
from raylift.domain.ports import refused_ports
from raylift.domain.quota import Quota
from raylift.run_settings import ClusterSettings, IngressSettings, NodeTypeSettings

MAX_STANDBYS: Final = 3

HostName = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$")]


Origin = Annotated[str, Field(pattern=r"^(\*|https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)$")]
"""Scheme, host and port of a page, as browsers send it: in lower case, without the default port and without a path."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnerQuota(_Section):
    """Quota of one owner. null: unbounded."""

    max_running_jobs: Annotated[int | None, Field(ge=0)] = None
    """Admitted jobs at a time."""
    max_queued_jobs: Annotated[int | None, Field(ge=0)] = None
    """Queued jobs; further uploads are refused with 429."""
    max_cpus: Annotated[float | None, Field(ge=0)] = None
    """CPUs of admitted jobs together."""
    max_memory_bytes: Annotated[int | None, Field(ge=0)] = None
    """Memory of admitted jobs together, in bytes."""

    def bounds(self) -> Quota:
        return Quota(self.max_running_jobs, self.max_queued_jobs, self.max_cpus, self.max_memory_bytes)


class QuotaSettings(_Section):
    default: OwnerQuota = OwnerQuota()
    """Quota of every owner that is not listed in ``owners``, in each workspace."""
    owners: dict[str, OwnerQuota] = {}
    """Per-owner quotas: ``ann`` in each workspace, ``credit/ann`` in one. A listed owner inherits nothing from ``default``."""

    def of(self, account: str) -> Quota:
        """Return the quota of an owner in its workspace (``account_of``)."""
        name = account.rpartition("/")[2]
        return self.owners.get(account, self.owners.get(name, self.default)).bounds()


class JobSettings(_Section):
    min_timeout_seconds: int = 60
    """Smallest ``timeout_seconds`` of an upload."""
    max_timeout_seconds: int = 3600
    """Largest ``timeout_seconds`` of an upload."""
    min_memory_bytes: int = 16 * 1024**2
    """Smallest ``resources.memory`` of an upload. Python does not start with less."""
    max_script_bytes: int = 1024 * 1024
    """Largest script, decoded."""
    max_project_bytes: int = 32 * 1024**2
    """Largest archive of a project, as uploaded."""
    max_project_unpacked_bytes: int = 128 * 1024**2
    """Largest project, unpacked. The gateway checks it in memory, one project at a time."""
    max_project_files: int = 5000
    """Largest number of files in a project."""
    max_project_ratio: int = 100
    """Largest ratio of a project's unpacked size to its archive's size, for projects over 4 MiB."""
    max_sweep_jobs: int = 100
    """Largest number of jobs in a sweep."""
    max_infrastructure_losses: int = 3
    """A job fails with ``node_lost`` after this number of attempts lost to a failure of a node, the head or Ray."""
    stop_grace_seconds: float = 10.0
    """Seconds between SIGTERM and SIGKILL, so that scripts can save."""
    max_log_bytes: int = 64 * 1024 * 1024
    """Limit of one attempt's stored output. The beginning and the end are kept, and the gap is marked."""
    max_processes: int = 2048
    """Largest number of processes and threads of a job at a time."""
    max_scratch_bytes: int = 10 * 1024**3
    """Limit of a job's working directory and TMPDIR together, and at most 80 % of the disk's free space at its start."""
    nice: int = 10
    """Added to the niceness of job processes, so that the platform and the models answer during training."""
    quotas: QuotaSettings = QuotaSettings()
    """Limits per owner (docs/guides/queue.md)."""
    isolation: Literal["required", "best", "none"] = "best"
    """Sandbox of scripts. ``best``: with what the machine has. ``required``: a script does not start on a machine that cannot
    confine it. ``none``: no sandbox; every script may do what the platform's user may."""
    network: Literal["full", "mlflow-only", "none"] = "full"
    """Network of sandboxed scripts whose upload names none. ``full``: all but the platform's ports."""
    readable_paths: tuple[Path, ...] = ()
    """Data that sandboxed scripts may read, as absolute paths of files and folders."""
    writable_paths: tuple[Path, ...] = ()
    """Folders that sandboxed scripts may write, as absolute paths."""
    storage: str | None = None
    """Folder or URI (``s3://…``) that every node reaches. Jobs that may use Ray get a folder in it: RAYLIFT_STORAGE. null: one
    in the state directory, which is removed with the job."""
    first_user: Annotated[int, Field(gt=0, lt=2**31)] = 1_900_000_000
    """First number of the users for jobs. A platform that runs as root gives each sandboxed job a user of its own."""
    users: Annotated[int, Field(ge=0, le=2**20)] = 100_000
    """Count of these numbers. 0: sandboxed scripts of root run as root."""
    contact_seconds: Annotated[float, Field(ge=10, le=3600)] = 45.0
    """A script on a node that does not see the state directory ends after this time without an answer of the platform. Only
    15 seconds later may the job run elsewhere."""
    start_timeout_seconds: float = 600.0
    """Seconds for Ray to start an attempt before it counts as lost. Its environment is built before that."""


class ServingSettings(_Section):
    min_replicas: int = 0
    """Default ``min_replicas`` of a deployment: 0 scales to zero, 1 keeps one process ready."""
    max_replicas: int = 2
    """Default ``max_replicas``."""
    target_ongoing_requests: float = 8.0
    """Default target of autoscaling: requests in progress per replica."""
    max_ongoing_requests: int = 64
    """Default requests in progress per replica before new ones queue."""
    max_queued_requests: int = 128
    """Default requests that queue per replica before new ones are refused with 429."""
    cpus: float = 0.1
    """Default logical CPUs of a replica."""
    batch_max_rows: int = 64
    """Default ``batching.max_rows``, for models that are faster in batches with bit-identical results. 1: no batching."""
    batch_wait_ms: float = 0.0
    """Default ``batching.wait_ms``: milliseconds that a batch of several requests waits for more. A single one never waits."""
    scale_up_timeout_seconds: float = 60.0
    """Default time that a request waits for a version without a ready replica; X-Scale-Up-Timeout overrides it."""
    upscale_delay_seconds: float = 3.0
    """Default ``upscale_delay_s``: seconds that load must last before a replica is added."""
    downscale_delay_seconds: float = 300.0
    """Default ``downscale_delay_s``: seconds that a replica must be idle before it is removed, the last one included."""
    deploy_registered_versions: bool = True
    """Also deploy versions that were registered without a job (MLflow's UI or client)."""
    max_starting: int = 2
    """Versions that may start their first replica at a time; each start imports packages and loads a model."""
    warm_models: int = Field(default=8, ge=0)
    """Versions without a replica that one gateway serves by warm processes at a time. 0: no warm processes."""
    warm_idle_seconds: float = Field(default=300.0, gt=0)
    """Idle seconds after which a warm process ends."""
    warm_memory_bytes: int = Field(default=2 * 1024**3, gt=0)
    """Memory limit of all warm processes together. Beyond it the least recently used ones end."""

    isolation: Literal["required", "best", "none"] = "best"
    """Confinement of processes that load models (docs/internals/security.md). ``required``: a machine without Landlock loads no
    model. ``best``: what the machine has. ``none``: models may do what the platform may."""
    readable_paths: tuple[Path, ...] = ()
    """Files and directories that models may read besides their own files, such as a cache of pretrained weights."""

    def default_deployment(self) -> DeploymentConfig:
        """Return the default configuration of a deployment."""
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
    """Pause between two readings of the store."""
    lease_seconds: float = 15.0
    """Seconds after which another supervisor may take the lease of a silent one."""
    standbys: Annotated[int, Field(ge=0, le=MAX_STANDBYS)] = 0
    """Further supervisors that wait for the lease. One takes over from a first that has ended or is frozen."""
    registry_sync_seconds: float = 5.0
    """Pause between two searches for versions that were registered without a job."""
    max_starting: int = 4
    """Attempts that may be starting at a time; each starts a process."""
    serving_reserve_cpus: float = 1.0
    """Logical CPUs of the cluster that jobs never get, so that replicas can start on a busy machine."""


class EnvironmentSettings(_Section):
    max_bytes: int = 20 * 1024**3
    """Size limit of a machine's environments. Beyond it the least recently used are removed, but never one in use."""
    mechanism: Literal["overlay", "ray_uv"] = "overlay"
    """``overlay``: our plugin builds small environments on top of the base. ``ray_uv``: Ray's ``uv`` field, without plugin."""
    torch_backend: Annotated[str, Field(pattern=TORCH_BACKEND.pattern)] = AUTO_TORCH_BACKEND
    """PyTorch build of jobs whose upload names none: ``auto``, ``cpu``, ``cu128``, …"""

    http_hosts: tuple[HostName, ...] = ()
    """Hosts whose files requirements may name by ``http://`` addresses, without ports. Others need ``https``. Variables (UV_*)
    set package indexes, which may be http."""

    def backend_of(self, asked: str | None) -> str:
        """Return the PyTorch build for an upload that names ``asked``."""
        return self.torch_backend if asked is None else asked


class GatewaySettings(_Section):
    allowed_hosts: tuple[HostName, ...] = ()
    """Names that requests may have in ``Host``, without ports, in addition to loopback names: those of a reverse proxy, and of
    this machine where ``host`` is not loopback. ``*``: every name, which lets web pages reach the platform."""
    allowed_origins: tuple[Origin, ...] = ()
    """Origins of web pages that may ask for predictions, such as ``https://app.example``. Pages of others may do nothing.
    ``*``: every page."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses and networks of reverse proxies whose ``X-Forwarded-*`` headers are believed. Those of others are removed."""
    tls: TlsSettings = TlsSettings()
    """TLS of the API and of gRPC."""
    limits: LimitSettings = LimitSettings()
    """Limits of each client."""
    replicas: int = 1
    """Processes of the gateway."""
    max_body_bytes: int = 100 * 1024 * 1024
    """Largest request body."""
    idempotency_hours: float = 24.0
    """Validity of an Idempotency-Key."""
    ray_package_hours: float = 24.0
    """Retention of packages uploaded by `ray job submit`, after their last use by a client. Jobs keep their own copy."""


class AuthMode(StrEnum):
    """Proof that the API asks of its callers."""

    LOCAL = "local"
    """Everybody who reaches the API may do everything. For loopback only."""
    KEYS = "keys"
    """Every request needs a key (docs/guides/access.md)."""


class RetentionSettings(_Section):
    """Retention of finished work (docs/reference/retention.md). null: forever."""

    finished_jobs_days: Annotated[float | None, Field(ge=0)] = 90.0
    """Days after a job's end until its record, events, files and unshared script are deleted."""
    max_finished_jobs: Annotated[int | None, Field(ge=0)] = 200_000
    """Limit of finished jobs. Beyond it the oldest are deleted regardless of their age."""
    logs_days: Annotated[float | None, Field(ge=0)] = 30.0
    """Days after a job's end until its attempts' logs and other files are deleted. The record stays."""
    scratch_days: Annotated[float | None, Field(ge=0)] = 1.0
    """Days after a job's end until its attempts' working directories are deleted. The logs stay."""
    batch_files_days: Annotated[float | None, Field(ge=0)] = 30.0
    """Days after a batch's end until its uploaded files and its output on the platform are deleted. Outputs elsewhere stay."""
    payload_days: Annotated[float | None, Field(ge=0)] = 30.0
    """Days until a file of a payload log is deleted."""
    payload_max_bytes: Annotated[int | None, Field(ge=0)] = 10 * 1024**3
    """Size limit of all payload logs. Beyond it the oldest files are deleted."""
    webhook_deliveries_days: Annotated[float | None, Field(ge=1)] = 30.0
    """Days after an event until its deliveries are deleted, unless they are still to be sent."""
    audit_days: Annotated[float | None, Field(ge=0)] = 365.0
    """Days until an entry of the audit is deleted."""
    schedule_runs_days: Annotated[float | None, Field(ge=1)] = 90.0
    """Days until a moment in the history of a schedule is deleted."""
    feedback_days: Annotated[float | None, Field(ge=0)] = 365.0
    """Days until feedback on a prediction is deleted."""
    series_days: Annotated[float | None, Field(ge=1)] = 30.0
    """Days until an interval of ten minutes of a version's time series is deleted. Minutes are kept for a day."""


class ObservabilitySettings(_Section):
    """Logs and payload logs of replicas (docs/guides/monitoring.md)."""

    slow_request_seconds: Annotated[float | None, Field(ge=0)] = 1.0
    """Slower predictions are logged by their replica. null: none. Errors, and requests with X-Request-ID or traceparent from
    the client, are always logged."""
    access_log: bool = False
    """Log every prediction."""
    payload_file_bytes: Annotated[int, Field(gt=0)] = 8 * 1024**2
    """Bytes of bodies that a process collects for a payload log before it writes a file."""
    payload_file_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Longest time that a process collects them, which a killed process may lose."""


class PlatformSettings(_Section):
    state_dir: Path
    """Directory of all persistent data, on the machine of the supervisor and the gateways."""
    database_url: str
    """SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``."""
    encryption_key_file: Path | None = None
    """File of the keys that encrypt secrets in the store. None: a file beside SQLite's."""
    mlflow_url: str
    """MLflow's tracking server, for jobs, replicas, the supervisor and the gateway."""
    mlflow_secret: str | None = None
    """Signs the credentials that MLflow requires in keys mode. None: it requires none."""
    ray_dashboard_url: str
    """Ray's dashboard, which serves the Ray Jobs API."""
    ray_token_file: Path | None = None
    """File of the token that Ray's ports require. None: they require none."""
    gateway_url: str
    """The platform's ingress, for the gateway."""
    nodes_gateway_url: str | None = None
    """The platform's ingress, for attempts on other machines. None: ``gateway_url``."""
    session_dir: Path | None = None
    """Directory of this machine's sockets: Ray's, HAProxy's, and temporary files. None: unknown, so not hidden from models."""
    internal_ports: str = "6379,8076-8078,8265,10001-19999,30000-31000,52365"
    """TCP ports of Ray and Serve, which sandboxed scripts cannot reach: Ray's defaults. The launcher sets its own."""
    ingress: IngressSettings | None = None
    """None: an ingress without a map of names. The gateway then handles all requests that name only a model."""
    auth: AuthMode = AuthMode.LOCAL
    """``local``: no keys. ``keys``: every request needs one."""
    cluster: ClusterSettings | None = None
    """None: no other machine may join, and Ray chooses any of its nodes."""
    node_types: tuple[NodeTypeSettings, ...] = ()
    """Kinds of machines that Ray's autoscaler can add. Empty: none."""
    oidc: OidcSettings = OidcSettings()
    """Sign-in with an OpenID Connect provider."""
    reports: ReportSettings = ReportSettings()
    """Reports on scripts, packages and models."""
    webhooks: WebhookSettings = WebhookSettings()
    """Deliveries of events to webhooks."""
    datasets: DatasetSettings = DatasetSettings()
    """Datasets: limits, and where their bytes lie."""
    jobs: JobSettings = JobSettings()
    batches: BatchSettings = BatchSettings()
    serving: ServingSettings = ServingSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    gateway: GatewaySettings = GatewaySettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    retention: RetentionSettings = RetentionSettings()
    observability: ObservabilitySettings = ObservabilitySettings()

    @property
    def node_labels(self) -> dict[str, str]:
        """Labels of the nodes that take jobs and replicas. Empty where other machines cannot join: Ray has no others then."""
        return {} if self.cluster is None else {NODE_LABEL: self.cluster.label}

    @property
    def control_options(self) -> dict[str, Any]:
        """Options of Ray's actors that keep the supervisor and the gateway on nodes with the platform's files."""
        return {} if self.cluster is None else {"label_selector": dict(CONTROL)}

    @property
    def protected_paths(self) -> tuple[Path, ...]:
        """Folders that are closed for sandboxed scripts, but for their own attempt."""
        return (self.state_dir, *([] if self.ingress is None else [self.ingress.directory.parent]))

    @property
    def refused_ports(self) -> str:
        """TCP ports that sandboxed scripts cannot reach, such as ``8000,20000-20999``: the platform's, but for MLflow's."""
        return refused_ports(
            self.internal_ports, local=(self.gateway_url, self.ray_dashboard_url, self.database_url), reached=self.mlflow_url
        )

    @property
    def attempts_dir(self) -> Path:
        """One directory per attempt, for the wrapper's input and output (docs/internals/architecture.md)."""
        return self.state_dir / "attempts"

    @property
    def batches_dir(self) -> Path:
        """One directory per batch, for uploaded files, finished parts and outputs that are to be downloaded."""
        return self.state_dir / "batches"

    @property
    def counters_dir(self) -> Path:
        """Request counters of model versions (engines/metrics/counter_files.py)."""
        return self.state_dir / "counters"

    @property
    def payloads_dir(self) -> Path:
        """Payload logs (engines/metrics/payload_files.py)."""
        return self.state_dir / "payloads"

    @property
    def blobs_dir(self) -> Path:
        """Uploaded files of datasets (engines/datasets/blobs.py), unless they are in an object store."""
        return self.state_dir / "blobs"

    @property
    def uploads_dir(self) -> Path:
        """Parts of files that are being uploaded."""
        return self.state_dir / "uploads"

    @property
    def data_cache_dir(self) -> Path:
        """Copies of datasets for the jobs of this machine."""
        return self.state_dir / "data_cache"

    @property
    def environments_dir(self) -> Path:
        """Overlays, by hash."""
        return self.state_dir / "environments"
