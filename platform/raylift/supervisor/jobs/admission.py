"""Which waiting jobs may start now. A pure function: Raylift admits, Ray schedules. docs/guides/queue.md explains it."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from raylift.domain.job import Job, QueuedJob, Resources
from raylift.domain.quota import Held, Quota

_FIRST_OF_ITS_PRIORITY: Final = -1.0
"""Less than any share."""


_NOTHING: Final = 1e-6
"""Of a CPU: sums of tenths are not exact."""


@dataclass(slots=True)
class _Room:
    """What is left of one node. Less than nothing is, while a job waits in Ray for what others hold."""

    cpus: float
    memory_bytes: float
    gpus: float

    @property
    def is_overdrawn(self) -> bool:
        return self.cpus < -_NOTHING or self.memory_bytes < 0 or self.gpus < -_NOTHING

    def holds(self, wanted: Resources) -> bool:
        fits = wanted.cpus <= self.cpus + _NOTHING and wanted.gpus <= self.gpus + _NOTHING
        return fits and wanted.memory_bytes <= self.memory_bytes

    def take(self, wanted: Resources) -> None:
        self.cpus -= wanted.cpus
        self.memory_bytes -= wanted.memory_bytes
        self.gpus -= wanted.gpus


@dataclass(frozen=True, slots=True)
class Decision:
    """Who may go, in order, and who waits with a node set aside for it."""

    admitted: list[QueuedJob] = field(default_factory=list[QueuedJob])
    placed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Node ids by the ids of the admitted jobs: where each is taken to go, until Ray says where it runs."""
    reserved_for: str | None = None
    """Job id; to be given to the next decision."""
    reserved_node: str | None = None
    """The node that is set aside for it: nobody else is to be started there."""
    overfull: frozenset[str] = frozenset()
    """Nodes on which more counts than they hold: a job waits in Ray for each of them, and no other is to be started there."""
    room: list[Resources] = field(default_factory=list[Resources])
    """What is left of the other nodes, while more may start."""

    @property
    def set_aside(self) -> frozenset[str]:
        """The nodes for the jobs that count there already and for the reserved one, and for no other."""
        return self.overfull | {self.reserved_node} if self.reserved_node is not None else self.overfull


def admit(
    waiting: Iterable[QueuedJob],
    active: Iterable[Job],
    nodes: Mapping[str, Resources],
    *,
    quota_of: Callable[[str], Quota],
    places: Mapping[str, str] | None = None,
    reserved_for: str | None = None,
    starting: int,
    max_starting: int,
    behind: Callable[[Sequence[Resources]], Sequence[QueuedJob]] = lambda _: (),
) -> Decision:
    """The waiting jobs that the cluster can hold now.

    Args:
        waiting: queued jobs, in any order.
        active: jobs that hold resources already.
        nodes: by node id, what each has for jobs in total (the serving reserve taken off).
        quota_of: the quota of an owner.
        places: node ids by the ids of active jobs, as far as they are known.
        reserved_for: of the last decision.
        starting: how many of the active jobs are still on their way into Ray.
        max_starting: how many may be on their way at a time.
        behind: further waiting jobs that fit what is left, so that small ones are found behind any number of large ones.

    The order is by priority, then by what each owner holds (the least first), then by age. The first job that does not fit gets
    a reservation: the node that can hold it and has most room is set aside. It keeps that from decision to decision, and goes
    first of its priority, so that neither other owners nor smaller jobs can starve it. A job over its owner's quota holds back
    the jobs of its owner behind it, and nobody else. A job that no node could hold now is passed over, and reserves nothing.

    Younger jobs of its owner that pass a large one do not delay it: what they hold does not count against it, and they leave
    enough of the quota for it.

    Ray may start a job on another node than it was taken to go to, in the place of one that was let go before. That one waits
    in Ray and still counts on its node, which is overfull until the job runs: jobs that are let go meanwhile are kept off.
    """
    waiting, active = list(waiting), list(active)

    def decide(candidates: Sequence[QueuedJob]) -> Decision:
        cluster = _Cluster(active, nodes, places or {})
        queues = _Queues(candidates, active, list(nodes.values()), reserved_for)
        return _decide(queues, cluster, quota_of, at_most=max_starting - starting)

    decision = decide(waiting)
    further = behind(decision.room) if decision.room else ()
    return decide([*waiting, *further]) if further else decision


