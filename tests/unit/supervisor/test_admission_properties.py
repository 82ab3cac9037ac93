"""Whatever is asked for: nothing is given twice, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from raylift.domain.job import Job, JobSpec, JobState, QueuedJob, Resources
from raylift.domain.quota import Quota
from raylift.supervisor.admission import admit, can_ever_hold, held_by_owner

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
    spec = JobSpec("0" * 64, "train.py", "exp", owner=queued.owner, resources=queued.resources, priority=queued.priority)
    return Job(queued.job_id, spec, JobState.SCRIPT, queued.created_at, NOW)


@dataclass
class World:
    """A cluster on which every job runs for some rounds."""

    nodes: Sequence[Resources]
    quotas: dict[str, Quota]
    waiting: dict[str, QueuedJob] = field(default_factory=dict[str, QueuedJob])
    running: dict[str, tuple[QueuedJob, int]] = field(default_factory=dict[str, tuple[QueuedJob, int]])
    reserved_for: str | None = None
    made: int = 0

    def upload(self, owner: str, wanted: Resources, priority: int = 50) -> str:
        self.made += 1
        job_id = f"job_{self.made:05}"
        self.waiting[job_id] = QueuedJob(job_id, owner, priority, NOW + timedelta(seconds=self.made), wanted)
        return job_id

    def round(self, rounds_of: dict[str, int]) -> list[QueuedJob]:
        self.running = {job_id: (job, left - 1) for job_id, (job, left) in self.running.items() if left > 1}
        decision = admit(
            self.waiting.values(),
            [job_of(job) for job, _ in self.running.values()],
            self.nodes,
            quota_of=lambda owner: self.quotas.get(owner, Quota()),
            reserved_for=self.reserved_for,
            starting=0,
            max_starting=4,
        )
        self.reserved_for = decision.reserved_for
        for job in decision.admitted:
            del self.waiting[job.job_id]
            self.running[job.job_id] = (job, rounds_of.get(job.job_id, 2))
        return decision.admitted

    def possible(self, owner: str, wanted: Resources) -> bool:
        return can_ever_hold(wanted, self.nodes) and self.quotas.get(owner, Quota()).broken_by(wanted, NOTHING) is None


NOTHING = held_by_owner([])["nobody"]


@given(nodes, st.dictionaries(st.sampled_from(OWNERS), quotas), st.lists(requests, max_size=25))
def test_all_that_can_run_is_run_and_nothing_is_given_twice(
    cluster: list[Resources], limits: dict[str, Quota], uploads: list[tuple[str, Resources, int]]
) -> None:
    world = World(cluster, limits)
    rounds = {world.upload(owner, wanted): length for owner, wanted, length in uploads}
    possible = {job.job_id for job in world.waiting.values() if world.possible(job.owner, job.resources)}
    started: set[str] = set()
    for _ in range(4 * len(uploads) + 4):
        started |= {job.job_id for job in world.round(rounds)}
        held = held_by_owner(job_of(job) for job, _ in world.running.values())
        assert sum(h.cpus for h in held.values()) <= sum(n.cpus for n in cluster) + 1e-5
        assert sum(h.memory_bytes for h in held.values()) <= sum(n.memory_bytes for n in cluster)
        assert sum(h.gpus for h in held.values()) <= sum(n.gpus for n in cluster) + 1e-5
        for owner, quota in limits.items():
            assert quota.max_running_jobs is None or held[owner].jobs <= quota.max_running_jobs
            assert quota.max_cpus is None or held[owner].cpus <= quota.max_cpus + 1e-5
            assert quota.max_memory_bytes is None or held[owner].memory_bytes <= quota.max_memory_bytes
    assert started == possible


@settings(max_examples=60)
@given(nodes, st.dictionaries(st.sampled_from(OWNERS), quotas), wants, wants, wants, st.integers(1, 5))
def test_no_job_starves_while_others_keep_coming(
    cluster: list[Resources], limits: dict[str, Quota], mine: Resources, theirs: Resources, my_own: Resources, length: int
) -> None:
    """One job of ann's, while ann herself, bob and cid hand in others without end."""
    world = World(cluster, limits)
    rounds: dict[str, int] = {}

    def crowd() -> None:
        for owner, wanted in (("bob", theirs), ("cid", Resources(0.5, GIB)), ("ann", my_own)):
            for _ in range(2):
                rounds[world.upload(owner, wanted)] = length

    for _ in range(3):
        crowd()
        world.round(rounds)
    the_one = world.upload("ann", mine)
    ahead = sum(1 for job in world.waiting.values() if job.owner == "ann")
    if not world.possible("ann", mine):
        return
    for _ in range((ahead + 5) * 40):
        crowd()
        if any(job.job_id == the_one for job in world.round(rounds)):
            return
    raise AssertionError(f"{the_one} never started")
