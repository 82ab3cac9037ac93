"""What is left of an attempt whose wrapper did not report its end: found by what it inherited, and ended for certain."""

from __future__ import annotations

import json
import logging
import signal
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from raylift.domain.errors import EngineUnavailable

log = logging.getLogger(__name__)

_GIVE_UP_SECONDS: Final = 10.0
_GONE: Final = (psutil.NoSuchProcess, psutil.AccessDenied)
_ATTEMPT_BITS: Final = 24
"""Of a mark: the attempt. Those above are the platform."""


def end_leftovers(submission_id: str) -> int:
    """SIGKILL every process of the attempt on this machine until none is found, and return how many there were.

    The submission's id is inherited by everything an attempt starts, double-forked daemons included, and by Ray's own actor and
    watcher of the submission, which have nothing left to watch. So is the wrapper's mark, which a cleared environment does not
    wipe off. Rare: only for attempts whose wrapper can no longer do it.

    Raises:
        EngineUnavailable: some do not end, stuck in the kernel; the attempt is not over yet.
    """
    ended: set[int] = set()
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while found := _processes_of(submission_id):
        if time.monotonic() > give_up:
            raise EngineUnavailable(f"Processes {sorted(found)} of {submission_id} do not end.")
        for pid in found.keys() - ended:
            log.warning("ending process %d, left over by %s", pid, submission_id)
        ended |= found.keys()
        # All stand still before the first dies: otherwise one that forks all the while can stay ahead of us.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            _send(found, number)
        psutil.wait_procs(found.values(), timeout=1)
    return len(ended)


def is_of_attempt(pid: int, submission_id: str) -> bool:
    """Whether the process lives on this machine and belongs to the attempt. Asked of every running job, so it costs little."""
    try:
        return submission_id.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _processes_of(submission_id: str) -> dict[int, psutil.Process]:
    own = psutil.Process()
    ours = own.environ().get("RAYLIFT_INSTANCE")
    mark = attempt_mark(submission_id, ours or "")
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            # Ids that users gave to Ray themselves may be the same on another platform of this machine.
            named = environment.get("RAYLIFT_INSTANCE") == ours and _belongs(environment, submission_id)
            if named or _mark_of(process.pid) == mark:
                # A child may have cleared its environment.
                found |= {member.pid: member for member in (process, *process.children(recursive=True))}
        except _GONE:
            continue
    for process in (own, *own.parents()):
        found.pop(process.pid, None)
    return {pid: process for pid, process in found.items() if _is_live(process)}


def attempt_mark(submission_id: str, instance: str) -> int:
    """As job_entrypoints.linux.process_control.attempt_mark, repeated: the wrapper stands alone. A unit test compares."""
    return _platform_mark(instance) << _ATTEMPT_BITS | zlib.crc32(submission_id.encode()) >> 8


def is_of_any_attempt(pid: int, instance: str) -> bool:
    """Whether the process descends from a wrapper of this platform, whatever became of its environment and its parents."""
    return _mark_of(pid) >> _ATTEMPT_BITS == _platform_mark(instance)


def _platform_mark(instance: str) -> int:
    return 0x5241 << _ATTEMPT_BITS | zlib.crc32(instance.encode()) >> 8


def _mark_of(pid: int) -> int:
    """The process's limit of file locks, which Linux ignores; 0 where it has none."""
    try:
        limits = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return 0
    hard = next((line.split()[4] for line in limits.splitlines() if line.startswith("Max file locks")), "")
    return int(hard) if hard.isdecimal() else 0


def _belongs(environment: Mapping[str, str], submission_id: str) -> bool:
    if environment.get("RAYLIFT_SUBMISSION_ID") == submission_id:
        return True
    # Handed straight to Ray: only Ray's own variable has the id.
    given = environment.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "")
    if submission_id not in given:
        return False
    try:
        config = json.loads(given)
    except ValueError:
        return False
    metadata = config.get("metadata") or {}
    return metadata.get("job_submission_id") == submission_id


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
