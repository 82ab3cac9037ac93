"""Decides which waiting jobs may start now. Pure: Raylift admits, Ray schedules. See docs/guides/queue.md."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from raylift.domain.job import Job, QueuedJob, Resources
from raylift.domain.node_fit import TOLERANCE, fits, fits_some
from raylift.domain.quota import Held, Quota

_NO_RESOURCES: Final = Resources(0.0, 0, 0.0)
_FIRST_OF_ITS_PRIORITY: Final = -1.0
"""Less than any share."""


@dataclass(slots=True)
class _Room:
    """Free resources of one node. Negative while a job waits in Ray for resources that others hold."""

    cpus: float
    memory_bytes: float
    gpus: float

    @property
    def is_overdrawn(self) -> bool:
        return not fits(_NO_RESOURCES, self)

    def take(self, wanted: Resources) -> None:
        self.cpus -= wanted.cpus
        self.memory_bytes -= wanted.memory_bytes
        self.gpus -= wanted.gpus


@dataclass(frozen=True, slots=True)
class Decision:
    """Jobs that may start, in order, and the job that waits with a node set aside for it."""

    admitted: list[QueuedJob] = field(default_factory=list[QueuedJob])
    placed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Assumed node ids of the admitted jobs, until Ray names the nodes."""
    reserved_for: str | None = None
    """Id of the job; an argument of the next decision."""
    reserved_node: str | None = None
    """Node that is set aside for it: no other job is to start there."""
    overfull: frozenset[str] = frozenset()
    """Nodes with more jobs than they can hold: a job waits in Ray for each of them, and no other is to start there."""
    room: list[Resources] = field(default_factory=list[Resources])
    """Free resources of the other nodes, while more jobs may start."""

    @property
    def set_aside(self) -> frozenset[str]:
        """Nodes on which no further job is to start, except the reserved one."""
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
    """Admit the waiting jobs that the cluster can hold now.

    Args:
        waiting: queued jobs, in any order.
        active: jobs that hold resources already.
        nodes: total resources for jobs by node id, without the serving reserve.
        quota_of: the quota of an account.
        places: known node ids by the ids of active jobs.
        reserved_for: of the last decision.
        starting: number of active jobs whose script does not run yet.
        max_starting: limit of that number.
        behind: fetches further waiting jobs that fit the free resources: small ones behind any number of large ones.

    Jobs go by priority, then by the share that their account holds (the smallest first), then by age. The first job that does
    not fit reserves the node that could hold it and has most room. It keeps the reservation from decision to decision and goes
    first of its priority, so that neither other accounts nor smaller jobs can starve it. A job over its account's quota holds
    back later jobs of that account only. A job that no empty node could hold is skipped.

    Younger jobs of an account that pass a large one do not count against it, and leave enough of the quota for it.

    Ray may start a job on another node than assumed, in place of an earlier one. That one waits in Ray and still counts on its
    node, which is overfull until the job runs: later jobs are kept off.
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
        quota = quota_of(job.account)
        if quota.exceeded_by(job.resources, queues.held[job.account]):
            # A job that alone exceeds the quota (lowered since the upload) must not hold the others back for ever.
            if not quota.exceeded_by(job.resources, Held()):
                queues.hold_back(job.account)
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
            elif job.account not in with_large:
                queues.count_for_quota(job)
            # Counted once for each account: smaller jobs behind it must leave enough of the quota.
            with_large.add(job.account)
    if at_most <= 0 and (first := queues.reserved_before) is not None and cluster.could_hold(first.resources):
        # Nothing starts now, but jobs of the last decision may still start: they must be kept off the node.
        reserved, reserved_node = first.job_id, cluster.reserve(first.resources)
    room = cluster.left() if len(admitted) < at_most else []
    return Decision(admitted, placed, reserved, reserved_node, overfull, room)


def held_by_account(active: Iterable[Job]) -> Mapping[str, Held]:
    """Sum up the resources of admitted jobs by account."""
    held: defaultdict[str, Held] = defaultdict(Held)
    for job in active:
        held[job.spec.account] = held[job.spec.account].plus(job.spec.resources)
    return held


_Key = tuple[int, float, datetime, str]


class _Queues:
    """A queue for each account, merged by priority, share and age."""

    def __init__(
        self, waiting: Iterable[QueuedJob], active: Iterable[Job], nodes: Sequence[Resources], first: str | None
    ) -> None:
        self.held = defaultdict(Held, held_by_account(active))
        self._given: dict[str, list[Resources]] = defaultdict(list)
        self._ages: dict[str, list[datetime]] = defaultdict(list)
        """Upload times of each account's active jobs, in order."""
        self._held_by_age: dict[str, list[Held]] = defaultdict(lambda: [Held()])
        """Resources of the first n of them."""
        for job in sorted(active, key=lambda job: job.created_at):
            account = job.spec.account
            self._ages[account].append(job.created_at)
            self._held_by_age[account].append(self._held_by_age[account][-1].plus(job.spec.resources))
        self._nodes = nodes
        self._queues: dict[str, deque[QueuedJob]] = defaultdict(deque)
        self._heads: list[tuple[_Key, str, QueuedJob | None]] = []
        self._held_back: set[str] = set()
        self.reserved_before: QueuedJob | None = None
        """Job with the reservation of the last decision, if it still waits."""
        jobs = sorted(waiting, key=lambda job: (-job.priority, job.created_at, job.job_id))
        self.smallest = _smallest(jobs)
        for job in jobs:
            if job.job_id == first:
                key = (-job.priority, _FIRST_OF_ITS_PRIORITY, job.created_at, job.job_id)
                self.reserved_before = job
                heapq.heappush(self._heads, (key, job.account, job))
            else:
                self._queues[job.account].append(job)
        for account in self._queues:
            self._push(account)

    def next(self) -> QueuedJob | None:
        """Remove and return the first job; None where all are held back or gone."""
        while self._heads:
            key, account, job = heapq.heappop(self._heads)
            if account in self._held_back:
                continue
            if job is not None:
                return job
            if key != self._key(account):
                self._push(account)  # Its share has grown: the reserved job belongs to it.
                continue
            head = self._queues[account].popleft()
            if self._queues[account]:
                self._push(account)
            return head
        return None

    def give(self, job: QueuedJob) -> None:
        self.count_for_quota(job)
        self._given[job.account].append(job.resources)

    def count_for_quota(self, job: QueuedJob) -> None:
        self.held[job.account] = self.held[job.account].plus(job.resources)

    def hold_back(self, account: str) -> None:
        """Return no further job of the account."""
        self._held_back.add(account)

    def _push(self, account: str) -> None:
        heapq.heappush(self._heads, (self._key(account), account, None))

    def _key(self, account: str) -> _Key:
        head = self._queues[account][0]
        # Younger jobs that have passed the head do not count against it.
        held = self._held_by_age[account][bisect_right(self._ages[account], head.created_at)]
        for wanted in self._given[account]:
            held = held.plus(wanted)
        return (-head.priority, held.share_of(self._nodes), head.created_at, head.job_id)


