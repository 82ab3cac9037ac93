"""The supervisor as a detached Ray actor: a thin shell around the loop."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import ray

from raylift.domain.listing import listed
from raylift.engines.mlflow_engine.client import CLIENT_ENVIRONMENT
from raylift.settings import MAX_STANDBYS, AuthMode, PlatformSettings

NAMESPACE: Final = "raylift"
_ALL_NAMES: Final = ("supervisor", *(f"supervisor-standby-{number}" for number in range(1, MAX_STANDBYS + 1)))
_RESTART_PAUSE_SECONDS: Final = 2.0
_END_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.2

_ENVIRONMENT: Final = {
    **CLIENT_ENVIRONMENT,
    # MLflow's client would repeat a registration whose answer was lost. The supervisor first checks whether it was made.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}


class SupervisorActor:
    """Runs the loop in its own thread, so that the actor answers meanwhile."""

    def __init__(self, settings_json: str) -> None:
        _log_to_stderr()
        try:
            supervisor = _assemble(PlatformSettings.model_validate_json(settings_json))
        except Exception:
            # Ray never restarts an actor whose constructor raises. Right for the first start only: the caller gets the error.
            if not ray.get_runtime_context().was_current_actor_reconstructed:
                raise
            logging.getLogger(__name__).exception("cannot restart; the next try follows")
            time.sleep(_RESTART_PAUSE_SECONDS)
            os._exit(1)
        threading.Thread(target=_run_to_the_end, args=(supervisor,), name="loop", daemon=True).start()

    def pid(self) -> int:
        """Return the actor's process id. The call waits for the constructor."""
        return os.getpid()


def ensure_supervisor(settings: PlatformSettings) -> int:
    """Start the supervisor and its standbys unless they run, wait until they are up, and return the first one's pid.

    Needs a connection to Ray.

    Raises:
        RuntimeError: one cannot start.
    """
    actors = [_begin(name, settings) for name in _names(settings)]
    pids: list[int] = ray.get([actor.pid.remote() for actor in actors], timeout=120)
    return pids[0]


def replace_supervisor(settings: PlatformSettings) -> int:
    """End the supervisors of a former start, which Ray has begun again with their former settings, and start new ones.

    Raises:
        RuntimeError: a former one does not end, or a new one cannot start.
    """
    deadline = time.monotonic() + _END_SECONDS
    while former := {name: actor for name in _ALL_NAMES if (actor := _find(name)) is not None}:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{listed(list(former))} of the start before did not end within {_END_SECONDS:g} s.")
        for actor in former.values():
            ray.kill(actor, no_restart=True)
        time.sleep(_PAUSE_SECONDS)
    return ensure_supervisor(settings)


def revive_supervisor(settings: PlatformSettings) -> bool:
    """Start the supervisors that do not exist; one that Ray restarts exists. Returns True if one was gone.

    Raises:
        RuntimeError: one cannot start.
    """
    if all(_find(name) is not None for name in _names(settings)):
        return False
    ensure_supervisor(settings)
    return True


def _names(settings: PlatformSettings) -> Sequence[str]:
    return _ALL_NAMES[: 1 + settings.supervisor.standbys]


def _begin(name: str, settings: PlatformSettings) -> Any:
    options: dict[str, Any] = {
        "name": name,
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 3,
        "max_concurrency": 4,
        "runtime_env": {"env_vars": _ENVIRONMENT},
    }
    return ray.remote(SupervisorActor).options(**options, **settings.control_options).remote(settings.model_dump_json())


