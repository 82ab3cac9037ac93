"""Resources of the nodes, and the jobs that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from raylift.domain.errors import JobNotFound
from raylift.domain.job import ACTIVE_STATES, Job, JobState, Resources, Workers
from raylift.domain.nodes.fit import fits_some
from raylift.domain.nodes.gangs import Place, place_gang
from raylift.domain.quantities import format_amounts
from raylift.domain.quota import Held, sum_of
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
    shares: Mapping[str, Resources] = field(default_factory=dict[str, Resources])
    """Resources that a job with workers holds, by the names of its nodes. Empty for other jobs, and until it starts."""

    def on(self, node: str) -> Resources | None:
        """Return what it holds on the node; None where it holds nothing there."""
        if self.shares:
            return self.shares.get(node)
        return self.job.spec.resources if self.node == node else None

    @property
    def has_a_place(self) -> bool:
        return self.node is not None or bool(self.shares)


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
        return sum_of(share for holding in self.jobs if (share := holding.on(node.name)) is not None)

    def of(self, account: str) -> Held:
        """Sum up what the account's jobs hold."""
        return sum_of(holding.job.spec.resources for holding in self.jobs if holding.job.spec.account == account)

    @cached_property
    def free(self) -> list[Resources]:
        """Free resources of each node. A job without a known node counts on the first that has room for it."""
        rooms = [_less(Resources(node.cpus, node.memory_bytes, node.gpus), self.on(node)) for node in self.nodes]
        for wanted in (holding.job.spec.resources for holding in self.jobs if not holding.has_a_place):
            if wanted.workers is not None:
                place = place_gang(wanted, {str(index): room for index, room in enumerate(rooms)})
                for name, share in (place.shares(wanted) if place else {}).items():
                    rooms[int(name)] = _less(rooms[int(name)], Held().plus(share))
                continue
            index = next((index for index, room in enumerate(rooms) if fits_some(wanted, [room])), 0)
            if rooms:
                rooms[index] = _less(rooms[index], Held().plus(wanted))
        return rooms

    def has_room_for(self, wanted: Resources) -> bool:
        """Return True where a node has the resources free now for a new job, and while no node is known."""
        return not self.nodes or _fits(wanted, self._open)

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
        if _fits(wanted, self._open):
            return "It fits now, and starts when its turn comes."
        if kept is not None and _fits(wanted, rooms):
            return f"It would fit, but node {kept.node.name} is set aside for a larger job that goes first."
        return self._shortage(wanted)

    def _shortage(self, wanted: Resources) -> str:
        rooms = self.free
        if wanted.workers is not None:
            return self._shortage_of_gang(wanted, wanted.workers)
        with_gpus = wanted.gpus > 0
        most = max(rooms, key=lambda room: (room.gpus if with_gpus else 0.0, room.cpus, room.memory_bytes))
        where = "the node has" if len(rooms) == 1 else "the node with most room has"
        return f"It waits for {_words(wanted, with_gpus)}; {where} {_words(most, with_gpus)} free. {self._holders} the rest."

    def _shortage_of_gang(self, wanted: Resources, its: Workers) -> str:
        rooms, worker = self.free, Resources(its.cpus, its.memory_bytes, its.gpus)
        free, with_gpus = sum_of(rooms), wanted.whole.gpus > 0
        where = "the node has" if len(rooms) == 1 else f"the {len(rooms)} nodes have together"
        together = format_amounts(free.cpus, free.memory_bytes, free.gpus, with_gpus=with_gpus)
        return (
            f"It waits for {_words(wanted, wanted.gpus > 0)} and, at the same time, {its.count} workers of "
            f"{_words(worker, its.gpus > 0)} each; {where} {together} free. {self._holders} the rest."
        )

    @property
    def _holders(self) -> str:
        count = len(self.jobs)
        return "The running job holds" if count == 1 else f"{count} running jobs hold"


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
            names = {node.node_id: node.name for node in self._capacity.all_nodes()}
            has_gangs = any(job.spec.resources.workers for job in active)
            gangs: Mapping[str, Place] = self._capacity.gangs() if has_gangs else {}
            jobs = [
                Holding(job, self._node_of(job, set(names.values())), _shares(job, gangs.get(job.submission_id or ""), names))
                for job in active
            ]
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


def _fits(wanted: Resources, rooms: Sequence[Resources]) -> bool:
    if wanted.workers is None:
        return fits_some(wanted, rooms)
    return place_gang(wanted, {str(index): room for index, room in enumerate(rooms)}) is not None


def _shares(job: Job, place: Place | None, names: Mapping[str, str]) -> Mapping[str, Resources]:
    if place is None:
        return {}
    return {names[node]: share for node, share in place.shares(job.spec.resources).items() if node in names}


def _less(room: Resources, held: Held) -> Resources:
    return Resources(
        max(room.cpus - held.cpus, 0.0), max(room.memory_bytes - held.memory_bytes, 0), max(room.gpus - held.gpus, 0.0)
    )


def _words(amount: Resources, with_gpus: bool) -> str:
    return format_amounts(amount.cpus, amount.memory_bytes, amount.gpus, with_gpus=with_gpus)
