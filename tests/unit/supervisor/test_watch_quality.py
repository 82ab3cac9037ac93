"""Loss of quality and silence are found, and nothing where there is none: a real store, payload logs and counters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylift.domain.lease import SUPERVISOR
from raylift.domain.models import counters
from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.models.feedback import Feedback, Truth
from raylift.domain.monitoring.monitor import MonitorSettings
from raylift.domain.monitoring.quality_window import QualityWindow
from raylift.domain.monitoring.reference import ColumnKind, Reference, ReferenceColumn
from raylift.engines.metrics.counter_files import CounterFile
from raylift.engines.metrics.payload_files import Payload, write_payloads
from raylift.services.models.quality import QualityService
from raylift.store import Store
from raylift.supervisor.monitors.quality_watch import QualityWatch
from tests.migrated_store import open_migrated
from tests.unit.gateway.engine_fakes import FakeRegistry
from tests.unit.supervisor.watched_version import NOON, VERSION, WINDOW

DELAY = timedelta(seconds=6)
PLAN = ReferenceColumn("plan", ColumnKind.CATEGORY, 1000, 0, (500, 500, 0), values=("basic", "pro"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_migrated(tmp_path / "store.db")
    yield store
    store.close()


class JudgedVersion:
    """A version that answers, whose true values come, and a clock that is moved by hand."""

    def __init__(self, store: Store, folder: Path, **settings: Any) -> None:
        self.store, self.folder, self.now = store, folder, NOON + DELAY
        self.requests = 0
        lease = store.leases.acquire(SUPERVISOR, "me", now=NOON, seconds=10**9)
        assert lease is not None
        self.lease = lease
        self.random = np.random.default_rng(3)
        self.deploy("3")
        store.monitors.set(*VERSION, MonitorSettings(**settings), NOON)
        store.monitors.begin(lease, *VERSION, Reference(1000, (PLAN,)), NOON)
        self.file = CounterFile(folder / "counters", *VERSION, ProcessKind.REPLICA, started_at=NOON)
        self.watch = self.new_watch()
        self.watch.close_windows(lease)

    def deploy(self, version: str) -> None:
        """Let the version answer for the model's name."""
        deployments = self.store.deployments
        row = deployments.ensure("churn", version, model_uri="models:/churn", config=DeploymentConfig(), now=NOON)
        ready: dict[str, Any] = {"status": DeploymentStatus.READY, "replicas": 1, "message": None, "ready_at": NOON}
        deployments.observe(self.lease, row, now=NOON, applied_generation=row.generation, **ready)

    def new_watch(self) -> QualityWatch:
        quality = QualityService(self.store, FakeRegistry(), self.folder / "payloads")
        return QualityWatch(self.store, quality, self.folder / "counters", lambda: self.now, 1.0)

    def answer(self, rows: int, *, right: float = 0.9, version: str = "3", wrong_plan: str | None = None) -> None:
        """Answer a request of so many rows, of which a share is right, and send the true values."""
        self.requests += 1
        at = self.now - DELAY + timedelta(minutes=1)
        plans = self.random.choice(["basic", "pro"], rows).tolist()
        hits = self.random.random(rows) < right
        truth: list[Truth] = [int(hit) if plan != wrong_plan else 0 for hit, plan in zip(hits, plans, strict=True)]
        body = json.dumps({"inputs": {"plan": plans}})
        outputs = json.dumps({"predictions": [1] * rows})
        request_id = f"r{self.requests}"
        payload = Payload(
            request_id=request_id, time=at, model_name="churn", model_version=version, protocol="raylift", status=200,
            error=None, latency_ms=1.0, rows=rows, inputs=body, outputs=outputs, inputs_bytes=len(body),
            outputs_bytes=len(outputs), traceparent=None,
        )  # fmt: skip
        write_payloads(self.folder / "payloads", [payload])
        self.store.feedback.put([Feedback("churn", version, request_id, truth, at)])
        if version == "3":
            self.file.values[counters.NAMES.index(counters.ROWS)] += rows

    def end_window(self) -> None:
        self.now += WINDOW
        self.watch.close_windows(self.lease)

    def windows(self) -> list[QualityWindow]:
        return self.store.monitors.quality_windows(*VERSION, limit=200).windows[::-1]

    def open(self) -> set[tuple[str, str | None]]:
        return {(alert.check.value, alert.segment) for alert in self.store.monitors.open_alerts(*VERSION)}


def test_no_alert_in_a_hundred_windows_of_the_same_quality(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path)
    for _ in range(100):
        version.answer(100)
        version.end_window()
    found = version.windows()
    assert len(found) == 100
    assert {(window.rows, window.feedback, window.joined) for window in found} == {(100, 1, 1)}
    assert version.store.monitors.alerts(*VERSION, limit=10).alerts == []


