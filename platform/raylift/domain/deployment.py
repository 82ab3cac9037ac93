"""The deployment of one model version: what is wanted of it and what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class DeploymentStatus(StrEnum):
    PENDING = "pending"
    """Wanted; not handed to Ray Serve yet."""
    STARTING = "starting"
    """Ray Serve builds its environment or loads its model."""
    READY = "ready"
    SCALED_TO_ZERO = "scaled_to_zero"
    """Proven to load, and parked: Ray Serve has no application of it. A warm process answers, or requests are held."""
    UNHEALTHY = "unhealthy"
    """Does not load, or its environment does not build: ``message`` says why. Not retried until it is changed."""
    STOPPED = "stopped"


ANSWERING: Final = frozenset({DeploymentStatus.READY, DeploymentStatus.SCALED_TO_ZERO})
"""Statuses in which a request is answered, at once or after a scale-up."""
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
"""Beginnings of the names of variables that Python, C and the libraries of every replica read once, when they start."""
_PYSPARK: Final = re.compile(r"pyspark(?:[-_]\w+)?(?![\w.-])", re.IGNORECASE)
_COMING_UP: Final = frozenset({DeploymentStatus.PENDING, DeploymentStatus.STARTING})


@dataclass(frozen=True, slots=True)
class Batching:
    """Adaptive batching: at most ``max_rows`` together, waiting at most ``wait_ms`` milliseconds for company."""

    max_rows: int
    wait_ms: float


@dataclass(frozen=True, slots=True)
class PayloadLog:
    """Which requests of a version are kept with their answers."""

    sample_rate: float
    """The share of requests: 1 keeps all."""
    max_body_bytes: int = 64 * 1024
    """Of a request's body, and of its answer's: larger ones are left out, the rest of the record is kept."""


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
    """How long demand must last before a replica is added; None: as the platform's settings say."""
    downscale_delay_s: float | None = None
    """How long a replica must be needless before it goes, the last one too; None: as the platform's settings say."""
    cpus: float = 0.1
    """Logical CPUs of each replica."""
    memory_bytes: int | None = None
    """Logical memory of each replica; None asks Ray for none."""
    batching: Batching | None = None
    payload_log: PayloadLog | None = None
    take_traffic: bool = True
    """Answer requests that name only the model, as the newest such version, where the model has no traffic table."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables of the replicas. Their values may be secrets: never printed, never logged."""

    @property
    def most_requests(self) -> int:
        """That all its replicas together may have at a time, in progress and queued."""
        return max(self.max_replicas, self.min_replicas, 1) * (self.max_ongoing_requests + self.max_queued_requests)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row per model version. All times are UTC and timezone-aware."""

    model_name: str
    version: str
    model_uri: str
    """Where the replica loads the model from, e.g. ``models:/churn/3``."""
    config: DeploymentConfig
    status: DeploymentStatus
    created_at: datetime
    updated_at: datetime
    wanted: bool = True
    """False after DELETE: the application is taken down and the status becomes ``stopped``."""
    generation: int = 1
    """Counts what was asked for: each PUT or DELETE adds one."""
    applied_generation: int = 0
    """The generation that Ray Serve was last told of."""
    replicas: int = 0
    message: str | None = None
    job_id: str | None = None
    environment_lock: tuple[str, ...] = ()
    """Pinned packages beyond the base environment that the replicas run with."""
    ready_at: datetime | None = None
    """When it first answered."""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    demanded_at: datetime | None = None
    """When processes of its own were last called for: by a job or a person who deployed it, or by requests that go on."""

    @property
    def answers(self) -> bool:
        """Whether a request is answered, at once or after a scale-up."""
        # Once it has answered it goes on doing so while a change is applied or its processes start: by the replicas that
        # were there, by a warm process, or after a wait. Else requests by name would fall back to an older version meanwhile.
        starting = self.status in _COMING_UP and self.ready_at is not None
        return self.wanted and (self.status in ANSWERING or starting)

    @property
    def fits_warm_process(self) -> bool:
        """True where a fork has all that it asks for: no memory or CPUs of its own, no variables that are read at start.

        A model of Spark starts a JVM. A fork beside a replica would start a second one.
        """
        early = any(name.startswith(READ_AT_START) for name in self.config.environment)
        has_jvm = any(_PYSPARK.match(pin) for pin in self.environment_lock)
        return self.config.memory_bytes is None and self.config.cpus <= 1 and not early and not has_jvm


class ApplicationState(StrEnum):
    """What Ray Serve makes of a version's application, in as few words as the planner needs."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    """Its replicas do not start; Ray Serve would go on trying."""
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class ApplicationSeen:
    """An application as it was last seen."""

    state: ApplicationState
    replicas: int
    """Replicas that answer."""
    message: str | None = None
    replica_died: bool = False
    """Whether a replica that had answered has died, and its successor does not answer yet."""
    lacks_plugin: bool = False
    """Whether it failed on a node that cannot start it in its overlay."""