def _decide(queues: _Queues, cluster: _Cluster, quota_of: Callable[[str], Quota], *, at_most: int) -> Decision:
    admitted: list[QueuedJob] = []
    placed: dict[str, str] = {}
    reserved: str | None = None
    reserved_node: str | None = None
    overfull = cluster.overfull()
    with_large: set[str] = set()
    while len(admitted) < at_most and (job := queues.next()) is not None:
        quota = quota_of(job.owner)
        if quota.broken_by(job.resources, queues.held[job.owner]):
            # One that breaks it all by itself (quotas were lowered since the upload) would hold the others back for ever.
            if not quota.broken_by(job.resources, Held()):
                queues.hold_back(job.owner)
        elif (node := cluster.take(job.resources)) is not None:
            admitted.append(job)
            placed[job.job_id] = node
            queues.give(job)
        elif reserved is not None and cluster.is_full(queues.smallest):
            break
        elif cluster.could_hold(job.resources):
            if reserved is None:
                reserved, reserved_node = job.job_id, cluster.reserve(job.resources)
                queues.give(job)
            elif job.owner not in with_large:
                queues.count_for_quota(job)
            # Counted once an owner: the smaller jobs behind it must leave enough of the quota for it.
            with_large.add(job.owner)
    if at_most <= 0 and (kept := queues.kept) is not None and cluster.could_hold(kept.resources):
        # Nothing starts now, but jobs of the last decision are on their way: they are still to be kept off.
        reserved, reserved_node = kept.job_id, cluster.reserve(kept.resources)
    room = cluster.left() if len(admitted) < at_most else []
    return Decision(admitted, placed, reserved, reserved_node, overfull, room)


def can_ever_hold(wanted: Resources, nodes: Iterable[Resources]) -> bool:
    """Tell whether some node, empty, could hold the request."""
    return any(_Room(node.cpus, node.memory_bytes, node.gpus).holds(wanted) for node in nodes)


def held_by_owner(active: Iterable[Job]) -> Mapping[str, Held]:
    """What each owner's admitted jobs hold."""
    held: defaultdict[str, Held] = defaultdict(Held)
    for job in active:
        held[job.spec.owner] = held[job.spec.owner].plus(job.spec.resources)
    return held


_Key = tuple[int, float, datetime, str]


class _Queues:
    """A queue for each owner, and who is next among their heads."""

    def __init__(
        self, waiting: Iterable[QueuedJob], active: Iterable[Job], nodes: Sequence[Resources], first: str | None
    ) -> None:
        self.held = defaultdict(Held, held_by_owner(active))
        self._given: dict[str, list[Resources]] = defaultdict(list)
        self._ages: dict[str, list[datetime]] = defaultdict(list)
        """When each owner's active jobs were handed in, in order."""
        self._held_by_age: dict[str, list[Held]] = defaultdict(lambda: [Held()])
        """By the first n of them."""
        for job in sorted(active, key=lambda job: job.created_at):
            owner = job.spec.owner
            self._ages[owner].append(job.created_at)
            self._held_by_age[owner].append(self._held_by_age[owner][-1].plus(job.spec.resources))
        self._nodes = nodes
        self._queues: dict[str, deque[QueuedJob]] = defaultdict(deque)
        self._heads: list[tuple[_Key, str, QueuedJob | None]] = []
        self._held_back: set[str] = set()
        self.kept: QueuedJob | None = None
        """The job with the reservation of the last decision, if it still waits."""
        jobs = sorted(waiting, key=lambda job: (-job.priority, job.created_at, job.job_id))
        self.smallest = _smallest(jobs)
        for job in jobs:
            if job.job_id == first:
                key = (-job.priority, _FIRST_OF_ITS_PRIORITY, job.created_at, job.job_id)
                self.kept = job
                heapq.heappush(self._heads, (key, job.owner, job))
            else:
                self._queues[job.owner].append(job)
        for owner in self._queues:
            self._push(owner)

    def next(self) -> QueuedJob | None:
        """The most deserving job that was not handed out yet."""
        while self._heads:
            key, owner, job = heapq.heappop(self._heads)
            if owner in self._held_back:
                continue
            if job is not None:
                return job
            if key != self._key(owner):
                self._push(owner)  # Its share has grown since: the reserved job was its own.
                continue
            head = self._queues[owner].popleft()
            if self._queues[owner]:
                self._push(owner)
            return head
        return None

    def give(self, job: QueuedJob) -> None:
        self.count_for_quota(job)
        self._given[job.owner].append(job.resources)

    def count_for_quota(self, job: QueuedJob) -> None:
        self.held[job.owner] = self.held[job.owner].plus(job.resources)

    def hold_back(self, owner: str) -> None:
        """Hand out no further job of the owner."""
        self._held_back.add(owner)

    def _push(self, owner: str) -> None:
        heapq.heappush(self._heads, (self._key(owner), owner, None))

    def _key(self, owner: str) -> _Key:
        head = self._queues[owner][0]
        # What was handed in after it and has passed it, since it fits where the head does not, does not count against it.
        held = self._held_by_age[owner][bisect_right(self._ages[owner], head.created_at)]
        for wanted in self._given[owner]:
            held = held.plus(wanted)
        return (-head.priority, held.share_of(self._nodes), head.created_at, head.job_id)


