"""Confines a server that runs what others wrote or asked for: a replica, a warm process, MLflow's server.

Landlock holds for the calling thread and for all that it starts, across exec. So confine a process while it has one thread.
"""

from __future__ import annotations

import os
import sys

from job_entrypoints.linux.landlock import Ruleset, abi_version
from job_entrypoints.linux.namespaces import hide, leave_ipc_and_mounts
from job_entrypoints.linux.privileges import drop_bounding_set, drop_capabilities, forbid_new_privileges
from job_entrypoints.sandbox.paths import devices, readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES = "capabilities"
LANDLOCK = "landlock"
MOUNT_NAMESPACE = "mount namespace"


class NoLandlock(RuntimeError):
    """The settings require Landlock, and the kernel has none."""


def confine(
    *,
    protected: Iterable[str],
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    hidden: Iterable[str] = (),
    kept: Iterable[str] = (),
    required: bool = False,
) -> tuple[str, ...]:
    """Confine this process, for ever, to programs, this Python, and the paths below. Missing paths are left out.

    Args:
        protected: the platform's folders. Nothing in them is readable, also where they lie below a readable one.
        read: files and folders that it may read and execute, in protected folders too.
        write: files and folders that it may change.
        hidden: folders that become empty for it: Landlock does not see sockets. Needs own mounts, which not every machine has.
        kept: paths in hidden folders that stay visible.
        required: fail without Landlock.

    Returns:
        What holds: CAPABILITIES, LANDLOCK, MOUNT_NAMESPACE.

    Raises:
        NoLandlock: ``required``, and the kernel has none.
        OSError: the kernel refuses a step that it offers.
    """
    read, write, kept = list(read), list(write), list(kept)
    held = [CAPABILITIES]
    abi = abi_version()
    if required and abi == 0:
        raise NoLandlock("This machine's kernel has no Landlock (Linux 5.13 or newer), and serving.isolation is required")
    rules = _rules(readable(sys.executable, (), protected), read, write) if abi else None
    if leave_ipc_and_mounts() and all([hide(path, except_for=_below(path, kept)) for path in hidden]):
        held.append(MOUNT_NAMESPACE)
    drop_bounding_set()
    drop_capabilities()
    forbid_new_privileges()
    if rules is not None:
        rules.restrict_self()
        rules.close()
        held.append(LANDLOCK)
    return tuple(sorted(held))


def _rules(python: Iterable[str], read: list[str], write: list[str]) -> Ruleset:
    rules = Ruleset(scoped=True)
    rules.allow_reading((*python, *read))
    rules.allow_writing((*devices(), *write))
    return rules


def _below(folder: str, paths: Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/")]
