"""What the platform tells a replica, and how a replica's errors tell the platform why it cannot start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from raylift.domain.deployment import DeploymentConfig, PayloadLog

CANNOT_ANSWER: Final = "so it cannot answer requests"
"""Words in the error of a model that can answer no request: starting it again is in vain."""
LACKS_PLUGIN: Final = "Ray on this node does not have Raylift's plugin"
"""Words in the error of a replica that runs without its version's packages."""


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """Where payloads go, and how large the pieces are."""

    root: str
    file_bytes: int
    """Of bodies, before a file is written."""
    file_seconds: float
    """How long a payload may wait for others before a file is written."""


@dataclass(frozen=True, slots=True)
class ObserverConfig:
    slow_seconds: float | None = None
    """Requests that take longer get a line in the log; None: only errors do."""
    access_log: bool = False
    """A line for every request."""
    payload_log: PayloadLog | None = None
    payloads: PayloadFiles | None = None
    """Where payloads go; None: nowhere."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ObserverConfig:
        """Of what ``as_json`` gave."""
        sample, files = values["payload_log"], values["payloads"]
        return cls(
            values["slow_seconds"],
            values["access_log"],
            PayloadLog(**sample) if sample else None,
            PayloadFiles(**files) if files else None,
        )


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """Everything :func:`serve_apps.model_server.ray.app.build` needs."""

    model_name: str
    version: str
    model_uri: str
    """``models:/name/version``, or any other URI MLflow can load from."""
    mlflow_url: str
    config: DeploymentConfig = field(default_factory=DeploymentConfig)
    initial_replicas: int | None = None
    """Replicas at the first deployment, None for ``min_replicas``. 1 proves that a version loads before it rests at zero."""
    upscale_delay_seconds: float = 3.0
    downscale_delay_seconds: float = 300.0
    """Also the delay before the last replica goes."""
    runtime_env: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the replicas. Always set, for a deployment without one inherits that of whoever deploys it."""
    code_version: str = "1"
    """Replicas restart when it changes and are reconfigured in place when it does not."""
    max_body_bytes: int = 100 * 1024 * 1024
    worked_on_dir: str | None = None
    """Where the processes of a machine note what they work on (tried_before.py); None: they do not."""
    counters_dir: str | None = None
    """Where the processes of versions count their requests; None: for nobody."""
    observer: ObserverConfig = field(default_factory=ObserverConfig)
    ingress_token: str | None = None
    """What the replicas ask of every request; None: they answer whoever reaches them."""
