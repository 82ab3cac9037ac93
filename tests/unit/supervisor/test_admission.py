from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from raylift.domain.job import Job, JobState, QueuedJob, Resources, Workers
from raylift.domain.nodes.fit import fits_some
from raylift.domain.nodes.gangs import Place
from raylift.domain.quota import Quota
from raylift.supervisor.jobs.admission import Decision, admit

GIB = 2**30
NOW = datetime(2026, 1, 2, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
Make = Callable[..., Job]


def node(cpus: float, gib: int = 16, gpus: float = 0.0) -> Resources:
    return Resources(cpus, gib * GIB, gpus)


def queued(
    job_id: str, cpus: float = 1.0, *, owner: str = "local", priority: int = 50, age: float = 0, **asked: Any
) -> QueuedJob:
    wanted = Resources(cpus, asked.get("memory_bytes", GIB), asked.get("gpus", 0.0))
    return QueuedJob(job_id, owner, priority, NOW - timedelta(seconds=age), wanted)


def decide(
    waiting: Sequence[QueuedJob], running: Sequence[Job], nodes: Sequence[Resources], places: dict[str, str]
) -> Decision:
    unbounded: dict[str, Any] = {"quota_of": lambda _: Quota(), "starting": 0, "max_starting": 10}
    known = {job_id: Place(node_id) for job_id, node_id in places.items()}
    return admit(waiting, running, named(nodes), places=known, **unbounded)


def in_line(*sizes: float) -> list[QueuedJob]:
    return [queued(f"job_{index}", cpus, age=-index) for index, cpus in enumerate(sizes)]


def admitted(
    waiting: Sequence[QueuedJob],
    running: Sequence[Job] = (),
    nodes: Sequence[Resources] = (node(2),),
    *,
    quotas: dict[str, Quota] | None = None,
    **how: Any,
) -> list[str]:
    limits: dict[str, Any] = {"starting": 0, "max_starting": 10} | how
    cluster = named(nodes)
    decision = admit(waiting, running, cluster, quota_of=lambda owner: (quotas or {}).get(owner, Quota()), **limits)
    return [job.job_id for job in decision.admitted]


def named(nodes: Sequence[Resources]) -> dict[str, Resources]:
    return {f"node_{number}": node for number, node in enumerate(nodes)}


def reserved_for(
    waiting: Sequence[QueuedJob], running: Sequence[Job], nodes: Sequence[Resources], before: str | None
) -> str | None:
    cluster = named(nodes)
    decision = admit(waiting, running, cluster, quota_of=lambda _: Quota(), reserved_for=before, starting=0, max_starting=10)
    return decision.reserved_for


class TestRoom:
    def test_fitting_jobs_are_admitted_in_order(self) -> None:
        assert admitted(in_line(1, 1, 1)) == ["job_0", "job_1"]

    def test_running_jobs_take_room(self, make_job: Make) -> None:
        assert admitted(in_line(1), [make_job(JobState.SCRIPT, cpus=1.5)]) == []

    def test_memory_limits_admission_too(self) -> None:
        jobs = [queued(f"job_{n}", 0.1, memory_bytes=5 * GIB) for n in range(3)]
        assert len(admitted(jobs, nodes=[node(8, gib=10)])) == 2

    def test_tenths_of_cpus_add_up(self) -> None:
        assert len(admitted(in_line(*[0.1] * 10), nodes=[node(1)], max_starting=20)) == 10

    def test_few_jobs_start_at_a_time(self) -> None:
        assert len(admitted(in_line(*[0.1] * 10), nodes=[node(4)], starting=3, max_starting=4)) == 1

    def test_one_node_must_hold_all_of_a_request(self) -> None:
        assert fits_some(Resources(2, GIB), [node(2)])
        assert not fits_some(Resources(3, GIB), [node(2), node(2)])
        assert not fits_some(Resources(1, GIB, gpus=1), [node(2)])

    def test_no_job_is_admitted_without_nodes(self) -> None:
        assert admitted(in_line(1), nodes=[]) == []


class TestOrder:
    def test_higher_priority_goes_first(self) -> None:
        jobs = [queued("job_old", 2, owner="a", age=99), queued("job_urgent", 2, owner="b", priority=51)]
        assert admitted(jobs) == ["job_urgent"]

    def test_owner_with_the_smaller_share_goes_first(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1, owner="a", created_at=EARLIER)]
        jobs = [queued("job_a", owner="a", age=99), queued("job_b", owner="b")]
        assert admitted(jobs, running) == ["job_b"]

    def test_jobs_that_passed_a_waiting_job_do_not_count_against_it(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1, owner="a", created_at=NOW)]
        jobs = [queued("job_a", owner="a", age=99), queued("job_b", owner="b")]
        assert admitted(jobs, running) == ["job_a"]

    def test_owners_with_equal_shares_take_turns(self) -> None:
        jobs = [queued(f"job_a{n}", owner="a", age=99 - n) for n in range(9)] + [queued("job_b", owner="b")]
        assert admitted(jobs, nodes=[node(3)]) == ["job_a0", "job_b", "job_a1"]

    def test_share_is_that_of_the_scarcest_resource(self, make_job: Make) -> None:
        # One CPU of eight is an eighth. A tenth of a CPU with half of the memory is a half.
        running = [
            make_job(JobState.SCRIPT, job_id="job_R", cpus=1, owner="a", created_at=EARLIER),
            make_job(JobState.SCRIPT, job_id="job_S", cpus=0.1, memory_bytes=8 * GIB, owner="b", created_at=EARLIER),
        ]
        jobs = [queued("job_b", owner="b", age=99), queued("job_a", owner="a")]
        assert admitted(jobs, running, [node(8)], max_starting=1) == ["job_a"]

    def test_older_job_goes_first_between_equals(self) -> None:
        assert admitted([queued("job_a", 2, owner="a"), queued("job_b", 2, owner="b", age=1)]) == ["job_b"]


