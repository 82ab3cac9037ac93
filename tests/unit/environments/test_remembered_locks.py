from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raylift.engines.environments.locking import lock_cache
from raylift.engines.environments.locking.lock_cache import forget_expired, forget_lock_of, lock_of
from raylift.engines.environments.overlays.overlay import overlay_directory

_LOCK = ("humanize==4.9.0",)


class Index:
    """Resolver that counts its calls."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.lock: tuple[str, ...] = _LOCK

    def resolve(self, requirements: Sequence[str], **_: object) -> tuple[str, ...]:
        self.asked.append(tuple(requirements))
        return self.lock


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index()
    monkeypatch.setattr(lock_cache, "resolve", index.resolve)
    return index


def _later(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + by

    monkeypatch.setattr(lock_cache, "datetime", Clock)


def test_equal_requirements_in_any_order_are_resolved_once(index: Index, tmp_path: Path) -> None:
    assert lock_of(["humanize==4.9.0", "rich>=13"], tmp_path) == _LOCK
    index.lock = ()
    assert lock_of(["rich>=13", "humanize==4.9.0", "rich>=13"], tmp_path) == _LOCK
    assert len(index.asked) == 1


@pytest.mark.parametrize(
    ("requirement", "still_believed"),
    [("humanize==4.9.0", True), ("humanize", False), ("humanize>=4", False), ("humanize==4.*", False)],
)
def test_lock_of_ranges_expires_soon(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str, *, still_believed: bool
) -> None:
    lock_of([requirement], tmp_path)
    lock_of([requirement], tmp_path)
    assert len(index.asked) == 1
    _later(monkeypatch, timedelta(minutes=11))
    lock_of([requirement], tmp_path)
    assert len(index.asked) == (1 if still_believed else 2)
    _later(monkeypatch, timedelta(days=31))
    lock_of([requirement], tmp_path)
    assert len(index.asked) == (2 if still_believed else 3)


def test_direct_reference_is_resolved_each_time(index: Index, tmp_path: Path) -> None:
    for _ in range(2):
        lock_of(["humanize==4.9.0", "mine @ git+https://example.org/mine.git"], tmp_path)
    assert len(index.asked) == 2


def test_another_index_or_base_is_resolved_again(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.setattr(lock_cache, "base_site_directories", lambda: (base,))
    lock_of(["humanize==4.9.0"], tmp_path)
    monkeypatch.setenv("UV_INDEX", "https://example.org/simple")
    lock_of(["humanize==4.9.0"], tmp_path)
    assert len(index.asked) == 2
    (base / "something.dist-info").mkdir()
    os.utime(base, ns=(1, 1))
    lock_of(["humanize==4.9.0"], tmp_path)
    assert len(index.asked) == 3


def test_forced_resolution_replaces_the_cached_lock(index: Index, tmp_path: Path) -> None:
    lock_of(["humanize"], tmp_path)
    index.lock = ("humanize==5",)
    assert lock_of(["humanize"], tmp_path, refresh=True) == ("humanize==5",)
    assert lock_of(["humanize"], tmp_path) == ("humanize==5",)


def test_removed_lock_is_resolved_again(index: Index, tmp_path: Path) -> None:
    lock_of(["humanize==4.9.0"], tmp_path)
    forget_lock_of(overlay_directory(["rich==13"], tmp_path))
    lock_of(["humanize==4.9.0"], tmp_path)
    assert len(index.asked) == 1
    forget_lock_of(overlay_directory(_LOCK, tmp_path))
    lock_of(["humanize==4.9.0"], tmp_path)
    assert len(index.asked) == 2


def test_expired_lock_is_deleted(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_of(["humanize"], tmp_path)
    forget_expired(tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 1
    _later(monkeypatch, timedelta(minutes=11))
    forget_expired(tmp_path)
    assert list(tmp_path.rglob("*.json")) == []


def test_damaged_cache_file_is_ignored(index: Index, tmp_path: Path) -> None:
    lock_of(["humanize"], tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_text("{")
    assert lock_of(["humanize"], tmp_path) == _LOCK
    assert len(index.asked) == 2
