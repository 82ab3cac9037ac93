"""The job executor on a real store (SQLite), with engines that fail in unexpected ways."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from job_entrypoints.attempt.record import read_attempt
from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job, JobSpec, JobState, Reason
from raylift.domain.lease import Lease
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.environments.errors import BuildCancelled, EnvironmentBuildFailed
from raylift.engines.environments.runtime_env import PLUGIN_NAME
from raylift.settings import EnvironmentSettings, PlatformSettings
from raylift.supervisor.jobs import preparation, submit
from raylift.supervisor.jobs.execute import JobExecutor
from raylift.supervisor.jobs.gangs import Gangs
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.plan import CANCELLED_BEFORE_ITS_SCRIPT, Prepare, Register, Retry, Submit
from raylift.supervisor.jobs.preparation import Preparation
from tests.migrated_store import open_migrated
from tests.unit.supervisor.fake_groups import FakeGroups

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Failing:
    """A failing engine: every method raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def method(*arguments: object, **options: object) -> None:
            raise self.error

        return method


class World:
    def __init__(self, state_dir: Path, error: Exception) -> None:
        self.now = NOW
        self.settings = PlatformSettings(
            state_dir=state_dir,
            database_url=f"sqlite:///{state_dir / 'raylift.db'}",
            mlflow_url="http://mlflow",
            ray_dashboard_url="http://ray",
            gateway_url="http://gateway",
        )
        self.store = open_migrated(state_dir / "raylift.db")
        lease = self.store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
        assert lease is not None
        self.lease: Lease = lease
        engine: Any = Failing(error)
        self.preparation = Preparation(self.settings.environments_dir, self.settings.environments, lambda: False)
        self.groups = FakeGroups()
        self.gangs = Gangs(self.settings, self.store, self.groups, Placement())
        self.executor = JobExecutor(
            self.settings, self.store, engine, engine, engine, lambda: self.now, Placement(), self.preparation, self.gangs
        )

    def job(self, *states: JobState, lock: tuple[str, ...] | None = None, requirements: tuple[str, ...] = ()) -> Job:
        spec = JobSpec(
            requirements=requirements,
            script_sha256=hashlib.sha256(b"pass").hexdigest(),
            script_name="train.py",
            experiment_name="exp",
            model_name="churn",
            environment_lock=lock,
        )
        job = self.store.jobs.add(spec, b"pass", job_id="job_A", now=NOW)
        for state in states:
            job = self.store.jobs.move(self.lease, job, state, now=NOW, submission_id="job_A-a1")
        return job


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path, request.param)
    yield made
    made.store.close()


