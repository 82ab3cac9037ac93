"""Confines the process of a script before it becomes the script (docs/adr/0028).

The order matters: namespaces and the user need privileges, capabilities go next, Landlock comes last, since it forbids mounts.
"""

from __future__ import annotations

import os

from job_entrypoints.contract import FULL_NETWORK, MLFLOW_ONLY, NO_NETWORK
from job_entrypoints.linux.landlock import ABI_OF_SCOPES, ABI_OF_TCP, Ruleset, abi_version, restrict_self
from job_entrypoints.linux.namespaces import (
    hide,
    leave_ipc_and_mounts,
    leave_network,
    make_read_only,
    replace,
    show_file,
)
from job_entrypoints.linux.privileges import become_user, drop_bounding_set, drop_capabilities, forbid_new_privileges
from job_entrypoints.linux.seccomp import refuse_ways_around
from job_entrypoints.sandbox.environment import own_folders
from job_entrypoints.sandbox.job_user import JobUser, reserve_user
from job_entrypoints.sandbox.paths import (
    SHARED_MEMORY,
    SOCKETS,
    TEMPORARY,
    below,
    closed_above,
    devices,
    is_closed_python,
    outside,
    readable,
)
from job_entrypoints.sandbox.port_rules import rules_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from job_entrypoints.attempt.record import Attempt

NO_NEW_PRIVILEGES = "no_new_privs"
LANDLOCK = "landlock"
SECCOMP = "seccomp"
OWN_USER = "uid"
IPC_NAMESPACE = "ipc namespace"
MOUNT_NAMESPACE = "mount namespace"
NETWORK_NAMESPACE = "network namespace"

_REPORT_BYTES = 1024
_ACCOUNTS = "/etc/passwd"


class CannotConfine(Exception):
    """The machine lacks what ``jobs.isolation: required`` asks for."""


class Sandbox:
    """The sandbox of one attempt: prepared in the monitor, entered in the script's process."""

    def __init__(self, attempt: Attempt, python: str) -> None:
        self._attempt = attempt
        self._read = [
            *readable(python, attempt.readable_paths, attempt.protected_paths),
            *attempt.folders_to_read(),
            *attempt.data_folders,
        ]
        self._written = [*attempt.folders_to_write(), *outside(attempt.writable_paths, attempt.protected_paths)]
        self._user = self._reserve_user(python)
        self._report, self._reporter = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._ports = self._port_rules() if attempt.network == FULL_NETWORK else None

    def prepare(self) -> None:
        """Give the job's folders to its user, where it has one."""
        if self._user is not None:
            self._user.own((*self._attempt.folders_to_read(), *self._attempt.folders_to_write()))

    def enter(self) -> None:
        """Confine the calling process for good.

        Raises:
            CannotConfine: the settings require a sandbox, and this machine's kernel has no Landlock.
            OSError: the kernel refuses a step that it offers.
        """
        held: list[str] = []
        if leave_ipc_and_mounts():
            held += [IPC_NAMESPACE, *([MOUNT_NAMESPACE] if self._hide() else [])]
        network = self._attempt.network
        is_alone = network == NO_NETWORK and leave_network()
        if is_alone:
            held.append(NETWORK_NAMESPACE)
        drop_bounding_set()
        if self._user is not None and not closed_above(self._needed(), self._user.uid):
            become_user(self._user.uid)
            held.append(OWN_USER)
        drop_capabilities()
        forbid_new_privileges()
        held.append(NO_NEW_PRIVILEGES)
        # In a network of its own a script reaches its own processes alone, by every protocol.
        is_free = is_alone or network == FULL_NETWORK
        if refuse_ways_around(udp=is_free, internet=is_alone or network != NO_NETWORK):
            held.append(SECCOMP)
        if self._restrict_files_and_ports(limits_ports=not is_free):
            held.append(LANDLOCK)
        elif self._attempt.isolation_required:
            raise CannotConfine(
                "jobs.isolation is required, and this machine has no Landlock (Linux 5.13 or newer) to confine it"
            )
        os.write(self._reporter, ",".join(sorted(held)).encode())

    def held(self) -> list[str]:
        """The mechanisms that held, once the script has started; [] where it could not be confined."""
        try:
            report = os.read(self._report, _REPORT_BYTES).decode()
        except OSError:
            return []
        return report.split(",") if report else []

    def _reserve_user(self, python: str) -> JobUser | None:
        first, count = self._attempt.job_users
        if is_closed_python(python):
            return None  # Root reads it as its owner, without any capability.
        register = self._attempt.path("..", f".users-{os.uname().nodename}")
        return reserve_user(first, count, self._attempt.submission_id, register)

    def _needed(self) -> list[str]:
        return [path for path in (*self._read, *self._written) if os.path.exists(path)]

    def _hide(self) -> bool:
        """Hide sockets, and folders that the job's user could not pass with all but what the job needs in them."""
        needed = self._needed()
        # With a user of the job's own: also the folders that are closed to it.
        passed = closed_above(needed, self._user.uid) if self._user is not None else {}
        hidden = dict.fromkeys((*passed, *SOCKETS, *self._attempt.protected_paths))
        named = self._name_user() if self._user is not None else True
        done = [named, *(hide(path, except_for=below(path, needed)) for path in hidden)]
        # Java and many shell scripts write there without asking TMPDIR.
        own_tmp = replace(TEMPORARY, self._attempt.temporary_directory, except_for=below(TEMPORARY, needed))
        closed = make_read_only(except_for=(*self._written, SHARED_MEMORY), mounts=[TEMPORARY] if own_tmp else [])
        return closed and own_tmp and all(done)

    def _name_user(self) -> bool:
        """Give the job's user a name in /etc/passwd: Spark's JVM does not start without, and ``getpass.getuser`` fails."""
        assert self._user is not None  # noqa: S101 - asked for
        uid, own = self._user.uid, self._attempt.path("passwd")
        with open(_ACCOUNTS, encoding="utf-8") as known:
            accounts = known.read().rstrip("\n")
        with open(own, "w", encoding="utf-8") as written:
            written.write(f"{accounts}\njob:x:{uid}:{uid}::{own_folders(self._attempt)[0]}:/bin/sh\n")
        os.chmod(own, 0o644)
        return show_file(own, _ACCOUNTS)

    def _restrict_files_and_ports(self, *, limits_ports: bool) -> bool:
        abi = abi_version()
        if abi == 0:
            return False
        rules = Ruleset(connect=limits_ports and abi >= ABI_OF_TCP, scoped=abi >= ABI_OF_SCOPES)
        rules.allow_reading(self._read)
        rules.allow_writing((*self._written, *devices()))
        if self._attempt.network == MLFLOW_ONLY:
            rules.allow_ports(self._mlflow_ports())
        rules.restrict_self()
        if self._ports is not None:
            restrict_self(self._ports)
        return True

    def _port_rules(self) -> int | None:
        return rules_for(";".join([self._attempt.refused_ports, *map(str, self._mlflow_ports())]))

    def _mlflow_ports(self) -> list[int]:
        url = self._attempt.mlflow_url
        if not url:
            return []
        scheme, _, rest = url.partition("://")
        port = rest.partition("/")[0].rpartition(":")[2]
        return [int(port)] if port.isdecimal() else [443 if scheme == "https" else 80]
