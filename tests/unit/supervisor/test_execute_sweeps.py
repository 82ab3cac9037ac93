"""The sweep executor on a real store (SQLite): repeated steps, adopted runs, and refusals by MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job, JobSpec, JobState, SweepPart
from raylift.domain.lease import Lease
from raylift.domain.models.version import LoggedModel, ModelVersion, TrackedRun
from raylift.domain.sweep import Sweep, SweepRegistration, SweepSpec, SweepState, grid
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.settings import PlatformSettings
from raylift.supervisor.sweeps.execute import SweepExecutor
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCRIPT = b"pass"
PARAMETERS = {"lr": ("1", "2")}


class Mlflow:
    """Runs, logged models and versions in memory. Fails if the test says so."""

    def __init__(self) -> None:
        self.made: list[ModelVersion] = []
        self.closed: list[dict[str, Any]] = []
        self.fail_at: dict[str, Exception] = {}

    def open(self, sweep_id: str, **_: object) -> TrackedRun:
        self._fail("open")
        return TrackedRun("parent", "7", NOW)

    def close(self, run: TrackedRun, **noted: Any) -> None:
        self._fail("close")
        self.closed.append(noted)

    def of(self, _: str) -> Any:
        """Return the one of a workspace: this fake has one."""
        return self

    def runs_of_job(self, job_id: str) -> list[TrackedRun]:
        return [TrackedRun(f"run-{job_id}", "7", NOW, "parent")]

    def logged_models_of_job(self, job_id: str, _: object) -> list[LoggedModel]:
        self._fail("models")
        return [LoggedModel("m-1", "model", f"run-{job_id}", NOW, "models:/m-1")]

    def versions(self, _: str) -> list[ModelVersion]:
        return list(self.made)

    def versions_of_job(self, _name: str, job_id: str, _runs: object) -> list[ModelVersion]:
        return [version for version in self.made if version.tags.get(TAG_JOB_ID) == job_id]

    def register(self, name: str, model: LoggedModel, tags: dict[str, str]) -> ModelVersion:
        version = ModelVersion(name, str(len(self.made) + 1), NOW, tags=tags, run_id=model.run_id, source=model.uri)
        self.made.append(version)
        self._fail("registered")
        return version

    def tag_version(self, *_: object) -> None: ...

    def file_digests(self, version: ModelVersion) -> dict[str, str]:
        return {"MLmodel": version.uri}

    def _fail(self, at: str) -> None:
        if at in self.fail_at:
            raise self.fail_at[at]


class World:
    def __init__(self, state_dir: Path) -> None:
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
        self.mlflow = Mlflow()
        engine: Any = self.mlflow
        self.executor = SweepExecutor(self.settings, self.store, engine, engine, engine, lambda: NOW)
        spec = SweepSpec(PARAMETERS, "train.py", "exp", "m", metric="acc", registration=SweepRegistration.BEST)
        self.store.sweeps.add(
            spec, list(zip(["job_A", "job_B"], self._specs(), strict=True)), SCRIPT, sweep_id="sweep_A", now=NOW
        )

    def _specs(self) -> list[JobSpec]:
        sha256 = hashlib.sha256(SCRIPT).hexdigest()
        parts = [SweepPart("sweep_A", values, registers=False) for values in grid(PARAMETERS)]
        return [JobSpec(sha256, "train.py", "exp", "m", sweep=part) for part in parts]

    def finish_jobs(self) -> None:
        for job_id, accuracy in (("job_A", 0.5), ("job_B", 0.9)):
            job = self.job(job_id)
            for state in (JobState.STARTING, JobState.SCRIPT, JobState.REGISTRATION):
                job = self.store.jobs.move(self.lease, job, state, now=NOW, submission_id=f"{job_id}-a1")
            self.store.jobs.move(self.lease, job, JobState.COMPLETED, now=NOW, metrics={"acc": accuracy}, mlflow_run_id="r")

    def attend(self, times: int = 1) -> Sweep:
        for _ in range(times):
            self.executor.attend(self.lease, "sweep_A")
        return self.sweep()

    def sweep(self) -> Sweep:
        return self.store.sweeps.get("sweep_A")

    def job(self, job_id: str) -> Job:
        return self.store.jobs.get(job_id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_sweep_runs_from_opening_to_the_registered_best(world: World) -> None:
    running = world.attend()
    assert (running.state, running.parent_run_id, running.mlflow_experiment_id) == (SweepState.RUNNING, "parent", "7")
    assert world.attend() == running
    world.finish_jobs()
    assert world.attend().best_job_id == "job_B"
    ended = world.attend()
    assert ended.state is SweepState.COMPLETED
    assert "Registered as m version 1." in (ended.message or "")
    assert (world.job("job_A").model_version, world.job("job_B").model_version) == (None, "1")
    assert world.store.deployments.get("m", "1").wanted
    (noted,) = world.mlflow.closed
    assert (noted["status"], noted["params"], noted["metrics"]) == ("FINISHED", {"lr": "2"}, {"acc": 0.9})


@pytest.mark.parametrize("at", ["registered", "close"])
def test_interrupted_step_is_repeated_and_registers_once(world: World, at: str) -> None:
    world.attend()
    world.finish_jobs()
    world.attend()
    # "registered": MLflow did it, but the answer was lost.
    world.mlflow.fail_at = {at: EngineUnavailable("away")}
    with pytest.raises(EngineUnavailable):
        world.attend()
    assert world.sweep().state is SweepState.CLOSING
    world.mlflow.fail_at = {}
    assert world.attend().state is SweepState.COMPLETED
    assert [version.version for version in world.mlflow.made] == ["1"]
    assert world.job("job_B").model_version == "1"


def test_jobs_start_without_a_parent_run(world: World) -> None:
    world.mlflow.fail_at = {"open": MlflowRefused("the experiment is deleted", error_code="INVALID_STATE")}
    running = world.attend()
    assert (running.state, running.parent_run_id) == (SweepState.RUNNING, None)
    assert "the experiment is deleted" in (running.message or "")
    world.finish_jobs()
    assert world.attend(2).state is SweepState.COMPLETED
    assert world.mlflow.closed == []


def test_refused_registration_fails_the_sweep_with_a_message(world: World) -> None:
    world.attend()
    world.finish_jobs()
    world.mlflow.fail_at = {"models": MlflowRefused("no such thing", error_code="INVALID_STATE")}
    ended = world.attend(2)
    assert ended.state is SweepState.FAILED
    assert "It could not be registered: no such thing" in (ended.message or "")
    assert world.mlflow.closed[0]["status"] == "FAILED"


def test_deleted_parent_run_is_ignored(world: World) -> None:
    world.attend()
    world.finish_jobs()
    world.mlflow.fail_at = {"close": MlflowRefused("deleted", error_code="INVALID_STATE")}
    assert world.attend(2).state is SweepState.COMPLETED


def test_step_that_always_fails_ends_the_sweep(world: World) -> None:
    world.attend()
    world.finish_jobs()
    world.attend()
    world.mlflow.fail_at = {"close": RuntimeError("a defect")}
    for _ in range(9):
        with pytest.raises(RuntimeError):
            world.attend()
    ended = world.attend()
    assert ended.state is SweepState.FAILED
    assert "a defect" in (ended.message or "")


def test_deleted_sweep_is_ignored(world: World) -> None:
    world.executor.attend(world.lease, "sweep_gone")
