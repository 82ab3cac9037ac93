from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from job_entrypoints.limits.cpu_affinity import CpuAffinity

TAKE = """
import os, sys
from job_entrypoints.limits.cpu_affinity import CpuAffinity
os.sched_getaffinity = lambda _: set(range(4))
affinity = CpuAffinity(float(sys.argv[1]), sys.argv[2])
print(*sorted(affinity.cores), flush=True)
input()
"""


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Callable[[float], tuple[list[int], Callable[[], None]]]]:
    """Start another monitor that takes cores of a machine with four. Returns its cores, and a function that ends it."""
    started: list[subprocess.Popen[str]] = []

    def begin(cpus: float) -> tuple[list[int], Callable[[], None]]:
        command = [sys.executable, "-c", TAKE, str(cpus), str(tmp_path / "cores")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return [int(core) for core in process.stdout.readline().split()], lambda: end(process)

    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    yield begin
    for process in started:
        end(process)


def test_concurrent_jobs_get_different_cores(take: Callable[[float], tuple[list[int], Callable[[], None]]]) -> None:
    first, end_first = take(1.5)
    second, _ = take(1)
    third, _ = take(0.5)
    assert [len(first), len(second), len(third)] == [2, 1, 1]
    assert sorted(first + second + third) == [0, 1, 2, 3]
    fourth, _ = take(3)
    assert len(set(fourth)) == 3
    # Cores are free again after any end of a monitor.
    end_first()
    assert take(2)[0] == first


def test_all_cores_or_an_unknown_number_set_no_affinity(tmp_path: Path) -> None:
    everything = len(os.sched_getaffinity(0))
    for cpus in (0, everything, everything + 3):
        assert CpuAffinity(cpus, str(tmp_path / "cores")).cores == []
    assert not (tmp_path / "cores").exists()


def test_unwritable_lock_folder_leaves_all_cores(tmp_path: Path) -> None:
    assert CpuAffinity(0.5, str(tmp_path / "nowhere" / "cores")).cores == []
