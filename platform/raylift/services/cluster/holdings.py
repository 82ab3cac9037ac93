"""Resources of the nodes, and the jobs that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from raylift.domain.errors import JobNotFound
from raylift.domain.job import ACTIVE_STATES, Job, JobState, Resources
from raylift.domain.nodes.fit import fits_some
from raylift.domain.quantities import format_bytes
from raylift.domain.quota import Held
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.services.cluster.capacity import Capacity
from raylift.services.ports import Node
from raylift.store import Store

_CACHE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Holding:
    """An admitted job, and the name of its node once its script runs."""

    job: Job
    node: str | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A live node that takes no job until a waiting one fits there."""

    job: Job
    node: Node


@dataclass(frozen=True)
class Holdings:
    """Live nodes that take work, the largest first, and the admitted jobs, oldest first."""

    nodes: Sequence[Node]
    jobs: Sequence[Holding]
    set_aside: SetAside | None = None

    def on(self, node: Node) -> Held:
        """Sum up what jobs hold on the node."""
        return _sum(holding.job for holding in self.jobs if holding.node == node.name)

    def of(self, account: str) -> Held:
        """Sum up what the account's jobs hold."""
        return _sum(holding.job for holding in self.jobs if holding.job.spec.account == account)

    @cached_property
    def free(self) -> list[Resources]:
        """Free resources of each node. A job without a known node counts on the first that has room for it."""
        rooms = [_less(Resources(node.cpus, node.memory_bytes, node.gpus), self.on(node)) for node in self.nodes]
        for wanted in (holding.job.spec.resources for holding in self.jobs if holding.node is None):
            index = next((index for index, room in enumerate(rooms) if fits_some(wanted, [room])), 0)
            if rooms:
                rooms[index] = _less(rooms[index], Held().plus(wanted))
        return rooms

    def has_room_for(self, wanted: Resources) -> bool:
        """Return True where a node has the resources free now for a new job, and while no node is known."""
        return not self.nodes or fits_some(wanted, self._open)

    @property
    def _open(self) -> list[Resources]:
        """Free resources of the nodes that are not set aside."""
        kept = None if self.set_aside is None else self.set_aside.node
        return [room for node, room in zip(self.nodes, self.free, strict=True) if node is not kept]

    def sentence(self, wanted: Resources, job_id: str | None = None) -> str | None:
        """Say what a job that asks for this waits for; None while no node is known."""
        rooms, kept = self.free, self.set_aside
        if not rooms:
            return None
        if kept is not None and kept.job.job_id == job_id:
            return f"{self._shortage(wanted)} Node {kept.node.name} takes no other job until it fits."
        if fits_some(wanted, self._open):
            return "It fits now, and starts when its turn comes."
        if kept is not None and fits_some(wanted, rooms):
            return f"It would fit, but node {kept.node.name} is set aside for a larger job that goes first."
        return self._shortage(wanted)

    def _shortage(self, wanted: Resources) -> str:
        rooms = self.free
        with_gpus = wanted.gpus > 0
        most = max(rooms, key=lambda room: (room.gpus if with_gpus else 0.0, room.cpus, room.memory_bytes))
        count = len(self.jobs)
        holders = "The running job holds" if count == 1 else f"{count} running jobs hold"
        where = "the node has" if len(rooms) == 1 else "the node with most room has"
        return f"It waits for {_words(wanted, with_gpus)}; {where} {_words(most, with_gpus)} free. {holders} the rest."


class ClusterHoldings:
    """Reads nodes and admitted jobs. An answer is at most a second old."""

    def __init__(
        self, store: Store, capacity: Capacity, attempts_dir: Path, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._capacity = capacity
        self._attempts_dir = attempts_dir
        self._monotonic = monotonic
        self._last = Holdings((), ())
        self._read_at = float("-inf")

    def now(self) -> Holdings:
        now = self._monotonic()
        if now - self._read_at > _CACHE_SECONDS:
            active = self._store.jobs.in_states(ACTIVE_STATES)
            nodes = self._capacity.nodes()
            names = {node.name for node in self._capacity.all_nodes()}
            jobs = [Holding(job, self._node_of(job, names)) for job in active]
            self._last = Holdings(nodes, jobs, self._set_aside(nodes))
            self._read_at = now
        return self._last

    def _set_aside(self, nodes: Sequence[Node]) -> SetAside | None:
        """Return the reservation, unless its job has left the queue or its node the cluster."""
        reservation = self._store.reservations.get()
        node = next((node for node in nodes if reservation and node.node_id == reservation.node_id), None)
        if reservation is None or node is None:
            return None
        try:
            job = self._store.jobs.get(reservation.job_id)
        except JobNotFound:
            return None
        return SetAside(job, node) if job.state is JobState.QUEUED else None

    def _node_of(self, job: Job, names: Set[str]) -> str | None:
        """Return the node that the wrapper reports. With one node there is no question."""
        if len(names) == 1:
            return next(iter(names))
        if job.submission_id is None or job.state not in {JobState.SCRIPT, JobState.REGISTRATION}:
            return None
        try:
            progress = AttemptDirectory(self._attempts_dir, job.submission_id).progress()
        except ValueError:  # The script has overwritten the record of its own attempt.
            return None
        return progress.host if progress is not None and progress.host in names else None


def _sum(jobs: Iterable[Job]) -> Held:
    held = Held()
    for job in jobs:
        held = held.plus(job.spec.resources)
    return held


def _less(room: Resources, held: Held) -> Resources:
    return Resources(
        max(room.cpus - held.cpus, 0.0), max(room.memory_bytes - held.memory_bytes, 0), max(room.gpus - held.gpus, 0.0)
    )


def _words(amount: Resources, with_gpus: bool) -> str:
    parts = [f"{amount.cpus:g} {'CPU' if amount.cpus == 1 else 'CPUs'}", format_bytes(amount.memory_bytes)]
    if with_gpus:
        parts.insert(0, f"{amount.gpus:g} {'GPU' if amount.gpus == 1 else 'GPUs'}")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