class _Cluster:
    """The nodes by their ids, and what is left of them."""

    def __init__(self, active: Iterable[Job], nodes: Mapping[str, Resources], places: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._rooms = {node_id: _Room(node.cpus, node.memory_bytes, node.gpus) for node_id, node in nodes.items()}
        adrift: list[Job] = []
        for job in active:
            place = places.get(job.job_id)
            if place is None:
                adrift.append(job)
            elif place in self._rooms:  # Else its node has left, and took it along.
                self._rooms[place].take(job.spec.resources)
        for job in sorted(adrift, key=_size, reverse=True):
            self._place(job.spec.resources)

    def take(self, wanted: Resources) -> str | None:
        """Use the node that has least to spare, and say which; None when none has enough."""
        chosen = self._tightest(wanted)
        if chosen is not None:
            self._rooms[chosen].take(wanted)
        return chosen

    def could_hold(self, wanted: Resources) -> bool:
        """Tell whether some node, empty, could hold the request."""
        return can_ever_hold(wanted, self._nodes.values())

    def reserve(self, wanted: Resources) -> str:
        """Set aside the roomiest node that could hold the job were it empty, and say which. There must be one.

        A node that is set aside only empties, and another is chosen only when it has more room still: so one is empty one day.
        """
        able = [node_id for node_id in self._rooms if can_ever_hold(wanted, [self._nodes[node_id]])]

        def room_of(node_id: str) -> tuple[float, float, float]:
            room = self._rooms[node_id]
            # A job without GPUs leaves the nodes that have some to others, busy or not.
            return (room.gpus if wanted.gpus else -self._nodes[node_id].gpus, room.cpus, room.memory_bytes)

        chosen = max(able, key=room_of)
        del self._rooms[chosen]
        return chosen

    def overfull(self) -> frozenset[str]:
        return frozenset(node_id for node_id, room in self._rooms.items() if room.is_overdrawn)

    def is_full(self, smallest: Resources) -> bool:
        return not any(room.holds(smallest) for room in self._rooms.values())

    def left(self) -> list[Resources]:
        """What is left of each node that is not set aside and has something of both."""
        rooms = [Resources(max(r.cpus, 0.0), int(r.memory_bytes), max(r.gpus, 0.0)) for r in self._rooms.values()]
        return [room for room in rooms if room.cpus > _NOTHING and room.memory_bytes > 0]

    def _tightest(self, wanted: Resources) -> str | None:
        fitting = [(room.gpus, room.cpus, room.memory_bytes, node) for node, room in self._rooms.items() if room.holds(wanted)]
        return min(fitting)[-1] if fitting else None

    def _place(self, wanted: Resources) -> None:
        """Take a running job's share from the node it most likely sits on; never fails, since it does run somewhere."""
        chosen = self._tightest(wanted) or max(self._rooms, key=lambda node: self._rooms[node].cpus, default=None)
        if chosen is not None:
            self._rooms[chosen].take(wanted)


def _size(job: Job) -> tuple[float, float, float]:
    wanted = job.spec.resources
    return (wanted.gpus, wanted.cpus, wanted.memory_bytes)


def _smallest(jobs: Sequence[QueuedJob]) -> Resources:
    """A request that needs no more of anything than any of the jobs."""
    wanted = [job.resources for job in jobs] or [Resources(0.0, 0, 0.0)]
    return Resources(min(w.cpus for w in wanted), min(w.memory_bytes for w in wanted), min(w.gpus for w in wanted))
