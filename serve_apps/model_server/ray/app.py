"""Ray Serve application of a model version."""

from __future__ import annotations

import logging
import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from raylift.domain.models.replica import GPU_VARIABLE, ReplicaSpec
from raylift.ray_internals.serve_ingress import hand_http_server_to
from raylift.ray_internals.serve_replica import keep_internal_server_on_node_address, set_code_version
from serve_apps.model_server.process.slots import RETRY_AFTER_SECONDS
from serve_apps.model_server.process.spec import VersionSpec
from serve_apps.model_server.ray.environment_check import require_environment
from serve_apps.model_server.ray.forwarding import forward_to
from serve_apps.model_server.ray.model_process import ModelHost

DEPLOYMENT_NAME: Final = "model"

_METRICS_INTERVAL_SECONDS: Final = 1.0
# With Serve's defaults of 10 and 30 seconds each scaling decision would come that much later.
_LOOK_BACK_SECONDS: Final = 3.0
# Percent of the replicas. If new processes are needed, the old ones end when the new ones answer. With Serve's default of 0 the
# only replica of a version would end first.
_MAX_SURGE_PERCENT: Final = 100


@serve.ingress()
class ModelReplica:
    """Ray Serve's replica of a model version. A process of its own, without a connection to Ray, has the model and answers."""

    async def __init__(self, version: Mapping[str, Any], ingress_token: str | None, environment: Mapping[str, str]) -> None:
        """``version``: fields of a ``VersionSpec``, without settings that may change."""
        self._process = process = ModelHost.of_this_worker()
        keep_internal_server_on_node_address()
        require_environment(ray.get_runtime_context().runtime_env, platform.node(), process.overlay)
        _log_where_serve_does()
        own = {**environment, GPU_VARIABLE: _gpus()}
        await process.load({"version": dict(version), "environment": own, "token": ingress_token})
        hand_http_server_to(process)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply settings that change without a new process. Serve calls it after the constructor and when they change."""
        await self._process.configure(user_config)

    def __del__(self) -> None:
        """Write what is buffered. Serve calls it when it ends a replica in order."""
        if hasattr(self, "_process"):
            self._process.close()

    def __serve_build_asgi_app__(self) -> Any:
        return forward_to(self._process.connect)


def _gpus() -> str:
    """Return the ids of the replica's GPUs. Ray sets the variable in this process, when the model's already runs."""
    return ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])


def build(spec: ReplicaSpec) -> serve.Application:
    """Build the application of a model version, to be run under its route.

    The replica's arguments hold only the version's identity, and the code version is fixed. Running it again with other scaling
    values therefore reconfigures it in place; other resources or another environment restart its replicas.
    """
    deployment = serve.deployment(ModelReplica).options(  # pyright: ignore[reportFunctionMemberAccess]
        name=DEPLOYMENT_NAME,
        autoscaling_config=_autoscaling(spec),
        max_ongoing_requests=spec.config.max_ongoing_requests,
        max_queued_requests=spec.config.max_queued_requests,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=RETRY_AFTER_SECONDS),
        user_config={
            "batching": asdict(spec.config.batching) if spec.config.batching else None,
            "observer": spec.observer.as_json(),
            "limits": [spec.config.max_ongoing_requests, spec.config.max_queued_requests],
        },
        ray_actor_options=_actor_options(spec),
        max_surge_percent=_MAX_SURGE_PERCENT,
        health_check_period_s=10,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=30,
        graceful_shutdown_wait_loop_s=1,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    set_code_version(deployment, spec.code_version)
    version = VersionSpec(
        model_name=spec.model_name,
        version=spec.version,
        model_uri=spec.model_uri,
        mlflow_url=spec.mlflow_url,
        max_body_bytes=spec.max_body_bytes,
        files=None if spec.files is None else dict(spec.files),
        counters_dir=spec.counters_dir,
        sketches_dir=spec.sketches_dir,
        worked_on_dir=spec.worked_on_dir,
    )
    return deployment.bind(asdict(version), spec.ingress_token, dict(spec.config.environment))


def _log_where_serve_does() -> None:
    """Write the replica's log lines to Serve's log of it."""
    serves = logging.getLogger("ray.serve")
    for name in ("serve_apps", "raylift"):
        ours = logging.getLogger(name)
        ours.handlers = serves.handlers
        ours.setLevel(serves.level)
        ours.propagate = False


def _autoscaling(spec: ReplicaSpec) -> AutoscalingConfig:
    with warnings.catch_warnings():
        # A later Ray moves metrics_interval_s to an environment variable of the whole cluster.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=spec.config.min_replicas,
            max_replicas=max(spec.config.max_replicas, spec.config.min_replicas, 1),
            initial_replicas=spec.initial_replicas,
            target_ongoing_requests=spec.config.target_ongoing_requests,
            upscale_delay_s=spec.upscale_delay_seconds,
            downscale_delay_s=spec.downscale_delay_seconds,
            downscale_to_zero_delay_s=spec.downscale_delay_seconds,
            metrics_interval_s=_METRICS_INTERVAL_SECONDS,
            look_back_period_s=_LOOK_BACK_SECONDS,
        )


def _actor_options(spec: ReplicaSpec) -> dict[str, Any]:
    options: dict[str, Any] = {"num_cpus": spec.config.cpus, "runtime_env": dict(spec.runtime_env)}
    if spec.config.memory_bytes is not None:
        options["memory"] = spec.config.memory_bytes
    if spec.config.gpus:
        options["num_gpus"] = spec.config.gpus
    if spec.node_labels:
        options["label_selector"] = dict(spec.node_labels)
    return options
