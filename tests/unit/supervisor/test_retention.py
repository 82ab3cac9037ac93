"""Retention on a real SQLite store and real folders. Young and running jobs are kept. Repetition is safe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.batches.batch import BatchSpec, Format
from raylift.domain.errors import JobNotFound, NotFound
from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.engines.batches.directory import BatchDirectory
from raylift.settings import PlatformSettings, RetentionSettings
from raylift.supervisor.housekeeping.retention import Retention
from tests.contract.samples import NOW, SCRIPT, add, finish, spec_of, start
from tests.migrated_store import open_migrated

DAY = timedelta(days=1)


class World:
    """A platform's store and the folders of its attempts. The test sets the clock."""

    def __init__(self, root: Path) -> None:
        self.attempts = root / "attempts"
        self.attempts.mkdir()
        self.store = open_migrated(root / "store.db")
        self.now: datetime = NOW
        lease = self.store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
        assert lease is not None
        self.lease: Lease = lease
        self._root = root

    def look(self, after: timedelta, **retention: Any) -> None:
        self.now = NOW + after
        settings = PlatformSettings(
            state_dir=self._root,
            database_url="",
            mlflow_url="",
            ray_dashboard_url="",
            gateway_url="",
            retention=RetentionSettings(**retention),
        )
        Retention(settings, self.store, lambda: self.now).remove_expired()

    def finished(self, **fields: Any) -> Job:
        job = finish(self.store, self.lease, add(self.store, **fields))
        assert job.submission_id is not None
        self.directory(job.submission_id)
        return job

    def directory(self, name: str) -> Path:
        directory = self.attempts / name
        (directory / "work" / "deep").mkdir(parents=True)
        (directory / "work" / "deep" / "model.bin").write_bytes(b"x")
        (directory / "output.log").write_text("hello\n")
        return directory

    def names(self) -> set[str]:
        return {path.name for path in self.attempts.iterdir()}

    def has(self, job: Job) -> bool:
        try:
            self.store.jobs.get(job.job_id)
        except JobNotFound:
            return False
        return True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_working_directory_then_log_then_record_are_removed(world: World) -> None:
    job = world.finished()
    directory = world.attempts / f"{job.job_id}-a1"
    world.look(DAY / 2)
    assert (directory / "work").exists()
    world.look(DAY * 2)
    assert not (directory / "work").exists()
    assert (directory / "output.log").read_text() == "hello\n"
    world.look(DAY * 31)
    assert world.names() == set()
    assert world.has(job)
    world.look(DAY * 91)
    assert not world.has(job)
    assert world.store.jobs.events(job.job_id) == []
    with pytest.raises(NotFound):
        world.store.jobs.script(job.spec.script_sha256)
    world.look(DAY * 91)


def test_removed_record_keeps_a_script_of_other_jobs(world: World) -> None:
    old, young = world.finished(), add(world.store)
    world.look(DAY * 91, logs_days=None)
    assert (world.has(old), world.names()) == (False, set())
    assert world.store.jobs.script(young.spec.script_sha256) == SCRIPT


def test_old_running_and_queued_jobs_are_kept(world: World) -> None:
    running = start(world.store, world.lease, add(world.store))
    waiting = add(world.store)
    world.directory(f"{running.job_id}-a1")
    world.look(DAY * 1000, max_finished_jobs=0)
    assert world.has(running)
    assert world.has(waiting)
    assert world.names() == {f"{running.job_id}-a1"}


def test_oldest_jobs_beyond_the_number_are_removed(world: World) -> None:
    jobs = [world.finished(now=NOW + timedelta(seconds=n)) for n in range(4)]
    world.look(DAY / 2, max_finished_jobs=3)
    assert [world.has(job) for job in jobs] == [False, True, True, True]
    assert f"{jobs[0].job_id}-a1" not in world.names()


def test_nothing_is_removed_without_limits(world: World) -> None:
    job = world.finished()
    world.look(DAY * 10000, finished_jobs_days=None, max_finished_jobs=None, logs_days=None, scratch_days=None)
    assert world.has(job)
    assert (world.attempts / f"{job.job_id}-a1" / "work").exists()


def test_expired_packages_of_ray_s_clients_are_removed(world: World) -> None:
    packages = world.store.ray_packages
    for number in range(50):
        packages.keep(f"{number}.zip", b"x", expires_at=NOW + DAY)
    packages.keep("young.zip", b"y", expires_at=NOW + 3 * DAY)
    world.look(DAY / 2)
    assert packages.read("49.zip") == b"x"
    world.look(DAY * 2)
    assert [packages.read(f"{number}.zip") for number in range(50)] == [None] * 50
    assert packages.read("young.zip") == b"y"


def test_directories_without_a_job_are_removed_after_a_day(world: World) -> None:
    orphan, young, dotted = (world.directory(name) for name in ("job_gone-a1", "raysubmit_new", ".cores-host"))
    adopted = world.directory("raysubmit_known")
    world.store.jobs.adopt(spec_of(), SCRIPT, job_id="job_raysubmit_known", submission_id="raysubmit_known", now=NOW)
    for directory in (orphan, dotted, adopted):
        os.utime(directory, (0, 0))
    world.look(DAY)
    assert world.names() == {young.name, dotted.name, adopted.name}


def test_directory_that_is_hard_to_remove_is_removed(world: World) -> None:
    job = world.finished()
    work = world.attempts / f"{job.job_id}-a1" / "work"
    (work / "locked").mkdir()
    (work / "locked" / "file").write_text("x")
    (work / "locked").chmod(0)
    here = Path.cwd()
    try:
        os.chdir(work)
        for _ in range(1500):
            os.mkdir("d")  # noqa: PTH102 - too deep for a path
            os.chdir("d")
    finally:
        os.chdir(here)
    world.look(DAY * 31)
    assert world.names() == set()


def test_files_of_a_batch_are_removed_before_its_record(world: World) -> None:
    spec = BatchSpec("churn", "1", Format.PARQUET)
    ended, running = world.finished(batch=spec), add(world.store, batch=spec)
    root = world.attempts.parent / "batches"
    for job_id in (ended.job_id, running.job_id, "job_unknown"):
        BatchDirectory(root, job_id).make()
    world.look(DAY * 6, batch_files_days=7)
    assert {path.name for path in root.iterdir()} == {ended.job_id, running.job_id, "job_unknown"}
    os.utime(root / "job_unknown", (0, 0))
    world.look(DAY * 8, batch_files_days=7)
    assert {path.name for path in root.iterdir()} == {running.job_id}
    assert world.store.jobs.get(ended.job_id).spec.batch == spec
