"""Finds all descendants of a process, and ends them for certain.

The root is a subreaper: descendants that fork twice, call setsid or outlive their parents stay descendants.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_GIVE_UP_SECONDS = 30.0


def descendants(root: int) -> dict[int, int]:
    """Map each process below ``root`` to its parent; parents come first. Zombies are included until they are reaped."""
    children = _children if _kernel_lists_children() else _children_by_parent()
    found: dict[int, int] = {}
    frontier = [root]
    while frontier:
        below = {child: pid for pid in frontier for child in children(pid)}
        frontier = [pid for pid in below if pid not in found]
        found.update(below)
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def kill_group_of(leader: int, pids: Iterable[int]) -> None:
    """SIGKILL the leader's process group in one call, if one of ``pids`` is still in it."""
    for pid in pids:
        try:
            if os.getpgid(pid) == leader:
                os.killpg(leader, signal.SIGKILL)
                return
        except (ProcessLookupError, PermissionError):
            continue


def end_at_once(root: int, reap: Callable[[], None]) -> list[int]:
    """SIGKILL every process below ``root`` until none is left. Returns those that do not end, stuck in the kernel.

    Args:
        root: this process, which must be a subreaper.
        reap: waits, without blocking, for children that have ended.
    """
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    pause = 0.0
    while True:
        reap()
        pids = descendants(root)
        if not pids or time.monotonic() > give_up:
            return list(pids)
        # All are stopped before the first is killed: otherwise a process that forks all the while could escape.
        send(pids, signal.SIGSTOP)
        send(pids, signal.SIGKILL)
        reap()
        time.sleep(pause)
        pause = min(pause + 0.0005, 0.01)


def _kernel_lists_children() -> bool:
    return os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")


def _children_by_parent() -> Callable[[int], list[int]]:
    """Ask every process for its parent: slow, for kernels and sandboxes without lists of children."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    return lambda pid: children.get(pid, [])


def _children(pid: int) -> list[int]:
    # Linux lists a child under the thread that forked it, so every thread is asked.
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []
    children: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                children += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return children
