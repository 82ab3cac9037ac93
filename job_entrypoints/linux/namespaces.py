"""Namespaces of one process: System V IPC and a loopback network of its own, and mounts that hide files and sockets.

Root makes them directly. Other users need a user namespace around them, which not every machine allows.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_EMPTY = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC

_SYS_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def leave_ipc_and_mounts() -> bool:
    """Get own namespaces for System V IPC and mounts. Returns False where the machine does not let this user have them."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC) == 0:
        return _keep_mounts_here()
    if uid == 0 or _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWIPC) != 0:
        return False
    try:
        # The same numbers inside and outside. A user may map only itself, and only after it gave up setgroups.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
    except OSError:
        return False  # A security module of the machine allows the namespace and nothing in it.
    return _keep_mounts_here()


def leave_network() -> bool:
    """Get a network of loopback alone, which only this process and its children are in. Returns False where that is refused.

    ``leave_ipc_and_mounts`` comes first: its user namespace gives the right.
    """
    if _libc.unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        fcntl.ioctl(made, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    return True


def hide(path: str, *, except_for: Iterable[str] = ()) -> bool:
    """Put an empty folder over a folder, or /dev/null over another file, for this process alone.

    Args:
        path: a missing one counts as hidden.
        except_for: absolute paths below it that stay visible. Everybody may enter the folders on the way to them.

    Returns:
        False if it could not be hidden. ``leave_ipc_and_mounts`` comes first.
    """
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return True
    if not is_folder:
        return _mount(b"/dev/null", path, None, _MS_BIND, None)
    kept = _opened(except_for)
    try:
        if not _mount(b"tmpfs", path, b"tmpfs", _EMPTY, b"size=1m,mode=755"):
            return False
        shown = [_show(each, descriptor) for each, descriptor in kept]
    finally:
        for _, descriptor in kept:
            os.close(descriptor)
    return _mount(None, path, None, _MS_REMOUNT | _MS_RDONLY | _EMPTY, b"size=1m,mode=755") and all(shown)


def replace(path: str, folder: str, *, except_for: Iterable[str]) -> bool:
    """Show ``folder`` in the place of the folder ``path``, for this process alone. The rest is as in ``hide``."""
    kept = _opened(except_for)
    try:
        if not _mount(os.fsencode(folder), path, None, _MS_BIND, None):
            return False
        shown = [_show(each, descriptor) for each, descriptor in kept]
    finally:
        for _, descriptor in kept:
            os.close(descriptor)
    return all(shown)


def show_file(source: str, path: str) -> bool:
    """Show the file ``source`` in the place of the file ``path``, for this process alone."""
    return _mount(os.fsencode(source), path, None, _MS_BIND, None)


def _opened(paths: Iterable[str]) -> list[tuple[str, int]]:
    return [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in paths if os.path.exists(path)]


def make_read_only(*, except_for: Iterable[str], mounts: Iterable[str] = ()) -> bool:
    """Make every file system read-only for this process alone, but for what lies at and below the given paths.

    Landlock does not keep an owner from changing modes, times and attributes of its files. A read-only mount does.

    Args:
        except_for: paths.
        mounts: mounts of this process (``replace``) that stay writable, without the mounts below them.

    Returns:
        False if the kernel refuses (it needs Linux 5.12). ``leave_ipc_and_mounts`` comes first.
    """
    writable = [path for path in except_for if os.path.exists(path)]
    bound = [_mount(os.fsencode(path), path, None, _MS_BIND | _MS_REC, None) for path in writable]
    if not all(bound) or not _set_read_only("/", read_only=True):
        return False
    freed = [_set_read_only(path, read_only=False) for path in writable]
    freed += [_set_read_only(path, read_only=False, recursive=False) for path in mounts]
    return all(freed)


def _set_read_only(path: str, *, read_only: bool, recursive: bool = True) -> bool:
    wanted = _MountAttributes(set=_READ_ONLY if read_only else 0, clear=0 if read_only else _READ_ONLY)
    target, size = ctypes.c_char_p(os.fsencode(path)), ctypes.c_size_t(ctypes.sizeof(wanted))
    flags = ctypes.c_uint(_AT_RECURSIVE if recursive else 0)
    return bool(_libc.syscall(_SYS_MOUNT_SETATTR, ctypes.c_int(_AT_FDCWD), target, flags, ctypes.byref(wanted), size) == 0)


def _show(path: str, descriptor: int) -> bool:
    """Make a path of a hidden folder visible again by its open descriptor."""
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    # The platform may run with a mask that closes new folders for others.
    mask = os.umask(0o022)
    try:
        os.makedirs(path if is_folder else os.path.dirname(path), mode=0o755, exist_ok=True)
        if not is_folder:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    finally:
        os.umask(mask)
    return _mount(f"/proc/self/fd/{descriptor}".encode(), path, None, _MS_BIND | _MS_REC, None)


def _keep_mounts_here() -> bool:
    return _mount(None, "/", None, _MS_REC | _MS_PRIVATE, None)


def _mount(source: bytes | None, target: str, kind: bytes | None, flags: int, data: bytes | None) -> bool:
    return bool(_libc.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), data) == 0)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
