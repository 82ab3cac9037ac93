from __future__ import annotations

from collections.abc import Callable

from raylift.domain.job import Job, JobState, Resources
from raylift.domain.nodes.gangs import Place
from raylift.engines.ray_engine.jobs import RayJob, RayJobStatus
from raylift.supervisor.jobs.admission import Decision
from raylift.supervisor.jobs.placement import Placement
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot

Make = Callable[..., Job]
NOTHING_SEEN = RaySnapshot()
GIB = 2**30
NODES = {"n1": Resources(4, 4 * GIB), "n2": Resources(2, 4 * GIB)}
SMALL, LARGE = Resources(1, GIB), Resources(3, GIB)


def seen(job_id: str, node_id: str | None) -> RaySnapshot:
    name = f"{job_id}-a1"
    return RaySnapshot({name: RayJob(name, RayJobStatus.RUNNING, "x", node_id=node_id)}, answers=True)


def test_job_counts_on_its_planned_node_until_ray_reports_one(make_job: Make) -> None:
    placement, job = Placement(), make_job(JobState.STARTING, job_id="job_A")
    assert placement.places([job], NOTHING_SEEN) == {}
    placement.follow({}, Decision(placed={"job_A": Place("n1")}), NODES)
    assert placement.places([job], NOTHING_SEEN) == {"job_A": Place("n1")}
    assert placement.places([job], seen("job_A", None)) == {"job_A": Place("n1")}
    assert placement.places([job], seen("job_A", "n2")) == {"job_A": Place("n2")}


def test_ended_jobs_are_forgotten_and_starting_ones_are_kept(make_job: Make) -> None:
    placement, job = Placement(), make_job(JobState.STARTING, job_id="job_A")
    placement.follow({}, Decision(placed={"job_A": Place("n1")}), NODES)
    placement.follow({}, Decision(), NODES)  # Not active yet.
    assert placement.places([job], NOTHING_SEEN) == {"job_A": Place("n1")}
    placement.follow({}, Decision(), NODES)
    assert placement.places([job], NOTHING_SEEN) == {}


def test_reserved_node_is_only_for_its_job() -> None:
    placement = Placement()
    decision = Decision(placed={"job_new": Place("n2")}, reserved_for="job_large", reserved_nodes=("n1",))
    placement.follow({"job_old": Place("n1")}, decision, NODES)
    assert placement.to_avoid("job_new", SMALL) == ["n1"]
    assert placement.to_avoid("job_old", SMALL) == []
    assert placement.to_avoid("job_of_whom_nothing_is_known", SMALL) == []
    placement.follow({"job_new": Place("n2")}, Decision(placed={"job_large": Place("n1")}), NODES)
    assert placement.to_avoid("job_large", SMALL) == []
    assert placement.to_avoid("job_new", SMALL) == []


def test_new_jobs_avoid_a_node_that_another_job_waits_for() -> None:
    placement = Placement()
    placement.follow({"job_waits": Place("n1")}, Decision(placed={"job_new": Place("n2")}, overfull=frozenset({"n1"})), NODES)
    assert placement.to_avoid("job_new", SMALL) == ["n1"]
    assert placement.to_avoid("job_waits", SMALL) == []


def test_job_avoids_nodes_with_too_few_resources() -> None:
    placement = Placement()
    placement.follow({}, Decision(placed={"job_A": Place("n1")}), NODES)
    assert placement.to_avoid("job_A", LARGE) == ["n2"]
    placement.follow({}, Decision(), {"n2": NODES["n2"]})
    assert placement.to_avoid("job_A", LARGE) == [], "no node is left: Ray says so"


def test_jobs_avoid_a_node_that_is_not_prepared_for_some_time() -> None:
    now = 0.0
    placement = Placement(lambda: now)
    placement.follow({}, Decision(placed={"job_A": Place("n1")}), NODES)
    placement.avoid("n1")
    assert placement.to_avoid("job_A", SMALL) == ["n1"]
    assert placement.to_avoid("job_A", LARGE) == ["n2"], "no other node is large enough: Ray may try it again"
    now = 600.0
    assert placement.to_avoid("job_A", SMALL) == []
