"""The TCP ports of a script with the full network: all but the platform's own.

Landlock lists what is allowed, so this takes tens of thousands of rules, and the time of them. A process that lives longer than
a job (the environment agent of each node) keeps the rules and gives them to wrappers by their descriptor.
"""

from __future__ import annotations

import _socket  # The module socket takes some milliseconds of every job's start.
import os
import struct

from job_entrypoints.contract import INSTANCE_VARIABLE
from job_entrypoints.linux.landlock import ABI_OF_TCP, Ruleset, abi_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    PortRange = tuple[int, int]
    """First and last port."""

_CHOSEN_BY_THE_KERNEL = 0
_LAST = 65_535
_ANSWER_SECONDS = 1.0
_PEER = struct.Struct("3i")
_DESCRIPTOR = struct.Struct("i")


def make_rules(ports: str) -> Ruleset:
    """Build the rules of ``ports``: 0.1 s of computing. Raises ValueError for malformed text.

    Args:
        ports: refused ports and ranges, such as ``8000,20000-20999``; after a semicolon, ports that are open all the same.
    """
    rules = Ruleset(files=False, connect=True, bind=True)
    rules.allow_ports(allowed_ports(ports))
    return rules


def allowed_ports(ports: str) -> list[int]:
    """All ports without the refused ones, and the open ones. With port 0, the kernel chooses one."""
    refused, _, opened = ports.partition(";")
    allowed = {_CHOSEN_BY_THE_KERNEL, *range(1, _LAST + 1)}
    for begin, end in _ranges(refused):
        allowed.difference_update(range(begin, end + 1))
    for begin, end in _ranges(opened):
        allowed.update(range(begin, end + 1))
    return sorted(allowed)


def _ranges(text: str) -> list[PortRange]:
    bounds = (part.partition("-") for part in text.split(",") if part)
    return [(int(first), int(last or first)) for first, _, last in bounds]


def ask_for_rules(instance: str, ports: str) -> int | None:
    """Get a descriptor of the rules from this machine's server of them; None where there is none."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(server_address(instance))
        if not is_of_own_user(connection):
            return None  # Any user may take the name.
        connection.send(ports.encode())
        _, ancillary, _, _ = connection.recvmsg(16, _socket.CMSG_SPACE(_DESCRIPTOR.size))
    except OSError:
        return None
    finally:
        connection.close()
    rights = [data for level, kind, data in ancillary if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)]
    return int(_DESCRIPTOR.unpack(rights[0])[0]) if rights else None


def rules_for(ports: str) -> int | None:
    """A descriptor of the rules of ``ports``: the server's, or one that is built here. None where Landlock knows no TCP."""
    if abi_version() < ABI_OF_TCP:
        return None
    given = ask_for_rules(os.environ.get(INSTANCE_VARIABLE, ""), ports)
    return given if given is not None else make_rules(ports).descriptor


def server_address(instance: str) -> str:
    """The abstract socket of the server. Sandboxed scripts cannot reach it."""
    return f"\0raylift-ports-{instance}"


def is_of_own_user(connection: _socket.socket) -> bool:
    """True if the process at the other end runs as this process's user."""
    _, uid, _ = _PEER.unpack(connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEER.size))
    return bool(uid == os.geteuid())
