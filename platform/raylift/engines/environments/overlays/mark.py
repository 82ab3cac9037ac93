"""Lock by which a process marks its overlay as in use. Copied into each overlay and run at the start of its Python.

Imports as little as possible, because it delays every worker and script.
"""

from __future__ import annotations

import fcntl
import os
import time


def hold(path: str) -> None:
    """Hold a shared lock on ``path`` until this process and its forks end, and set its modification time.

    The kernel releases the lock, also after a crash.
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Waits for a moment while a remover checks the overlay.
        fcntl.flock(held, fcntl.LOCK_SH)
        now = time.time_ns()
        os.utime(held, ns=(now, now))
    except OSError:
        # Read-only, or a file system without locks. The script has to run anyway; /proc shows its use.
        return
