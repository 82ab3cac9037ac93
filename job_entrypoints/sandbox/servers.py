"""Confines a server that runs what others wrote or asked for: a replica, a warm process, MLflow's server.

Landlock holds for the calling thread and for all that it starts, across exec. So confine a process while it has one thread.
"""

from __future__ import annotations

import os
import sys

from job_entrypoints.linux.landlock import Ruleset, abi_version, restrict_self
from job_entrypoints.linux.namespaces import hide, leave_ipc_and_mounts, make_read_only
from job_entrypoints.linux.privileges import drop_bounding_set, drop_capabilities, forbid_new_privileges
from job_entrypoints.linux.seccomp import refuse_ways_around
from job_entrypoints.sandbox.paths import SHARED_MEMORY, devices, readable
from job_entrypoints.sandbox.port_rules import rules_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES = "capabilities"
LANDLOCK = "landlock"
MOUNT_NAMESPACE = "mount namespace"
SECCOMP = "seccomp"


class NoLandlock(RuntimeError):
    """The settings require Landlock, and the kernel has none."""


def confine(
    *,
    protected: Iterable[str],
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    kept: Iterable[str] = (),
    refused_ports: str = "",
    required: bool = False,
) -> tuple[str, ...]:
    """Confine this process, for ever, to programs, this Python, and the paths below. Missing paths are left out.

    Args:
        protected: the platform's folders. They are empty for it but for the paths below: Landlock alone would leave their
            sockets and modes open. Needs own mounts, which not every machine has.
        read: files and folders that it may read and execute.
        write: files and folders that it may change.
        kept: folders with sockets to connect to.
        refused_ports: TCP ports and ranges that it may neither connect to nor listen on (port_rules.py); "": none.
        required: fail without Landlock.

    Returns:
        What holds: CAPABILITIES, LANDLOCK, MOUNT_NAMESPACE, SECCOMP.

    Raises:
        NoLandlock: ``required``, and the kernel has none.
        OSError: the kernel refuses a step that it offers.
    """
    protected, read, write = list(protected), list(read), list(write)
    held = [CAPABILITIES]
    abi = abi_version()
    if required and abi == 0:
        raise NoLandlock("this machine's kernel has no Landlock (Linux 5.13 or newer), and serving.isolation is required")
    # Before it is confined: another process of this machine may give them.
    ports = rules_for(refused_ports) if refused_ports else None
    python = readable(sys.executable, (), protected)
    if leave_ipc_and_mounts() and _close_mounts(protected, [*read, *write, *kept], [*write, *kept]):
        held.append(MOUNT_NAMESPACE)
    drop_bounding_set()
    drop_capabilities()
    forbid_new_privileges()
    if refused_ports and refuse_ways_around():
        held.append(SECCOMP)
    if abi:
        rules = Ruleset(scoped=True)
        rules.allow_reading((*python, *read))
        rules.allow_writing((*devices(), *write))
        rules.restrict_self()
        rules.close()
        if ports is not None:
            restrict_self(ports)
            os.close(ports)
        held.append(LANDLOCK)
    return tuple(sorted(held))


def caches_in(temp: str) -> dict[str, str]:
    """Variables that lead libraries to a directory for temporary files, where they would write to a home, /tmp or their own."""
    return {
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={temp}",
        "MPLCONFIGDIR": f"{temp}/matplotlib",
        "NUMBA_CACHE_DIR": f"{temp}/numba",
        "SPARK_LOCAL_DIRS": temp,
        "TRITON_CACHE_DIR": f"{temp}/triton",
    }


def _close_mounts(hidden: list[str], visible: list[str], writable: list[str]) -> bool:
    # Each of them, also after one that failed.
    here = os.getcwd()
    shown = [hide(folder, except_for=_below(folder, visible)) for folder in hidden]
    closed = make_read_only(except_for=(*writable, SHARED_MEMORY)) and all(shown)
    # By its name again: the folder that this process is in lies below the new mounts, and leads to what is hidden.
    try:
        os.chdir(here)
    except OSError:
        os.chdir("/")
    return closed


def _below(folder: str, paths: Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/")]
