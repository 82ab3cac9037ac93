"""Ray Serve application of a model version."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import Batching
from raylift.domain.models.replica import ObserverConfig, ReplicaSpec
from raylift.ingress.access_token import only_from_ingress
from raylift.ray_internals.serve_replica import ServeQueue, keep_internal_server_on_loopback, set_code_version
from serve_apps.model_server.ray.confinement_check import require_confinement
from serve_apps.model_server.ray.environment_check import require_environment

DEPLOYMENT_NAME: Final = "model"

_METRICS_INTERVAL_SECONDS: Final = 1.0
# With Serve's defaults of 10 and 30 seconds each scaling decision would come that much later.
_LOOK_BACK_SECONDS: Final = 3.0
_RETRY_AFTER_SECONDS: Final = 1
# Percent of the replicas. If new processes are needed, the old ones end when the new ones answer. With Serve's default of 0 the
# only replica of a version would end first.
_MAX_SURGE_PERCENT: Final = 100


@serve.ingress()
class ModelReplica:
    """Loads a model version, then answers for it as a plain ASGI application without a framework."""

    async def __init__(
        self,
        model_name: str,
        version: str,
        model_uri: str,
        mlflow_url: str,
        max_body_bytes: int,
        ingress_token: str | None = None,
        worked_on_dir: str | None = None,
        counters_dir: str | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        files: Mapping[str, str] | None = None,
    ) -> None:
        require_confinement()
        # Before the model's libraries are imported: they read their variables at import.
        os.environ.update(environment)  # noqa: TID251 - the process belongs to the model
        keep_internal_server_on_loopback()
        require_environment(ray.get_runtime_context().runtime_env, platform.node())
        # Imported here: processes that only build applications do not need NumPy, pandas and MLflow.
        from serve_apps.model_server.loading.loader import load_model
        from serve_apps.model_server.observability.observer import Observer
        from serve_apps.model_server.server.asgi import ReplicaApp
        from serve_apps.model_server.server.poison_requests import refuse_poison_requests

        self._ingress_token = ingress_token
        _log_where_serve_does()
        # In a thread: Serve's control plane may use this loop, and loading may take a minute.
        observer = self._observer = Observer(model_name, version, ProcessKind.REPLICA, counters_dir)
        model = await asyncio.to_thread(observer.loading, load_model, model_name, version, model_uri, mlflow_url, files)
        self._replica_app = await asyncio.to_thread(ReplicaApp, model, max_body_bytes, observer=observer)
        in_serve, in_app = ServeQueue(), self._replica_app
        observer.sample(lambda: in_serve.held() + in_app.queued())
        self._asgi = refuse_poison_requests(self._replica_app, model_name, version, worked_on_dir)

    @property
    def replica_app(self) -> Any:
        """The application that answers, for requests that bypass Serve (ray_internals/serve_bypass.py)."""
        return self._replica_app

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Apply settings that change without a new process. Serve calls it after the constructor and when they change."""
        batching = user_config["batching"]
        self._replica_app.set_batching(Batching(**batching) if batching else None)
        self._observer.configure(ObserverConfig.of(user_config["observer"]))

    def __del__(self) -> None:
        """Write what is buffered. Serve calls it when it ends a replica in order."""
        if hasattr(self, "_observer"):
            self._observer.close()

    def __serve_build_asgi_app__(self) -> Any:
        return only_from_ingress(self._asgi, self._ingress_token)


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
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=_RETRY_AFTER_SECONDS),
        user_config={
            "batching": asdict(spec.config.batching) if spec.config.batching else None,
            "observer": spec.observer.as_json(),
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
    return deployment.bind(
        spec.model_name,
        spec.version,
        spec.model_uri,
        spec.mlflow_url,
        spec.max_body_bytes,
        spec.ingress_token,
        spec.worked_on_dir,
        spec.counters_dir,
        dict(spec.config.environment),
        None if spec.files is None else dict(spec.files),
    )


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
    return options
