"""The deployment of one model version: its wanted configuration and its actual state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class DeploymentStatus(StrEnum):
    PENDING = "pending"
    """Wanted; not yet submitted to Ray Serve."""
    STARTING = "starting"
    """Ray Serve is building its environment or loading its model."""
    READY = "ready"
    SCALED_TO_ZERO = "scaled_to_zero"
    """Loaded successfully before; has no Serve application now. A warm process answers, or requests wait for a scale-up."""
    UNHEALTHY = "unhealthy"
    """The model does not load or its environment does not build; ``message`` says why. Not retried until it changes."""
    STOPPED = "stopped"


ANSWERING: Final = frozenset({DeploymentStatus.READY, DeploymentStatus.SCALED_TO_ZERO})
"""Statuses in which requests are answered, at once or after a scale-up."""
READ_AT_START: Final = (
    "PYTHON",
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "OMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "BLIS_",
    "NPY_",
    "JOBLIB_",
    "SKLEARN_",
)
"""Prefixes of variables that Python, C and the base libraries read only once, at process start."""
_PYSPARK: Final = re.compile(r"pyspark(?:[-_]\w+)?(?![\w.-])", re.IGNORECASE)
_COMING_UP: Final = frozenset({DeploymentStatus.PENDING, DeploymentStatus.STARTING})


@dataclass(frozen=True, slots=True)
class Batching:
    """Adaptive batching: up to ``max_rows`` rows together; a row waits at most ``wait_ms`` milliseconds for others."""

    max_rows: int
    wait_ms: float


@dataclass(frozen=True, slots=True)
class PayloadLog:
    """Sampling of a version's requests and answers into a log."""

    sample_rate: float
    """Share of requests to keep, 0 to 1."""
    max_body_bytes: int = 64 * 1024
    """Limit for a request body and for a response body. A larger body is omitted; the rest of the record is kept."""


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    min_replicas: int = 0
    max_replicas: int = 2
    target_ongoing_requests: float = 8.0
    """Requests in progress per replica that the autoscaler aims for."""
    max_ongoing_requests: int = 64
    """Requests in progress per replica before new ones queue."""
    max_queued_requests: int = 128
    """Requests that queue per replica before new ones are refused."""
    upscale_delay_s: float | None = None
    """Seconds that load must last before a replica is added. None: the platform's setting."""
    downscale_delay_s: float | None = None
    """Seconds that a replica must be idle before it is removed, the last one included. None: the platform's setting."""
    cpus: float = 0.1
    """Logical CPUs of each replica."""
    memory_bytes: int | None = None
    """Logical memory of each replica; None requests none from Ray."""
    gpus: float = 0.0
    """Logical GPUs of each replica: a part of one, or whole ones."""
    batching: Batching | None = None
    payload_log: PayloadLog | None = None
    take_traffic: bool = True
    """Without a traffic table, the newest version with this set answers requests that name only the model."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the replicas. Values may be secrets: never printed or logged."""

    @property
    def most_requests(self) -> int:
        """Maximum of requests in progress and queued, over all replicas together."""
        return max(self.max_replicas, self.min_replicas, 1) * (self.max_ongoing_requests + self.max_queued_requests)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row per model version. All times are UTC and timezone-aware."""

    model_name: str
    version: str
    model_uri: str
    """MLflow URI that the replica loads, e.g. ``models:/churn/3``."""
    config: DeploymentConfig
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime
    wanted: bool = True
    """False after DELETE: the application is taken down and the status becomes ``stopped``."""
    generation: int = 1
    """Number of the last change; each PUT or DELETE adds one."""
    applied_generation: int = 0
    """The generation last submitted to Ray Serve."""
    replicas: int = 0
    message: str | None = None
    job_id: str | None = None
    environment_lock: tuple[str, ...] = ()
    """Pinned packages that the replicas have beyond the base environment."""
    ready_at: datetime | None = None
    """Time of the first READY status."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] | None = field(default=None, repr=False)
    """path → SHA-256 of the version's files as they were registered. None: not recorded yet, so nothing of it is loaded."""
    demanded_at: datetime | None = None
    """Time of the last request for replicas of its own: by a deployment, or by continuing predictions."""

    @property
    def answers(self) -> bool:
        """True where requests are answered, at once or after a scale-up."""
        # A version that was ready once also answers while a change is applied or replicas start: through the old replicas, a
        # warm process, or after a wait. Otherwise requests by name would fall back to an older version in the meantime.
        starting = self.status in _COMING_UP and self.ready_at is not None
        return self.wanted and (self.status in ANSWERING or starting)

    @property
    def fits_warm_process(self) -> bool:
        """True where a forked warm process can serve it: no memory or GPU of its own, one CPU at most, no JVM.

        It has no variables that are read at start either. A Spark model starts a JVM; a fork would start a second one.
        """
        early = any(name.startswith(READ_AT_START) for name in self.config.environment)
        has_jvm = any(_PYSPARK.match(pin) for pin in self.environment_lock)
        has_own = self.config.memory_bytes is not None or self.config.gpus > 0
        return not has_own and self.config.cpus <= 1 and not early and not has_jvm


class ApplicationState(StrEnum):
    """State of a version's Serve application, reduced to what the planner distinguishes."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """Its replicas do not start. Ray Serve itself would retry forever."""
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class ApplicationSnapshot:
    """Snapshot of a Serve application."""

    state: ApplicationState
    replicas: int
    """Running replicas."""
    message: str | None = None
    replica_died: bool = False
    """A running replica died and its replacement is not running yet."""
    lacks_plugin: bool = False
    """It failed on a node without Raylift's runtime_env plugin, which starts replicas in their overlay."""
