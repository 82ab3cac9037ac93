from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job_entrypoints.limits import paced_sum
from job_entrypoints.limits.disk_usage import DiskUsage

MEBIBYTE = 2**20


def _measured(scratch: DiskUsage) -> int:
    """Walk to the end, however long the portions are."""
    scratch._sum.begin()
    while scratch.is_walking:
        scratch.check()
    return scratch.used


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_older_files_and_the_output_do_not_count(tmp_path: Path) -> None:
    _write(tmp_path / "work" / "of_the_project.csv", 4 * MEBIBYTE)
    scratch = DiskUsage(str(tmp_path), os.getpid(), 100 * MEBIBYTE)
    _write(tmp_path / "output.log", 8 * MEBIBYTE)
    _write(tmp_path / "work" / "deep" / "er" / "model.bin", 2 * MEBIBYTE)
    _write(tmp_path / "tmp" / "a", MEBIBYTE)
    assert 3 * MEBIBYTE <= _measured(scratch) < 3.2 * MEBIBYTE
    _write(tmp_path / "work" / "output.log", MEBIBYTE)
    assert _measured(scratch) >= 4 * MEBIBYTE


def test_file_with_two_names_counts_once_and_holes_do_not_count(tmp_path: Path) -> None:
    scratch = DiskUsage(str(tmp_path), os.getpid(), 100 * MEBIBYTE)
    _write(tmp_path / "a", MEBIBYTE)
    os.link(tmp_path / "a", tmp_path / "b")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(50 * MEBIBYTE)
    assert MEBIBYTE <= _measured(scratch) < 1.2 * MEBIBYTE


def test_deleted_open_file_counts(tmp_path: Path) -> None:
    scratch = DiskUsage(str(tmp_path), os.getpid(), 100 * MEBIBYTE)
    code = (
        "import os, sys; f = open(sys.argv[1], 'wb', 0); os.unlink(sys.argv[1]); f.write(b'x' * (2 << 20)); "
        "print(flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "gone")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    used = _measured(scratch)
    child.communicate(b"\n")
    assert used >= 2 * MEBIBYTE
    assert _measured(scratch) < MEBIBYTE


def test_walk_has_portions_and_ends_early_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = DiskUsage(str(tmp_path), os.getpid(), 20 * 4096)
    for number in range(100):
        _write(tmp_path / "work" / str(number), 4096)
    monkeypatch.setattr(paced_sum, "_PORTION_SECONDS", 0.0)
    scratch._sum.begin()
    assert not scratch.check()
    assert scratch.is_walking
    monkeypatch.undo()
    while scratch.is_walking:
        scratch.check()
    assert scratch.check()
    assert scratch.used < 60 * 4096


def test_filling_disk_is_checked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = DiskUsage(str(tmp_path), os.getpid(), MEBIBYTE)
    monkeypatch.setattr(scratch._sum, "_rest_until", time.monotonic() + 3600)
    _write(tmp_path / "big", 2 * MEBIBYTE)
    assert not scratch.check() or scratch.used > MEBIBYTE
    monkeypatch.setattr(scratch, "_free", lambda: scratch._free_at_walk - 2 * MEBIBYTE)
    while not scratch.check():
        assert scratch.is_walking or scratch._may_be_over()
    assert scratch.check_at_the_end()


def test_limit_leaves_part_of_the_free_disk(tmp_path: Path) -> None:
    scratch = DiskUsage(str(tmp_path), os.getpid(), 2**60)
    room = os.statvfs(tmp_path)
    assert scratch.is_limited_by_room
    assert scratch.limit < 0.9 * room.f_bavail * room.f_frsize


def test_removed_directory_is_no_error(tmp_path: Path) -> None:
    directory = tmp_path / "attempt"
    directory.mkdir()
    scratch = DiskUsage(str(directory), os.getpid(), MEBIBYTE)
    directory.rmdir()
    assert _measured(scratch) == 0
    assert not scratch.check_at_the_end()
