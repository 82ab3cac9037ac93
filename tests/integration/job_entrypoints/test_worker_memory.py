"""A Ray worker that uses more memory than a part of its job is killed, with its children counted."""

from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import os, sys, time
from job_entrypoints.gang.memory import limit_memory, used_memory
before = used_memory()
held = b"x" * (50 * 2**20)
assert 45 * 2**20 < used_memory() - before < 60 * 2**20, "what is held is counted"
limit_memory("job_A-a1", 200 * 2**20)
if sys.argv[1] == "child" and os.fork() > 0:
    time.sleep(30)
more = b"x" * (int(sys.argv[2]) * 2**20)
time.sleep(2 if int(sys.argv[2]) < 100 else 30)
"""


def run(kind: str, mebibytes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, kind, str(mebibytes)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_worker_within_its_memory_goes_on() -> None:
    done = run("self", 50)
    assert done.returncode == 0, done.stderr


def test_worker_over_its_memory_is_killed() -> None:
    done = run("self", 300)
    assert done.returncode == -signal.SIGKILL
    assert "out of memory: this Ray worker used" in done.stderr


def test_memory_of_a_child_counts() -> None:
    assert run("child", 300).returncode == -signal.SIGKILL
