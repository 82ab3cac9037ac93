"""Admission with 1,000 nodes and 100,000 jobs: the platform's own planner and queries, without Ray.

    python tests/benchmarks/admission_at_scale.py [--quick] [--part planner|store] [--postgres]

``planner`` simulates a cluster in memory. At each look some jobs end, some arrive, and the planner decides: which node each
active job counts on, which waiting jobs start, and which nodes later jobs avoid. ``store`` fills a database with the same jobs
and measures the queries that feed a look. Goal: at most 50 ms of CPU for the planner's part of a look.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import tempfile
import time
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

from raylift.domain.job import Job, JobSpec, JobState, QueuedJob, Resources  # noqa: E402 - the path comes first
from raylift.domain.nodes.fit import fits_some, largest  # noqa: E402
from raylift.domain.nodes.gangs import Place  # noqa: E402
from raylift.domain.quota import Quota  # noqa: E402
from raylift.engines.ray_engine.jobs import RayJob, RayJobStatus  # noqa: E402
from raylift.store import Store  # noqa: E402
from raylift.store.engine.tables import JobRow, ScriptRow  # noqa: E402
from raylift.store.engine.transactions import insert_into  # noqa: E402
from raylift.store.statements.records import job_columns  # noqa: E402
from raylift.supervisor.jobs.admission import Holdings, admit  # noqa: E402
from raylift.supervisor.jobs.placement import Placement  # noqa: E402
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot  # noqa: E402
from raylift.supervisor.store_view import StoreView  # noqa: E402

GIB = 2**30
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCRIPT = b"pass\n"
GOAL_MS = 50.0
OF_EACH_OWNER = 50
ENDS_PER_NODE = 0.04
"""Jobs that end at each look, for each node. As many arrive."""


@dataclass(frozen=True)
class Size:
    """A cluster with jobs."""

    name: str
    nodes: int
    jobs: int
    owners: int
    max_starting: int


SIZES = [Size("1,000 nodes, 100,000 jobs", 1_000, 100_000, 100, 64), Size("3 nodes, 10,000 jobs", 3, 10_000, 20, 4)]
QUOTAS = [Quota(), Quota(), Quota(max_cpus=400.0), Quota(max_running_jobs=50), Quota(max_memory_bytes=2_000 * GIB)]


def node(chance: random.Random) -> Resources:
    """Machines of three kinds. No two have exactly the same memory, as in a real cluster."""
    cpus, gib, gpus = chance.choices([(32.0, 128, 0.0), (64.0, 512, 0.0), (32.0, 256, 4.0)], [70, 20, 10])[0]
    return Resources(cpus, gib * GIB - chance.randrange(GIB), gpus)


def wanted(chance: random.Random) -> Resources:
    kind = chance.choices(["small", "large", "whole node", "gpu"], [75, 15, 5, 5])[0]
    if kind == "small":
        return Resources(chance.choice([0.1, 0.5, 1.0, 2.0]), chance.choice([1, 2, 4]) * GIB)
    if kind == "large":
        return Resources(float(chance.randint(4, 16)), chance.randint(8, 64) * GIB)
    if kind == "whole node":
        return Resources(chance.choice([32.0, 48.0, 64.0]), chance.randint(32, 400) * GIB)
    return Resources(4.0, 32 * GIB, chance.choice([0.5, 1.0, 2.0]))


@dataclass
class World:
    """Nodes and jobs in memory. Ray starts each job where admission assumes."""

    size: Size
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    nodes: dict[str, Resources] = field(default_factory=dict[str, Resources])
    active: dict[str, Job] = field(default_factory=dict[str, Job])
    queues: dict[str, list[tuple[int, datetime, str, QueuedJob]]] = field(default_factory=dict)
    ray_jobs: dict[str, RayJob] = field(default_factory=dict[str, RayJob])
    made: int = 0

    def __post_init__(self) -> None:
        self.nodes = {f"{number:056x}": node(self.chance) for number in range(self.size.nodes)}
        self.largest = largest(self.nodes.values())
        left = {node_id: [one.cpus, one.memory_bytes, one.gpus] for node_id, one in self.nodes.items()}
        for node_id, room in left.items():  # Full, up to a few CPUs.
            while room[0] > 1.0:
                job = self.new_job()
                if not fits_some(job.resources, [Resources(room[0], int(room[1]), room[2])]):
                    job = QueuedJob(job.job_id, job.account, job.priority, job.created_at, Resources(1.0, GIB))
                    if room[1] < GIB:
                        break
                room[0] -= job.resources.cpus
                room[1] -= job.resources.memory_bytes
                room[2] -= job.resources.gpus
                self.start(job, node_id)
        while self.made < self.size.jobs:
            self.arrive()

    def quota_of(self, account: str) -> Quota:
        return QUOTAS[int(account[5:]) % len(QUOTAS)]

    def new_job(self) -> QueuedJob:
        self.made += 1
        owner = min(
            int(self.chance.expovariate(4.0 / self.size.owners)), self.size.owners - 1
        )  # Some have many more than others.
        priority = self.chance.choice([50, 50, 50, 60, 20])
        moment = NOW + timedelta(seconds=self.made)
        return QueuedJob(f"job_{self.made:06}", f"owner{owner}", priority, moment, wanted(self.chance))

    def arrive(self) -> None:
        job = self.new_job()
        insort(self.queues.setdefault(job.account, []), (-job.priority, job.created_at, job.job_id, job))

    def start(self, job: QueuedJob, node_id: str) -> None:
        self.active[job.job_id] = as_job(job, JobState.SCRIPT)
        name = f"{job.job_id}-a1"
        self.ray_jobs[name] = RayJob(name, RayJobStatus.RUNNING, "", node_id=node_id)

    def heads(self, rooms: Sequence[Resources]) -> list[QueuedJob]:
        """Return what the store would: the first jobs of each owner that fit."""
        found: list[QueuedJob] = []
        for queue in self.queues.values():
            count = len(found) + OF_EACH_OWNER
            for *_, job in queue:
                if fits_some(job.resources, rooms):
                    found.append(job)
                if len(found) == count:
                    break
        return found

    def pass_time(self, started: Sequence[QueuedJob], placed: dict[str, Place]) -> None:
        for job in started:
            queue = self.queues[job.account]
            queue[:] = [entry for entry in queue if entry[3] is not job]
            self.start(job, placed[job.job_id].script)
        ends = min(max(round(ENDS_PER_NODE * len(self.nodes)), 1), len(self.active))
        for job_id in self.chance.sample(sorted(self.active), ends):
            del self.active[job_id], self.ray_jobs[f"{job_id}-a1"]
            self.arrive()


def as_job(job: QueuedJob, state: JobState) -> Job:
    spec = JobSpec(
        sha256(SCRIPT).hexdigest(), "train.py", "scale", owner=job.account, resources=job.resources, priority=job.priority
    )
    name = None if state is JobState.QUEUED else f"{job.job_id}-a1"
    return Job(job.job_id, spec, state, job.created_at, NOW, submission_id=name)


def report(name: str, took: Sequence[float], goal: float | None = None) -> None:
    verdict = "" if goal is None else f"  goal {goal:.0f}: {'met' if statistics.median(took) <= goal else 'MISSED'}"
    print(f"  {name:58} {statistics.median(took):9.2f} {max(took):9.2f}{verdict}", flush=True)


def measure_planner(world: World, looks: int) -> None:
    gc.freeze()  # The queue is in a database, and not in the supervisor's memory.
    placement, holdings, reserved = Placement(), Holdings(), None
    took: list[float] = []
    started = 0
    for _ in range(looks):
        waiting = world.heads(world.largest)
        snapshot = RaySnapshot(world.ray_jobs, answers=True)
        in_store = 0.0

        def behind(
            rooms: Sequence[Resources], known: frozenset[str] = frozenset(job.job_id for job in waiting)
        ) -> list[QueuedJob]:
            nonlocal in_store
            begin = time.thread_time()
            found = [job for job in world.heads(largest(rooms)) if job.job_id not in known]
            in_store = time.thread_time() - begin
            return found

        active = list(world.active.values())
        begin = time.thread_time()
        places = placement.places(active, snapshot)
        decision = admit(
            waiting,
            active,
            world.nodes,
            quota_of=world.quota_of,
            places=places,
            reserved_for=reserved,
            starting=0,
            max_starting=world.size.max_starting,
            behind=behind,
            holdings=holdings,
        )
        placement.follow(places, decision, world.nodes)
        took.append((time.thread_time() - begin - in_store) * 1000)
        reserved = decision.reserved_for
        started += len(decision.admitted)
        world.pass_time(decision.admitted, dict(decision.placed))
    queued = sum(len(queue) for queue in world.queues.values())
    print(f"{world.size.name}: {len(world.active)} active, {queued} queued, {started} started in {looks} looks")
    report("planner, ms of CPU a look: median, worst", took, GOAL_MS)


def fill(store: Store, world: World) -> None:
    jobs = [*world.active.values()]
    jobs += [as_job(entry[3], JobState.QUEUED) for queue in world.queues.values() for entry in queue]
    with store._database.write() as session:
        session.execute(insert_into(session, ScriptRow), [{"sha256": sha256(SCRIPT).hexdigest(), "content": SCRIPT}])
        for begin in range(0, len(jobs), 5_000):
            session.execute(insert_into(session, JobRow), [job_columns(job) for job in jobs[begin : begin + 5_000]])


def measure_store(url: str, world: World, rounds: int) -> None:
    store = Store.open(url)
    store.migrate()
    fill(store, world)
    if store.supports_many_nodes:
        with store._database.write() as session:
            session.connection().exec_driver_sql("ANALYZE jobs")
    view, nodes = StoreView(store), list(world.nodes.values())
    print(f"{world.size.name}, {'PostgreSQL' if store.supports_many_nodes else 'SQLite'}: ms, median and worst of {rounds}")

    def timed(name: str, question: Callable[[], object]) -> None:
        took: list[float] = []
        for _ in range(rounds):
            begin = time.perf_counter()
            question()
            took.append((time.perf_counter() - begin) * 1000)
        report(name, took)

    rooms = [Resources(world.chance.random(), world.chance.randrange(GIB, 9 * GIB), 0.0) for _ in nodes]
    began = time.perf_counter()
    view.refresh(nodes)
    report("first look", [(time.perf_counter() - began) * 1000])
    timed("look after a write", lambda: view.refresh(nodes, again=True))
    timed(f"  of it: the {len(view.active)} active jobs", view._active.read)
    timed(f"  of it: {len(view.waiting)} heads of the queue", lambda: store.jobs.queue_heads(OF_EACH_OWNER, nodes=nodes))
    timed("look without a write since the last", lambda: view.refresh(nodes))
    timed("further jobs for the free resources", lambda: view.behind(rooms))
    store.close()


@contextmanager
def database(postgres: bool) -> Iterator[str]:
    if postgres:
        from tests.postgres_server import running_postgres

        with running_postgres() as server, server.database() as name:
            yield server.url(name).replace("postgresql:", "postgresql+psycopg:")
    else:
        with tempfile.TemporaryDirectory(prefix="rlb-") as directory:
            yield f"sqlite:///{directory}/store.db"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--part", choices=["planner", "store"], help="only this one")
    options.add_argument("--postgres", action="store_true", help="the store's queries on PostgreSQL instead of SQLite")
    options.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    chosen = options.parse_args()
    scale = 10 if chosen.quick else 1
    for size in SIZES:
        world = World(Size(size.name, max(size.nodes // scale, 3), size.jobs // scale, size.owners, size.max_starting))
        if chosen.part != "store":
            measure_planner(world, 50 // scale)
        if chosen.part != "planner":
            with database(chosen.postgres) as url:
                measure_store(url, world, 10)


if __name__ == "__main__":
    main()
