"""Writes progress.json: the wrapper's report to the supervisor."""

from __future__ import annotations

import os
import time

from job_entrypoints.attempt.record import write_json
from job_entrypoints.contract import PROGRESS_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from job_entrypoints.contract import FinishedRecord, StartedRecord, UsageRecord


class Usage:
    """Consumption of the script and of every process that it started."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self.memory_enforced_by: Literal["cgroup", "watchdog"] | None = None
        self.cpu_enforced_by: Literal["cgroup", "affinity"] | None = None
        self.isolated_by: list[str] = []

    def as_record(self, wall_seconds: float) -> UsageRecord:
        return {
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "wall_seconds": round(wall_seconds, 3),
            "memory_enforced_by": self.memory_enforced_by,
            "cpu_enforced_by": self.cpu_enforced_by,
            "isolated_by": self.isolated_by,
        }


class Progress:
    """Writes progress.json, twice at most: started, finished."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, PROGRESS_FILE)
        self._started_at: float | None = None
        self._started_clock = time.monotonic()

    def started(self, script_pid: int) -> None:
        self._started_at = time.time()
        self._started_clock = time.monotonic()
        record: StartedRecord = {
            "state": "started",
            "script_started_at": self._started_at,
            "wrapper_pid": os.getpid(),
            "script_pid": script_pid,
            "host": os.uname().nodename,
        }
        write_json(self._path, record)

    def seconds_until(self, moment: float) -> float:
        """Seconds from the script's start to ``moment`` (seconds since the epoch)."""
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
        record: FinishedRecord = {
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
        }
        write_json(self._path, record)
