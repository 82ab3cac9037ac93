"""Limits the memory of a Ray worker, whose parent is Ray and not the job's monitor."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from job_entrypoints.limits.cgroup import find_place, make_cgroup
from job_entrypoints.limits.memory_watchdog import Watchdog

_MEBIBYTE = 2**20


def limit_memory(name: str, memory_bytes: int) -> None:
    """Hold this process and its children to ``memory_bytes``: by a cgroup where there is one, else by a thread.

    Beyond it the kernel, or the thread, kills the process. Ray reports the death to those that wait for its results.
    """
    group = make_cgroup(f"{name}-{os.getpid()}", find_place(), memory_bytes=memory_bytes, max_tasks=0, cpus=0)
    if group is not None and group.memory:
        group.join()
        return
    threading.Thread(target=_watch, args=(memory_bytes,), name="raylift-memory", daemon=True).start()


def _watch(memory_bytes: int) -> None:
    watchdog = Watchdog(os.getpid(), memory_bytes)
    while True:
        # The script's own threads go first: a worker is measured at most five times a second.
        time.sleep(max(watchdog.check(), 0.2))
        if watchdog.is_over_memory:
            used, limit = watchdog.used // _MEBIBYTE, memory_bytes // _MEBIBYTE
            message = f"out of memory: this Ray worker used {used} MiB of the {limit} MiB that a part of the job may have"
            print(f"[raylift] {message} and was killed (watchdog)", file=sys.stderr, flush=True)  # noqa: T201
            os.kill(os.getpid(), signal.SIGKILL)
