"""A user of its own for a job, where the platform runs as root: a number that no other running job has.

Each number is a byte of one file, which the job's monitor holds locked. The kernel releases it when the monitor ends.
"""

from __future__ import annotations

import fcntl
import os
import zlib

from job_entrypoints.linux.proc import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_TRIES = 1000
_CHOWN, _SETGID, _SETUID = 0, 6, 7
"""Capabilities, by number."""


class JobUser:
    """The reserved number. It stays reserved for as long as this process lives."""

    def __init__(self, uid: int, register: int) -> None:
        self.uid = uid
        self._register = register

    def own(self, folders: Iterable[str]) -> None:
        """Make the user the owner of folders and of everything in them."""
        for folder in folders:
            os.lchown(folder, self.uid, self.uid)
            for path, directories, files in os.walk(folder):
                for name in (*directories, *files):
                    os.lchown(os.path.join(path, name), self.uid, self.uid)


def reserve_user(first: int, count: int, job: str, register: str) -> JobUser | None:
    """Reserve a number of ``first`` … ``first + count - 1``. Returns None where none is free, or this process is not root.

    Args:
        first: the first number.
        count: how many there are.
        job: a name, from which the first try is computed: numbers are not used again soon.
        register: the file that the monitors of this machine share.
    """
    if os.geteuid() != 0 or count < 1 or not _may_change_users() or not _is_mapped(first + count - 1):
        return None
    try:
        descriptor = os.open(register, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    begin = zlib.crc32(job.encode()) % count
    for turn in range(min(count, _TRIES)):
        place = (begin + turn) % count
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            continue
        return JobUser(first + place, descriptor)
    os.close(descriptor)
    return None


def _may_change_users() -> bool:
    """True with the capabilities that it takes. Containers may leave them out."""
    text = read("/proc/self/status")
    held = int(text.partition(b"\nCapEff:")[2].split(None, 1)[0], 16)
    return all(held >> capability & 1 for capability in (_CHOWN, _SETGID, _SETUID))


def _is_mapped(uid: int) -> bool:
    """True if the user exists in this user namespace. A container without root outside has some 65,000."""
    lines = [list(map(int, line.split())) for line in read("/proc/self/uid_map").splitlines()]
    return any(begin <= uid < begin + length for begin, _, length in lines)
