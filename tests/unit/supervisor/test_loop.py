"""The supervisor's loop on a real store, without Ray: its tasks, and independence from hanging engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job, JobSpec, JobState, Resources
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import ApplicationSnapshot, ApplicationState, DeploymentConfig, DeploymentStatus
from raylift.domain.nodes.reservation import Reservation
from raylift.engines.ray_engine.cluster import NodeResources
from raylift.run_settings import ClusterSettings, NodeTypeSettings
from raylift.settings import PlatformSettings
from raylift.supervisor.deployments.execute import DeploymentExecutor
from raylift.supervisor.deployments.publish_routes import RoutePublisher
from raylift.supervisor.deployments.reconcile import DeploymentReconciler
from raylift.supervisor.deployments.scans import ModelScans
from raylift.supervisor.jobs import watch_jobs
from raylift.supervisor.jobs.gangs import Gangs
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.plan import JobAction, Register, Stop
from raylift.supervisor.jobs.ray_snapshot import RayView
from raylift.supervisor.jobs.start_jobs import JobStarter
from raylift.supervisor.jobs.watch_jobs import JobTasks, JobWatcher
from raylift.supervisor.loop import Subjects, Supervisor
from raylift.supervisor.order.release import JobReleases
from raylift.supervisor.periodic import PeriodicTask
from raylift.supervisor.serial_tasks import TaskThreads
from raylift.supervisor.store_view import StoreView
from tests.migrated_store import open_migrated
from tests.unit.supervisor.fake_groups import FakeGroups

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY_SCRIPT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
GIB = 2**30


class NoRay:
    def list(self) -> None:
        raise EngineUnavailable("Ray is away")


class Hands:
    """Fake of the job executor: MLflow hangs until ``mlflow_answers``."""

    def __init__(self) -> None:
        self.mlflow_answers = threading.Event()
        self.acted = threading.Event()
        self.told: list[str] = []

    def execute(self, _lease: Lease, job: Job, action: JobAction) -> None:
        if isinstance(action, Register):
            self.mlflow_answers.wait()
        elif isinstance(action, Stop):
            self.tell(job)

    def start(self, _lease: Lease, job: Job) -> None:
        self.tell(job)

    def tell(self, job: Job) -> None:
        self.told.append(job.job_id)
        self.acted.set()


class Serve:
    """Fake of Ray Serve that counts its calls."""

    def __init__(self) -> None:
        self.asked = 0
        self.seen: dict[tuple[str, str], ApplicationSnapshot] = {}
        self.takes: Callable[[], None] = lambda: None

    def observe(self) -> dict[tuple[str, str], ApplicationSnapshot]:
        self.asked += 1
        self.takes()
        return self.seen


class SmallCluster:
    """Fake of the cluster whose nodes a test changes."""

    def __init__(self, members: list[NodeResources]) -> None:
        self.members = members

    def nodes(self) -> list[NodeResources]:
        return self.members


class SchemaTags:
    """Fake of the schema tags that records the requested versions."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask_and_write(self, model_name: str, version: str) -> None:
        self.asked.append(f"{model_name}/{version}")


class Bench:
    def __init__(self, state_dir: Path) -> None:
        settings = PlatformSettings(
            state_dir=state_dir,
            database_url=f"sqlite:///{state_dir / 'raylift.db'}",
            mlflow_url="http://mlflow",
            ray_dashboard_url="http://ray",
            gateway_url="http://gateway",
        )
        self.store = open_migrated(state_dir / "raylift.db")
        lease = self.store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
        assert lease is not None
        self.lease = lease
        self.hands = Hands()
        unused = cast("Any", None)
        self.serve = Serve()
        self.schema_tags = SchemaTags()
        self.seconds = 0.0
        monotonic = lambda: self.seconds  # noqa: E731
        executor = DeploymentExecutor(
            self.store, cast("Any", self.serve), unused, unused, cast("Any", self.schema_tags), lambda: NOW
        )
        self.threads = TaskThreads()
        tasks = self.threads.runner(monotonic)
        self.view, ray_view, placement = StoreView(self.store), RayView(cast("Any", NoRay()), time.monotonic), Placement()
        jobs, job_tasks = cast("Any", self.hands), JobTasks(tasks, ray_view)
        gangs = Gangs(settings, self.store, FakeGroups(), placement)
        self.starter = JobStarter(
            settings,
            self.store,
            unused,
            self.view,
            ray_view,
            jobs,
            JobReleases(self.store, settings, lambda: NOW),
            placement,
            gangs,
            job_tasks,
            monotonic,
        )
        self.watcher = JobWatcher(settings, self.view, ray_view, jobs, unused, job_tasks, lambda: NOW)
        self.deployments = DeploymentReconciler(
            settings.serving,
            self.store,
            cast("Any", self.serve),
            executor,
            RoutePublisher(self.store, None),
            tasks,
            ModelScans(settings.reports, settings.mlflow_url, self.store, lambda: NOW),
            clock=lambda: NOW,
            monotonic=monotonic,
        )
        self.subjects = Subjects(self.starter, self.watcher, unused, self.deployments, ())
        self.supervisor = Supervisor(
            settings.supervisor,
            holder="me",
            store=self.store,
            view=self.view,
            subjects=self.subjects,
            tasks=tasks,
            clock=lambda: NOW,
            monotonic=monotonic,
        )

    def job(self, job_id: str, *states: JobState, cpus: float = 0.1) -> Job:
        spec = JobSpec(EMPTY_SCRIPT, "train.py", "exp", resources=Resources(cpus, GIB))
        job = self.store.jobs.add(spec, b"", job_id=job_id, now=NOW)
        for state in states:
            job = self.store.jobs.move(self.lease, job, state, now=NOW, submission_id=f"{job_id}-a1")
        return job


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.hands.mlflow_answers.set()
    made.threads.shutdown(wait=True)
    made.store.close()


