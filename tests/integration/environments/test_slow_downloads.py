"""Slow downloads: their progress, and their end when no job waits for them any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raylift.engines.environments.errors import BuildCancelled, EnvironmentBuildFailed
from raylift.engines.environments.inventory import list_overlays
from raylift.engines.environments.overlays.build_record import BuildRecord, read_record
from raylift.engines.environments.overlays.overlay import ensure_overlay, is_built, overlay_directory
from tests.integration.environments.slow_index import SlowIndex, slow_index

_MIB = 2**20
LOCK = ("heavy==1.0", "light==1.0")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    # Ray's processes have no TERM.
    for name in ("TERM", "UV_CACHE_DIR", "UV_FIND_LINKS", "PIP_FIND_LINKS", "PIP_NO_INDEX", "UV_INDEX", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "environments"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowIndex]:
    with slow_index(bytes_per_second=_MIB) as index:
        index.add("heavy", 3 * _MIB)
        index.add("light", 100_000)
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


@pytest.fixture
def cancel() -> Iterator[threading.Event]:
    cancel = threading.Event()
    yield cancel
    cancel.set()


def _in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test checks it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def _records(directory: Path, thread: threading.Thread) -> list[BuildRecord]:
    seen: list[BuildRecord] = []
    while thread.is_alive():
        record = read_record(directory)
        if record is not None and record not in seen:
            seen.append(record)
        time.sleep(0.05)
    return seen


def test_bytes_of_a_download_grow_up_to_its_size(root: Path, index: SlowIndex) -> None:
    thread, errors = _in_background(lambda: ensure_overlay(LOCK, root))
    seen = [record.downloads for record in _records(overlay_directory(LOCK, root), thread) if record.downloads]
    assert errors == []
    assert is_built(overlay_directory(LOCK, root))
    whole = sum(map(len, index.wheels.values()))
    done = [downloads.done for downloads in seen]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert seen[-1].size == pytest.approx(whole, rel=0.01)
    assert done[0] < whole / 2 < done[-1] <= seen[-1].size


def test_download_of_a_direct_reference_has_bytes(root: Path, index: SlowIndex) -> None:
    lock = [f"heavy @ {index.wheel_url('heavy')}"]
    thread, errors = _in_background(lambda: ensure_overlay(lock, root))
    seen = [record.downloads for record in _records(overlay_directory(lock, root), thread) if record.downloads]
    assert errors == []
    assert len({downloads.done for downloads in seen}) > 2


def test_cancelled_download_ends_and_leaves_nothing(root: Path, index: SlowIndex, cancel: threading.Event) -> None:
    thread, errors = _in_background(lambda: ensure_overlay(LOCK, root, cancelled=cancel.is_set))
    assert index.begun.wait(30)
    cancel.set()
    thread.join(10)
    assert [type(error) for error in errors] == [BuildCancelled]
    assert index.broken_off.wait(10)
    assert list_overlays(root) == []
    assert not overlay_directory(LOCK, root).exists()


def test_wait_for_the_build_of_another_process_can_be_cancelled(root: Path, index: SlowIndex, cancel: threading.Event) -> None:
    building, _ = _in_background(lambda: ensure_overlay(LOCK, root))
    assert index.begun.wait(30)
    waiting, errors = _in_background(lambda: ensure_overlay(LOCK, root, cancelled=cancel.is_set))
    cancel.set()
    waiting.join(10)
    assert [type(error) for error in errors] == [BuildCancelled]
    building.join()
    assert is_built(overlay_directory(LOCK, root))


def test_failed_download_names_the_package(root: Path, index: SlowIndex) -> None:
    thread, errors = _in_background(lambda: ensure_overlay(LOCK, root))
    assert index.begun.wait(30)
    index.closing.set()
    index.wheels.clear()
    thread.join(60)
    assert isinstance(errors[0], EnvironmentBuildFailed)
    assert "heavy==1.0" in errors[0].detail
    assert index.url.removesuffix("/simple") in errors[0].detail
    assert "MiB" not in errors[0].detail
