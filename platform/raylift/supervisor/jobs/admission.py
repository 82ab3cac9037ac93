"""Decides which waiting jobs may start now. Pure: Raylift admits, Ray schedules. See docs/guides/queue.md."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from operator import attrgetter
from typing import Final

from raylift.domain.job import Job, QueuedJob, Resources
from raylift.domain.nodes.gangs import Place
from raylift.domain.nodes.reservation import Reservation
from raylift.domain.quota import Held, Quota, sum_of
from raylift.supervisor.jobs.free_resources import FreeResources

_FIRST_OF_ITS_PRIORITY: Final = -1.0
"""Less than any share."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Jobs that may start, in order, and the job that waits with a node set aside for it."""

    admitted: list[QueuedJob] = field(default_factory=list[QueuedJob])
    placed: Mapping[str, Place] = field(default_factory=dict[str, Place])
    """Nodes of the admitted jobs: assumed until Ray names them, prescribed for gangs."""
    reserved_for: str | None = None
    """Id of the job; an argument of the next decision."""
    reserved_nodes: tuple[str, ...] = ()
    """Nodes that are set aside for it, the roomiest first: no other job is to start there."""
    overfull: frozenset[str] = frozenset()
    """Nodes with more jobs than they can hold: a job waits in Ray for each of them, and no other is to start there."""
    room: list[Resources] = field(default_factory=list[Resources])
    """Free resources of the other nodes, while more jobs may start."""

    @property
    def reservation(self) -> Reservation | None:
        if self.reserved_for is None or not self.reserved_nodes:
            return None
        return Reservation(self.reserved_for, self.reserved_nodes[0])

    @property
    def set_aside(self) -> frozenset[str]:
        """Nodes on which no further job is to start, except the reserved one."""
        return self.overfull | set(self.reserved_nodes)


def admit(
    waiting: Iterable[QueuedJob],
    active: Iterable[Job],
    nodes: Mapping[str, Resources],
    *,
    quota_of: Callable[[str], Quota],
    places: Mapping[str, Place] | None = None,
    reserved_for: str | None = None,
    starting: int,
    max_starting: int,
    behind: Callable[[Sequence[Resources]], Sequence[QueuedJob]] = lambda _: (),
    holdings: Holdings | None = None,
) -> Decision:
    """Admit the waiting jobs that the cluster can hold now.

    Args:
        waiting: queued jobs, in any order.
        active: jobs that hold resources already.
        nodes: total resources for jobs by node id, without the serving reserve.
        quota_of: the quota of an account.
        places: known places of active jobs, by their ids.
        reserved_for: of the last decision.
        starting: number of active jobs whose script does not run yet.
        max_starting: limit of that number.
        behind: fetches further waiting jobs that fit the free resources: small ones behind any number of large ones.
        holdings: those of the last decision, which are brought up to date. None: new ones.

    Jobs go by priority, then by the share that their account holds (the smallest first), then by age. The first job that does
    not fit reserves the node that could hold it and has most room; a gang reserves as many nodes as it needs. It keeps the
    reservation from decision to decision and goes
    first of its priority, so that neither other accounts nor smaller jobs can starve it. A job over its account's quota holds
    back later jobs of that account only. A job that no empty node could hold is skipped.

    Younger jobs of an account that pass a large one do not count against it, and leave enough of the quota for it.

    Ray may start a job on another node than assumed, in place of an earlier one. That one waits in Ray and still counts on its
    node, which is overfull until the job runs: later jobs are kept off.
    """
    waiting, active = list(waiting), list(active)

    holdings = Holdings() if holdings is None else holdings
    holdings.follow(active)
    free, total = FreeResources(active, nodes, places or {}), sum_of(nodes.values())

    def decide(candidates: Sequence[QueuedJob]) -> Decision:
        queues = _Queues(candidates, holdings, total, reserved_for)
        return _decide(queues, free.copy(), quota_of, at_most=max_starting - starting)

    decision = decide(waiting)
    further = behind(decision.room) if decision.room else ()
    return decide([*waiting, *further]) if further else decision


def _decide(queues: _Queues, cluster: FreeResources, quota_of: Callable[[str], Quota], *, at_most: int) -> Decision:
    admitted: list[QueuedJob] = []
    placed: dict[str, Place] = {}
    reserved: str | None = None
    reserved_nodes: tuple[str, ...] = ()
    overfull = cluster.overfull()
    with_large: set[str] = set()
    while len(admitted) < at_most and (job := queues.next()) is not None:
        quota = quota_of(job.account)
        if quota.exceeded_by(job.resources, queues.held(job.account)):
            # A job that alone exceeds the quota (lowered since the upload) must not hold the others back for ever.
            if not quota.exceeded_by(job.resources, Held()):
                queues.hold_back(job.account)
        elif (place := cluster.take(job.resources)) is not None:
            admitted.append(job)
            placed[job.job_id] = place
            queues.give(job)
        elif reserved is not None and cluster.have_none_for(queues.smallest(job.account)):
            queues.hold_back(job.account)
        elif cluster.could_hold(job.resources):
            if reserved is None:
                reserved, reserved_nodes = job.job_id, cluster.reserve(job.resources)
                queues.give(job)
            elif job.account not in with_large:
                queues.count_for_quota(job)
            # Counted once for each account: smaller jobs behind it must leave enough of the quota.
            with_large.add(job.account)
    if at_most <= 0 and (first := queues.reserved_before) is not None and cluster.could_hold(first.resources):
        # Nothing starts now, but jobs of the last decision may still start: they must be kept off the node.
        reserved, reserved_nodes = first.job_id, cluster.reserve(first.resources)
    room = cluster.left() if len(admitted) < at_most else []
    return Decision(admitted, placed, reserved, reserved_nodes, overfull, room)


