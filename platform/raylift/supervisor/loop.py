"""The supervisor's loop: hold the lease, look, plan, act. All it knows is in the store; it may be killed at any point."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from raylift.domain.deployment import Deployment, DeploymentStatus
from raylift.domain.errors import EngineUnavailable, JobNotFound, StaleJob, StaleLease
from raylift.domain.job import Job, JobState, QueuedJob, Resources
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.engines.ray.cluster import Cluster
from raylift.engines.ray.serve import RayServe
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.deployments.alias_sync import AliasSync
from raylift.supervisor.deployments.execute import DeploymentExecutor
from raylift.supervisor.deployments.plan import DeploymentAction, LoadCheck, plan_deployments
from raylift.supervisor.deployments.publish_routes import RoutePublisher
from raylift.supervisor.deployments.registry_sync import RegistrySync
from raylift.supervisor.housekeeping.retention import Retention
from raylift.supervisor.jobs.admission import Decision, admit
from raylift.supervisor.jobs.adopt_ray_jobs import Adoption
from raylift.supervisor.jobs.execute import JobExecutor
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.plan import JobAction, Register, plan_job
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot, RayView, attempt_seen
from raylift.supervisor.serial_tasks import SerialTaskRunner
from raylift.supervisor.store_view import StoreView
from raylift.supervisor.sweeps.execute import SweepExecutor
from raylift.supervisor.tick_timer import TickTimer

log = logging.getLogger(__name__)

_ON_THEIR_WAY: Final = frozenset({JobState.ENVIRONMENT, JobState.STARTING})
"""States of a job that waits for Ray to start its script."""
_NODES_SECONDS: Final = 1.0
"""How old the list of nodes may be while jobs wait."""
_SERVE_SECONDS: Final = 0.5
"""Pause between two looks at Ray Serve while something changes there."""
_SERVE_IDLE_SECONDS: Final = 2.0
"""The same while nothing does."""
_RECORDS_LANE: Final = "Ray's records of what is over"
_EMPTY_SWEEPS_LANE: Final = "empty sweeps"
_EMPTY_SWEEPS_SECONDS: Final = 60.0
"""Pause between two looks for sweeps whose jobs were all deleted."""
_WORKERS: Final = 8
_MLFLOW_WORKERS: Final = 8
"""Threads of their own for what asks MLflow: while it hangs, jobs are stopped, started and watched all the same."""
_SERVE_LANE: Final = "serve"
_REGISTRY_LANE: Final = "registry"
_ROUTED_ALIASES_LANE: Final = "aliases that traffic tables name"
_ROUTED_ALIASES_SECONDS: Final = 1.0
_ALL_ALIASES_LANE: Final = "all aliases"
_ALL_ALIASES_SECONDS: Final = 15.0
"""Pause between two looks at the aliases of all models: MLflow lists every model for it."""
_RETENTION_LANE: Final = "retention"
_RETENTION_SECONDS: Final = 300.0
"""Pause between two looks for what is old."""


class Supervisor:
    """One supervisor. Any number may run; the lease lets one act."""

    def __init__(
        self,
        settings: PlatformSettings,
        *,
        holder: str,
        store: Store,
        cluster: Cluster,
        serve: RayServe,
        ray_view: RayView,
        jobs: JobExecutor,
        placement: Placement,
        sweeps: SweepExecutor,
        deployments: DeploymentExecutor,
        name_routes: RoutePublisher,
        adoption: Adoption,
        registry_sync: RegistrySync,
        alias_watch: AliasSync,
        retention: Retention,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._holder = holder
        self._store = store
        self._cluster = cluster
        self._serve = serve
        self._ray_view = ray_view
        self._jobs = jobs
        self._placement = placement
        self._sweeps = sweeps
        self._deployments = deployments
        self._name_routes = name_routes
        self._adoption = adoption
        self._registry_sync = registry_sync
        self._alias_watch = alias_watch
        self._retention = retention
        self._clock = clock
        self._monotonic = monotonic
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="supervisor")
        self._mlflow_pool = ThreadPoolExecutor(_MLFLOW_WORKERS, thread_name_prefix="supervisor-mlflow")
        self._tasks = SerialTaskRunner(self._pool.submit, monotonic)
        self._lease: Lease | None = None
        self._view = StoreView(store)
        self._timer = TickTimer(settings.supervisor.tick_seconds, self._view.was_written_to, monotonic)
        self._nodes: dict[str, Resources] = {}
        self._nodes_read_at = float("-inf")
        self._reserved_for: str | None = None
        self._adopted_from: RaySnapshot | None = None
        self._deployments_due = True
        self._deployments_seen_at = float("-inf")
        self._settled: list[Deployment] | None = None
        """The deployments, where the last look at Ray Serve left nothing to do."""
        self._serve_seen_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set. A tick that fails is logged and the next one tries again."""
        while not stop.is_set():
            try:
                self._timer.wait(stop)
                self.tick()
            except (StaleLease, EngineUnavailable) as error:
                log.warning("%s", error)
            except Exception:
                # Whatever it was: jobs that run must still be watched.
                log.exception("a tick failed")
        if self._lease is not None:
            self._store.leases.release(self._lease)
        self._pool.shutdown(wait=False)
        self._mlflow_pool.shutdown(wait=False)

    def tick(self) -> None:
        """One look at everything. Slow work goes to the pool, one piece at a time per job."""
        lease = self._hold_lease()
        if lease is None:
            return
        nodes_are_old = self._monotonic() - self._nodes_read_at >= _NODES_SECONDS
        changed = self._view.refresh(list(self._nodes.values()), again=nodes_are_old and self._view.somebody_waits)
        self._timer.found(news=changed)
        # Each by itself: jobs that run are watched also while nobody knows what the nodes have, and the other way round.
        self._try(self._watch, lease)
        if changed or self._view.cancelled:
            self._try(self._admit, lease)
        ask_mlflow = self._mlflow_pool.submit
        for sweep in self._view.sweeps:
            self._tasks.run(sweep.sweep_id, lambda sweep=sweep: self._sweeps.attend(lease, sweep.sweep_id), submit=ask_mlflow)
        self._tasks.run_every(_EMPTY_SWEEPS_LANE, _EMPTY_SWEEPS_SECONDS, self._store.sweeps.forget_empty)
        self._look_at_deployments(lease, changed=changed)
        watch = self._alias_watch
        self._tasks.run_every(_ROUTED_ALIASES_LANE, _ROUTED_ALIASES_SECONDS, watch.look_at_routed, submit=ask_mlflow)
        self._tasks.run_every(_ALL_ALIASES_LANE, _ALL_ALIASES_SECONDS, watch.look_at_all, submit=ask_mlflow)
        if self._settings.serving.deploy_registered_versions:
            pause = self._settings.supervisor.registry_sync_seconds
            self._tasks.run_every(_REGISTRY_LANE, pause, lambda: self._registry_sync.look(lease), submit=ask_mlflow)
        self._tasks.run_every(_RETENTION_LANE, _RETENTION_SECONDS, self._retention.look)

    def _try(self, part: Callable[[Lease], None], lease: Lease) -> None:
        try:
            part(lease)
        except EngineUnavailable as error:
            log.warning("%s", error)
        except StaleLease:
            raise
        except Exception:
            log.exception("a part of a tick failed")

    def _hold_lease(self) -> Lease | None:
        now, seconds = self._clock(), self._settings.supervisor.lease_seconds
        # One that has longer than it was taken for was taken before the clock was put back.
        if self._lease is not None and seconds / 2 < (self._lease.expires_at - now).total_seconds() <= seconds:
            return self._lease
        held = self._lease
        self._lease = self._store.leases.acquire(SUPERVISOR, self._holder, now=now, seconds=seconds)
        if self._lease is not None and held is None:
            log.info("%s holds the lease, token %d", self._holder, self._lease.token)
        return self._lease

    def _admit(self, lease: Lease) -> None:
        view, settings = self._view, self._settings
        for job in view.cancelled:
            self._tasks.run(job.job_id, lambda job=job: self._step(job.job_id, lambda: self._jobs.cancel_waiting(lease, job)))
        places = self._placement.places(view.active, self._ray_view.last)
        if not view.somebody_waits:
            self._reserved_for = None
            self._placement.follow(places, Decision(), self._nodes)
            return
        if self._monotonic() - self._nodes_read_at >= _NODES_SECONDS:
            self._nodes, self._nodes_read_at = self._nodes_for_jobs(), self._monotonic()
        decision = admit(
            view.waiting,
            view.active,
            self._nodes,
            quota_of=settings.jobs.quotas.of,
            places=places,
            reserved_for=self._reserved_for,
            starting=sum(1 for job in view.active if job.state in _ON_THEIR_WAY),
            max_starting=settings.supervisor.max_starting,
            behind=view.behind,
        )
        self._reserved_for = decision.reserved_for
        self._placement.follow(places, decision, self._nodes)
        for job in decision.admitted:
            self._tasks.run(job.job_id, lambda job=job: self._step(job.job_id, lambda: self._let_go(lease, job)))

    def _let_go(self, lease: Lease, waiting: QueuedJob) -> None:
        job = self._store.jobs.get(waiting.job_id)
        if job.state is JobState.QUEUED:
            self._jobs.admit(lease, job)

    def _nodes_for_jobs(self) -> dict[str, Resources]:
        """What the nodes have for jobs; nothing while the store cannot be reached from all of them."""
        nodes = self._cluster.nodes()
        if len(nodes) > 1 and not self._store.supports_many_nodes:
            log.error(
                "the cluster has %d nodes and the store is SQLite, which only one node can reach: no job is started. "
                "Set RAYLIFT_DATABASE_URL to a PostgreSQL database, or remove the other nodes.",
                len(nodes),
            )
            return {}
        return {node.node_id: Resources(node.cpus, node.memory_bytes, node.gpus) for node in nodes}

    def _watch(self, lease: Lease) -> None:
        active = self._view.active
        snapshot = self._ray_view.snapshot(at_work=bool(active))
        now = self._clock()
        for job in active:
            if self._tasks.busy(job.job_id):
                continue
            action = self._next_step(job, snapshot, now)
            if action is not None:
                self._tasks.run(
                    job.job_id,
                    lambda job=job, action=action: self._step(job.job_id, lambda: self._jobs.execute(lease, job, action)),
                    submit=self._mlflow_pool.submit if isinstance(action, Register) else None,
                )
        if snapshot is not self._adopted_from:
            in_flight = {job.submission_id for job in active if job.submission_id}
            if snapshot.answers:
                self._adoption.look(snapshot, in_flight)
                if self._adoption.has_much_to_forget(others_start=any(job.state in _ON_THEIR_WAY for job in active)):
                    self._tasks.run(_RECORDS_LANE, self._adoption.forget)
            self._adopted_from = snapshot

    def _next_step(self, job: Job, snapshot: RaySnapshot, now: datetime) -> JobAction | None:
        try:
            return plan_job(job, attempt_seen(job, snapshot, self._settings), now, self._settings.jobs)
        except Exception:
            # Its script may have left what nobody thought of. All others are to be watched all the same.
            log.exception("%s: what to do about it cannot be told", job.job_id)
            return None

    def _step(self, job_id: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (StaleJob, JobNotFound) as error:
            log.debug("%s", error)  # It moved on after this look at it; the next one sees where.
        finally:
            # What Ray was seen to know of it may be of before.
            self._ray_view.touch(job_id)

    def _look_at_deployments(self, lease: Lease, *, changed: bool) -> None:
        """Twice a second while versions come or go; every two seconds, or when something was written, while none does."""
        self._deployments_due |= changed
        waited = self._monotonic() - self._deployments_seen_at
        if not self._deployments_due and waited < _SERVE_IDLE_SECONDS:
            return
        if self._tasks.run_every(_SERVE_LANE, _SERVE_SECONDS, lambda: self._reconcile_deployments(lease)):
            self._deployments_due, self._deployments_seen_at = False, self._monotonic()

    def _reconcile_deployments(self, lease: Lease) -> None:
        rows = self._store.deployments.list()
        actions = self._planned(rows)
        for action in actions:
            if isinstance(action, LoadCheck):
                name = f"load check {action.deployment.model_name} {action.deployment.version}"
                self._tasks.run(name, lambda row=action.deployment: self._deployments.load_check(lease, row))
        self._deployments.execute(lease, self._name_routes.before(actions, rows))

    def _planned(self, rows: list[Deployment]) -> list[DeploymentAction]:
        """What is to be done. While the rows stay as they were, and nothing was, Ray Serve is not asked each time.

        What it says takes it, and us to read, milliseconds for each application; most of what is written is of jobs.
        """
        if rows == self._settled and self._monotonic() - self._serve_seen_at < _SERVE_IDLE_SECONDS:
            return []
        self._serve_seen_at = self._monotonic()
        seen = self._serve.observe()
        serving = self._settings.serving
        warm = serving.warm_models > 0
        actions = plan_deployments(rows, seen, self._clock(), max_starting=serving.max_starting, warm=warm)
        settled = not actions and not any(row.wanted and row.status is DeploymentStatus.STARTING for row in rows)
        self._settled = rows if settled else None
        self._deployments_due |= not settled
        return actions
