"""Drift is found within two windows, and none is where there is none: real sketches, a real store, drawn data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.models.version import ModelVersion
from raylift.domain.monitoring.monitor import Check
from raylift.engines.metrics.counter_files import counters_directory
from raylift.store import Store
from serve_apps.model_server.codecs.raylift import tabular
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.tabular import Columns
from tests.migrated_store import open_migrated
from tests.unit.supervisor.watched_version import NOON, VERSION, WINDOW, WatchedVersion, table


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_migrated(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture
def watched(store: Store, tmp_path: Path) -> WatchedVersion:
    return WatchedVersion(store, tmp_path / "sketches")


def checks(watched: WatchedVersion) -> set[tuple[str, Check, str | None]]:
    return {(alert.feature, alert.check, alert.segment) for alert in watched.store.monitors.open_alerts(*VERSION)}


def test_no_alert_in_a_hundred_windows_without_drift(watched: WatchedVersion) -> None:
    random = np.random.default_rng(7)
    for _ in range(100):
        watched.predict(table(random, 300), rows_each=100)
        watched.end_window()
    found = watched.store.monitors.windows(*VERSION, limit=200).windows
    assert len(found) == 100
    assert {(window.rows_seen, window.rows_sketched, window.is_compared) for window in found} == {(300, 300, True)}
    assert watched.store.monitors.alerts(*VERSION, limit=10).alerts == []
    assert isinstance(watched.model.reader, ColumnReader), "the sketch must see the columns that were sent"


def test_planted_drift_is_found_in_two_windows_and_ends_with_it(watched: WatchedVersion) -> None:
    random = np.random.default_rng(3)
    for _ in range(6):
        watched.predict(table(random, 400))
        watched.end_window()
    assert checks(watched) == set()
    for _ in range(2):
        watched.predict(table(random, 400, shift=1.0))
        watched.end_window()
    # Older customers, and more of them leave.
    assert checks(watched) == {("age", Check.DRIFT, None), ("answer", Check.DRIFT, None)}
    entries = watched.store.audit.list(AuditFilter(action="monitor."), limit=10).entries
    assert {(entry.action, entry.target) for entry in entries} == {("monitor.alert", "churn/3")}
    assert len(entries) == 2
    for _ in range(2):
        watched.predict(table(random, 400))
        watched.end_window()
    assert checks(watched) == set()
    assert all(alert.ended_at for alert in watched.store.monitors.alerts(*VERSION, limit=10).alerts)


def test_one_odd_window_raises_nothing(watched: WatchedVersion) -> None:
    random = np.random.default_rng(4)
    for shift in (0.0, 2.0, 0.0, 2.0, 0.0):
        watched.predict(table(random, 300, shift=shift))
        watched.end_window()
    assert watched.store.monitors.alerts(*VERSION, limit=10).alerts == []


def test_missing_unseen_and_outlying_values_are_found(watched: WatchedVersion) -> None:
    random = np.random.default_rng(5)
    for _ in range(2):
        frame = table(random, 300, missing=0.4)
        frame.loc[frame.index[:60], "plan"] = "gold"
        frame["rooms"] = frame["rooms"].where(random.random(300) > 0.2, 40)
        watched.predict(frame)
        watched.end_window()
    found = checks(watched)
    assert {("income", Check.MISSING, None), ("plan", Check.UNSEEN, None), ("rooms", Check.RANGE, None)} <= found
    assert not {feature for feature, _, _ in found} & {"age", "city"}


def test_window_without_enough_rows_goes_on(watched: WatchedVersion) -> None:
    random = np.random.default_rng(6)
    for _ in range(3):
        watched.predict(table(random, 80))
        watched.end_window()
    (window,) = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert (window.start_at, window.end_at, window.rows_sketched) == (NOON, NOON + 3 * WINDOW, 240)


def test_idle_version_has_no_windows(watched: WatchedVersion) -> None:
    for _ in range(5):
        watched.end_window()
    watched.predict(table(np.random.default_rng(0), 300))
    watched.end_window()
    (window,) = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert window.start_at == NOON + 5 * WINDOW


def test_restarted_supervisor_and_processes_count_each_row_once(watched: WatchedVersion) -> None:
    random = np.random.default_rng(8)
    watched.predict(table(random, 200))
    watched.process.close()
    watched.process = watched.new_process()
    watched.predict(table(random, 150))
    watched.watch = watched.new_watch()
    watched.end_window()
    watched.predict(table(random, 250))
    watched.end_window()
    found = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert [window.rows_sketched for window in found] == [250, 350]


def test_sketch_takes_a_sample_at_high_load(watched: WatchedVersion) -> None:
    frame = table(np.random.default_rng(9), 1)
    records = frame.to_dict("records")
    request = watched.model.prediction_request(records, lambda inputs: tabular(inputs, watched.model))
    result = watched.model.predict(request)
    for _ in range(500):
        watched.process.offer(request, result, 1)
    watched.process.flush()
    watched.end_window()
    assert watched.store.monitors.windows(*VERSION, limit=10).windows == []  # Too few are sketched.
    watched.predict(table(np.random.default_rng(9), 200))
    watched.end_window()
    (window,) = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert window.rows_seen == 700
    assert 220 <= window.rows_sketched <= 300


def test_drift_of_a_segment_is_found_where_the_whole_hides_it(store: Store, tmp_path: Path) -> None:
    watched = WatchedVersion(store, tmp_path / "sketches", segment_column="plan", minimum_rows=50)
    random = np.random.default_rng(10)
    for has_drift in (False,) * 8 + (True, True):
        frame = table(random, 1000)
        # These customers always were older; now they are much older.
        frame.loc[frame["plan"] == "pro", "age"] += 20 if has_drift else 5
        watched.predict(frame, rows_each=100)
        watched.end_window()
    assert ("age", Check.DRIFT, "plan=pro") in checks(watched)
    assert {segment for _, _, segment in checks(watched)} == {"plan=pro"}


def test_switched_off_version_is_not_watched(store: Store, tmp_path: Path) -> None:
    watched = WatchedVersion(store, tmp_path / "sketches", enabled=False)
    watched.process.flush()
    watched.predict(table(np.random.default_rng(0), 300))
    watched.end_window()
    assert watched.store.monitors.windows(*VERSION, limit=10).windows == []


def test_sketch_of_a_hostile_model_stops_nothing(watched: WatchedVersion) -> None:
    values = watched.process._file.values  # pyright: ignore[reportPrivateUsage] # As the model's own code may.
    watched.predict(table(np.random.default_rng(0), 300))
    for place, count in enumerate((np.nan, np.inf, -1e300, 1e300)):
        values[10 + place] = count
    directory = counters_directory(watched.directory, *VERSION)
    (directory / "settings.json").unlink()
    (directory / "settings.json").mkdir()
    watched.watch = watched.new_watch()
    watched.end_window()
    (window,) = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert (window.rows_seen, window.rows_sketched) == (300, 300)
    values[0] = np.inf
    watched.end_window()


@pytest.mark.parametrize(
    "broken", [{"columns": 3}, {"rows": "many"}, {"columns": [{"name": "x"}] * 101}, {"answers": {"kind": 1}}]
)
def test_broken_profile_leaves_the_version_unwatched(store: Store, tmp_path: Path, broken: dict[str, Any]) -> None:
    class Broken(WatchedVersion):
        def reference_profile(self, version: ModelVersion) -> dict[str, Any] | None:
            return self.profile | broken

    Broken(store, tmp_path / "sketches")
    monitor = store.monitors.find(*VERSION)
    assert monitor is not None
    assert (monitor.is_read, monitor.reference) == (True, None)


@pytest.mark.parametrize("form", ["records", "columns", "rows", "v2"])
def test_every_form_of_inputs_is_sketched(watched: WatchedVersion, form: str) -> None:
    frame = table(np.random.default_rng(0), 250, missing=0.0)
    lists = {str(name): column.tolist() for name, column in frame.items()}
    forms: dict[str, Any] = {
        "records": frame.to_dict("records"),
        "columns": lists,
        "rows": frame.to_numpy(dtype=object).tolist(),
        "v2": Columns(lists),
    }
    inputs = forms[form]
    request = watched.model.prediction_request(inputs, lambda found: tabular(found, watched.model))
    for _ in range(3):
        watched.process.offer(request, watched.model.predict(request), request.rows)
    watched.process.flush()
    watched.end_window()
    # Of 250 rows every third one.
    (window,) = watched.store.monitors.windows(*VERSION, limit=10).windows
    assert (window.rows_seen, window.rows_sketched) == (750, 252)
    assert {figures.feature: figures.rows for figures in window.figures} == dict.fromkeys(frame.columns, 252)
    assert all(figures.unseen == 0 for figures in window.figures)
