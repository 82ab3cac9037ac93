"""Every setting of the platform's server side, in one tree. Built at the roots (launcher, tests) and handed down.

The tree travels to the gateway and the supervisor as constructor arguments, never through the environment: jobs
inherit the environment of the Ray head, and the database's address is not theirs to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from raylift.domain.deployment import DeploymentConfig


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    start_timeout_seconds: float = 600.0
    """How long Ray may take to start an attempt, environment included, before it counts as lost."""


class ServingSettings(_Section):
    min_replicas: int = 0
    """Default ``min_replicas`` of a version's deployment: 0 scales to zero, 1 keeps one process ready."""
    max_replicas: int = 2
    """Default ``max_replicas``."""
    target_ongoing_requests: float = 8.0
    """Default requests in progress per replica that autoscaling aims for."""
    max_ongoing_requests: int = 64
    """Default requests in progress per replica before new ones queue."""
    cpus: float = 0.1
    """Default logical CPUs of a replica."""
    scale_up_timeout_seconds: float = 60.0
    """How long a request waits for a version that has no ready replica, unless it says X-Scale-Up-Timeout."""
    upscale_delay_seconds: float = 3.0
    """How long demand must last before a replica is added."""
    downscale_delay_seconds: float = 300.0
    """How long a replica must be needless, the last one too, before it is removed."""
    deploy_registered_versions: bool = True
    """Also deploy versions that were registered by other means than a job (MLflow's UI or client)."""
    max_starting: int = 2
    """Versions that may start their first replica at a time; each is a process that imports and loads."""

    def default_deployment(self) -> DeploymentConfig:
        """What a version's deployment gets when nobody said otherwise."""
        return DeploymentConfig(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            target_ongoing_requests=self.target_ongoing_requests,
            max_ongoing_requests=self.max_ongoing_requests,
            cpus=self.cpus,
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


class GatewaySettings(_Section):
    replicas: int = 1
    """Processes of the gateway."""
    max_body_bytes: int = 100 * 1024 * 1024
    """Largest request body."""
    idempotency_hours: float = 24.0
    """How long an Idempotency-Key is remembered."""


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
    jobs: JobSettings = JobSettings()
    serving: ServingSettings = ServingSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    gateway: GatewaySettings = GatewaySettings()
    environments: EnvironmentSettings = EnvironmentSettings()

    @property
    def attempts_dir(self) -> Path:
        """One directory per attempt: what the wrapper is given and what it leaves (docs/architecture.md)."""
        return self.state_dir / "attempts"

    @property
    def environments_dir(self) -> Path:
        """Built overlays, by the hash of their lock."""
        return self.state_dir / "environments"