_Key = tuple[int, float, datetime, str]


class Holdings:
    """Resources of each account's active jobs, by the jobs' age. Kept from look to look, in which few jobs begin or end."""

    def __init__(self) -> None:
        self._known: dict[str, Job] = {}
        self._jobs: defaultdict[str, dict[str, Job]] = defaultdict(dict)
        """By account and id."""
        self._sums: dict[str, _SumsByAge] = {}
        """Sums of the accounts that were asked about since one of their jobs began or ended."""

    def follow(self, active: Iterable[Job]) -> None:
        """Take over the jobs that are active now. What a job asks for, its account and its age never change."""
        now = {job.job_id: job for job in active}
        for job_id in self._known.keys() - now.keys():
            account = self._known[job_id].spec.account
            del self._jobs[account][job_id]
            self._sums.pop(account, None)
        for job_id in now.keys() - self._known.keys():
            account = now[job_id].spec.account
            self._jobs[account][job_id] = now[job_id]
            self._sums.pop(account, None)
        self._known = now

    def of(self, account: str) -> Held:
        sums = self._by_age(account)
        return sums.of_first(len(sums.ages))

    def of_those_before(self, account: str, created_at: datetime) -> Held:
        """Sum up the jobs that were uploaded by then."""
        sums = self._by_age(account)
        return sums.of_first(bisect_right(sums.ages, created_at))

    def _by_age(self, account: str) -> _SumsByAge:
        if account not in self._sums:
            theirs = self._jobs.get(account, {}).values()
            self._sums[account] = _SumsByAge(sorted(theirs, key=attrgetter("created_at")))
        return self._sums[account]


class _SumsByAge:
    """Running sums over the jobs of one account, the oldest first. A ``Held`` for each would take ten times as long."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.ages = [job.created_at for job in jobs]
        requests = [wanted if wanted.workers is None else wanted.whole for wanted in [job.spec.resources for job in jobs]]
        self._cpus = list(accumulate([wanted.cpus for wanted in requests], initial=0.0))
        self._memory_bytes = list(accumulate([wanted.memory_bytes for wanted in requests], initial=0))
        self._gpus = list(accumulate([wanted.gpus for wanted in requests], initial=0.0))

    def of_first(self, count: int) -> Held:
        return Held(count, self._cpus[count], self._memory_bytes[count], self._gpus[count])


class _Queues:
    """A queue for each account, merged by priority, share and age."""

    def __init__(self, waiting: Iterable[QueuedJob], holdings: Holdings, total: Held, first: str | None) -> None:
        self._holdings = holdings
        self._total = total
        self._counted: dict[str, Held] = {}
        """Holdings of accounts that were given some, or whose large job counts for its quota."""
        self._given: defaultdict[str, list[Resources]] = defaultdict(list)
        self._heads: list[tuple[_Key, str, QueuedJob | None]] = []
        self._held_back: set[str] = set()
        self.reserved_before: QueuedJob | None = None
        """Job with the reservation of the last decision, if it still waits."""
        by_account: defaultdict[str, list[QueuedJob]] = defaultdict(list)
        for job in waiting:
            by_account[job.account].append(job)
        self._smallest = {account: _smallest(jobs) for account, jobs in by_account.items()}
        self._queues: dict[str, deque[QueuedJob]] = {}
        for account, jobs in by_account.items():
            jobs.sort(key=lambda job: (-job.priority, job.created_at, job.job_id))
            self._queues[account] = deque(job for job in jobs if job.job_id != first)
            for job in jobs:
                if job.job_id == first:
                    key = (-job.priority, _FIRST_OF_ITS_PRIORITY, job.created_at, job.job_id)
                    self.reserved_before = job
                    heapq.heappush(self._heads, (key, account, job))
            if self._queues[account]:
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
        self._counted[job.account] = self.held(job.account).plus(job.resources)

    def held(self, account: str) -> Held:
        """Return the resources that count for the account's quota."""
        return self._counted.get(account) or self._holdings.of(account)

    def smallest(self, account: str) -> Resources:
        """Return the least of each resource over all jobs of the account."""
        return self._smallest[account]

    def hold_back(self, account: str) -> None:
        """Return no further job of the account."""
        self._held_back.add(account)

    def _push(self, account: str) -> None:
        heapq.heappush(self._heads, (self._key(account), account, None))

    def _key(self, account: str) -> _Key:
        head = self._queues[account][0]
        # Younger jobs that have passed the head do not count against it.
        held = self._holdings.of_those_before(account, head.created_at)
        for wanted in self._given[account]:
            held = held.plus(wanted)
        return (-head.priority, held.share_of(self._total), head.created_at, head.job_id)


def _smallest(jobs: Sequence[QueuedJob]) -> Resources:
    wanted = [job.resources for job in jobs]
    return Resources(min(w.cpus for w in wanted), min(w.memory_bytes for w in wanted), min(w.gpus for w in wanted))
