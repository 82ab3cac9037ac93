from __future__ import annotations

from collections.abc import Callable

from raylift.domain.job import Job, JobState
from raylift.engines.ray_jobs import RayJob, RayJobStatus
from raylift.supervisor.admission import Decision
from raylift.supervisor.observe import RaySnapshot
from raylift.supervisor.placement import Placement

Make = Callable[..., Job]
NOTHING_SEEN = RaySnapshot()


def seen(job_id: str, node_id: str | None) -> RaySnapshot:
    name = f"{job_id}-a1"
    return RaySnapshot({name: RayJob(name, RayJobStatus.RUNNING, "x", node_id=node_id)}, answers=True)


def test_a_job_is_where_it_was_taken_to_go_until_ray_says_where_it_runs(make_job: Make) -> None:
    placement, job = Placement(), make_job(JobState.STARTING, job_id="job_A")
    assert placement.places([job], NOTHING_SEEN) == {}
    placement.follow({}, Decision(placed={"job_A": "n1"}))
    assert placement.places([job], NOTHING_SEEN) == {"job_A": "n1"}
    assert placement.places([job], seen("job_A", None)) == {"job_A": "n1"}
    assert placement.places([job], seen("job_A", "n2")) == {"job_A": "n2"}


def test_what_is_over_is_forgotten_and_what_is_on_its_way_is_not(make_job: Make) -> None:
    placement, job = Placement(), make_job(JobState.STARTING, job_id="job_A")
    placement.follow({}, Decision(placed={"job_A": "n1"}))
    placement.follow({}, Decision())  # Not seen as active yet.
    assert placement.places([job], NOTHING_SEEN) == {"job_A": "n1"}
    placement.follow({}, Decision())
    assert placement.places([job], NOTHING_SEEN) == {}


def test_only_the_job_it_is_for_is_started_on_the_node_that_is_set_aside() -> None:
    placement = Placement()
    placement.follow({"job_old": "n1"}, Decision(placed={"job_new": "n2"}, reserved_for="job_large", reserved_node="n1"))
    assert placement.to_avoid("job_new") == "n1"
    assert placement.to_avoid("job_old") is None
    assert placement.to_avoid("job_of_whom_nothing_is_known") is None
    placement.follow({"job_new": "n2"}, Decision(placed={"job_large": "n1"}))
    assert placement.to_avoid("job_large") is None
    assert placement.to_avoid("job_new") is None