def _find(name: str) -> Any:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _assemble(settings: PlatformSettings) -> Any:
    """Wire the loop to the real engines."""
    # Imported here: drivers unpickle the actor's class and need none of this.
    from raylift.engines.gateway_client import GatewayClient
    from raylift.engines.metrics.sketch_settings import sketches_directory
    from raylift.engines.mlflow_engine.credentials import use_credential
    from raylift.engines.mlflow_engine.live_jobs import FILE as LIVE_JOBS_FILE
    from raylift.engines.mlflow_engine.live_jobs import LiveJobs
    from raylift.engines.mlflow_engine.registry import Registry
    from raylift.engines.mlflow_engine.sweep_runs import SweepRuns
    from raylift.engines.mlflow_engine.tracking import Tracking
    from raylift.engines.ray_engine.autoscaler import Autoscaler
    from raylift.engines.ray_engine.cluster import Cluster
    from raylift.engines.ray_engine.groups import PlacementGroups
    from raylift.engines.ray_engine.jobs import RayJobs
    from raylift.engines.ray_engine.serve import RayServe
    from raylift.engines.webhooks.http_sender import HttpSender
    from raylift.engines.webhooks.outlet import Outlet
    from raylift.ingress.route_map import NAMES_FILE, IngressMap
    from raylift.ingress.tls import CertificateReload
    from raylift.services.batches.specs import BatchSpecs
    from raylift.services.models.quality import QualityService
    from raylift.services.rollouts.rollouts import RolloutService
    from raylift.services.schedules.jobs import ScheduledJobs
    from raylift.services.secrets import SecretService
    from raylift.services.traffic.tables import TrafficService
    from raylift.store import open_store
    from raylift.supervisor.deployments.alias_sync import AliasSync
    from raylift.supervisor.deployments.execute import DeploymentExecutor
    from raylift.supervisor.deployments.publish_routes import RoutePublisher
    from raylift.supervisor.deployments.reconcile import DeploymentReconciler
    from raylift.supervisor.deployments.record_series import SeriesRecorder
    from raylift.supervisor.deployments.registry_sync import RegistrySync
    from raylift.supervisor.deployments.scans import ModelScans
    from raylift.supervisor.deployments.schema_tag import SchemaTag
    from raylift.supervisor.housekeeping.publish_live_jobs import LiveJobsPublisher
    from raylift.supervisor.housekeeping.retention import Retention
    from raylift.supervisor.jobs.adopt_ray_jobs import Adoption
    from raylift.supervisor.jobs.execute import JobExecutor
    from raylift.supervisor.jobs.gangs import Gangs
    from raylift.supervisor.jobs.placement import Placement
    from raylift.supervisor.jobs.preparation import Preparation
    from raylift.supervisor.jobs.ray_snapshot import RayView
    from raylift.supervisor.jobs.start_jobs import JobStarter
    from raylift.supervisor.jobs.watch_jobs import JobTasks, JobWatcher
    from raylift.supervisor.loop import Subjects, Supervisor
    from raylift.supervisor.monitors.quality_watch import QualityWatch
    from raylift.supervisor.monitors.watch import MonitorWatch
    from raylift.supervisor.nodes.requests import NodeRequests
    from raylift.supervisor.order.release import JobReleases
    from raylift.supervisor.periodic import periodic_tasks
    from raylift.supervisor.rollouts.execute import RolloutExecutor
    from raylift.supervisor.rollouts.gates import GateExecutor
    from raylift.supervisor.schedules.execute import ScheduleExecutor
    from raylift.supervisor.serial_tasks import TaskThreads
    from raylift.supervisor.store_view import StoreView
    from raylift.supervisor.sweeps.execute import SweepExecutor
    from raylift.supervisor.webhooks.deliver import WebhookDeliverer
    from serve_apps.model_server.ray.app import build

    use_credential(settings.mlflow_secret)
    store, monotonic = open_store(settings), time.monotonic
    ray_jobs = RayJobs(settings.ray_dashboard_url, settings.ray_token_file, node_labels=settings.node_labels)
    serve = RayServe(settings, build, store.workspaces.of_model)
    tracking, registry = Tracking(settings.mlflow_url), Registry(settings.mlflow_url, store.workspaces)
    cluster = Cluster(settings.supervisor.serving_reserve_cpus, settings.cluster.label if settings.cluster else None)
    token, tls = settings.ingress.token if settings.ingress else None, settings.gateway.tls
    gateway_client = GatewayClient(settings.gateway_url, ingress_token=token)

    nodes = _node_upkeep(settings, cluster)
    open_map = nodes.open_map if nodes else IngressMap
    view, ray_view, placement = StoreView(store), RayView(ray_jobs, monotonic), Placement()
    threads = TaskThreads()
    tasks = threads.runner(monotonic)
    job_tasks = JobTasks(tasks, ray_view)
    gangs = Gangs(settings, store, PlacementGroups(), placement)
    preparation = Preparation(
        settings.environments_dir, settings.environments, lambda: any(node.gpus for node in cluster.nodes())
    )
    jobs = JobExecutor(settings, store, ray_jobs, tracking, registry, _now, placement, preparation, gangs)
    adoption = Adoption(settings, store, ray_jobs, _now)
    deployments = DeploymentReconciler(
        settings.serving,
        store,
        serve,
        DeploymentExecutor(store, serve, gateway_client, registry, SchemaTag(gateway_client, registry), _now),
        RoutePublisher(store, open_map(settings.ingress.directory, NAMES_FILE) if settings.ingress else None),
        tasks,
        ModelScans(settings.reports, settings.mlflow_url, store, _now),
        clock=_now,
        monotonic=monotonic,
    )
    traffic, quality = TrafficService(store, registry), QualityService(store, registry, settings.payloads_dir)
    subjects = Subjects(
        starter=JobStarter(
            settings,
            store,
            cluster,
            view,
            ray_view,
            jobs,
            JobReleases(store, settings, _now),
            placement,
            gangs,
            job_tasks,
            monotonic,
        ),
        watcher=JobWatcher(settings, view, ray_view, jobs, adoption, job_tasks, _now),
        sweeps=SweepExecutor(settings, store, SweepRuns(settings.mlflow_url), tracking, registry, _now),
        deployments=deployments,
        periodic=periodic_tasks(
            settings,
            store,
            deployments=deployments,
            aliases=AliasSync(store, registry, _now),
            registry=RegistrySync(settings, store, registry, tracking, _now),
            retention=Retention(settings, store, _now),
            rollouts=RolloutExecutor(store, traffic, quality, settings.counters_dir, _now),
            schedules=ScheduleExecutor(
                store,
                ScheduledJobs(store, settings, SecretService(store), BatchSpecs(store, registry, settings).renewed),
                _now,
            ),
            gates=GateExecutor(store, registry, traffic, RolloutService(store, registry, traffic), _now),
            webhooks=WebhookDeliverer(
                store,
                settings.webhooks,
                Outlet(settings.webhooks, HttpSender(settings.webhooks)).send,
                submit=threads.submit_delivery,
                clock=_now,
                monotonic=monotonic,
            ),
            series=SeriesRecorder(settings.counters_dir, store, _now),
            keys=_key_publisher(settings, store, open_map),
            nodes=nodes,
            monitors=MonitorWatch(store, registry, sketches_directory(settings.state_dir), _now),
            quality=QualityWatch(store, quality, settings.counters_dir, _now, settings.observability.payload_file_seconds),
            live_jobs=LiveJobsPublisher(store, LiveJobs(settings.state_dir / "mlflow" / LIVE_JOBS_FILE), _now)
            if settings.mlflow_secret
            else None,
            certificate=CertificateReload(settings.ingress.directory, tls.cert, tls.key)
            if settings.ingress and tls.cert
            else None,
            gangs=gangs,
            node_requests=NodeRequests(settings, store, view, Autoscaler()) if settings.node_types else None,
        ),
    )
    return Supervisor(
        settings.supervisor,
        holder=f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
        store=store,
        view=view,
        subjects=subjects,
        tasks=tasks,
        clock=_now,
        monotonic=monotonic,
    )