def test_lost_quality_is_found_in_two_windows_and_ends_with_it(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path)
    for right in (0.9, 0.9, 0.6):
        version.answer(300, right=right)
        version.end_window()
    assert version.open() == set()
    # A supervisor that has just started goes on.
    version.watch = version.new_watch()
    version.answer(300, right=0.6)
    version.end_window()
    assert version.open() == {("accuracy", None)}
    for _ in range(2):
        version.answer(300)
        version.end_window()
    assert version.open() == set()
    scores = [window.scores[0] for window in version.windows()]
    assert [bool(score.breaches) for score in scores] == [False, False, True, True, False, False]
    assert [round(score.quality.accuracy or 0, 1) for score in scores] == [0.9, 0.9, 0.6, 0.6, 0.9, 0.9]


def test_lost_quality_of_a_segment_is_found(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, segment_column="plan", minimum_feedback=50, consecutive_windows=1)
    version.answer(300)
    version.end_window()
    assert [score.segment for score in version.windows()[0].scores] == [None, "plan=basic", "plan=pro"]
    version.answer(300, wrong_plan="pro")
    version.end_window()
    assert ("accuracy", "plan=pro") in version.open()
    assert ("accuracy", "plan=basic") not in version.open()
    # Another column has other segments: nothing would end this alert.
    store.monitors.set(*VERSION, MonitorSettings(), version.now)
    assert version.open() == {("accuracy", None)}
    store.monitors.set(*VERSION, MonitorSettings(enabled=False), version.now)
    assert version.open() == set()


def test_few_true_values_wait_for_more(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path)
    for _ in range(3):
        version.answer(40)
        version.end_window()
    found = version.windows()
    assert [len(window.scores) for window in found] == [0, 0, 1]
    assert found[2].scores[0].quality.rows == 120
    assert found[2].feedback_since == NOON
    for _ in range(24):
        version.end_window()
    version.answer(40)
    version.end_window()
    version.answer(60)
    version.end_window()
    assert version.windows()[-1].scores[0].quality.rows == 100


def test_baseline_is_the_version_of_an_alias(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, quality_baseline="champion", consecutive_windows=1)
    store.traffic.observe("churn", "champion", "2", now=NOON, known=None)
    version.answer(300, right=0.7)
    version.answer(300, right=0.95, version="2")
    version.end_window()
    assert version.windows()[0].baseline == "2"
    assert version.open() == {("accuracy", None)}


def test_silence_is_told_and_ends_with_the_next_requests(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, minimum_volume=1)
    for _ in range(2):
        version.end_window()
    assert version.open() == {("volume", None)}
    for _ in range(2):
        version.answer(10)
        version.end_window()
    assert version.open() == set()


def test_version_that_another_one_replaced_expects_no_requests(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, minimum_volume=1)
    for _ in range(2):
        version.end_window()
    assert version.open() == {("volume", None)}
    version.deploy("4")
    for _ in range(2):
        version.end_window()
    assert version.open() == set()


def test_alert_ends_with_its_limit(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, minimum_volume=1)
    for _ in range(2):
        version.end_window()
    store.monitors.set(*VERSION, MonitorSettings(), version.now)
    assert version.open() == set()


def test_supervisor_that_was_away_does_not_take_a_part_for_a_window(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, minimum_volume=100, consecutive_windows=1)
    version.answer(500)
    version.now += WINDOW * 3 + WINDOW * 2 / 3
    version.watch.close_windows(version.lease)
    version.answer(40)
    version.now += WINDOW / 3
    version.watch.close_windows(version.lease)
    assert version.open() == set()


def test_fewer_requests_than_in_the_same_window_of_other_days_are_told(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path, volume_drop=0.5, consecutive_windows=1, window_seconds=6 * 3600)

    def day(rows: list[int]) -> None:
        for each in rows:
            if each:
                version.answer(each)
            for _ in range(6):
                version.end_window()

    for _ in range(4):
        day([0, 100, 400, 0])  # a quiet night is nothing new
    assert version.open() == set()
    day([0, 30])
    assert version.open() == {("volume", None)}
    assert version.windows()[-1].expected_rows == 100


def test_version_without_anything_has_no_windows(store: Store, tmp_path: Path) -> None:
    version = JudgedVersion(store, tmp_path)
    for _ in range(5):
        version.end_window()
    assert version.windows() == []
    version.answer(10)
    version.end_window()
    (window,) = version.windows()
    assert (window.start_at, window.rows) == (NOON + 5 * WINDOW, 10)
    assert isinstance(window.start_at, datetime)
