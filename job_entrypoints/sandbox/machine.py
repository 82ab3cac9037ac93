"""Finds out how well this machine can confine scripts."""

from __future__ import annotations

import os

from job_entrypoints.linux.landlock import ABI_OF_SCOPES, ABI_OF_TCP, Ruleset, abi_version
from job_entrypoints.linux.namespaces import hide, leave_ipc_and_mounts
from job_entrypoints.linux.privileges import become_user, forbid_new_privileges
from job_entrypoints.linux.seccomp import refuse_ways_around
from job_entrypoints.sandbox.confinement import (
    IPC_NAMESPACE,
    LANDLOCK,
    MOUNT_NAMESPACE,
    NO_NEW_PRIVILEGES,
    OWN_USER,
    SECCOMP,
)

__all__ = ["ABI_OF_SCOPES", "ABI_OF_TCP", "LANDLOCK", "OWN_USER", "abi_version", "mechanisms"]

_SOME_FOLDER = "/tmp"  # noqa: S108 - hidden in a process of its own, for a moment
_REPORT_BYTES = 1024


def mechanisms(user: int) -> list[str]:
    """Try every mechanism in a process of its own. Returns the names of those that hold, as in ``usage.isolated_by``.

    Args:
        user: the number of a job's user, which only root can become.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, ",".join(_held(user)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    report = os.read(reader, _REPORT_BYTES).decode()
    os.close(reader)
    return report.split(",") if report else []


def _held(user: int) -> list[str]:
    held: list[str] = []
    if leave_ipc_and_mounts():
        held += [IPC_NAMESPACE, *([MOUNT_NAMESPACE] if hide(_SOME_FOLDER) else [])]
    if os.geteuid() == 0:
        try:
            become_user(user)
            held.append(OWN_USER)
        except OSError:
            pass  # A container that maps fewer users.
    forbid_new_privileges()
    held += [NO_NEW_PRIVILEGES, *([SECCOMP] if refuse_ways_around() else [])]
    if abi_version():
        Ruleset().restrict_self()
        held.append(LANDLOCK)
    return sorted(held)
