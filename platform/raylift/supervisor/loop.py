"""The supervisor's loop: hold the lease, look, plan, act. All it knows is in the store; it may be killed at any point."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from raylift.domain.errors import EngineUnavailable, StaleJob, StaleLease
from raylift.domain.job import ACTIVE_STATES, Job, JobState, Resources
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.engines.ray_cluster import Cluster
from raylift.engines.ray_serve import RayServe
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.admission import admit
from raylift.supervisor.adoption import Adoption
from raylift.supervisor.execute_deployments import DeploymentExecutor
from raylift.supervisor.execute_jobs import JobExecutor
from raylift.supervisor.lanes import Lanes
from raylift.supervisor.observe import RayView, attempt_seen
from raylift.supervisor.plan_deployments import plan_deployments
from raylift.supervisor.plan_jobs import plan_job
from raylift.supervisor.registry_sync import RegistrySync
from raylift.supervisor.retention import Retention

log = logging.getLogger(__name__)

_ADMISSION_WINDOW: Final = 200
"""Waiting jobs looked at each time, the most deserving first."""
_SERVE_SECONDS: Final = 0.5
"""Pause between two looks at Ray Serve."""
_WORKERS: Final = 8
_SERVE_LANE: Final = "serve"
_REGISTRY_LANE: Final = "registry"
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
        deployments: DeploymentExecutor,
        adoption: Adoption,
        registry_sync: RegistrySync,
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
        self._deployments = deployments
        self._adoption = adoption
        self._registry_sync = registry_sync
        self._retention = retention
        self._clock = clock
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="supervisor")
        self._lanes = Lanes(self._pool.submit, monotonic)
        self._lease: Lease | None = None

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set. A tick that fails is logged and the next one tries again."""
        while not stop.wait(self._settings.supervisor.tick_seconds):
            try:
                self.tick()
            except (StaleLease, EngineUnavailable) as error:
                log.warning("%s", error)
            except Exception:
                # Whatever it was: jobs that run must still be watched.
                log.exception("a tick failed")
        if self._lease is not None:
            self._store.leases.release(self._lease)
        self._pool.shutdown(wait=False)

    def tick(self) -> None:
        """One look at everything. Slow work goes to the pool, one piece at a time per job."""
        lease = self._hold_lease()
        if lease is None:
            return
        active = self._store.jobs.in_states(ACTIVE_STATES)
        # Each by itself: jobs that run are watched also while nobody knows what the nodes have, and the other way round.
        for part in (self._watch, self._admit):
            self._try(part, lease, active)
        self._lanes.run_every(_SERVE_LANE, _SERVE_SECONDS, lambda: self._reconcile_deployments(lease))
        if self._settings.serving.deploy_registered_versions:
            pause = self._settings.supervisor.registry_sync_seconds
            self._lanes.run_every(_REGISTRY_LANE, pause, lambda: self._registry_sync.look(lease))
        self._lanes.run_every(_RETENTION_LANE, _RETENTION_SECONDS, self._retention.look)

    def _try(self, part: Callable[[Lease, list[Job]], None], lease: Lease, active: list[Job]) -> None:
        try:
            part(lease, active)
        except EngineUnavailable as error:
            log.warning("%s", error)
        except StaleLease:
            raise
        except Exception:
            log.exception("a part of a tick failed")

    def _hold_lease(self) -> Lease | None:
        now, seconds = self._clock(), self._settings.supervisor.lease_seconds
        if self._lease is not None and (self._lease.expires_at - now).total_seconds() > seconds / 2:
            return self._lease
        held = self._lease
        self._lease = self._store.leases.acquire(SUPERVISOR, self._holder, now=now, seconds=seconds)
        if self._lease is not None and held is None:
            log.info("%s holds the lease, token %d", self._holder, self._lease.token)
        return self._lease

    def _admit(self, lease: Lease, active: list[Job]) -> None:
        for job in self._store.jobs.cancelling():
            if job.state is JobState.QUEUED:
                self._lanes.run(job.job_id, lambda job=job: self._step(lambda: self._jobs.cancel_waiting(lease, job)))
        waiting = self._store.jobs.waiting(_ADMISSION_WINDOW)
        if not waiting:
            return
        nodes = self._nodes_for_jobs()
        starting = sum(1 for job in active if job.state in {JobState.ENVIRONMENT, JobState.STARTING})
        settings = self._settings.supervisor
        for job in admit(waiting, active, nodes, starting=starting, max_starting=settings.max_starting):
            self._lanes.run(job.job_id, lambda job=job: self._step(lambda: self._jobs.admit(lease, job)))

    def _nodes_for_jobs(self) -> list[Resources]:
        """What the nodes have for jobs; nothing while the store cannot be reached from all of them."""
        nodes = self._cluster.nodes()
        if len(nodes) > 1 and not self._store.supports_many_nodes:
            log.error(
                "the cluster has %d nodes and the store is SQLite, which only one node can reach: no job is started. "
                "Set RAYLIFT_DATABASE_URL to a PostgreSQL database, or remove the other nodes.",
                len(nodes),
            )
            return []
        return [Resources(node.cpus, node.memory_bytes, node.gpus) for node in nodes]

    def _watch(self, lease: Lease, active: list[Job]) -> None:
        snapshot = self._ray_view.snapshot()
        now = self._clock()
        for job in active:
            if self._lanes.busy(job.job_id):
                continue
            action = plan_job(job, attempt_seen(job, snapshot, self._settings), now, self._settings.jobs)
            if action is not None:
                self._lanes.run(
                    job.job_id,
                    lambda job=job, action=action: self._step(lambda: self._jobs.execute(lease, job, action)),
                )
        in_flight = {job.submission_id for job in active if job.submission_id}
        if snapshot.answers and self._adoption.look(snapshot, in_flight):
            self._ray_view.expire()

    def _step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StaleJob as error:
            log.debug("%s", error)  # It moved on after this look at it; the next one sees where.
        finally:
            self._ray_view.expire()

    def _reconcile_deployments(self, lease: Lease) -> None:
        rows = self._store.deployments.list()
        seen = self._serve.observe()
        actions = plan_deployments(rows, seen, max_starting=self._settings.serving.max_starting)
        self._deployments.execute(lease, actions)
