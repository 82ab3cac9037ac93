"""Finds and ends the processes of an attempt whose wrapper has died, by their environment and the wrapper's mark."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from job_entrypoints.contract import (
    ATTEMPT_MARK_BITS,
    INSTANCE_VARIABLE,
    RAY_JOB_CONFIG_VARIABLE,
    SUBMISSION_ID_VARIABLE,
    attempt_mark,
    platform_mark,
    submission_in,
)
from raylift.domain.errors import EngineUnavailable

log = logging.getLogger(__name__)

_GIVE_UP_SECONDS: Final = 10.0
_GONE: Final = (psutil.NoSuchProcess, psutil.AccessDenied)


def end_orphans(submission_id: str) -> int:
    """SIGKILL every process of the attempt on this machine until none is left. Returns their number.

    Every process of an attempt inherits the submission's id, double-forked daemons too. So do Ray's actor and watcher of the
    submission, which are then useless. They also inherit the wrapper's mark, which a cleared environment does not remove.
    Needed only for attempts whose wrapper cannot do it.

    Raises:
        EngineUnavailable: Some do not end, stuck in the kernel. The attempt is not over yet.
    """
    ended: set[int] = set()
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while found := _processes_of(submission_id):
        if time.monotonic() > give_up:
            raise EngineUnavailable(f"Processes {sorted(found)} of {submission_id} do not end.")
        for pid in found.keys() - ended:
            log.warning("ending process %d, left over by %s", pid, submission_id)
        ended |= found.keys()
        # All are stopped before the first is killed: otherwise a process that forks all the while could escape.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            _send(found, number)
        psutil.wait_procs(found.values(), timeout=1)
    return len(ended)


def is_of_attempt(pid: int, submission_id: str) -> bool:
    """True if the process runs on this machine and belongs to the attempt. Cheap: it is called for every running job."""
    try:
        return submission_id.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def is_of_any_attempt(pid: int, instance: str) -> bool:
    """True if the process descends from a wrapper of this platform, even with another environment and other parents."""
    return _mark_of(pid) >> ATTEMPT_MARK_BITS == platform_mark(instance)


def _processes_of(submission_id: str) -> dict[int, psutil.Process]:
    own = psutil.Process()
    instance = own.environ().get(INSTANCE_VARIABLE)
    mark = attempt_mark(submission_id, instance or "")
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            # Another platform on this machine may have the same id, if users chose it themselves.
            named = environment.get(INSTANCE_VARIABLE) == instance and _belongs(environment, submission_id)
            if named or _mark_of(process.pid) == mark:
                # A child may have cleared its environment.
                found |= {member.pid: member for member in (process, *process.children(recursive=True))}
        except _GONE:
            continue
    for process in (own, *own.parents()):
        found.pop(process.pid, None)
    return {pid: process for pid, process in found.items() if _is_live(process)}


def _mark_of(pid: int) -> int:
    """The process's limit of file locks, which Linux ignores; 0 if it has none."""
    try:
        limits = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return 0
    hard = next((line.split()[4] for line in limits.splitlines() if line.startswith("Max file locks")), "")
    return int(hard) if hard.isdecimal() else 0


def _belongs(environment: Mapping[str, str], submission_id: str) -> bool:
    if environment.get(SUBMISSION_ID_VARIABLE) == submission_id:
        return True
    # Handed straight to Ray: only Ray's own variable has the id.
    config = environment.get(RAY_JOB_CONFIG_VARIABLE, "")
    return submission_id in config and submission_in(config) == submission_id


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


def _send(processes: Mapping[int, psutil.Process], number: signal.Signals) -> None:
    for process in processes.values():
        try:
            process.send_signal(number)
        except _GONE:
            continue
