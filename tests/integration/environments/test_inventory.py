"""Retention of overlays that the real uv built, with real processes in them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from raylift.engines.environments.errors import EnvironmentBuildFailed, EnvironmentInUse
from raylift.engines.environments.inventory import disk_bytes, list_overlays, make_room, remove_overlay
from raylift.engines.environments.overlays.overlay import build_lock, ensure_overlay, environment_hash, overlay_directory

_MIB = 2**20


@contextmanager
def _running(python: Path, *, code: str = "", clean: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Run a script in an overlay until the end of the block."""
    script = f"{code}\nprint('here', flush=True)\nimport time; time.sleep(100)"
    process = subprocess.Popen(
        [python, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": os.defpath} if clean else None
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(script)
    process.stdin.close()
    assert process.stdout.readline() == "here\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _versions(root: Path) -> list[str]:
    return [overlay.lock[0].partition("==")[2] for overlay in list_overlays(root) if overlay.built]


def _occupied(root: Path) -> int:
    """Bytes on disk. A file with several names counts once."""
    files = {(status.st_dev, status.st_ino): status for path in root.rglob("*") if (status := path.lstat())}
    return sum(status.st_size for status in files.values())


def test_overlays_are_listed_and_removed(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    wheels("probe", "2.0")
    for version in ("1.0", "2.0", "1.0"):
        ensure_overlay([f"probe=={version}"], root)
    assert [each.lock for each in list_overlays(root)] == [("probe==2.0",), ("probe==1.0",)]
    name = list_overlays(root)[0].hash
    assert remove_overlay(root, name)
    assert not remove_overlay(root, name)
    assert not remove_overlay(root, "../environments")
    assert not remove_overlay(root, ".cache")
    assert [each.lock for each in list_overlays(root)] == [("probe==1.0",)]


def test_longest_unused_overlays_are_removed_until_the_rest_fits(root: Path, wheels) -> None:
    for version in ("1.0", "2.0", "3.0"):
        wheels("probe", version, weight=_MIB)
        ensure_overlay([f"probe=={version}"], root)
    ensure_overlay(["probe==1.0"], root)
    assert make_room(root, 4 * _MIB) == []
    assert make_room(root, 3 * _MIB) == [environment_hash(["probe==2.0"])]
    assert _versions(root) == ["3.0", "1.0"]


def test_newest_overlay_is_kept_even_if_it_is_over_the_limit(root: Path, wheels) -> None:
    for version in ("1.0", "2.0"):
        wheels("probe", version, weight=_MIB)
        ensure_overlay([f"probe=={version}"], root)
    make_room(root, 1000, keep=environment_hash(["probe==2.0"]))
    assert _versions(root) == ["2.0"]


def test_removal_frees_the_space_of_downloads_too(root: Path, wheels) -> None:
    for version in ("1.0", "2.0"):
        wheels("probe", version, weight=5 * _MIB)
        ensure_overlay([f"probe=={version}"], root)
    assert 10 * _MIB < _occupied(root) < 12 * _MIB
    make_room(root, 6 * _MIB)
    assert _occupied(root) < 7 * _MIB
    remove_overlay(root, environment_hash(["probe==2.0"]))
    assert _occupied(root) < _MIB


def test_cache_of_the_user_is_kept(root: Path, wheels, monkeypatch, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    wheels("probe", "1.0", weight=_MIB)
    ensure_overlay(["probe==1.0"], root)
    make_room(root, 0)
    assert _occupied(cache) > _MIB


def test_removal_need_not_wait_for_a_long_build(root: Path, wheels) -> None:
    wheels("probe", "1.0", weight=_MIB)
    ensure_overlay(["probe==1.0"], root)
    # Each running uv holds this lock. The removal of downloads waits until it holds the lock alone.
    with (root / ".cache" / ".lock").open() as cache:
        fcntl.flock(cache, fcntl.LOCK_SH)
        assert remove_overlay(root, environment_hash(["probe==1.0"]), wait=False)
        assert list_overlays(root) == []
        assert _occupied(root / ".cache") > _MIB
    for thread in threading.enumerate():
        if thread.name.startswith("drop-"):
            thread.join()
    assert _occupied(root / ".cache") < _MIB


def test_overlay_in_use_is_not_removed(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root)
    with _running(python, code="import probe"):
        assert [overlay.in_use for overlay in list_overlays(root)] == [True]
        assert make_room(root, 0) == []
        with pytest.raises(EnvironmentInUse, match=environment_hash(["probe==1.0"])):
            remove_overlay(root, environment_hash(["probe==1.0"]))
        assert python.exists()
    assert make_room(root, 0) == [environment_hash(["probe==1.0"])]


@pytest.mark.parametrize(
    "daemonize",
    [
        "import os\nif os.fork(): time.sleep(0.5); os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)",
        "import os; os.closerange(3, 4096)",
        "import subprocess, sys; subprocess.Popen(['sleep', '100'])",
    ],
    ids=["forks away", "closes all its files", "starts another program"],
)
def test_hostile_process_keeps_its_overlay_from_removal(root: Path, wheels, daemonize: str) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root)
    environment = {"PATH": os.defpath, "VIRTUAL_ENV": str(python.parent.parent)}
    code = f"import time\n{daemonize}\nprint(os.getpid() if 'os' in dir() else 0, flush=True); time.sleep(100)"
    process = subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert process.stdout
    pid = int(process.stdout.readline())
    try:
        assert make_room(root, 0) == []
    finally:
        os.killpg(process.pid, 9)
        if pid not in {0, process.pid}:
            os.kill(pid, 9)
        process.wait()
        process.stdout.close()


def test_overlay_of_a_starting_worker_is_kept(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root, expected=True)
    assert [overlay.in_use for overlay in list_overlays(root)] == [True]
    assert make_room(root, 0) == []
    with _running(python):
        pass
    assert make_room(root, 0) == [environment_hash(["probe==1.0"])]


def test_end_of_a_use_counts_as_the_last_use(root: Path, wheels) -> None:
    for version in ("1.0", "2.0"):
        wheels("probe", version)
    with _running(ensure_overlay(["probe==1.0"], root)):
        ensure_overlay(["probe==2.0"], root)
        list_overlays(root)
    assert _versions(root) == ["2.0", "1.0"]


def test_broken_builds_are_removed_first(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    ensure_overlay(["probe==1.0"], root)
    broken = overlay_directory(["probe==9.0"], root)
    (broken / "bin").mkdir(parents=True)
    (root / ".trash" / "left").mkdir(parents=True)
    assert make_room(root, 10**12) == [broken.name]
    assert not broken.exists()
    assert not (root / ".trash" / "left").exists()
    assert _versions(root) == ["1.0"]


def test_overlay_left_empty_by_a_power_cut_is_built_again(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    python = ensure_overlay(["probe==1.0"], root)
    directory = overlay_directory(["probe==1.0"], root)
    (directory / ".ok").write_bytes(b"")
    (root / ".builds").mkdir(exist_ok=True)
    (root / ".builds" / f"{directory.name}.json").write_bytes(b"")
    package = next(directory.rglob("probe*.py"), None) or next(directory.rglob("probe/__init__.py"))
    package.unlink()
    assert list_overlays(root) == []
    assert ensure_overlay(["probe==1.0"], root) == python
    assert package.exists()
    assert _versions(root) == ["1.0"]


def test_running_build_does_not_count_as_broken(root: Path) -> None:
    half = overlay_directory(["probe==9.0"], root)
    (half / "bin").mkdir(parents=True)
    with build_lock(half):
        assert make_room(root, 0) == []
        with pytest.raises(EnvironmentInUse):
            remove_overlay(root, half.name)
    assert make_room(root, 0) == [half.name]


def test_failed_build_is_listed_with_its_reason_and_can_be_removed(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    with pytest.raises(EnvironmentBuildFailed):
        ensure_overlay(["probe==2.0"], root)
    (failed,) = list_overlays(root)
    assert (failed.hash, failed.lock, failed.built) == (environment_hash(["probe==2.0"]), ("probe==2.0",), False)
    assert failed.message
    assert "probe==2.0" in failed.message
    assert remove_overlay(root, failed.hash)
    assert list_overlays(root) == []


def test_later_success_clears_a_failed_build(root: Path, wheels) -> None:
    wheels("probe", "1.0")
    with pytest.raises(EnvironmentBuildFailed):
        ensure_overlay(["probe==2.0"], root)
    wheels("probe", "2.0")
    ensure_overlay(["probe==2.0"], root)
    assert [(overlay.built, overlay.message) for overlay in list_overlays(root)] == [(True, None)]


def test_concurrent_builds_and_removals_leave_whole_overlays(root: Path, wheels) -> None:
    """A worker's interpreter exists and is whole when it is returned, while other processes remove overlays."""
    versions = [f"{number % 4}.0" for number in range(24)]
    for version in set(versions):
        wheels("probe", version)
    stop = root.parent / "stop"
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        removers = [pool.submit(_remove_until, stop, root) for _ in range(2)]
        builders = [pool.submit(_build_and_run, root, version) for version in versions]
        try:
            answers = [builder.result(90) for builder in builders]
        finally:
            stop.touch()
        assert sum(remover.result(30) for remover in removers) > 0
    assert answers == versions


def _build_and_run(root: Path, version: str) -> str:
    python = ensure_overlay([f"probe=={version}"], root, expected=True)
    script = "import probe; print(probe.VERSION)"
    return subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def _remove_until(stop: Path, root: Path) -> int:
    removed = 0
    while not stop.exists():
        removed += len(make_room(root, 0))
    return removed


def test_sizes_name_shared_bytes_and_count_them_once(root: Path, wheels) -> None:
    wheels("common", "1.0", weight=4 * _MIB)
    for version in ("1.0", "2.0"):
        wheels("probe", version, weight=_MIB)
        ensure_overlay([f"probe=={version}", "common==1.0"], root)
    ensure_overlay(["probe==1.0"], root)
    first, second, alone = list_overlays(root)
    assert 5 * _MIB < first.shared_bytes < 5.1 * _MIB
    assert 4 * _MIB < second.shared_bytes < 4.1 * _MIB
    assert _MIB < alone.shared_bytes < 1.1 * _MIB
    assert all(5 * _MIB < each.size_bytes < 5.2 * _MIB for each in (first, second) if each.size_bytes)
    # The cache has further names of the same files, and its own small ones.
    assert 6 * _MIB < disk_bytes([first, second, alone]) <= _occupied(root) < 6.5 * _MIB
    assert make_room(root, 7 * _MIB) == []
    oldest = [environment_hash([f"probe=={version}", "common==1.0"]) for version in ("1.0", "2.0")]
    # Others have all files of the first one: its removal alone frees nothing.
    assert make_room(root, 6 * _MIB) == oldest


def test_size_counts_the_files_of_a_source_build(root: Path, sdist) -> None:
    sdist("built", "1.0", source=3 * _MIB, weight=2 * _MIB)
    ensure_overlay(["built==1.0"], root)
    (overlay,) = list_overlays(root)
    # The files in the overlay. The built wheel and the source are removed with the cache of the build.
    assert overlay.size_bytes == pytest.approx(2 * _MIB, rel=0.03)
    assert overlay.shared_bytes == 0
    assert disk_bytes([overlay]) == pytest.approx(_occupied(root), rel=0.03)
    remove_overlay(root, overlay.hash)
    assert _occupied(root) < _MIB
