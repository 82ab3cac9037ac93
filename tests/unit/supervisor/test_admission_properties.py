"""Properties of admission: no resource is given twice, and no job waits forever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from itertools import islice

from hypothesis import example, given, settings
from hypothesis import strategies as st

from raylift.domain.job import Job, JobSpec, JobState, QueuedJob, Resources
from raylift.domain.nodes.fit import fits_some
from raylift.domain.nodes.gangs import Place
from raylift.domain.quota import Held, Quota, sum_of
from raylift.supervisor.jobs.admission import admit

GIB = 2**30
NOW = datetime(2026, 1, 2, tzinfo=UTC)
OWNERS = ["ann", "bob", "cid"]

nodes = st.lists(
    st.builds(Resources, st.sampled_from([1.0, 2.0, 4.0]), st.sampled_from([4 * GIB, 16 * GIB]), st.sampled_from([0.0, 1.0])),
    min_size=1,
    max_size=3,
)
wants = st.builds(
    Resources,
    st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0]),
    st.sampled_from([GIB, 4 * GIB, 16 * GIB]),
    st.sampled_from([0.0, 0.0, 1.0]),
)
quotas = st.builds(
    Quota,
    max_running_jobs=st.sampled_from([None, 1, 2]),
    max_cpus=st.sampled_from([None, 1.0, 4.0]),
    max_memory_bytes=st.sampled_from([None, 16 * GIB]),
)
requests = st.tuples(st.sampled_from(OWNERS), wants, st.integers(1, 4))


def job_of(queued: QueuedJob) -> Job:
    spec = JobSpec("0" * 64, "train.py", "exp", owner=queued.account, resources=queued.resources, priority=queued.priority)
    return Job(queued.job_id, spec, JobState.SCRIPT, queued.created_at, NOW)


class Ray(Enum):
    """Ray's way to place started jobs. It does not know admission's plans, except for the node to avoid."""

    AS_ADMISSION_THINKS = auto()
    WHERE_LEAST_IS_LEFT = auto()
    WHERE_MOST_IS_LEFT = auto()


@dataclass
class Running:
    job: QueuedJob
    left: int
    assumed: str
    avoids: frozenset[str]
    node: str | None = None
    """None while Ray finds no room for it."""


@dataclass
class World:
    """A cluster on which every job runs for some rounds."""

    nodes: dict[str, Resources]
    quotas: dict[str, Quota]
    ray: Ray = Ray.AS_ADMISSION_THINKS
    waiting: dict[str, QueuedJob] = field(default_factory=dict[str, QueuedJob])
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    reserved_for: str | None = None
    made: int = 0

    def upload(self, owner: str, wanted: Resources, priority: int = 50) -> str:
        self.made += 1
        job_id = f"job_{self.made:05}"
        self.waiting[job_id] = QueuedJob(job_id, owner, priority, NOW + timedelta(seconds=self.made), wanted)
        return job_id

    def round(self, rounds_of: dict[str, int]) -> list[QueuedJob]:
        for running in self.running.values():
            running.left -= running.node is not None
        self.running = {job_id: running for job_id, running in self.running.items() if running.left > 0}
        self._let_ray_start()
        decision = admit(
            self._heads(),
            [job_of(running.job) for running in self.running.values()],
            self.nodes,
            quota_of=lambda owner: self.quotas.get(owner, Quota()),
            places={job_id: Place(running.node or running.assumed) for job_id, running in self.running.items()},
            reserved_for=self.reserved_for,
            starting=sum(running.node is None for running in self.running.values()),
            max_starting=4,
        )
        self.reserved_for = decision.reserved_for
        for job in decision.admitted:
            del self.waiting[job.job_id]
            place = decision.placed[job.job_id].script
            avoids = decision.set_aside - {place}
            self.running[job.job_id] = Running(job, rounds_of.get(job.job_id, 2), place, avoids)
        self._let_ray_start()
        return decision.admitted

    def possible(self, owner: str, wanted: Resources) -> bool:
        return fits_some(wanted, self.nodes.values()) and self.quotas.get(owner, Quota()).exceeded_by(wanted, NOTHING) is None

    def _heads(self) -> list[QueuedJob]:
        """The queue heads of each owner, as the store returns them."""
        return [job for owner in OWNERS for job in islice((j for j in self.waiting.values() if j.account == owner), 50)]

    def _let_ray_start(self) -> None:
        for running in self.running.values():
            if running.node is None:
                able = [node for node in self.nodes if node not in running.avoids and self._holds(node, running.job.resources)]
                if self.ray is Ray.AS_ADMISSION_THINKS:
                    assert running.assumed in able
                    running.node = running.assumed
                elif able:
                    choose = min if self.ray is Ray.WHERE_LEAST_IS_LEFT else max
                    running.node = choose(able, key=lambda node: self._left(node).cpus)

    def _holds(self, node: str, wanted: Resources) -> bool:
        left = self._left(node)
        return fits_some(wanted, [left])

    def _left(self, node: str) -> Resources:
        there = [running.job.resources for running in self.running.values() if running.node == node]
        has = self.nodes[node]
        return Resources(
            has.cpus - sum(job.cpus for job in there),
            has.memory_bytes - sum(job.memory_bytes for job in there),
            has.gpus - sum(job.gpus for job in there),
        )


def named(nodes: Sequence[Resources]) -> dict[str, Resources]:
    return {f"node_{number}": node for number, node in enumerate(nodes)}


NOTHING = Held()


@settings(deadline=None)
@given(nodes, st.dictionaries(st.sampled_from(OWNERS), quotas), st.lists(requests, max_size=25))
def test_every_job_that_fits_runs_and_no_resource_is_given_twice(
    cluster: list[Resources], limits: dict[str, Quota], uploads: list[tuple[str, Resources, int]]
) -> None:
    world = World(named(cluster), limits)
    rounds = {world.upload(owner, wanted): length for owner, wanted, length in uploads}
    possible = {job.job_id for job in world.waiting.values() if world.possible(job.account, job.resources)}
    started: set[str] = set()
    for _ in range(4 * len(uploads) + 4):
        started |= {job.job_id for job in world.round(rounds)}
        held = {
            owner: sum_of(running.job.resources for running in world.running.values() if running.job.account == owner)
            for owner in OWNERS
        }
        assert sum(h.cpus for h in held.values()) <= sum(n.cpus for n in cluster) + 1e-5
        assert sum(h.memory_bytes for h in held.values()) <= sum(n.memory_bytes for n in cluster)
        assert sum(h.gpus for h in held.values()) <= sum(n.gpus for n in cluster) + 1e-5
        for owner, quota in limits.items():
            assert quota.max_running_jobs is None or held[owner].jobs <= quota.max_running_jobs
            assert quota.max_cpus is None or held[owner].cpus <= quota.max_cpus + 1e-5
            assert quota.max_memory_bytes is None or held[owner].memory_bytes <= quota.max_memory_bytes
    assert started == possible


@settings(max_examples=60, deadline=None)
@example(  # Running jobs once counted on their best fit instead of their real node: no node ever looked empty.
    [Resources(1.0, 4 * GIB, 1.0), Resources(1.0, 16 * GIB)],
    {},
    Resources(0.1, GIB),
    Resources(0.1, 4 * GIB),
    Resources(0.1, 16 * GIB),
    2,
    Ray.AS_ADMISSION_THINKS,
)
@example(  # A started job once waited in Ray forever: Ray started all later ones on the node that it waited for.
    [Resources(1.0, 4 * GIB), Resources(2.0, 16 * GIB, 1.0)],
    {},
    Resources(0.1, GIB),
    Resources(0.1, GIB),
    Resources(0.1, 16 * GIB),
    2,
    Ray.WHERE_MOST_IS_LEFT,
)
@example(  # Ann's small jobs passed her large one and made her share larger than Bob's: the reservation was always his.
    [Resources(1.0, 16 * GIB, 1.0), Resources(2.0, 16 * GIB)],
    {},
    Resources(0.5, 16 * GIB),
    Resources(0.5, 16 * GIB),
    Resources(0.5, 4 * GIB, 1.0),
    2,
    Ray.WHERE_LEAST_IS_LEFT,
)
@example(  # They used up her quota whenever the reservation was free.
    [Resources(2.0, 4 * GIB, 1.0), Resources(4.0, 4 * GIB), Resources(4.0, 16 * GIB, 1.0)],
    {"ann": Quota(max_running_jobs=1), "bob": Quota(max_cpus=1.0)},
    Resources(1.0, 16 * GIB),
    Resources(0.1, 4 * GIB),
    Resources(2.0, GIB),
    4,
    Ray.WHERE_MOST_IS_LEFT,
)
@given(nodes, st.dictionaries(st.sampled_from(OWNERS), quotas), wants, wants, wants, st.integers(1, 5), st.sampled_from(Ray))
def test_no_job_starves_while_others_arrive(
    cluster: list[Resources],
    limits: dict[str, Quota],
    mine: Resources,
    theirs: Resources,
    my_own: Resources,
    length: int,
    ray: Ray,
) -> None:
    """One job of Ann, while Ann, Bob and Cid submit others without end, and Ray places them in any way."""
    world = World(named(cluster), limits, ray)
    rounds: dict[str, int] = {}

    def crowd() -> None:
        for owner, wanted in (("bob", theirs), ("cid", Resources(0.5, GIB)), ("ann", my_own)):
            for _ in range(2):
                rounds[world.upload(owner, wanted)] = length

    for _ in range(3):
        crowd()
        world.round(rounds)
    the_one = world.upload("ann", mine)
    ahead = sum(1 for job in world.waiting.values() if job.account == "ann")
    if not world.possible("ann", mine):
        return
    for _ in range((ahead + 5) * 40):
        crowd()
        if any(job.job_id == the_one for job in world.round(rounds)):
            return
    raise AssertionError(f"{the_one} never started")
