"""Asks Ray's autoscaler for the machines that admitted and waiting work needs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from raylift.domain.job import Resources
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.quota import Held
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.store_view import StoreView

_AGAIN_SECONDS: Final = 15.0
"""Ray forgets a request when its head restarts, and a script may have replaced it by its own."""
_MOST_WAITING: Final = 200
"""Waiting jobs that are asked for at a time. The autoscaler starts machines for more when these have begun."""


class Autoscaler(Protocol):
    def request(self, places: Sequence[Resources]) -> None:
        """Ask for a cluster that holds all these. Raises EngineUnavailable when Ray does not answer."""
        ...


class NodeRequests:
    """Keeps the autoscaler's request equal to what the store holds: an ended or cancelled job is no longer in it."""

    def __init__(
        self,
        settings: PlatformSettings,
        store: Store,
        view: StoreView,
        autoscaler: Autoscaler,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._view = view
        self._autoscaler = autoscaler
        self._monotonic = monotonic
        self._asked: list[Resources] | None = None
        """The last request; None before the first, which also replaces that of a former supervisor."""
        self._asked_at = float("-inf")

    def attend(self, _: Lease) -> None:
        """Tell the autoscaler what is needed, where that has changed or was said a while ago.

        Raises:
            EngineUnavailable: Ray or the database does not answer.
        """
        wanted, now = [*self._jobs(), *self._replicas()], self._monotonic()
        # An empty one, too: a supervisor that has lost its lease, or a script, may have asked since.
        if wanted != self._asked or now - self._asked_at >= _AGAIN_SECONDS:
            self._autoscaler.request(wanted)
            self._asked, self._asked_at = wanted, now

    def _jobs(self) -> Iterator[Resources]:
        """Yield the places of admitted jobs, and of waiting ones whose account may have more."""
        held: defaultdict[str, Held] = defaultdict(Held)
        for job in self._view.active:
            wanted = job.spec.resources
            held[job.spec.account] = held[job.spec.account].plus(wanted)
            yield from _places(wanted)
        waiting = sorted(self._view.waiting, key=lambda job: (-job.priority, job.created_at, job.job_id))
        for job in waiting[:_MOST_WAITING]:
            if self._settings.jobs.quotas.of(job.account).exceeded_by(job.resources, held[job.account]):
                continue
            held[job.account] = held[job.account].plus(job.resources)
            yield from _places(job.resources)

    def _replicas(self) -> Iterator[Resources]:
        """Yield a place for each version without a replica that is to have one."""
        for row in self._store.deployments.list():
            if row.wanted and row.status in {DeploymentStatus.PENDING, DeploymentStatus.STARTING}:
                yield Resources(row.config.cpus, row.config.memory_bytes or 0, row.config.gpus)


def _places(wanted: Resources) -> Iterator[Resources]:
    yield Resources(wanted.cpus, wanted.memory_bytes, wanted.gpus)
    its = wanted.workers
    if its is not None:
        yield from [Resources(its.cpus, its.memory_bytes, its.gpus)] * its.count
