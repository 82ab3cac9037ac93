"""Specification of a replica, and the words by which the platform recognizes its start-up errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from raylift.domain.models.deployment import DeploymentConfig, PayloadLog

CANNOT_ANSWER: Final = "so it cannot answer requests"
"""Part of the error of a model that cannot answer any request. A restart does not help."""
LACKS_PLUGIN: Final = "Ray on this node does not have Raylift's plugin"
"""Part of the error of a replica that runs without its version's packages."""


MODEL_PROCESS: Final = "RAYLIFT_MODEL_PROCESS"
"""Variable of a replica's runtime_env: its ``ModelProcess`` as JSON (ray_internals/setup_worker.py)."""
CONFINED_BY: Final = "RAYLIFT_CONFINED_BY"
"""Variable of a model's process: what holds."""
NOT_CONFINED: Final = "RAYLIFT_NOT_CONFINED"
"""Variable of a model's process that could not be confined: the reason."""
GPU_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
"""Variable of a model's process: the GPUs that it may use, by their ids. Empty: none."""
CANNOT_CONFINE: Final = "The model was not loaded, because its process cannot be confined"
"""Beginning of the error of a version whose processes have to be confined and cannot be. A restart does not help."""


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """Directory of payload logs, and the limits after which a file is written."""

    root: str
    file_bytes: int
    """Bytes of bodies in one file."""
    file_seconds: float
    """Seconds that a payload may wait for others."""


@dataclass(frozen=True, slots=True)
class ObserverConfig:
    slow_seconds: float | None = None
    """Slower requests are logged. None: only errors are."""
    access_log: bool = False
    """Log every request."""
    payload_log: PayloadLog | None = None
    payloads: PayloadFiles | None = None
    """None: payloads are not stored."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ObserverConfig:
        """Build it from the result of ``as_json``."""
        sample, files = values["payload_log"], values["payloads"]
        return cls(
            values["slow_seconds"],
            values["access_log"],
            PayloadLog(**sample) if sample else None,
            PayloadFiles(**files) if files else None,
        )


@dataclass(frozen=True, slots=True)
class Confinement:
    """Arguments of ``job_entrypoints.sandbox.servers.confine``, as JSON values."""

    protected: list[str]
    """Directories of the platform."""
    read: list[str] = field(default_factory=list[str])
    write: list[str] = field(default_factory=list[str])
    """Directories; made if they are missing."""
    refused_ports: str = ""
    """TCP ports and ranges of the platform."""
    required: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ModelProcess:
    """Start of a replica's model process: arguments of ``job_entrypoints.sandbox.model_process.start``."""

    name: str
    """For lists of processes."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that are read when a process starts."""
    confinement: Confinement | None = None
    """None: the process may do what the platform may."""
    threads: int | None = None
    """OMP_NUM_THREADS, where nothing sets it."""

    def as_text(self) -> str:
        """Return it as JSON for a variable. Ray would expand ``$`` in it."""
        return json.dumps(asdict(self)).replace("$", r"\u0024")


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """Input of :func:`serve_apps.model_server.ray.app.build`."""

    model_name: str
    version: str
    model_uri: str
    """``models:/name/version``, or another URI that MLflow loads."""
    mlflow_url: str
    config: DeploymentConfig = field(default_factory=DeploymentConfig)
    files: Mapping[str, str] | None = None
    """Digests of its files (models/files.py). None: they are not checked."""
    initial_replicas: int | None = None
    """Replicas at the first deployment; None: ``min_replicas``. 1 checks that a version loads before it scales to zero."""
    upscale_delay_seconds: float = 3.0
    downscale_delay_seconds: float = 300.0
    """Also the delay before the last replica is removed."""
    runtime_env: dict[str, Any] = field(default_factory=dict[str, Any])
    """Always set, because a deployment without one inherits that of the process that deploys it."""
    code_version: str = "1"
    """A change restarts the replicas. Without one they are reconfigured in place."""
    max_body_bytes: int = 100 * 1024 * 1024
    worked_on_dir: str | None = None
    """Directory in which a machine's processes record the requests in progress (poison_requests.py). None: not recorded."""
    counters_dir: str | None = None
    """Directory of the request counters. None: not counted."""
    sketches_dir: str | None = None
    """Directory of sketches of inputs and answers. None: there are none."""
    observer: ObserverConfig = field(default_factory=ObserverConfig)
    node_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels of the nodes that take replicas; empty: all do."""
    ingress_token: str | None = None
    """Token that replicas require of every request. None: they require none."""
