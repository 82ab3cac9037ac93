"""Refuses system calls that would go past Landlock: other protocols than TCP and UDP, TCP Fast Open, io_uring.

Landlock's rules of ports hold for TCP sockets and ``connect``. MPTCP, SMC and SCTP sockets reach TCP servers too, Fast Open
connects by ``sendto``, and io_uring makes sockets without the system calls that a filter sees. Limits and keys of other
processes of the same user are out of reach as well.
Source: Linux, Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_SET_NO_NEW_PRIVS = 38

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in the filter's data."""
_X32 = 0x40000000
_IO_URING_SETUP = 425

_MACHINES = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "prlimit64": 302, "keys": (248, 249, 250)},
    ),
    "aarch64": (
        0xC00000B7,
        {"socket": 198, "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "prlimit64": 261, "keys": (217, 218, 219)},
    ),
}
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_PROTOCOLS = (0, 1, 6, 17, 58)
"""Default, ICMP, TCP, UDP, ICMPv6."""
_SOCK_STREAM, _SOCK_TYPE = 1, 0xF
_MSG_FASTOPEN = 0x20000000

_Instruction = tuple[int, int, int, int]


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))


def refuse_ways_around(*, udp: bool = True, internet: bool = True) -> bool:
    """Filter the system calls of the calling thread and of all that it starts. Sets ``no_new_privs``.

    Args:
        udp: False refuses UDP and every other internet socket but TCP.
        internet: False refuses every internet socket.

    Returns:
        False where the machine's architecture is unknown here, or the kernel takes no filter.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    program = _program(*machine, udp=udp, internet=internet)
    filters = (_Filter * len(program))(*program)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0:
        return False
    argument = _Program(len(program), filters)
    return libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(argument), 0, 0) == 0


def _program(architecture: int, calls: Mapping[str, object], *, udp: bool, internet: bool) -> list[_Instruction]:
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        _error(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32),
        _error(errno.ENOSYS),
        (_JUMP_EQUAL, 0, 1, _IO_URING_SETUP),
        _error(errno.ENOSYS),
    ]
    for key in calls["keys"]:  # type: ignore[attr-defined]
        program += [(_JUMP_EQUAL, 0, 1, key), _error(errno.ENOSYS)]
    for name, position in (("sendto", 3), ("sendmmsg", 3), ("sendmsg", 2)):
        program += _when(calls[name], [_argument(position), (_JUMP_SET, 0, 1, _MSG_FASTOPEN), _error(errno.EPERM)])
    program += _when(calls["prlimit64"], _of_others_limits())
    program += _when(calls["socket"], _of_sockets(udp=udp, internet=internet))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _when(call: object, instructions: list[_Instruction]) -> list[_Instruction]:
    """Instructions for one system call. They end with an answer: the number of the call is no longer loaded after them."""
    whole = [*instructions, (_RETURN, 0, 0, _ALLOW)]
    return [(_JUMP_EQUAL, 0, len(whole), int(str(call))), *whole]


def _of_others_limits() -> list[_Instruction]:
    """Refuse to set limits of a process that is named by its number. 0 is the caller itself."""
    return [
        _argument(0),
        (_JUMP_EQUAL, 3, 0, 0),
        (_LOAD, 0, 0, _ARGUMENTS + 2 * 8),
        (_JUMP_EQUAL, 1, 0, 0),
        _error(errno.EPERM),
    ]


def _of_sockets(*, udp: bool, internet: bool) -> list[_Instruction]:
    refused_internet = [] if internet else [_error(errno.EACCES)]
    stream_only = (
        [] if udp else [_argument(1), (_AND, 0, 0, _SOCK_TYPE), (_JUMP_EQUAL, 1, 0, _SOCK_STREAM), _error(errno.EACCES)]
    )
    known = [(_JUMP_EQUAL, len(_PROTOCOLS) - place, 0, protocol) for place, protocol in enumerate(_PROTOCOLS)]
    of_internet = [*refused_internet, *stream_only, _argument(2), *known, _error(errno.EPROTONOSUPPORT)]
    return [
        _argument(0),
        (_JUMP_EQUAL, 3, 0, _AF_INET),
        (_JUMP_EQUAL, 2, 0, _AF_INET6),
        (_JUMP_EQUAL, 1 + len(of_internet), 0, _AF_UNIX),
        (_JUMP_EQUAL, len(of_internet), 1 + len(of_internet), _AF_NETLINK),
        *of_internet,
        (_RETURN, 0, 0, _ALLOW),
        _error(errno.EAFNOSUPPORT),
    ]


def _argument(position: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + position * 8)


def _error(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERROR | number)