def _node_upkeep(settings: PlatformSettings, cluster: Any) -> Any:
    """Return what looks after joined nodes; None where no machine may join."""
    from raylift.engines.node_agent import NodeDirectories
    from raylift.engines.ray_engine.node_agents import NodeAgents
    from raylift.ingress.keys import KEY_FILES
    from raylift.ingress.route_map import NAMES_FILE
    from raylift.ingress.tls import pem_file
    from raylift.supervisor.nodes.agents import NodeUpkeep

    if settings.cluster is None or settings.ingress is None:
        return None
    haproxy = settings.ingress.directory
    return NodeUpkeep(
        cluster.all_nodes,
        NodeAgents(NodeDirectories(haproxy.parent, settings.counters_dir, settings.payloads_dir)),
        counters_dir=settings.counters_dir,
        payloads_dir=settings.payloads_dir,
        map_files={NAMES_FILE, *(KEY_FILES if settings.auth is AuthMode.KEYS else ())},
        certificate=pem_file(haproxy) if settings.gateway.tls.cert else None,
    )


def _key_publisher(settings: PlatformSettings, store: Any, open_map: Any) -> Any:
    from raylift.ingress.keys import KeyMaps
    from raylift.supervisor.housekeeping.publish_keys import KeyPublisher

    if settings.auth is not AuthMode.KEYS or settings.ingress is None:
        return None
    return KeyPublisher(store, KeyMaps(settings.ingress.directory, open_map), _now)


def _run_to_the_end(supervisor: Any) -> None:
    try:
        supervisor.run(threading.Event())
    finally:
        # Without its loop the actor would look alive: end the process, and Ray starts a new one.
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
