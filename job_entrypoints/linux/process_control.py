"""Linux calls that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
import resource

from job_entrypoints.contract import INSTANCE_VARIABLE, attempt_mark

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KCMP_VM = 1
_SYS_KCMP = {"x86_64": 312, "aarch64": 272}

_MONITOR_NICENESS = -10

_RLIMIT_LOCKS = 10
"""A resource limit that Linux ignores since 2.4.25. Every process inherits its value, and none can raise it."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Adopt orphans of this process's descendants from now on, so that daemons stay in the tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal: int) -> None:
    """Send ``signal`` to this process when its parent ends, however it ends. Survives exec."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def go_first() -> None:
    """Get a higher priority than scripts, if this user may: a watchdog must run in spite of a fork bomb."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _MONITOR_NICENESS)
    except PermissionError:
        return  # Only root may. Scripts still have a lower priority, by jobs.nice.


def mark_attempt(submission_id: str) -> None:
    """Mark this process and its descendants as the attempt's, even if they clear their environment.

    After the wrapper's death the supervisor finds them by the mark (raylift.engines.attempts.orphan_processes). `raylift up`
    and `down` compare the platform's part of it.
    """
    mark = attempt_mark(submission_id, os.environ.get(INSTANCE_VARIABLE, ""))
    try:
        resource.setrlimit(_RLIMIT_LOCKS, (mark, mark))
    except (ValueError, OSError):
        # This attempt runs inside another, whose mark stays. The environment still has the id.
        return


def share_memory(first: int, second: int) -> bool:
    """True if two processes have one address space: a vfork child, until exec. False where the kernel cannot tell."""
    number = _SYS_KCMP.get(os.uname().machine)
    return number is not None and _libc.syscall(number, first, second, _KCMP_VM, 0, 0) == 0


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
