"""Makes every mount of a process read-only but for some paths. Landlock does not hold for chmod, chown and times; this does.

Source: mount_setattr(2), Linux 5.12 and newer.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_RDONLY = 1
_MS_BIND, _MS_REC = 1 << 12, 1 << 14

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("added", ctypes.c_uint64),
        ("removed", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("namespace", ctypes.c_uint64),
    )


def keep_writable(paths: Iterable[str]) -> bool:
    """Make all mounts read-only for this process but those at and below ``paths``. Missing paths are left out.

    Device files and sockets are not concerned. Call it in a mount namespace of this process's own.

    Returns:
        False where the kernel refuses; some of it may hold.
    """
    existing = [os.fsencode(path) for path in paths if os.path.exists(path)]
    for path in existing:
        if _libc.mount(path, path, None, ctypes.c_ulong(_MS_BIND | _MS_REC), None) != 0:
            return False
    return _change(b"/", _Attributes(added=_RDONLY)) and all(_change(path, _Attributes(removed=_RDONLY)) for path in existing)


def _change(path: bytes, attributes: _Attributes) -> bool:
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    flags = ctypes.c_uint(_AT_RECURSIVE)
    return bool(_libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, path, flags, ctypes.byref(attributes), size) == 0)