class _Cluster:
    """Nodes by id, with their free resources."""

    def __init__(self, active: Iterable[Job], nodes: Mapping[str, Resources], places: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._rooms = {node_id: _Room(node.cpus, node.memory_bytes, node.gpus) for node_id, node in nodes.items()}
        adrift: list[Job] = []
        for job in active:
            place = places.get(job.job_id)
            if place is None:
                adrift.append(job)
            elif place in self._rooms:  # Else the node has left the cluster, with the job.
                self._rooms[place].take(job.spec.resources)
        for job in sorted(adrift, key=_size, reverse=True):
            self._place(job.spec.resources)

    def take(self, wanted: Resources) -> str | None:
        """Use the fitting node with the least room, and return its id; None where none fits."""
        chosen = self._tightest(wanted)
        if chosen is not None:
            self._rooms[chosen].take(wanted)
        return chosen

    def could_hold(self, wanted: Resources) -> bool:
        """Return True where an empty node could hold the request."""
        return fits_some(wanted, self._nodes.values())

    def reserve(self, wanted: Resources) -> str:
        """Set aside the node with most room of those that could hold the job when empty, and return its id.

        There must be one. A node that is set aside only empties, and another replaces it only with even more room: so the job
        fits in the end.
        """
        able = [node_id for node_id in self._rooms if fits(wanted, self._nodes[node_id])]

        def room_of(node_id: str) -> tuple[float, float, float]:
            room = self._rooms[node_id]
            # A job without GPUs avoids the nodes that have some, busy or not.
            return (room.gpus if wanted.gpus else -self._nodes[node_id].gpus, room.cpus, room.memory_bytes)

        chosen = max(able, key=room_of)
        del self._rooms[chosen]
        return chosen

    def overfull(self) -> frozenset[str]:
        return frozenset(node_id for node_id, room in self._rooms.items() if room.is_overdrawn)

    def is_full(self, smallest: Resources) -> bool:
        return not fits_some(smallest, self._rooms.values())

    def left(self) -> list[Resources]:
        """Return the free resources of nodes that are not set aside and have both CPUs and memory left."""
        rooms = [Resources(max(r.cpus, 0.0), int(r.memory_bytes), max(r.gpus, 0.0)) for r in self._rooms.values()]
        return [room for room in rooms if room.cpus > TOLERANCE and room.memory_bytes > 0]

    def _tightest(self, wanted: Resources) -> str | None:
        fitting = [(room.gpus, room.cpus, room.memory_bytes, node) for node, room in self._rooms.items() if fits(wanted, room)]
        return min(fitting)[-1] if fitting else None

    def _place(self, wanted: Resources) -> None:
        """Take the resources of a running job from the node that it most likely runs on. Never fails: it runs somewhere."""
        chosen = self._tightest(wanted) or max(self._rooms, key=lambda node: self._rooms[node].cpus, default=None)
        if chosen is not None:
            self._rooms[chosen].take(wanted)


def _size(job: Job) -> tuple[float, float, float]:
    wanted = job.spec.resources
    return (wanted.gpus, wanted.cpus, wanted.memory_bytes)


def _smallest(jobs: Sequence[QueuedJob]) -> Resources:
    """Return the minimum of each resource over all jobs."""
    wanted = [job.resources for job in jobs] or [Resources(0.0, 0, 0.0)]
    return Resources(min(w.cpus for w in wanted), min(w.memory_bytes for w in wanted), min(w.gpus for w in wanted))