def test_job_is_stopped_while_mlflow_hangs(bench: Bench) -> None:
    for n in range(20):
        bench.job(f"job_{n:02}", JobState.STARTING, JobState.SCRIPT, JobState.REGISTRATION)
    bench.job("job_99", JobState.STARTING, JobState.SCRIPT)
    bench.store.jobs.request_cancel("job_99", now=NOW)
    bench.view.refresh([])
    bench.watcher.watch(bench.lease)
    assert bench.hands.acted.wait(30)
    assert bench.hands.told == ["job_99"]


@pytest.mark.parametrize("left", ["a file in its place", "what nobody thought of"])
def test_hostile_attempt_directory_delays_no_other_job(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    (tmp_path / "attempts").mkdir()
    (tmp_path / "attempts" / "job_00-a1").touch()
    if left == "what nobody thought of":
        seen = watch_jobs.observe_attempt

        def observed_or_not(job: Job, *others: Any) -> Any:
            if job.job_id == "job_00":
                raise RuntimeError(left)
            return seen(job, *others)

        monkeypatch.setattr(watch_jobs, "observe_attempt", observed_or_not)
    for job_id in ("job_00", "job_99"):
        bench.job(job_id, JobState.STARTING, JobState.SCRIPT)
    bench.store.jobs.request_cancel("job_99", now=NOW)
    bench.view.refresh([])
    bench.watcher.watch(bench.lease)
    assert bench.hands.acted.wait(30)
    assert bench.hands.told == ["job_99"]


def test_small_job_starts_behind_many_large_ones(bench: Bench) -> None:
    # The cluster is not asked: SQLite is for one node only.
    bench.starter.nodes = {"a": Resources(4.0, 8 * GIB), "b": Resources(2.0, 8 * GIB)}
    bench.starter._nodes_read_at = float("inf")
    bench.job("job_00", JobState.STARTING, cpus=4.0)
    for n in range(1, 60):
        bench.job(f"job_{n:02}", cpus=4.0)
    bench.job("job_99", cpus=1.0)
    bench.view.refresh([])
    bench.starter.start(bench.lease)
    assert bench.hands.acted.wait(30)
    assert bench.hands.told == ["job_99"]


def test_written_jobs_cause_no_call_to_ray_serve(bench: Bench) -> None:
    config = DeploymentConfig(min_replicas=1)
    bench.store.deployments.ensure("churn", "1", model_uri="models:/churn/1", config=config, now=NOW, files={})
    (row,) = bench.store.deployments.list()
    bench.store.deployments.observe(
        bench.lease, row, now=NOW, status=DeploymentStatus.STARTING, replicas=0, message=None, applied_generation=row.generation
    )
    bench.serve.seen = {("churn", "1"): ApplicationSnapshot(ApplicationState.STARTING, 0)}
    look = lambda: bench.deployments.reconcile(bench.lease)  # noqa: E731
    look()
    look()
    assert bench.serve.asked == 2, "while a version starts it is looked at each time"
    bench.serve.seen = {("churn", "1"): ApplicationSnapshot(ApplicationState.RUNNING, 1)}
    look()
    look()
    asked = bench.serve.asked
    bench.job("job_00")
    look()
    assert bench.serve.asked == asked
    (row,) = bench.store.deployments.list()
    assert row.status is DeploymentStatus.READY
    assert bench.schema_tags.asked == ["churn/1"], "when it was ready for the first time"
    bench.store.deployments.request_scale_up("churn", "1", now=NOW)
    look()
    assert bench.serve.asked == asked + 1, "what is wanted has changed"
    bench.seconds += 10
    look()
    assert bench.serve.asked == asked + 2, "a replica may have died meanwhile"


def test_files_are_recorded_before_a_version_is_deployed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.deployments.ensure("churn", "1", model_uri="models:/churn/1", config=DeploymentConfig(), now=NOW, scale_up=True)
    recorded: list[str] = []
    done = threading.Event()

    def record(_lease: Lease, row: Any) -> None:
        recorded.append(f"{row.model_name} {row.version}")
        done.set()

    monkeypatch.setattr(bench.deployments._executor, "record_files", record)
    bench.deployments.reconcile(bench.lease)
    assert done.wait(30)
    assert recorded == ["churn 1"]


def test_slow_ray_serve_is_asked_less_often_while_nothing_changes(bench: Bench) -> None:
    def half_a_second() -> None:
        bench.seconds += 0.5

    bench.serve.takes = half_a_second
    bench.deployments.reconcile(bench.lease)
    for pause, asked in ((10, 1), (6, 2), (10, 2), (6, 3)):
        bench.seconds += pause
        bench.deployments.reconcile(bench.lease)
        assert bench.serve.asked == asked


def test_a_periodic_task_runs_when_it_is_due(bench: Bench) -> None:
    runs: list[str] = []
    ran = threading.Event()
    due = False

    def run(_lease: Lease) -> None:
        runs.append("ran")
        ran.set()

    task = PeriodicTask("counting", 5.0, run, is_due=lambda: due)
    bench.supervisor._subjects = replace(bench.subjects, periodic=(task,))
    bench.supervisor.tick()
    due = True
    bench.supervisor.tick()
    assert ran.wait(30)
    bench.supervisor.tick()
    bench.threads.shutdown(wait=True)
    assert runs == ["ran"]


def test_a_change_makes_a_reconciliation_due(bench: Bench) -> None:
    bench.deployments.reconcile(bench.lease)
    assert not bench.deployments.is_due()
    bench.deployments.notice_change()
    assert bench.deployments.is_due()
    bench.deployments.reconcile(bench.lease)
    bench.seconds += 3
    assert bench.deployments.is_due()


def test_a_cancelled_job_leaves_the_queue(bench: Bench) -> None:
    bench.job("job_00")
    bench.store.jobs.request_cancel("job_00", now=NOW)
    bench.starter._nodes_read_at = float("inf")
    bench.view.refresh([])
    bench.starter.start(bench.lease)
    assert bench.hands.acted.wait(30)
    assert bench.hands.told == ["job_00"]


def test_reservation_of_a_large_job_is_shown_until_it_starts(bench: Bench) -> None:
    bench.starter.nodes = {"a": Resources(2.0, 8 * GIB)}
    bench.starter._nodes_read_at = float("inf")
    bench.job("job_00", JobState.STARTING, cpus=1.0)
    large = bench.job("job_01", cpus=2.0)
    bench.view.refresh([])
    bench.starter.start(bench.lease)
    assert bench.store.reservations.get() == Reservation("job_01", "a")
    written = bench.store.changes.mark()
    bench.starter.start(bench.lease)
    assert bench.store.changes.mark() == written
    bench.store.jobs.request_cancel(large.job_id, now=NOW)
    bench.store.jobs.move(bench.lease, bench.store.jobs.get("job_01"), JobState.CANCELLED, now=NOW)
    bench.view.refresh([])
    bench.starter.start(bench.lease)
    assert bench.store.reservations.get() is None


def test_job_starts_on_the_node_that_the_autoscaler_has_added(bench: Bench) -> None:
    kind = NodeTypeSettings(name="big", cpus=8.0, memory_bytes=8 * GIB, max_nodes=1)
    joined = ClusterSettings(label="h", document_file=Path("d"), join_token_file=Path("t"))
    small = NodeResources("a", 1.0, 8 * GIB, 0.0)
    cluster = SmallCluster([small])
    bench.starter._settings = bench.starter._settings.model_copy(update={"node_types": (kind,), "cluster": joined})
    bench.starter._cluster = cast("Any", cluster)
    bench.job("job_00", cpus=4.0)
    bench.job("job_01", cpus=1.0)
    for _ in range(2):
        bench.view.refresh(bench.starter.rooms, again=True)
        bench.starter.start(bench.lease)
    assert bench.hands.acted.wait(30)
    assert [job.job_id for job in bench.view.waiting] == ["job_00", "job_01"]
    assert bench.store.reservations.get() is None, "it keeps no node free that could not hold it"
    cluster.members = [small, NodeResources("b", 8.0, 8 * GIB, 0.0, node_type="big")]
    bench.seconds += 2
    bench.view.refresh(bench.starter.rooms, again=True)
    bench.starter.start(bench.lease)
    deadline = time.monotonic() + 30
    while set(bench.hands.told) != {"job_00", "job_01"}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert bench.starter.rooms == [Resources(1.0, 8 * GIB), Resources(8.0, 8 * GIB)]
