"""Processes of an attempt that was lost: found by the job id in their environment, and ended."""

from __future__ import annotations

import logging
import os
import signal

import psutil

log = logging.getLogger(__name__)


def end_leftovers(job_id: str) -> int:
    """SIGKILL every process on this machine that carries the job's id, and return how many there were.

    The id is inherited by everything a job starts, double-forked daemons included. Rare: only for attempts whose wrapper
    can no longer do it.
    """
    found = [process for process in psutil.process_iter() if process.pid != os.getpid() and _carries(process, job_id)]
    for process in found:
        log.warning("ending process %d, left over by %s", process.pid, job_id)
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=5)
    return len(found)


def _carries(process: psutil.Process, job_id: str) -> bool:
    try:
        return process.environ().get("RAYLIFT_JOB_ID") == job_id
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
