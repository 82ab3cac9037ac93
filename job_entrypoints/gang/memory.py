"""Limits the memory of a Ray worker, whose parent is Ray and not the job's monitor."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from job_entrypoints.limits.cgroup import find_place, make_cgroup
from job_entrypoints.linux.process_tree import descendants

_MEBIBYTE = 2**20
_PAUSE_SECONDS = 0.2


def limit_memory(name: str, memory_bytes: int) -> None:
    """Hold this process and its children to ``memory_bytes``: by a cgroup where there is one, else by a thread.

    Beyond it the kernel, or the thread, kills the process. Ray reports the death to those that wait for its results.
    """
    group = make_cgroup(f"{name}-{os.getpid()}", find_place(), memory_bytes=memory_bytes, max_tasks=0, cpus=0)
    if group is not None and group.memory:
        group.join()
        return
    threading.Thread(target=_watch, args=(memory_bytes,), name="raylift-memory", daemon=True).start()


def used_memory() -> int:
    """Return the bytes of this process and its children, without those that processes share. Objects of Ray do not count."""
    pids = [os.getpid(), *descendants(os.getpid())]
    return sum(_sum(f"/proc/{pid}/smaps_rollup", "Pss_Anon", "SwapPss") for pid in pids)


def _at_most() -> int:
    """Return the same with shared pages counted for each process, which costs the kernel much less."""
    pids = [os.getpid(), *descendants(os.getpid())]
    return sum(_sum(f"/proc/{pid}/status", "RssAnon", "VmSwap") for pid in pids)


def _sum(path: str, *names: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            fields = [line.split() for line in file if line.partition(":")[0] in names]
    except OSError:  # It has ended.
        return 0
    return sum(int(field[1]) * 1024 for field in fields)


def _watch(memory_bytes: int) -> None:
    while _at_most() <= memory_bytes or (used := used_memory()) <= memory_bytes:
        time.sleep(_PAUSE_SECONDS)
    of = f"{used // _MEBIBYTE} MiB of the {memory_bytes // _MEBIBYTE} MiB that a part of the job may have"
    print(f"[raylift] out of memory: this Ray worker used {of} and was killed (watchdog)", file=sys.stderr, flush=True)  # noqa: T201
    # Time for its output to reach the job's log.
    time.sleep(_PAUSE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
