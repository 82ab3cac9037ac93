"""Restricts a process by Landlock: files, TCP ports, signals and abstract sockets. No privilege is needed.

A ruleset is a file descriptor: it may be built in one process, inherited, and used for ``restrict_self`` many times. Rulesets
stack: what one of them refuses stays refused. ``restrict_self`` holds for the calling thread, for the threads and processes it
starts later, and across exec; so call it before a process has other threads. A pathname socket is not a file to Landlock.
Source: Linux, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SYS_CREATE_RULESET = 444
_SYS_ADD_RULE = 445
_SYS_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_MAKE_CHAR = 1 << 6
_MAKE_BLOCK = 1 << 11
_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_FIRST_ABI_RIGHTS = (1 << 13) - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
"""Rights that a rule of a single file may have."""
_CONNECT_TCP = 1 << 1
_BIND_TCP = 1 << 0
_SCOPE_ABSTRACT_SOCKETS = 1 << 0
_SCOPE_SIGNALS = 1 << 1

ABI_OF_MOVES = 2
ABI_OF_TCP = 4
ABI_OF_SCOPES = 6

_libc = ctypes.CDLL(None, use_errno=True)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi_version() -> int:
    """The kernel's version of Landlock's interface; 0 where there is none, or where it is off."""
    version = _libc.syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(int(version), 0)


class Ruleset:
    """A ruleset under construction. What it handles is refused, except for what is allowed.

    The kernel's version decides what of it holds: TCP needs ``ABI_OF_TCP``, scopes need ``ABI_OF_SCOPES``.
    """

    def __init__(self, *, files: bool = True, connect: bool = False, bind: bool = False, scoped: bool = False) -> None:
        """Make an empty ruleset.

        Args:
            files: refuse access to files.
            connect: refuse TCP connections.
            bind: refuse to listen on TCP ports.
            scoped: refuse signals to processes, and abstract sockets of processes, that are outside of the sandbox.

        Raises:
            OSError: there is no Landlock, or nothing to handle is left.
        """
        abi = abi_version()
        self._files = _file_rights(abi) if files else 0
        # Every ruleset refuses to move files between folders, also one that is not about files.
        moves = _REFER if not files and abi >= ABI_OF_MOVES else 0
        self._net = (_CONNECT_TCP * connect | _BIND_TCP * bind) if abi >= ABI_OF_TCP else 0
        scopes = (_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS) if scoped and abi >= ABI_OF_SCOPES else 0
        attributes = _RulesetAttributes(self._files | moves, self._net, scopes)
        size = 8 if abi < ABI_OF_TCP else 16 if abi < ABI_OF_SCOPES else 24
        self.descriptor = _call(_SYS_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))
        if moves:
            self._add_path("/", moves)

    def allow_reading(self, paths: Iterable[str]) -> None:
        """Allow to read and execute files, and to list folders, at and below each path. Missing paths are left out."""
        self._allow(paths, _EXECUTE | _READ_FILE | _READ_DIR)

    def allow_writing(self, paths: Iterable[str]) -> None:
        """Allow everything but the making of device files at and below each path. Missing paths are left out."""
        self._allow(paths, ~(_MAKE_CHAR | _MAKE_BLOCK))

    def allow_ports(self, ports: Iterable[int]) -> None:
        """Allow TCP ports, for what the ruleset handles of connecting and listening. Port 0: any that the kernel chooses."""
        if not self._net:
            return
        rule = _Port(self._net, 0)
        # Tens of thousands of calls: what does not change is converted once.
        add_rule, number = _libc.syscall, ctypes.c_long(_SYS_ADD_RULE)
        fixed = (ctypes.c_int(self.descriptor), ctypes.c_int(_RULE_NET_PORT), ctypes.byref(rule), ctypes.c_uint32(0))
        for port in ports:
            rule.port = port
            if add_rule(number, *fixed) < 0:
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error))

    def restrict_self(self) -> None:
        """Restrict the calling thread and all that it starts, for ever. Sets ``no_new_privs``, which Landlock needs."""
        restrict_self(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)

    def _allow(self, paths: Iterable[str], rights: int) -> None:
        for path in paths:
            self._add_path(path, rights & self._files)

    def _add_path(self, path: str, rights: int) -> None:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return  # What is not there or not reachable needs no rule.
        try:
            is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
            allowed = rights & (-1 if is_folder else _OF_FILES)
            _call(_SYS_ADD_RULE, self.descriptor, _RULE_PATH_BENEATH, ctypes.byref(_PathBeneath(allowed, opened)), 0)
        finally:
            os.close(opened)


def restrict_self(descriptor: int) -> None:
    """``Ruleset.restrict_self`` with the descriptor of a ruleset that another process built.

    Raises:
        OSError: it is no ruleset, or 16 rulesets are stacked already.
    """
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    _call(_SYS_RESTRICT_SELF, descriptor, ctypes.c_uint32(0))


def _file_rights(abi: int) -> int:
    """Rights of files that the kernel knows. Version 1 refuses every move of a file between folders."""
    later = ((ABI_OF_MOVES, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
    return _FIRST_ABI_RIGHTS | sum(right for version, right in later if abi >= version)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
