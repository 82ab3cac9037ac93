"""Which waiting jobs may start now. A pure function: Raylift admits, Ray schedules. docs/admission.md explains it."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from raylift.domain.job import Job, QueuedJob, Resources
from raylift.domain.quota import Held, Quota

_FIRST_OF_ITS_PRIORITY: Final = -1.0
"""Less than any share."""


@dataclass(slots=True)
class _Room:
    """What is left of one node."""

    cpus: float
    memory_bytes: float
    gpus: float

    def holds(self, wanted: Resources) -> bool:
        # A millionth of a CPU: sums of tenths are not exact.
        return wanted.cpus <= self.cpus + 1e-6 and wanted.memory_bytes <= self.memory_bytes and wanted.gpus <= self.gpus + 1e-6

    def take(self, wanted: Resources) -> None:
        self.cpus -= wanted.cpus
        self.memory_bytes -= wanted.memory_bytes
        self.gpus -= wanted.gpus


@dataclass(frozen=True, slots=True)
class Decision:
    """Who may go, in order, and who waits with a node set aside for it."""

    admitted: list[QueuedJob] = field(default_factory=list[QueuedJob])
    reserved_for: str | None = None
    """Job id; to be given to the next decision."""


def admit(
    waiting: Iterable[QueuedJob],
    active: Iterable[Job],
    nodes: Sequence[Resources],
    *,
    quota_of: Callable[[str], Quota],
    reserved_for: str | None = None,
    starting: int,
    max_starting: int,
) -> Decision:
    """The waiting jobs that the cluster can hold now.

    Args:
        waiting: queued jobs, in any order.
        active: jobs that hold resources already.
        nodes: what each node has for jobs in total (the serving reserve taken off).
        quota_of: the quota of an owner.
        reserved_for: of the last decision.
        starting: how many of the active jobs are still on their way into Ray.
        max_starting: how many may be on their way at a time.

    The order is by priority, then by what each owner holds (the least first), then by age. The first job that does not fit gets
    a reservation: the node that can hold it and has most room is set aside. It keeps that from decision to decision, and goes
    first of its priority, so that neither other owners nor smaller jobs can starve it. A job over its owner's quota holds back
    the jobs of its owner behind it, and nobody else. A job that no node could hold now is passed over, and reserves nothing.
    """
    active = list(active)
    cluster = _Cluster(active, nodes)
    queues = _Queues(waiting, active, nodes, reserved_for)
    admitted: list[QueuedJob] = []
    reserved: str | None = None
    while starting + len(admitted) < max_starting and (job := queues.next()) is not None:
        quota = quota_of(job.owner)
        if quota.broken_by(job.resources, queues.held[job.owner]):
            # One that breaks it all by itself (quotas were lowered since the upload) would hold the others back for ever.
            if not quota.broken_by(job.resources, Held()):
                queues.hold_back(job.owner)
        elif cluster.take(job.resources):
            admitted.append(job)
            queues.give(job)
        elif reserved is None and cluster.reserve(job.resources):
            reserved = job.job_id
            # Given, as far as its owner's share and quota go: its smaller jobs must leave enough of the quota for it.
            queues.give(job)
        elif reserved is not None and cluster.is_full(queues.smallest):
            break
    return Decision(admitted, reserved)


def can_ever_hold(wanted: Resources, nodes: Iterable[Resources]) -> bool:
    """Whether some node, empty, could hold the request."""
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
        self._nodes = nodes
        self._queues: dict[str, deque[QueuedJob]] = defaultdict(deque)
        self._heads: list[tuple[_Key, str, QueuedJob | None]] = []
        self._held_back: set[str] = set()
        jobs = sorted(waiting, key=lambda job: (-job.priority, job.created_at, job.job_id))
        self.smallest = _smallest(jobs)
        for job in jobs:
            if job.job_id == first:
                key = (-job.priority, _FIRST_OF_ITS_PRIORITY, job.created_at, job.job_id)
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
        self.held[job.owner] = self.held[job.owner].plus(job.resources)

    def hold_back(self, owner: str) -> None:
        """Hand out no further job of the owner."""
        self._held_back.add(owner)

    def _push(self, owner: str) -> None:
        heapq.heappush(self._heads, (self._key(owner), owner, None))

    def _key(self, owner: str) -> _Key:
        head = self._queues[owner][0]
        return (-head.priority, self.held[owner].share_of(self._nodes), head.created_at, head.job_id)


class _Cluster:
    """The nodes, and what is left of them."""

    def __init__(self, active: Iterable[Job], nodes: Sequence[Resources]) -> None:
        self._nodes = [(node, _Room(node.cpus, node.memory_bytes, node.gpus)) for node in nodes]
        for job in sorted(active, key=_size, reverse=True):
            self._place(job.spec.resources)

    def take(self, wanted: Resources) -> bool:
        """Use the node that has least to spare; False when none has enough."""
        room = self._tightest(wanted)
        if room is not None:
            room.take(wanted)
        return room is not None

    def reserve(self, wanted: Resources) -> bool:
        """Set aside the roomiest node that could hold the job were it empty. False when there is none."""
        able = [pair for pair in self._nodes if can_ever_hold(wanted, [pair[0]])]
        if not able:
            return False
        # A job without GPUs leaves those that have some to others.
        gpus = 1 if wanted.gpus else -1
        chosen = max(able, key=lambda pair: (gpus * pair[1].gpus, pair[1].cpus, pair[1].memory_bytes))
        self._nodes = [pair for pair in self._nodes if pair is not chosen]
        return True

    def is_full(self, smallest: Resources) -> bool:
        return not any(room.holds(smallest) for _, room in self._nodes)

    def _tightest(self, wanted: Resources) -> _Room | None:
        fitting = [room for _, room in self._nodes if room.holds(wanted)]
        return min(fitting, key=lambda room: (room.gpus, room.cpus, room.memory_bytes), default=None)

    def _place(self, wanted: Resources) -> None:
        """Take a running job's share from the node it most likely sits on; never fails, since it does run somewhere."""
        room = self._tightest(wanted) or max((room for _, room in self._nodes), key=lambda room: room.cpus, default=None)
        if room is not None:
            room.take(wanted)


def _size(job: Job) -> tuple[float, float, float]:
    wanted = job.spec.resources
    return (wanted.gpus, wanted.cpus, wanted.memory_bytes)


def _smallest(jobs: Sequence[QueuedJob]) -> Resources:
    """A request that needs no more of anything than any of the jobs."""
    wanted = [job.resources for job in jobs] or [Resources(0.0, 0, 0.0)]
    return Resources(min(w.cpus for w in wanted), min(w.memory_bytes for w in wanted), min(w.gpus for w in wanted))
