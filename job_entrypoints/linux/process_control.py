"""The Linux calls that Python does not wrap."""

from __future__ import annotations

import ctypes
import os
import resource
import zlib

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KCMP_VM = 1
_SYS_KCMP = {"x86_64": 312, "aarch64": 272}

_WATCHFUL = -10
"""A niceness."""

_RLIMIT_LOCKS = 10
"""A limit that Linux has kept and ignored since 2.4.25: a number that every process inherits and none can raise again."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """From now on orphans of our descendants become our children, so that daemons stay in the tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal: int) -> None:
    """Send ``signal`` to this process when its parent ends, however it ends. Survives exec."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def go_first() -> None:
    """Be scheduled before scripts, as far as this user may: a watchdog that waits its turn behind a fork bomb is none."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _WATCHFUL)
    except PermissionError:
        # Only root may. Scripts still are nicer than we are, by jobs.nice.
        return


def mark_attempt(submission_id: str) -> None:
    """Mark this process, and all that descend from it, as the attempt's: also those that clear their environment.

    The supervisor looks for the mark when the wrapper is gone (raylift.engines.attempts.orphan_processes). `raylift up` and
    `down` look for the half of it that stands for the platform.
    """
    mark = attempt_mark(submission_id, os.environ.get("RAYLIFT_INSTANCE", ""))
    try:
        resource.setrlimit(_RLIMIT_LOCKS, (mark, mark))
    except (ValueError, OSError):
        # Inside another attempt, whose mark stays. The environment still has the id.
        return


def attempt_mark(submission_id: str, instance: str) -> int:
    """A number that stands for an attempt of one platform. A unit test compares it with the supervisor's."""
    platform = 0x5241 << 24 | zlib.crc32(instance.encode()) >> 8
    return platform << 24 | zlib.crc32(submission_id.encode()) >> 8


def share_memory(first: int, second: int) -> bool:
    """Whether two processes are one address space: a vfork child, until it execs. False where the kernel cannot say."""
    number = _SYS_KCMP.get(os.uname().machine)
    return number is not None and _libc.syscall(number, first, second, _KCMP_VM, 0, 0) == 0


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