class TestReservation:
    def test_large_job_that_does_not_fit_yet_is_not_starved(self, make_job: Make) -> None:
        assert admitted(in_line(2, 1, 1), [make_job(JobState.SCRIPT, cpus=1)]) == []

    def test_small_jobs_use_nodes_without_a_reservation(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1), make_job(JobState.SCRIPT, job_id="job_S", cpus=3)]
        assert admitted(in_line(4, 1), running, [node(4), node(2)]) == ["job_1"]

    def test_job_that_fits_no_node_reserves_nothing(self) -> None:
        assert admitted(in_line(64, 1)) == ["job_1"]

    def test_reservation_is_kept_against_owners_with_smaller_shares(self, make_job: Make) -> None:
        running = [
            make_job(JobState.SCRIPT, cpus=1, owner="a", created_at=EARLIER),
            make_job(JobState.SCRIPT, job_id="job_S", cpus=1, owner="b"),
        ]
        jobs = [queued("job_large", 2, owner="a"), queued("job_small", owner="c")]
        assert reserved_for(jobs, running, [node(2)], None) == "job_small"
        assert reserved_for(jobs, running, [node(2)], "job_large") == "job_large"
        assert admitted(jobs, running[:1], reserved_for="job_large") == []

    def test_reservation_is_kept_while_no_more_jobs_may_start(self, make_job: Make) -> None:
        jobs = [queued("job_large", 2), queued("job_small", age=9)]
        decided = admit(
            jobs,
            [make_job(JobState.STARTING)],
            named([node(2), node(1)]),
            quota_of=lambda _: Quota(),
            reserved_for="job_large",
            starting=1,
            max_starting=1,
        )
        assert (decided.admitted, decided.reserved_for, decided.reserved_nodes) == ([], "job_large", ("node_0",))

    def test_younger_jobs_leave_quota_for_a_large_one(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, cpus=2, owner="b")]
        jobs = [queued("job_b", 4, owner="b", age=9), queued("job_large", 4, owner="a", age=5), queued("job_small", owner="a")]
        nodes = [node(4), node(2)]
        how: dict[str, Any] = {"places": {"job_A": Place("node_0")}, "reserved_for": "job_b"}
        assert admitted(jobs, running, nodes, **how) == ["job_small"]
        assert admitted(jobs, running, nodes, quotas={"a": Quota(max_running_jobs=1)}, **how) == []

    def test_reservation_yields_to_a_higher_priority(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, cpus=1)]
        jobs = [queued("job_large", 2), queued("job_urgent", 1, priority=51)]
        assert admitted(jobs, running, reserved_for="job_large") == ["job_urgent"]

    def test_job_without_gpus_avoids_nodes_with_gpus(self, make_job: Make) -> None:
        running = [
            make_job(JobState.SCRIPT, job_id="job_R", cpus=1, gpus=1.0),
            make_job(JobState.SCRIPT, job_id="job_S", cpus=1),
        ]
        jobs = [queued("job_large", 4, age=9), queued("job_gpu", 1, gpus=1.0)]
        assert admitted(jobs, running, [node(4, gpus=2), node(4)]) == ["job_gpu"]

    def test_busy_gpu_does_not_make_its_node_preferred(self, make_job: Make) -> None:
        running = [
            make_job(JobState.SCRIPT, job_id="job_R", cpus=1, gpus=1.0),
            make_job(JobState.SCRIPT, job_id="job_S", cpus=3),
        ]
        places = {"job_R": "node_0", "job_S": "node_1"}
        assert decide([queued("job_large", 4)], running, [node(4, gpus=1), node(4)], places).reserved_nodes == ("node_1",)


