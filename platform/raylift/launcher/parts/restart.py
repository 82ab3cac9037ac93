"""Runs a server and restarts it whenever it ends: ``python -m raylift.launcher.parts.restart COMMAND…``.

Used for MLflow and gRPC. It lives until it is killed.
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

from raylift.domain.backoff import backoff

_SETTLED_SECONDS: Final = 60.0
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0


def keep_running(command: Sequence[str]) -> int:
    """Restart the server forever. Returns its exit code if it ends by itself soon after its first start."""
    first = time.monotonic()
    failures = 0
    while True:
        began = time.monotonic()
        server = subprocess.Popen(command, start_new_session=True)
        code = server.wait()
        # After a kill, its workers survive and hold its port.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        ended = time.monotonic()
        if code >= 0 and ended - first < _SETTLED_SECONDS:
            return code
        failures = 0 if ended - began > _SETTLED_SECONDS else failures + 1
        pause = backoff(failures + 1, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        sys.stderr.write(f"[raylift] the server ended (exit code {code}); starting it again in {pause:g} s\n")
        time.sleep(pause)


if __name__ == "__main__":
    sys.exit(keep_running(sys.argv[1:]))
