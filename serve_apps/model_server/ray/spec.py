"""What one replica is to serve and how Ray Serve is to run it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raylift.domain.deployment import DeploymentConfig
from serve_apps.model_server.observability.observer_config import ObserverConfig


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