class TestPlaces:
    def test_job_counts_on_the_node_it_runs_on(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1)]
        nodes = [node(2), node(1)]
        # The best fit would leave the large node free. The real node does not.
        assert decide(in_line(2), running, nodes, {}).placed == {"job_0": Place("node_0")}
        assert decide(in_line(2), running, nodes, {"job_R": "node_0"}).placed == {}

    def test_node_with_the_most_real_room_is_reserved(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1), make_job(JobState.SCRIPT, job_id="job_S", cpus=2)]
        for places in ({"job_R": "node_0", "job_S": "node_1"}, {"job_R": "node_1", "job_S": "node_0"}):
            decided = decide(in_line(4), running, [node(4), node(4)], places)
            assert (decided.reserved_for, decided.reserved_nodes) == ("job_0", (places["job_R"],))

    def test_node_that_a_started_job_waits_for_is_full(self, make_job: Make) -> None:
        # Ray started job_S, planned for node_0, in place of job_R on node_1.
        running = [make_job(JobState.STARTING, job_id="job_R", cpus=4), make_job(JobState.SCRIPT, job_id="job_S", cpus=1)]
        places = {"job_R": "node_1", "job_S": "node_1"}
        decided = decide(in_line(1), running, [node(2), node(4)], places)
        assert (decided.placed, decided.overfull) == ({"job_0": Place("node_0")}, {"node_1"})
        assert decide(in_line(1), running[:1], [node(2), node(4)], places).overfull == frozenset()

    def test_jobs_of_a_removed_node_do_not_count(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=2)]
        assert decide(in_line(2), running, [node(2)], {"job_R": "gone"}).placed == {"job_0": Place("node_0")}


class TestQuota:
    def test_quota_limits_running_jobs(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, cpus=0.1)]
        assert admitted(in_line(0.1, 0.1, 0.1), running, quotas={"local": Quota(max_running_jobs=2)}) == ["job_0"]

    def test_quota_limits_cpus_and_memory(self) -> None:
        assert len(admitted(in_line(*[0.1] * 5), quotas={"local": Quota(max_cpus=0.3)})) == 3
        assert len(admitted(in_line(*[0.1] * 5), quotas={"local": Quota(max_memory_bytes=2 * GIB)})) == 2

    def test_other_jobs_pass_a_job_over_its_quota(self) -> None:
        jobs = [queued("job_a", 2, owner="a", age=9), queued("job_b", owner="b")]
        assert admitted(jobs, quotas={"a": Quota(max_running_jobs=0)}) == ["job_b"]

    def test_job_over_its_quota_reserves_nothing(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, cpus=1, owner="a")]
        jobs = [queued("job_a", 2, owner="a", priority=90), queued("job_b", owner="b")]
        assert admitted(jobs, running, quotas={"a": Quota(max_cpus=2)}) == ["job_b"]

    def test_small_jobs_leave_the_quota_to_a_waiting_large_one(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, cpus=1, owner="a")]
        jobs = [queued("job_large", 2, owner="a", age=9), queued("job_small", 1, owner="a")]
        assert admitted(jobs, running, [node(4)], quotas={"a": Quota(max_cpus=2)}) == []

    def test_job_larger_than_its_quota_delays_no_other(self) -> None:
        assert admitted(in_line(2, 1), [], [node(4)], quotas={"local": Quota(max_cpus=1)}) == ["job_1"]


