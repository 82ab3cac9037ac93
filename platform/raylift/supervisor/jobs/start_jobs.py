"""Starts waiting jobs that the cluster can hold now, and ends those that were cancelled in the queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from raylift.domain.job import JobState, QueuedJob, Resources
from raylift.domain.lease import Lease
from raylift.domain.nodes.fit import fits_some, largest
from raylift.domain.nodes.gangs import place_gang
from raylift.domain.nodes.node_types import nodes_to_come
from raylift.domain.nodes.reservation import Reservation
from raylift.engines.ray_engine.cluster import Cluster
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.admission import Decision, Holdings, admit
from raylift.supervisor.jobs.execute import JobExecutor
from raylift.supervisor.jobs.gangs import Gangs
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.ray_snapshot import RayView
from raylift.supervisor.jobs.watch_jobs import STARTING_STATES, JobTasks
from raylift.supervisor.order.release import JobReleases
from raylift.supervisor.store_view import StoreView

log = logging.getLogger(__name__)

_NODES_SECONDS: Final = 1.0
"""Maximum age of the list of nodes while jobs wait."""


class JobStarter:
    """Asks ``admit`` which jobs may start, and hands them to the executor."""

    def __init__(
        self,
        settings: PlatformSettings,
        store: Store,
        cluster: Cluster,
        view: StoreView,
        ray_view: RayView,
        executor: JobExecutor,
        releases: JobReleases,
        placement: Placement,
        gangs: Gangs,
        tasks: JobTasks,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._cluster = cluster
        self._view = view
        self._ray_view = ray_view
        self._executor = executor
        self._releases = releases
        self._placement = placement
        self._gangs = gangs
        self._tasks = tasks
        self._monotonic = monotonic
        self.nodes: dict[str, Resources] = {}
        """Resources for jobs by node id, as of the last decision."""
        self.rooms: list[Resources] = []
        """Resources of the nodes, and of those that Ray's autoscaler could add."""
        self._nodes_read_at = float("-inf")
        self._holdings = Holdings()
        self._reserved_for: str | None = None
        self._shown: list[Reservation | None] = []
        """Reservation in the store; empty while it is not known."""

    @property
    def nodes_are_old(self) -> bool:
        return self._monotonic() - self._nodes_read_at >= _NODES_SECONDS

    def start(self, lease: Lease) -> None:
        """Decide once, and start the jobs that were admitted.

        Raises:
            EngineUnavailable: Ray or the database does not answer.
        """
        # First: a cancelled job ends also while Ray does not answer.
        for job in self._view.cancelled:
            self._leave_queue(lease, job.job_id)
        for job in self._view.released:
            self._tasks.run(job.job_id, lambda job_id=job.job_id: self._releases.attend(lease, job_id))
        decision = self._decide()
        for job in decision.admitted:
            self._leave_queue(lease, job.job_id)
        self._show(lease, decision.reservation)

    def _show(self, lease: Lease, reservation: Reservation | None) -> None:
        """Write the reservation to the store where it differs, for those who look at the queue."""
        if self._shown != [reservation]:
            self._store.reservations.put(lease, reservation)
            self._shown = [reservation]

    def _leave_queue(self, lease: Lease, job_id: str) -> None:
        def step() -> None:
            job = self._store.jobs.get(job_id)
            if job.state is JobState.QUEUED:
                self._executor.start(lease, job)

        self._tasks.run(job_id, step)

    def _decide(self) -> Decision:
        view, supervisor = self._view, self._settings.supervisor
        places = self._placement.places(
            view.active, self._ray_view.last, self._gangs.places(view.active) if view.jobs_wait else None
        )
        decision = Decision()
        if view.jobs_wait:
            if self.nodes_are_old:
                self._read_nodes()
            decision = admit(
                self._present_could_hold(view.waiting),
                view.active,
                self.nodes,
                quota_of=self._settings.jobs.quotas.of,
                places=places,
                reserved_for=self._reserved_for,
                starting=sum(1 for job in view.active if job.state in STARTING_STATES),
                max_starting=supervisor.max_starting,
                behind=view.behind,
                holdings=self._holdings,
            )
        self._reserved_for = decision.reserved_for
        self._placement.follow(places, decision, self.nodes)
        return decision

    def _present_could_hold(self, waiting: Sequence[QueuedJob]) -> Sequence[QueuedJob]:
        """Leave out jobs that wait for a node of the autoscaler: they hold no other back."""
        if not self._settings.node_types:
            return waiting
        nodes = largest(self.nodes.values())
        return [
            job
            for job in waiting
            if (
                fits_some(job.resources, nodes)
                if job.resources.workers is None
                else place_gang(job.resources, self.nodes) is not None
            )
        ]

    def _read_nodes(self) -> None:
        """Read the nodes for jobs; none while Ray may start a supervisor where it cannot reach the store."""
        nodes = self._cluster.nodes()
        self._nodes_read_at = self._monotonic()
        is_pinned = self._settings.cluster is not None
        if len(nodes) > 1 and not is_pinned and not self._store.supports_many_nodes:
            log.error(
                "The cluster has %d nodes and the store is SQLite, which only one node can reach: no job is started. "
                "Set RAYLIFT_DATABASE_URL to a PostgreSQL database, or remove the other nodes.",
                len(nodes),
            )
            self.nodes, self.rooms = {}, []
            return
        self.nodes = {node.node_id: Resources(node.cpus, node.memory_bytes, node.gpus) for node in nodes}
        kinds = [kind.node_type for kind in self._settings.node_types]
        to_come = nodes_to_come(kinds, [node.node_type for node in nodes]) if kinds else {}
        self.rooms = [*self.nodes.values(), *to_come.values()]
