from __future__ import annotations

from collections.abc import Callable

from raylift.domain.job import Job, JobState, Resources
from raylift.supervisor.admission import admit, can_ever_hold

GIB = 2**30
Make = Callable[..., Job]


def node(cpus: float, gib: int = 16) -> Resources:
    return Resources(cpus, gib * GIB)


def names(jobs: list[Job]) -> list[str]:
    return [job.job_id for job in jobs]


def waiting(make_job: Make, *sizes: float) -> list[Job]:
    return [make_job(JobState.QUEUED, job_id=f"job_{index}", cpus=cpus) for index, cpus in enumerate(sizes)]


def test_admits_in_order_what_fits(make_job: Make) -> None:
    admitted = admit(waiting(make_job, 1, 1, 1), [], [node(2)], starting=0, max_starting=10)
    assert names(admitted) == ["job_0", "job_1"]


def test_counts_what_runs_already(make_job: Make) -> None:
    running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1.5)]
    assert admit(waiting(make_job, 1), running, [node(2)], starting=0, max_starting=10) == []


def test_memory_limits_as_well_as_cpus(make_job: Make) -> None:
    jobs = [make_job(JobState.QUEUED, job_id=f"job_{n}", cpus=0.1, memory_bytes=5 * GIB) for n in range(3)]
    assert len(admit(jobs, [], [node(8, gib=10)], starting=0, max_starting=10)) == 2


def test_tenths_of_cpus_add_up(make_job: Make) -> None:
    assert len(admit(waiting(make_job, *[0.1] * 10), [], [node(1)], starting=0, max_starting=20)) == 10


def test_few_are_on_their_way_at_a_time(make_job: Make) -> None:
    assert len(admit(waiting(make_job, *[0.1] * 10), [], [node(4)], starting=3, max_starting=4)) == 1


def test_a_large_job_that_does_not_fit_yet_is_not_starved(make_job: Make) -> None:
    running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1)]
    assert admit(waiting(make_job, 2, 1, 1), running, [node(2)], starting=0, max_starting=10) == []


def test_small_jobs_use_the_nodes_that_are_not_reserved(make_job: Make) -> None:
    running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1), make_job(JobState.SCRIPT, job_id="job_S", cpus=3)]
    admitted = admit(waiting(make_job, 4, 1), running, [node(4), node(2)], starting=0, max_starting=10)
    assert names(admitted) == ["job_1"]


def test_a_job_no_node_could_ever_hold_reserves_nothing(make_job: Make) -> None:
    admitted = admit(waiting(make_job, 64, 1), [], [node(2)], starting=0, max_starting=10)
    assert names(admitted) == ["job_1"]


def test_one_node_must_hold_all_of_a_request() -> None:
    assert can_ever_hold(Resources(2, GIB), [node(2)])
    assert not can_ever_hold(Resources(3, GIB), [node(2), node(2)])
    assert not can_ever_hold(Resources(1, GIB, gpus=1), [node(2)])


def test_nothing_is_admitted_without_nodes(make_job: Make) -> None:
    assert admit(waiting(make_job, 1), [], [], starting=0, max_starting=10) == []
