"""Retention of observations on a real SQLite store and real files. Repetition is safe."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from raylift.domain.models.counters import ProcessKind
from raylift.domain.models.deployment import DeploymentConfig
from raylift.domain.models.feedback import Feedback
from raylift.domain.models.series import MINUTE, TEN_MINUTES, Interval, aligned
from raylift.engines.metrics.counter_files import CounterFile, read_counts
from raylift.engines.metrics.payload_files import Payload, write_payloads
from raylift.settings import PlatformSettings, RetentionSettings
from raylift.store import Store
from raylift.supervisor.housekeeping.retention import remove_old_metrics, remove_old_series
from tests.migrated_store import open_migrated

NOW = datetime.now(UTC)


def settings_of(root: Path, **retention: Any) -> PlatformSettings:
    return PlatformSettings(
        state_dir=root,
        database_url="",
        mlflow_url="",
        ray_dashboard_url="",
        gateway_url="",
        retention=RetentionSettings(**retention),
    )


def look(root: Path, store: Store, after: timedelta = timedelta(0), **retention: Any) -> None:
    remove_old_metrics(settings_of(root, **retention), store, NOW + after)


def opened(root: Path) -> Store:
    store = open_migrated(root / "store.db")
    store.deployments.ensure("m", "1", model_uri="models:/m/1", config=DeploymentConfig(), now=NOW)
    return store


def test_counts_are_kept_while_the_version_is_deployed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for version in ("1", "2"):
        CounterFile(tmp_path / "counters", "m", version, ProcessKind.WARM, started_at=NOW).close()
    look(tmp_path, store)
    assert not list((tmp_path / "counters").glob("*/*.live"))
    assert len(read_counts(tmp_path / "counters")) == 2
    look(tmp_path, store, timedelta(days=2))
    assert [counts.version for counts in read_counts(tmp_path / "counters")] == ["1"]
    store.close()


def test_payloads_are_removed_by_age_and_size(tmp_path: Path) -> None:
    store = opened(tmp_path)
    row = Payload("r", NOW, "m", "1", "raylift", 200, None, 1.0, 1, "{}", "{}", 2, 2, None)
    old, young = (write_payloads(tmp_path / "payloads", [row]) for _ in range(2))
    before = (NOW - timedelta(days=31)).timestamp()
    os.utime(old, (before, before))
    look(tmp_path, store, payload_days=None)
    assert old.exists()
    look(tmp_path, store)
    assert (old.exists(), young.exists()) == (False, True)
    look(tmp_path, store, payload_max_bytes=0)
    assert not young.exists()
    store.close()


def test_unfinished_file_is_not_read_and_is_removed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    row = Payload("r", NOW, "m", "1", "raylift", 200, None, 1.0, 1, "{}", "{}", 2, 2, None)
    folder = write_payloads(tmp_path / "payloads", [row]).parent
    rows: list[int] = []

    def killed(table: Any, file: Path, **_: Any) -> None:
        file.write_bytes(b"PAR1")
        file.with_name(file.name.replace(".new", "-left.new")).write_bytes(b"PAR1")
        rows.append(len(pd.read_parquet(folder.parent)))
        raise OSError("killed")

    monkeypatch.setattr(parquet, "write_table", killed)
    with pytest.raises(OSError, match="killed"):
        write_payloads(tmp_path / "payloads", [row])
    assert rows == [1]
    (left,) = folder.glob("*.new")
    look(tmp_path, store, timedelta(days=31))
    assert not left.exists()
    store.close()


def test_feedback_is_removed_by_age(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.feedback.put([Feedback("m", "1", "r1", 1, NOW)])
    look(tmp_path, store, timedelta(days=400), feedback_days=None)
    look(tmp_path, store, timedelta(days=364))
    assert store.feedback.count("m", "1") == 1
    look(tmp_path, store, timedelta(days=366))
    assert store.feedback.count("m", "1") == 0
    store.close()


def test_minutes_of_series_are_kept_for_a_day_and_tens_as_set(tmp_path: Path) -> None:
    store = opened(tmp_path)
    start = aligned(NOW, TEN_MINUTES)
    one = Interval("m", "1", MINUTE, start, {"requests": 1.0}, 0.0, 1, 0)
    store.series.record([], baselines=[], gone=(), since=None, until=start)
    store.series.record([one], baselines=[], gone=(), since=start, until=start + timedelta(minutes=10))

    def kept(after: timedelta, days: float | None) -> list[int]:
        remove_old_series(settings_of(tmp_path, series_days=days), store, start + after)
        end = start + timedelta(minutes=10)
        return [len(store.series.intervals("m", "1", start, end, step_seconds=step)) for step in (MINUTE, TEN_MINUTES)]

    assert kept(timedelta(hours=23), 30) == [1, 1]
    assert kept(timedelta(hours=25), 30) == [0, 1]
    assert kept(timedelta(days=400), None) == [0, 1]
    assert kept(timedelta(days=31), 30) == [0, 0]
    store.close()