@pytest.fixture
def uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolves everything to humanize, and builds it at once."""
    monkeypatch.setattr(preparation, "lock_of", lambda *_, **__: ("humanize==4.9.0",))
    monkeypatch.setattr(preparation, "ensure_overlay", lambda *_, **__: Path("python"))
    monkeypatch.setattr(preparation, "make_room_after_build", lambda *_: None)


@pytest.mark.parametrize("world", [RuntimeError("a defect")], indirect=True)
def test_job_fails_after_ten_failures_of_a_step(world: World) -> None:
    job = world.job(JobState.STARTING)
    for _ in range(9):
        with pytest.raises(RuntimeError):
            world.executor.execute(world.lease, job, Submit())
    world.executor.execute(world.lease, job, Submit())
    ended = world.store.jobs.get(job.job_id)
    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.SUBMISSION_ERROR)
    assert "a defect" in (ended.message or "")
    # In case Ray took it.
    assert AttemptDirectory(world.settings.attempts_dir, "job_A-a1").stop_requested_at() is not None


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
def test_attempt_has_the_values_of_secrets_until_its_end(world: World) -> None:
    world.store.secrets.put("default", "AWS", {"KEY": "hunter2", "BOTH": "of the secret"}, by="ada", now=NOW)
    spec = replace(world.job().spec, secrets=("AWS",), environment={"BOTH": "of the job", "PLAIN": "1"})
    world.store.jobs.add(spec, b"pass", job_id="job_B", now=NOW)
    job = world.store.jobs.get("job_B")
    job = world.store.jobs.move(world.lease, job, JobState.STARTING, now=NOW, submission_id="job_B-a1")
    with pytest.raises(RuntimeError, match="Ray was asked"):
        world.executor.execute(world.lease, job, Submit())
    file = world.settings.attempts_dir / "job_B-a1" / "attempt.json"
    record = json.loads(file.read_text())
    assert record["environment"] == {"KEY": "hunter2", "BOTH": "of the job", "PLAIN": "1"}
    assert record["masked"] == ["KEY"]
    assert file.stat().st_mode & 0o777 == 0o600
    world.executor._close(job)
    assert json.loads(file.read_text())["environment"] == {}


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
def test_job_fails_where_its_secret_was_deleted(world: World) -> None:
    spec = replace(world.job().spec, secrets=("GONE",))
    world.store.jobs.add(spec, b"pass", job_id="job_B", now=NOW)
    job = world.store.jobs.get("job_B")
    job = world.store.jobs.move(world.lease, job, JobState.STARTING, now=NOW, submission_id="job_B-a1")
    world.executor.execute(world.lease, job, Submit())
    ended = world.store.jobs.get("job_B")
    assert (ended.state, ended.reason, ended.message) == (
        JobState.FAILED,
        Reason.SUBMISSION_ERROR,
        "There is no secret GONE.",
    )


@pytest.mark.parametrize("world", [EngineUnavailable("MLflow is away")], indirect=True)
def test_registration_is_given_up_ten_minutes_after_its_first_try(world: World) -> None:
    job = world.job(JobState.STARTING, JobState.SCRIPT, JobState.REGISTRATION)
    # The platform was down for an hour, and MLflow is not up again yet.
    world.now = NOW + timedelta(hours=1)
    for minutes in (0, 9):
        world.now += timedelta(minutes=minutes)
        with pytest.raises(EngineUnavailable):
            world.executor.execute(world.lease, job, Register())
    world.now += timedelta(minutes=2)
    world.executor.execute(world.lease, job, Register())
    assert world.store.jobs.get(job.job_id).reason is Reason.REGISTRATION_ERROR


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked for something")], indirect=True)
def test_job_cancelled_during_admission_is_not_started(world: World) -> None:
    world.job()
    world.executor.start(world.lease, world.store.jobs.request_cancel("job_A", now=NOW))
    ended = world.store.jobs.get("job_A")
    assert (ended.state, ended.reason, ended.submission_id) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER, None)


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_requirements_are_resolved_in_the_step_that_starts_the_job(world: World) -> None:
    job = world.job(requirements=("humanize",))
    with pytest.raises(RuntimeError, match="Ray was asked"):
        world.executor.start(world.lease, job)
    seen = world.store.jobs.get(job.job_id)
    assert (seen.state, seen.environment_lock) == (JobState.STARTING, ("humanize==4.9.0",))
    assert [event.after for event in world.store.jobs.events(job.job_id)][-2:] == [JobState.ENVIRONMENT, JobState.STARTING]


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked for something")], indirect=True)
@pytest.mark.parametrize(("module", "step"), [(preparation, "lock_of"), (submit, "runtime_env_for")])
@pytest.mark.usefixtures("uv")
def test_job_cancelled_before_its_submission_does_not_reach_ray(
    world: World, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    job = world.job(JobState.ENVIRONMENT, requirements=("humanize",))
    original = getattr(module, step)

    def cancelled_meanwhile(*arguments: object, **options: object) -> object:
        world.store.jobs.request_cancel(job.job_id, now=NOW)
        return original(*arguments, **options)

    monkeypatch.setattr(module, step, cancelled_meanwhile)
    world.executor.execute(world.lease, job, Prepare())
    ended = world.store.jobs.get(job.job_id)
    assert (ended.state, ended.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)
    # In case an earlier try of the submission reached Ray.
    assert AttemptDirectory(world.settings.attempts_dir, "job_A-a1").stop_requested_at() is not None


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.parametrize(("mechanism", "in_overlay"), [("overlay", True), ("ray_uv", False)])
def test_attempt_says_if_ray_was_asked_for_the_overlay(world: World, mechanism: str, *, in_overlay: bool) -> None:
    job = world.job(JobState.STARTING)
    environments = EnvironmentSettings.model_validate({"mechanism": mechanism})
    settings = world.settings.model_copy(update={"environments": environments})
    engine: Any = Failing(RuntimeError("Ray was asked"))
    executor = JobExecutor(
        settings, world.store, engine, engine, engine, lambda: NOW, Placement(), world.preparation, world.gangs
    )
    with pytest.raises(RuntimeError, match="Ray was asked"):
        executor.execute(world.lease, job, Submit())
    assert read_attempt(str(settings.attempts_dir / "job_A-a1")).in_overlay is in_overlay


class Recording:
    """Fake of Ray: takes every submission, and keeps its runtime_env."""

    def __init__(self) -> None:
        self.runtime_envs: list[dict[str, Any]] = []

    def submit(self, *_: object, runtime_env: dict[str, Any], **__: object) -> None:
        self.runtime_envs.append(runtime_env)


@pytest.mark.parametrize("world", [RuntimeError("not asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_ray_builds_the_environment_after_a_node_lacked_the_plugin(world: World) -> None:
    ray: Any = Recording()
    engine: Any = Failing(RuntimeError("not asked"))
    executor = JobExecutor(
        world.settings, world.store, ray, engine, engine, lambda: NOW, Placement(), world.preparation, world.gangs
    )
    executor.start(world.lease, world.job(lock=("humanize==4.9.0",)))
    started = world.store.jobs.get("job_A")
    executor.execute(world.lease, started, Retry(Reason.ENVIRONMENT_ERROR, "no plugin", lost=True))
    executor.start(world.lease, world.store.jobs.get("job_A"))
    # Also when that attempt is lost for another reason.
    executor.execute(world.lease, world.store.jobs.get("job_A"), Retry(Reason.NODE_LOST, "gone", lost=True))
    executor.start(world.lease, world.store.jobs.get("job_A"))

    assert [sorted(env) for env in ray.runtime_envs] == [["env_vars", PLUGIN_NAME], ["env_vars", "uv"], ["env_vars", "uv"]]
    assert ray.runtime_envs[1]["uv"]["packages"] == ["humanize==4.9.0"]
    attempts = world.settings.attempts_dir
    assert [read_attempt(str(attempts / f"job_A-a{number}")).in_overlay for number in (1, 2, 3)] == [True, False, False]


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_missing_environment_is_a_phase_of_its_own(world: World) -> None:
    with pytest.raises(RuntimeError, match="Ray was asked"):
        world.executor.start(world.lease, world.job(lock=("humanize==4.9.0",)))
    event = world.store.jobs.events("job_A")[1]
    assert (event.after, event.reason) == (JobState.ENVIRONMENT, Reason.BUILDING_ENVIRONMENT)


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_failed_build_ends_the_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EnvironmentBuildFailed("no compiler")

    monkeypatch.setattr(preparation, "ensure_overlay", fail)
    world.executor.start(world.lease, world.job(requirements=("humanize",)))
    ended = world.store.jobs.get("job_A")
    assert (ended.state, ended.reason, ended.message) == (JobState.FAILED, Reason.ENVIRONMENT_ERROR, "no compiler")


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_cancel_ends_a_build_that_no_other_job_waits_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def slow(*_: object, cancelled: Callable[[], bool], **__: object) -> None:
        while not cancelled():
            time.sleep(0.01)
        ended.set()
        raise BuildCancelled

    monkeypatch.setattr(preparation, "ensure_overlay", slow)
    world.executor.start(world.lease, world.job(requirements=("humanize",)))
    waiting = world.store.jobs.get("job_A")
    assert (waiting.state, waiting.environment_lock) == (JobState.ENVIRONMENT, ("humanize==4.9.0",))
    world.executor.execute(world.lease, waiting, CANCELLED_BEFORE_ITS_SCRIPT)
    assert ended.wait(10)
    assert world.store.jobs.get("job_A").state is JobState.CANCELLED


@pytest.mark.parametrize("world", [RuntimeError("Ray was asked")], indirect=True)
@pytest.mark.usefixtures("uv")
def test_note_on_the_environment_is_stored_in_an_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "missing_gpu_note", lambda *_, **__: "5 GiB of CUDA")
    with pytest.raises(RuntimeError, match="Ray was asked"):
        world.executor.start(world.lease, world.job(requirements=("torch",)))
    assert world.store.jobs.events("job_A")[-1].message == "5 GiB of CUDA"
