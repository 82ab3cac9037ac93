"""Reasons of breaches and the mechanisms that held them, with an imitated cgroup."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from job_entrypoints.attempt.progress import Usage
from job_entrypoints.attempt.record import Attempt
from job_entrypoints.limits import enforcement as module
from job_entrypoints.limits.cgroup import Place
from job_entrypoints.limits.enforcement import Limits

MEBIBYTE = 2**20


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    (tmp_path / "a1").mkdir()
    record = {"job_id": "job_1", "script": "a.py", "cpus": 0.5, "memory_bytes": 512 * MEBIBYTE, "max_processes": 100}
    return Attempt(str(tmp_path / "a1"), record)


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "group").mkdir()
    place = Place(str(tmp_path / "group"), frozenset({"memory", "pids", "cpu"}))
    monkeypatch.setattr(module, "find_place", lambda: place)
    return tmp_path / "group" / "raylift-a1"


def test_kernel_oom_kill_is_out_of_memory(attempt: Attempt, group: Path) -> None:
    limits = Limits(attempt, os.getpid())
    assert limits.check()[0] is None
    (group / "memory.events").write_text("oom_kill 1\n")
    (group / "memory.peak").write_text(str(513 * MEBIBYTE))
    for breach in (limits.check()[0], limits.at_the_end()):
        assert breach is not None
        assert breach.outcome == "out_of_memory"
        assert breach.message == "out of memory: the script used 513 MiB of the 512 MiB it asked for and was killed (cgroup)"
    usage = Usage()
    limits.close(usage)
    assert (usage.memory_enforced_by, usage.cpu_enforced_by, usage.peak_memory_bytes) == ("cgroup", "cgroup", 513 * MEBIBYTE)


def test_fork_refused_by_the_kernel_is_process_limit(attempt: Attempt, group: Path) -> None:
    limits = Limits(attempt, os.getpid())
    (group / "pids.events").write_text("max 1\n")
    (group / "pids.peak").write_text("100\n")
    breach, _ = limits.check()
    assert breach is not None
    assert breach.outcome == "process_limit"
    assert "100 processes and threads of at most 100" in breach.message
    assert "cgroup" in breach.message


def test_watchdog_holds_the_limits_without_a_cgroup(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_place", lambda: None)
    limits = Limits(attempt, os.getpid())
    assert limits.check()[0] is None
    usage = Usage()
    limits.close(usage)
    several = len(os.sched_getaffinity(0)) > 1
    assert (usage.memory_enforced_by, usage.cpu_enforced_by) == ("watchdog", "affinity" if several else None)