def gang(
    job_id: str, count: int, cpus: float, *, script: float = 1.0, age: float = 0, owner: str = "local", priority: int = 50
) -> QueuedJob:
    wanted = Resources(script, GIB, 0.0, Workers(count, cpus, GIB))
    return QueuedJob(job_id, owner, priority, NOW - timedelta(seconds=age), wanted)


class TestGangs:
    def test_script_and_workers_are_admitted_together(self) -> None:
        decided = decide([gang("job_0", 3, 2.0)], [], [node(4), node(3)], {})
        assert decided.placed == {"job_0": Place("node_1", ("node_1", "node_0", "node_0"))}
        assert decide([gang("job_0", 4, 2.0)], [], [node(4), node(3)], {}).placed == {}

    def test_two_gangs_that_do_not_fit_together_wait_in_line(self) -> None:
        jobs = [gang("job_a", 4, 1.0, age=9), gang("job_b", 4, 1.0)]
        assert admitted(jobs, nodes=[node(5)]) == ["job_a"]

    def test_gang_sets_aside_the_nodes_it_needs(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id=f"job_{name}", cpus=1) for name in "RS"]
        places = {"job_R": "node_0", "job_S": "node_1"}
        jobs = [gang("job_gang", 2, 4.0, age=9, script=0.5), queued("job_small", 0.5)]
        decided = decide(jobs, running, [node(4), node(4), node(1)], places)
        assert (decided.reserved_for, set(decided.reserved_nodes)) == ("job_gang", {"node_0", "node_1", "node_2"})
        assert decided.admitted == []
        assert decided.set_aside == {"node_0", "node_1", "node_2"}

    def test_small_jobs_use_the_nodes_that_a_waiting_gang_does_not_need(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1)]
        jobs = [gang("job_gang", 1, 4.0, age=9, script=4.0), queued("job_small", 2)]
        decided = decide(jobs, running, [node(4), node(4), node(2)], {"job_R": "node_0"})
        assert [job.job_id for job in decided.admitted] == ["job_small"]
        assert decided.placed == {"job_small": Place("node_2")}

    def test_running_gang_holds_its_nodes(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1, workers=Workers(2, 2.0, GIB))]
        place = {"job_R": Place("node_0", ("node_0", "node_1"))}
        how: dict[str, Any] = {"quota_of": lambda _: Quota(), "starting": 0, "max_starting": 10, "places": place}
        assert admit(in_line(2), running, named([node(4), node(3)]), **how).placed == {}
        assert admit(in_line(1), running, named([node(4), node(3)]), **how).placed == {"job_0": Place("node_0")}

    def test_gang_without_known_places_still_counts(self, make_job: Make) -> None:
        running = [make_job(JobState.SCRIPT, job_id="job_R", cpus=1, workers=Workers(2, 2.0, GIB))]
        assert admitted(in_line(2), running, [node(4), node(2)]) == []

    def test_quota_counts_the_workers(self) -> None:
        assert admitted([gang("job_0", 3, 1.0)], nodes=[node(8)], quotas={"local": Quota(max_cpus=3.5)}) == []
        assert admitted([gang("job_0", 3, 1.0)], nodes=[node(8)], quotas={"local": Quota(max_cpus=4)}) == ["job_0"]

    def test_fair_share_counts_the_workers(self, make_job: Make) -> None:
        workers = Workers(2, 1.0, GIB)
        running = [make_job(job_id="job_R", cpus=1, owner="ann", workers=workers, created_at=EARLIER)]
        running.append(make_job(job_id="job_S", cpus=2, owner="bob", created_at=EARLIER))
        jobs = [queued("job_ann", owner="ann", age=9), queued("job_bob", owner="bob")]
        assert admitted(jobs, running, [node(6)]) == ["job_bob"]

    def test_higher_priority_goes_before_a_waiting_gang(self) -> None:
        jobs = [gang("job_gang", 4, 1.0, age=9), queued("job_first", 1, priority=90)]
        assert admitted(jobs, nodes=[node(5)]) == ["job_first"]

    def test_gang_that_fits_no_cluster_delays_no_other(self) -> None:
        assert admitted([gang("job_gang", 40, 1.0, age=9), queued("job_small")], nodes=[node(5)]) == ["job_small"]
