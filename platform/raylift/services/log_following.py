"""Following a log while it grows: whole lines as they come, by byte offset, over all attempts, until the job has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from raylift.domain.job import Job, JobStatus
from raylift.services.logs import JobLogs, LogFile
from raylift.store import Store

_CHUNK_BYTES: Final = 64 * 1024
_POLL_SECONDS: Final = 0.2
_HEARTBEAT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Lines:
    """Text that was printed. ``offset`` is where the log goes on after it."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """The job was tried again: offsets begin anew."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The job has ended, and everything it printed has been told."""

    status: JobStatus
    offset: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while."""


LogEvent = Lines | AttemptStarted | Ended | Heartbeat


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the store and the file found."""

    job: Job
    log: LogFile | None
    data: bytes
    offset: int
    """Where ``data`` begins."""


class LogFollower:
    """Follows logs. Each follower looks a few times a second, in a thread."""

    def __init__(self, store: Store, logs: JobLogs, *, poll_seconds: float = _POLL_SECONDS) -> None:
        self._store = store
        self._logs = logs
        self._poll_seconds = poll_seconds

    async def follow(self, job_id: str, *, offset: int = 0) -> AsyncIterator[LogEvent]:
        """Everything from byte ``offset`` of the present attempt's log on, until the job has ended."""
        attempt: int | None = None
        quiet = 0.0
        while True:
            look = await asyncio.to_thread(self._look, job_id, attempt, offset)
            if attempt is not None and look.log and look.log.attempt != attempt:
                yield AttemptStarted(look.log.attempt)
            attempt, offset = (look.log.attempt if look.log else attempt), look.offset
            whole = _whole_lines(look.data, at_end=look.job.is_final)
            if whole:
                offset += len(whole)
                quiet = 0.0
                yield Lines(whole.decode("utf-8", "replace"), offset)
            elif look.job.is_final:
                yield Ended(look.job.status, offset)
                return
            else:
                await asyncio.sleep(self._poll_seconds)
                quiet += self._poll_seconds
            if quiet >= _HEARTBEAT_SECONDS:
                quiet = 0.0
                yield Heartbeat()

    def _look(self, job_id: str, attempt: int | None, offset: int) -> _Look:
        # The job first: once it is final, its file does not grow any more.
        job = self._store.jobs.get(job_id)
        log = self._logs.of_job(job)
        if log is None:
            return _Look(job, None, b"", offset)
        if attempt is not None and log.attempt != attempt:
            offset = 0
        # It may be shorter than it was: another attempt's, or the wrapper cut the middle out of a log that had grown too large.
        offset = min(offset, log.size())
        return _Look(job, log, log.read(offset, _CHUNK_BYTES), offset)


def _whole_lines(data: bytes, *, at_end: bool) -> bytes:
    """As much of ``data`` as can be told: up to its last line's end, or all of it when no more comes to complete the line."""
    # A carriage return ends a line too (progress bars), but as the last byte it may be half of a Windows line end.
    end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
    if end:
        return data[:end]
    return data if at_end or len(data) >= _CHUNK_BYTES else b""
