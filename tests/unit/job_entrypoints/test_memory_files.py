from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from job_entrypoints.limits import memory_files as module
from job_entrypoints.limits import paced_sum
from job_entrypoints.limits.memory_files import MemoryFiles
from job_entrypoints.limits.memory_watchdog import Watchdog

MEBIBYTE = 2**20
FILL = "for _ in range(48): os.write(m, b'x' * (1 << 20))"
MEMFD = f"m = os.memfd_create('m'); {FILL}".replace("; for", "\nfor")
MAPPED = f"{MEMFD}\nimport mmap\nmapped = mmap.mmap(m, 48 << 20)\nfor i in range(0, 48 << 20, 4096): mapped[i]"


@contextmanager
def _child(source: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has run ``source``. It runs ``os.close(m)`` when it gets a line."""
    code = f"import os, sys\n{source}\nprint(flush=True)\ninput()\nos.close(m)\nprint(flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _go_on(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    child.stdout.readline()


def test_unmapped_memfd_is_a_breach() -> None:
    watchdog = Watchdog(os.getpid(), 40 * MEBIBYTE)
    with _child(MEMFD):
        watchdog._files.measure()
        watchdog.check()
    assert watchdog.is_over_memory
    assert watchdog.peak >= 48 * MEBIBYTE


def test_open_and_mapped_file_counts_once() -> None:
    watchdog = Watchdog(os.getpid(), 90 * MEBIBYTE)
    with _child(MAPPED):
        assert watchdog._files.measure() >= 48 * MEBIBYTE
        watchdog.check()
    assert not watchdog.is_over_memory
    assert 48 * MEBIBYTE <= watchdog.peak < 90 * MEBIBYTE


def test_file_open_in_two_processes_counts_once() -> None:
    files = MemoryFiles(os.getpid())
    with _child(f"{MEMFD}\nif os.fork() == 0:\n    import time\n    time.sleep(5)\n    os._exit(0)"):
        assert 48 * MEBIBYTE <= files.measure() < 50 * MEBIBYTE


def test_file_closed_since_the_last_check_is_no_breach() -> None:
    watchdog = Watchdog(os.getpid(), 40 * MEBIBYTE)
    with _child(MEMFD) as child:
        watchdog._files.measure()
        _go_on(child)
        watchdog.check()
    assert not watchdog.is_over_memory
    assert watchdog._files.used == 0


def test_open_file_in_dev_shm_counts_unless_it_is_older_than_the_job() -> None:
    path = Path(f"/dev/shm/raylift_test_{os.getpid()}")
    source = f"m = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n"
    try:
        with _child(source + FILL):
            before = MemoryFiles(os.getpid())
            before._since = 0
            assert before.measure() >= 48 * MEBIBYTE
        reader = MemoryFiles(os.getpid())
        reader._since = path.stat().st_ctime + 1
        with _child(source):
            assert reader.measure() == 0
    finally:
        path.unlink()


def test_files_of_the_script_s_folder_have_their_own_limit() -> None:
    path = Path(f"/dev/shm/raylift_test_{os.getpid()}")
    try:
        with _child(f"m = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n{FILL}"):
            files = MemoryFiles(os.getpid(), scratch=str(path.parent))
            files._since = 0
            assert files.measure() == 0
    finally:
        path.unlink()


def test_growing_shared_memory_is_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFiles(os.getpid())
    with _child(MEMFD):
        files._shared_at_walk = module._shared_memory()
        files.check(room=1000 * MEBIBYTE)
        assert files.used == 0
        monkeypatch.setattr(paced_sum, "_PORTION_SECONDS", 60.0)
        files._shared_at_walk -= 600 * MEBIBYTE
        files.check(room=1000 * MEBIBYTE)
        assert files.used >= 48 * MEBIBYTE
