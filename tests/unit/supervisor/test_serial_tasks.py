from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from raylift.domain.errors import EngineUnavailable
from raylift.supervisor.serial_tasks import SerialTaskRunner


class Bench:
    """Tasks that start when the test says so, and a clock that the test moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.tasks = SerialTaskRunner(self._submit, lambda: self.time)

    def _submit(self, work: Callable[[], None]) -> Future[Any]:
        self.waiting.append(work)
        return Future()

    def work_off(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


def failing() -> None:
    raise EngineUnavailable("not just now")


def test_lane_runs_one_task_at_a_time_and_lanes_run_in_parallel() -> None:
    bench, done = Bench(), list[str]()
    assert bench.tasks.run("a", lambda: done.append("a1"))
    assert not bench.tasks.run("a", lambda: done.append("a2"))
    assert bench.tasks.run("b", lambda: done.append("b1"))
    assert bench.tasks.busy("a")
    bench.work_off()
    assert done == ["a1", "b1"]
    assert not bench.tasks.busy("a")


def test_repeated_failures_lengthen_the_pause_of_a_lane() -> None:
    bench = Bench()
    bench.tasks.run("a", failing)
    bench.work_off()
    assert bench.tasks.busy("a")
    bench.time = 0.5
    assert bench.tasks.run("a", failing)
    bench.work_off()
    bench.time = 1.0
    assert not bench.tasks.run("a", failing)
    bench.time = 1.5
    assert bench.tasks.run("a", failing)


def test_defect_does_not_end_the_lane() -> None:
    bench = Bench()
    bench.tasks.run("a", lambda: [][0])
    bench.work_off()
    bench.time = 1.0
    assert bench.tasks.run("a", failing)


def test_periodic_task_pauses_between_its_runs() -> None:
    bench, done = Bench(), list[int]()
    assert bench.tasks.run("serve", lambda: done.append(1), pause_seconds=5.0)
    bench.work_off()
    assert not bench.tasks.run("serve", lambda: done.append(2), pause_seconds=5.0)
    bench.time = 5.0
    assert bench.tasks.run("serve", lambda: done.append(3), pause_seconds=5.0)
    bench.work_off()
    assert done == [1, 3]
