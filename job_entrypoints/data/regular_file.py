"""Opening of files that others may have replaced."""

from __future__ import annotations

import os
import stat


def open_regular(path: str) -> int:
    """Open a regular file for reading, and return its descriptor.

    Args:
        path: absolute, with no link in it.

    Raises:
        OSError: it cannot be opened, is a pipe or a device, or a link has taken the place of the file or of a folder above it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    # The kernel's name of what is open: a check of the path itself could see another file.
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or os.readlink(f"/proc/self/fd/{descriptor}") != path:
        os.close(descriptor)
        raise OSError(f"{path} is no regular file any more, or is reached by a link")
    return descriptor
