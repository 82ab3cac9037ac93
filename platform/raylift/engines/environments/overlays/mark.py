"""How a process says that it runs in an overlay. Copied into each overlay, whose every Python runs it at its start.

Standard library only, and as little of it as can be: it is on the way of every worker and every script.
"""

from __future__ import annotations

import fcntl
import os
import time


def hold(path: str) -> None:
    """Hold a shared lock on ``path`` until this process ends, however it ends, and note the time in it.

    The kernel lets go of the lock when the process and what it has forked are gone: nobody has to clean up after a crash.
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Waits for a moment if the overlay is just looked at by whoever wants to remove it.
        fcntl.flock(held, fcntl.LOCK_SH)
        now = time.time_ns()
        os.utime(held, ns=(now, now))
    except OSError:
        # Mounted read-only, or a file system without locks. The script has to run all the same; /proc tells of it, too.
        return
