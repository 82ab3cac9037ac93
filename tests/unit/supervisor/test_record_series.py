"""Series of versions from real counter files in a real SQLite store. The clock is moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import NAMES, ProcessKind, ProtocolName, requests_of
from raylift.domain.models.series import MINUTE, TEN_MINUTES
from raylift.engines.metrics.counter_files import CounterFile, merge_dead
from raylift.store import Store
from raylift.supervisor.deployments.record_series import SeriesRecorder
from tests.migrated_store import open_migrated

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REQUEST = NAMES.index(requests_of(ProtocolName.RAYLIFT))
FINISHED = NAMES.index(counters.FINISHED)
BUCKET = NAMES.index(counters.SECONDS[5])
QUEUED = NAMES.index(counters.NOW_QUEUED)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def at(self, minutes: float) -> None:
        self.now = NOON + timedelta(minutes=minutes)


class Scene:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store: Store = open_migrated(root / "store.db")
        self.clock = Clock()
        self.restart()
        self.processes: list[CounterFile] = []

    def restart(self) -> None:
        self.recorder = SeriesRecorder(self.root / "counters", self.store, self.clock)

    def process(self, version: str = "1", kind: ProcessKind = ProcessKind.REPLICA) -> CounterFile:
        file = CounterFile(self.root / "counters", "m", version, kind, started_at=self.clock.now)
        self.processes.append(file)
        return file

    def sample(self, minutes: float) -> None:
        self.clock.at(minutes)
        self.recorder.sample()

    def seen(self, until: float, step: int = MINUTE, version: str = "1") -> list[tuple[float, float, int]]:
        end = NOON + timedelta(minutes=until)
        found = self.store.series.intervals("m", version, NOON, end, step_seconds=step)
        return [((one.start_at - NOON) / timedelta(minutes=1), one.counts.get("requests", 0.0), one.replicas) for one in found]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened = Scene(tmp_path)
    opened.sample(0)
    yield opened
    for process in opened.processes:
        process.close()
    opened.store.close()


def ask(process: CounterFile, times: int = 1) -> None:
    for position in (REQUEST, FINISHED, BUCKET):
        process.values[position] += times


def test_each_minute_has_its_own_requests(scene: Scene) -> None:
    scene.clock.at(0.2)
    process = scene.process()
    ask(process, 3)
    scene.sample(0.9)
    scene.sample(1.05)
    ask(process, 2)
    scene.sample(2.05)
    assert scene.seen(2) == [(0, 3, 1), (1, 2, 1)]
    (first, _) = scene.store.series.intervals("m", "1", NOON, NOON + timedelta(minutes=2), step_seconds=MINUTE)
    assert first.counts[counters.SECONDS[5]] == 3


def test_idle_version_has_no_rows(scene: Scene) -> None:
    scene.clock.at(0.2)
    ask(scene.process())
    for minute in range(1, 30):
        scene.sample(minute)
    assert scene.seen(30) == [(0, 1, 1)]
    assert scene.seen(30, TEN_MINUTES) == [(0, 1, 1)]


def test_end_of_a_replica_is_a_row(scene: Scene) -> None:
    scene.clock.at(0.2)
    process = scene.process()
    scene.sample(1)
    process.close()
    scene.processes.clear()
    for minute in (2, 3, 4):
        scene.sample(minute)
    assert scene.seen(4) == [(0, 0, 1), (1, 0, 0)]


def test_supervisor_that_starts_again_loses_and_doubles_nothing(scene: Scene) -> None:
    scene.clock.at(0.2)
    process = scene.process()
    ask(process, 3)
    scene.sample(1.05)
    ask(process, 4)
    scene.restart()
    scene.sample(1.5)
    ask(process, 5)
    scene.sample(2.05)
    assert scene.seen(2) == [(0, 3, 1), (1, 9, 1)]


def test_requests_of_a_gap_are_spread_over_it(scene: Scene) -> None:
    scene.clock.at(0.2)
    process = scene.process()
    scene.sample(1)
    ask(process, 40)
    scene.restart()
    scene.sample(5)
    assert scene.seen(5) == [(0, 0, 1), (1, 10, 1), (2, 10, 1), (3, 10, 1), (4, 10, 1)]


def test_counters_that_begin_again_are_no_negative_growth(scene: Scene) -> None:
    scene.clock.at(0.2)
    ask(scene.process(), 100)
    scene.sample(1)
    scene.processes.pop().close()
    merge_dead(scene.root / "counters")
    for path in (scene.root / "counters").glob("*.totals"):
        path.unlink()
    scene.clock.at(1.2)
    ask(scene.process(), 7)
    scene.sample(2)
    assert scene.seen(2) == [(0, 100, 1), (1, 7, 1)]


def test_counters_from_before_the_series_are_no_peak(tmp_path: Path) -> None:
    opened = Scene(tmp_path)
    process = opened.process()
    ask(process, 5000)
    opened.sample(10)
    ask(process)
    opened.sample(11)
    assert opened.seen(11) == [(10, 1, 1)]
    process.close()
    opened.store.close()


def test_queue_is_the_longest_of_the_minute(scene: Scene) -> None:
    scene.clock.at(0.2)
    process = scene.process()
    for seconds, queued in ((10, 2), (20, 9), (30, 1)):
        process.values[QUEUED] = queued
        scene.sample(seconds / 60)
    process.values[QUEUED] = 0
    scene.sample(1.05)
    scene.sample(2.05)
    found = scene.store.series.intervals("m", "1", NOON, NOON + timedelta(minutes=3), step_seconds=MINUTE)
    assert [one.queued for one in found] == [9]


def test_version_without_counters_has_no_baseline(scene: Scene) -> None:
    scene.clock.at(0.2)
    ask(scene.process())
    scene.sample(1)
    scene.processes.pop().close()
    merge_dead(scene.root / "counters")
    for path in (scene.root / "counters").glob("*.totals"):
        path.unlink()
    scene.sample(2)
    assert scene.store.series.baselines() == {}
    assert [requests for _, requests, _ in scene.seen(3)] == [1]


def test_clock_that_goes_back_does_not_stop_the_series(scene: Scene) -> None:
    scene.sample(600)
    scene.sample(5)
    process = scene.process()
    ask(process, 2)
    scene.sample(6)
    assert scene.seen(7) == [(5, 2, 1)]
