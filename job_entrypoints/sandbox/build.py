"""``python -I -S build.py REQUEST COMMAND…``: runs the installer confined, since building a package runs its code.

REQUEST is JSON with the lists ``read``, ``write`` and ``hide`` of paths, and ``ports``, which are refused. The process confines
itself, starts the command, and ends what the command leaves behind.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from job_entrypoints.linux.landlock import ABI_OF_SCOPES, Ruleset, abi_version, restrict_self
from job_entrypoints.linux.namespaces import hide, leave_ipc_and_mounts, make_read_only
from job_entrypoints.linux.privileges import drop_bounding_set, drop_capabilities, forbid_new_privileges
from job_entrypoints.linux.process_control import become_subreaper
from job_entrypoints.linux.process_tree import end_at_once
from job_entrypoints.linux.seccomp import refuse_ways_around
from job_entrypoints.sandbox.paths import SHARED_MEMORY, SOCKETS, below, devices, readable
from job_entrypoints.sandbox.port_rules import rules_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NICENESS = 10


def main() -> int:
    request: dict[str, Any] = json.loads(sys.argv[1])
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    become_subreaper()
    _confine(request)
    signal.signal(signal.SIGTERM, lambda *_: _end(128 + signal.SIGTERM))
    child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    status = os.waitpid(child, 0)[1]
    _end(os.waitstatus_to_exitcode(status) & 0xFF)
    return 0


def _confine(request: dict[str, Any]) -> None:
    kept = [*request["read"], *request["write"]]
    ports = rules_for(request["ports"]) if request["ports"] else None
    if leave_ipc_and_mounts():
        for path in (*SOCKETS, *request["hide"]):
            hide(path, except_for=below(path, kept))
        make_read_only(except_for=(*request["write"], SHARED_MEMORY))
    drop_bounding_set()
    drop_capabilities()
    forbid_new_privileges()
    refuse_ways_around()
    abi = abi_version()
    if abi == 0:
        return
    rules = Ruleset(scoped=abi >= ABI_OF_SCOPES)
    rules.allow_reading((*readable(sys.executable, request["read"], ()), *request["read"]))
    rules.allow_writing((*request["write"], *devices()))
    rules.restrict_self()
    if ports is not None:
        restrict_self(ports)


def _end(code: int) -> None:
    """End what is left of the command, and this process."""
    end_at_once(os.getpid(), _reap)
    os._exit(code)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    sys.exit(main())
