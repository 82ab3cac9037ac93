"""The supervisor as a detached Ray actor: a thin shell around the loop."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

import ray

from raylift.engines.mlflow.client import CLIENT_ENVIRONMENT
from raylift.settings import PlatformSettings

NAMESPACE: Final = "raylift"
NAME: Final = "supervisor"
_RESTART_PAUSE_SECONDS: Final = 2.0

_ENVIRONMENT: Final = {
    **CLIENT_ENVIRONMENT,
    # MLflow's client would repeat a registration whose answer was lost. The supervisor looks first whether it was carried out.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}


class SupervisorActor:
    """Runs the loop in a thread of its own, so that the actor answers while the loop works."""

    def __init__(self, settings_json: str) -> None:
        _log_to_stderr()
        try:
            supervisor = _assemble(PlatformSettings.model_validate_json(settings_json))
        except Exception:
            # Ray gives an actor up for good when its constructor raises. Right for the first start, whose caller is told.
            if not ray.get_runtime_context().was_current_actor_reconstructed:
                raise
            logging.getLogger(__name__).exception("cannot start again; another try follows")
            time.sleep(_RESTART_PAUSE_SECONDS)
            os._exit(1)
        threading.Thread(target=_run_to_the_end, args=(supervisor,), name="loop", daemon=True).start()

    def pid(self) -> int:
        """The process of the actor; also a sign that its constructor is done."""
        return os.getpid()


def ensure_supervisor(settings: PlatformSettings) -> int:
    """Start the supervisor unless it runs, wait until it works, and return its pid. Call it connected to Ray.

    Raises:
        RuntimeError: it cannot start; the message says why.
    """
    actor: Any = (
        ray.remote(SupervisorActor)
        .options(
            name=NAME,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=3,
            max_concurrency=4,
            runtime_env={"env_vars": _ENVIRONMENT},
        )
        .remote(settings.model_dump_json())
    )
    pid: int = ray.get(actor.pid.remote(), timeout=120)
    return pid


def _assemble(settings: PlatformSettings) -> Any:
    """Wire the loop to the real engines."""
    # Imported here: the actor's class is unpickled in drivers that need none of this.
    from raylift.engines.gateway_client import GatewayClient
    from raylift.engines.mlflow.registry import Registry
    from raylift.engines.mlflow.sweep_runs import SweepRuns
    from raylift.engines.mlflow.tracking import Tracking
    from raylift.engines.ray.cluster import Cluster
    from raylift.engines.ray.jobs import RayJobs
    from raylift.engines.ray.serve import RayServe
    from raylift.ingress.route_map import IngressMap
    from raylift.store import Store
    from raylift.supervisor.deployments.alias_sync import AliasSync
    from raylift.supervisor.deployments.execute import DeploymentExecutor
    from raylift.supervisor.deployments.publish_routes import RoutePublisher
    from raylift.supervisor.deployments.registry_sync import RegistrySync
    from raylift.supervisor.deployments.schema_tag import SchemaTag
    from raylift.supervisor.housekeeping.retention import Retention
    from raylift.supervisor.jobs.adopt_ray_jobs import Adoption
    from raylift.supervisor.jobs.execute import JobExecutor
    from raylift.supervisor.jobs.placement import Placement
    from raylift.supervisor.jobs.preparation import Preparation
    from raylift.supervisor.jobs.ray_snapshot import RayView
    from raylift.supervisor.loop import Supervisor
    from raylift.supervisor.sweeps.execute import SweepExecutor
    from serve_apps.model_server.ray.app import build

    store = Store.open(settings.database_url)
    ray_jobs = RayJobs(settings.ray_dashboard_url)
    tracking, registry = Tracking(settings.mlflow_url), Registry(settings.mlflow_url)
    serve, placement = RayServe(settings, build), Placement()
    cluster = Cluster(settings.supervisor.serving_reserve_cpus)
    preparation = Preparation(
        settings.environments_dir, settings.environments, lambda: any(node.gpus for node in cluster.nodes())
    )
    gateway_client = GatewayClient(settings.gateway_url)
    return Supervisor(
        settings,
        holder=f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
        store=store,
        cluster=cluster,
        serve=serve,
        ray_view=RayView(ray_jobs, time.monotonic),
        jobs=JobExecutor(settings, store, ray_jobs, tracking, registry, _now, placement, preparation),
        placement=placement,
        sweeps=SweepExecutor(settings, store, SweepRuns(settings.mlflow_url), tracking, registry, _now),
        deployments=DeploymentExecutor(store, serve, gateway_client, SchemaTag(gateway_client, registry), _now),
        name_routes=RoutePublisher(store, IngressMap(settings.ingress.directory) if settings.ingress else None),
        adoption=Adoption(settings, store, ray_jobs, _now),
        registry_sync=RegistrySync(settings, store, registry, tracking, _now),
        alias_watch=AliasSync(store, registry, _now),
        retention=Retention(settings, store, _now),
        clock=_now,
        monotonic=time.monotonic,
    )


def _run_to_the_end(supervisor: Any) -> None:
    try:
        supervisor.run(threading.Event())
    finally:
        # An actor whose loop has died would look alive: end the process, and Ray starts a new one.
        os._exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("raylift")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
