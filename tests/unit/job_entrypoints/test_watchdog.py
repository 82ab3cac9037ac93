from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys

import pytest

from job_entrypoints.limits.memory_watchdog import Watchdog, machine_limit
from job_entrypoints.linux import process_tree

MEBIBYTE = 2**20


def test_root_process_does_not_count() -> None:
    watchdog = Watchdog(os.getpid(), 1)
    held = mmap.mmap(-1, 32 * MEBIBYTE)
    held.write(b"x" * len(held))
    watchdog.check()
    held.close()
    assert not watchdog.is_over_memory
    assert watchdog.peak < 32 * MEBIBYTE


def test_checks_are_more_frequent_near_the_limit() -> None:
    far = Watchdog(os.getpid(), 64 * 2**30).check()
    near = Watchdog(os.getpid(), 8 * MEBIBYTE).check()
    assert near < far


def test_breach_has_its_size() -> None:
    reader, writer = os.pipe()
    go_reader, go_writer = os.pipe()
    child = os.fork()
    if child == 0:
        block = mmap.mmap(-1, 64 * MEBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.write(b"x" * len(block))
        os.write(writer, b"ready")
        os.read(go_reader, 1)
        os._exit(0)
    os.read(reader, 5)
    watchdog = Watchdog(os.getpid(), 60 * MEBIBYTE)
    watchdog.check()
    parents = process_tree.descendants(os.getpid())
    os.write(go_writer, b"x")
    os.waitpid(child, 0)
    assert watchdog.is_over_memory
    assert watchdog.peak >= 64 * MEBIBYTE
    assert parents[child] == os.getpid()
    assert child not in process_tree.descendants(os.getpid())


def test_processes_and_their_threads_count() -> None:
    code = (
        "import threading, time; [threading.Thread(target=time.sleep, args=(60,)).start() for _ in range(5)]; print(flush=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    watchdog = Watchdog(os.getpid(), 2**40, max_tasks=5)
    watchdog.check()
    child.kill()
    child.communicate()
    assert (watchdog.tasks, watchdog.is_over_tasks) == (6, True)
    assert not Watchdog(os.getpid(), 2**40, max_tasks=0).is_over_tasks


def test_slow_walk_finds_the_same_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    children = [subprocess.Popen(["/bin/sh", "-c", "sleep 30 & wait"]) for _ in range(2)]
    try:
        by_kernel = process_tree.descendants(os.getpid())
        monkeypatch.setattr(process_tree, "_kernel_lists_children", lambda: False)
        by_parent = process_tree.descendants(os.getpid())
        assert {child.pid for child in children} <= by_parent.keys()
        assert by_parent.keys() >= by_kernel.keys()
    finally:
        for child in children:
            process_tree.send([*process_tree.descendants(child.pid), child.pid], signal.SIGKILL)
            child.wait()


def test_script_without_a_request_has_a_memory_limit() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0.7 * total < machine_limit() < 0.9 * total
