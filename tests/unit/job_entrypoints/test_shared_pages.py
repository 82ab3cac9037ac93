from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from job_entrypoints.limits.memory_watchdog import Watchdog
from job_entrypoints.limits.shared_memory import Counted, SharedPages, count
from job_entrypoints.linux.process_tree import descendants

MEBIBYTE = 2**20
HELD = 48 * MEBIBYTE
CHILDREN = 4
FORKING = f"""
import os, time
held = b'x' * {HELD}
for _ in range({CHILDREN}):
    if os.fork() == 0: time.sleep(60); os._exit(0)
print(flush=True)
time.sleep(60)
"""
WITHOUT_ITS_FIRST_THREAD = f"""
import ctypes, os, threading, time
def hold():
    held = b'x' * {HELD}
    memory_file = os.memfd_create('held')
    os.write(memory_file, held)
    while not open('/proc/self/stat').read().rpartition(')')[2].split()[0] == 'Z': time.sleep(0.01)
    os.write(1, b'ready' + bytes([10]))
    time.sleep(60)
threading.Thread(target=hold).start()
ctypes.CDLL(None).syscall({{'x86_64': 60, 'aarch64': 93}}[os.uname().machine], 0)
"""


@contextmanager
def _running(source: str) -> Iterator[int]:
    """A process that has printed a line. It and its forks are ended."""
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def _seen(pages: SharedPages, root: int) -> dict[int, Counted]:
    parents = {root: os.getpid(), **descendants(root)}
    now = {pid: count(pid) for pid in parents}
    pages.update(now, parents)
    return now


def test_memory_shared_by_forks_counts_once() -> None:
    pages = SharedPages()
    with _running(FORKING) as root:
        now = _seen(pages, root)
        assert len(now) == 1 + CHILDREN
        assert pages.private.at_least < 2 * HELD, "before it is measured: no less than the largest process has"
        assert pages.private.at_most > CHILDREN * HELD
        pages.measure(math.inf)
        assert HELD < pages.private.at_least <= pages.private.at_most < 2 * HELD


def test_growth_counts_at_once_unless_it_may_be_shared() -> None:
    pages = SharedPages()
    with _running(FORKING) as root:
        now = _seen(pages, root)
        pages.measure(math.inf)
        parents = {root: os.getpid(), **descendants(root)}
        exact, one = pages.private.at_least, now[root]

        grown = now | {root: Counted(one.private + HELD, one.shared, 1)}
        pages.update(grown, parents)
        assert pages.private.at_least == exact + HELD

        forked_again = now | {-1: one}
        pages.update(forked_again, parents | {-1: root})
        assert pages.private.at_least == exact
        assert pages.private.at_most >= exact + HELD

        pages.update({}, {})
        pages.update({root: one, -1: one}, {root: 1, -1: root})
        assert pages.private.at_least == one.private, "a number that was another process's is not known"


def test_memory_moved_between_processes_counts_once() -> None:
    pages = SharedPages()
    with _running(FORKING) as root:
        now = _seen(pages, root)
        parents = {root: os.getpid(), **descendants(root)}
        pages.measure(math.inf)
        exact = pages.private.at_least
        first, second, *_ = (pid for pid in now if pid != root)
        grown = now | {first: Counted(now[first].private + HELD, 0, 1)}
        pages.update(grown, parents)
        pages.update(now | {second: Counted(now[second].private + HELD, 0, 1)}, parents)
        assert pages.private.at_least == exact + HELD


def test_peak_of_forks_is_their_total() -> None:
    with _running(FORKING):
        watchdog = Watchdog(os.getpid(), 2**40)
        _look_for_a_while(watchdog, lambda: watchdog.peak > HELD)
    assert HELD < watchdog.peak < 2 * HELD


def test_process_whose_first_thread_ended_is_counted() -> None:
    with _running(WITHOUT_ITS_FIRST_THREAD) as root:
        assert count(root).private > HELD
        watchdog = Watchdog(os.getpid(), HELD + HELD // 2)
        # Otherwise the memory file counts as older than the job.
        watchdog._files._since = 0.0
        watchdog._files.measure()
        watchdog.check()
    assert watchdog.is_over_memory


def _look_for_a_while(watchdog: Watchdog, condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not condition() and time.monotonic() < give_up:
        watchdog.check()
        time.sleep(0.01)
