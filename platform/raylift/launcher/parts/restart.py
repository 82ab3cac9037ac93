"""Starts a server, and starts it again whenever it has ended: ``python -m raylift.launcher.parts.restart COMMAND…``.

For MLflow's server, which nobody else would start again. It lives until it is killed itself;
processes.end_all does that first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

_SETTLED_SECONDS: Final = 60.0
_LONGEST_PAUSE: Final = 15.0


def keep_running(command: Sequence[str]) -> int:
    """Returns only when the server ends by itself soon after its first start: it cannot run, and its exit code says so."""
    first = time.monotonic()
    pause = 1.0
    while True:
        began = time.monotonic()
        server = subprocess.Popen(command, start_new_session=True)
        code = server.wait()
        # Its workers outlive it when it is killed, and hold its port.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        ended = time.monotonic()
        if code >= 0 and ended - first < _SETTLED_SECONDS:
            return code
        pause = 1.0 if ended - began > _SETTLED_SECONDS else min(pause * 2, _LONGEST_PAUSE)
        sys.stderr.write(f"[raylift] the server ended (exit code {code}); starting it again in {pause:g} s\n")
        time.sleep(pause)


if __name__ == "__main__":
    sys.exit(keep_running(sys.argv[1:]))
