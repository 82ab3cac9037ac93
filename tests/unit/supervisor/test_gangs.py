"""Placement groups of attempts on a fake of Ray: made once, waited for, given up, and swept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Isolation, Job, JobState, Origin, Resources, Workers
from raylift.domain.nodes.gangs import Place
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.admission import Decision
from raylift.supervisor.jobs.gangs import Gangs, GroupNotPlaced
from raylift.supervisor.jobs.placement import Placement
from tests.migrated_store import open_migrated
from tests.unit.supervisor.fake_groups import FakeGroups

NOW = datetime(2026, 1, 2, tzinfo=UTC)
GIB = 2**30
Make = Callable[..., Job]
NODES = {"n1": Resources(4, 4 * GIB), "n2": Resources(4, 4 * GIB)}


class World:
    def __init__(self, state_dir: Path) -> None:
        self.seconds = 0.0
        self.settings = PlatformSettings(
            state_dir=state_dir,
            database_url=f"sqlite:///{state_dir / 'raylift.db'}",
            mlflow_url="http://mlflow",
            ray_dashboard_url="http://ray",
            gateway_url="http://gateway",
        )
        self.store: Store = open_migrated(state_dir / "raylift.db")
        lease = self.store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
        assert lease is not None
        self.lease = lease
        self.ray = FakeGroups()
        self.placement = Placement()
        self.gangs = self.new_supervisor()

    def new_supervisor(self) -> Gangs:
        self.placement = Placement()
        return Gangs(
            self.settings, self.store, self.ray, self.placement, monotonic=lambda: self.seconds, pause=self.pass_seconds
        )

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds

    def stored(self, job: Job, *states: JobState) -> Job:
        """Put the job into the store and through the states."""
        spec = replace(job.spec, script_sha256=sha256(b"pass").hexdigest())
        added = self.store.jobs.add(spec, b"pass", job_id=job.job_id, now=NOW)
        for state in states:
            submission = f"{job.job_id}-a1" if state is JobState.STARTING else added.submission_id
            added = self.store.jobs.move(
                self.lease, added, state, now=NOW + timedelta(seconds=1), reason=None, message=None, submission_id=submission
            )
        return added


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def cluster_job(make_job: Make, **fields: object) -> Job:
    return make_job(JobState.STARTING, isolation=Isolation.CLUSTER, **fields)


def test_only_scripts_that_may_use_ray_have_a_group(world: World, make_job: Make) -> None:
    job = cluster_job(make_job)
    assert world.gangs.are_needed(job)
    assert not world.gangs.are_needed(make_job(JobState.STARTING))
    assert not world.gangs.are_needed(replace(job, spec=replace(job.spec, origin=Origin.RAY))), "Ray placed it already"


def test_group_is_made_once_and_found_by_another_supervisor(world: World, make_job: Make) -> None:
    job = cluster_job(make_job, cpus=1, workers=Workers(2, 2.0, GIB))
    group = world.gangs.ready(job)
    assert group is not None
    assert (group.submission_id, group.bundles) == ("job_A-a1", 3)
    # Killed between the group and the submission.
    assert world.new_supervisor().ready(job) == group
    assert len(world.ray.selectors) == 1


def test_gang_goes_to_the_nodes_that_admission_chose(world: World, make_job: Make) -> None:
    job = cluster_job(make_job, cpus=1, workers=Workers(2, 2.0, GIB))
    world.placement.follow({}, Decision(placed={"job_A": Place("n2", ("n1", "n1"))}), NODES)
    world.gangs.ready(job)
    assert [label["ray.io/node-id"] for label in world.ray.selectors[0]] == ["in(n1)", "in(n1)", "in(n2)"]


def test_job_without_workers_avoids_nodes_as_others_do(world: World, make_job: Make) -> None:
    job = cluster_job(make_job, cpus=1)
    decision = Decision(placed={"job_A": Place("n2")}, reserved_for="job_large", reserved_nodes=("n1",))
    world.placement.follow({}, decision, NODES)
    world.gangs.ready(job)
    assert world.ray.selectors == [[{"ray.io/node-id": "!in(n1)"}]]


def test_attempt_waits_while_ray_has_no_place(world: World, make_job: Make) -> None:
    world.ray.free = 1.0
    job = cluster_job(make_job, cpus=1, workers=Workers(2, 2.0, GIB))
    assert world.gangs.ready(job) is None
    assert world.gangs.ready(job) is None
    world.ray.free = 5.0
    assert world.gangs.ready(job) is not None
    assert len(world.ray.selectors) == 1


def test_ray_may_choose_other_nodes_when_a_chosen_one_has_left(world: World, make_job: Make) -> None:
    world.ray.free = 0.0
    job = cluster_job(make_job, cpus=1, workers=Workers(1, 2.0, GIB))
    world.placement.follow({}, Decision(placed={"job_A": Place("gone", ("gone",))}), NODES)
    assert world.gangs.ready(job) is None
    world.seconds += 15
    assert world.gangs.ready(job) is None
    world.ray.free = 5.0
    assert world.gangs.ready(job) is not None
    assert [label.get("ray.io/node-id") for label in world.ray.selectors[-1]] == [None, None]


def test_group_that_is_never_placed_is_removed_and_the_attempt_lost(world: World, make_job: Make) -> None:
    world.ray.free = 0.0
    job = cluster_job(make_job)
    assert world.gangs.ready(job) is None
    world.seconds += world.settings.jobs.start_timeout_seconds
    with pytest.raises(GroupNotPlaced, match="no place"):
        world.gangs.ready(job)
    assert world.ray.groups == {}


def test_group_of_an_ended_attempt_is_removed_when_nothing_runs_in_it(world: World, make_job: Make) -> None:
    job = world.stored(cluster_job(make_job), JobState.STARTING, JobState.SCRIPT)
    world.gangs.ready(job)
    world.ray.busy.add("job_A-a1")
    world.gangs.sweep(world.lease)
    assert world.ray.removed == []
    world.store.jobs.move(world.lease, job, JobState.REGISTRATION, now=NOW)
    world.gangs.sweep(world.lease)
    assert world.ray.removed == [], "a task still runs"
    world.ray.busy.clear()
    world.gangs.sweep(world.lease)
    assert world.ray.removed == ["job_A-a1"]


def test_actors_that_do_not_end_are_removed_with_the_group(world: World, make_job: Make) -> None:
    world.gangs.ready(cluster_job(make_job))
    world.ray.busy.add("job_A-a1")
    world.gangs.sweep(world.lease)
    world.seconds += 10
    world.gangs.sweep(world.lease)
    assert world.ray.removed == ["job_A-a1"]


def test_new_supervisor_removes_the_groups_of_a_former_one(world: World, make_job: Make) -> None:
    world.gangs.ready(cluster_job(make_job))
    after = world.new_supervisor()
    assert after.are_due()
    after.sweep(world.lease)
    assert world.ray.removed == ["job_A-a1"]
    after.sweep(world.lease)
    assert not after.are_due(), "without groups it asks Ray every half minute"
    world.seconds += 30
    assert after.are_due()


def test_places_of_workers_are_asked_for_only_where_there_are_some(world: World, make_job: Make) -> None:
    world.ray.down = True
    assert world.gangs.places([cluster_job(make_job)]) == {}
    with pytest.raises(EngineUnavailable):
        world.gangs.places([cluster_job(make_job, workers=Workers(1))])
