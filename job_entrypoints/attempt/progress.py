"""progress.json: what the wrapper tells the supervisor. Its outcome is believed before Ray's."""

# ruff: noqa: PTH118
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os
import time

from job_entrypoints.attempt.record import write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXITED = "exited"
SIGNALED = "signaled"
OUT_OF_MEMORY = "out_of_memory"
PROCESS_LIMIT = "process_limit"
DISK_LIMIT = "disk_limit"
STOPPED = "stopped"
ENVIRONMENT_ERROR = "environment_error"
WRAPPER_ERROR = "wrapper_error"
OVER_A_LIMIT = (OUT_OF_MEMORY, PROCESS_LIMIT, DISK_LIMIT)
OUTCOMES = (EXITED, SIGNALED, *OVER_A_LIMIT, STOPPED, ENVIRONMENT_ERROR, WRAPPER_ERROR)

EXIT_STOPPED = 143
EXIT_OVER_A_LIMIT = 137
EXIT_WRAPPER_ERROR = 70
EXIT_ENVIRONMENT_ERROR = 78


class Usage:
    """What the script and everything it started consumed."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self.memory_enforced_by: str | None = None
        """``cgroup`` or ``watchdog``; None where nothing ran."""
        self.cpu_enforced_by: str | None = None
        """``cgroup`` or ``affinity``; None where the script may use every core."""

    def as_record(self, wall_seconds: float) -> dict[str, Any]:
        return {
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "wall_seconds": round(wall_seconds, 3),
            "memory_enforced_by": self.memory_enforced_by,
            "cpu_enforced_by": self.cpu_enforced_by,
        }


class Progress:
    """Writes progress.json, twice at most: started, finished."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "progress.json")
        self._started_at: float | None = None
        self._started_clock = time.monotonic()

    def started(self, script_pid: int) -> None:
        self._started_at = time.time()
        self._started_clock = time.monotonic()
        write_json(
            self._path,
            {
                "state": "started",
                "script_started_at": self._started_at,
                "wrapper_pid": os.getpid(),
                "script_pid": script_pid,
                "host": os.uname().nodename,
            },
        )

    def seconds_until(self, moment: float) -> float:
        """From the script's start to ``moment``, both in seconds since the epoch."""
        return max(moment - self._started_at, 0.0) if self._started_at is not None else 0.0

    def finished(
        self,
        outcome: str,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        message: str | None = None,
        held_by: str | None = None,
        tracking_uri: str | None = None,
        library: str | None = None,
        autolog_failure: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        wall = time.monotonic() - self._started_clock if self._started_at is not None else 0.0
        write_json(
            self._path,
            {
                "state": "finished",
                "outcome": outcome,
                "exit_code": exit_code,
                "signal": signal,
                "message": message,
                "held_by": held_by,
                "tracking_uri": tracking_uri,
                "library": library,
                "autolog_failure": autolog_failure,
                "script_started_at": self._started_at,
                "finished_at": time.time(),
                "usage": (usage or Usage()).as_record(wall),
            },
        )
