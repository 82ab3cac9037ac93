"""Follows a growing log: whole lines by byte offset, over all attempts, until the job has ended."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from raylift.domain.errors import Unauthenticated
from raylift.domain.job import Job, JobStatus
from raylift.services.jobs.logs import JobLogs, LogFile
from raylift.services.ttl_cache import TtlCache
from raylift.store import Store

_CHUNK_BYTES: Final = 64 * 1024
_POLL_SECONDS: Final = 0.2
_BUSY_POLLS: Final = 2.5
"""Pause after output, in polls: a job that prints all the time sends two events a second, not five with a read after each."""
_HEARTBEAT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Lines:
    """Printed text. ``offset`` is the byte after it in the attempt's log."""

    text: str
    offset: int
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A new attempt: offsets begin at 0."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Ended:
    """End of the job, after all of its output."""

    status: JobStatus
    offset: int
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sign of life after a while without output."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Last event of a caller whose key is no longer good."""

    error: Unauthenticated


LogEvent = Lines | AttemptStarted | Ended | Heartbeat | Refused


@dataclass(frozen=True, slots=True)
class _Reading:
    """A part of a log."""

    data: bytes
    offset: int
    """Byte at which ``data`` begins."""
    attempt: int | None
    is_over: bool
    """True where this log does not grow any more."""


class LogFollower:
    """Follows logs. Each follower polls the file in a thread; all followers of a job share one query of the store.

    While the store does not answer, output still arrives.
    """

    def __init__(self, store: Store, logs: JobLogs, *, poll_seconds: float = _POLL_SECONDS) -> None:
        self._job: TtlCache[str, Job] = TtlCache(store.jobs.get, seconds=poll_seconds)
        self._logs = logs
        self._poll_seconds = poll_seconds

    async def follow(
        self,
        job_id: str,
        *,
        attempt: int | None = None,
        offset: int = 0,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[LogEvent]:
        """Yield all output from here on, over all later attempts, until the job has ended or may not be read any more.

        Args:
            job_id: the job.
            attempt: the attempt to begin with; None: the newest.
            offset: the byte of its log to begin with.
            check: raises Unauthenticated where the caller has lost its key. Called before each read of the log.
        """
        quiet = 0.0
        while True:
            if check is not None:
                try:
                    await check()
                except Unauthenticated as error:
                    yield Refused(error)
                    return
            # The job first: the log of a final job does not grow any more.
            job = await self._job.get(job_id)
            reading = await asyncio.to_thread(self._read, job, attempt, offset)
            if attempt is not None and reading.attempt is not None and reading.attempt != attempt:
                yield AttemptStarted(reading.attempt)
            attempt, offset = reading.attempt, reading.offset
            whole = _whole_lines(reading.data, at_end=reading.is_over)
            if whole:
                offset += len(whole)
                quiet = 0.0
                yield Lines(whole.decode("utf-8", "replace"), offset, attempt or 1)
                if not reading.is_over and len(reading.data) < _CHUNK_BYTES:
                    await asyncio.sleep(_BUSY_POLLS * self._poll_seconds)
            elif job.is_final:
                yield Ended(job.status, offset, attempt or 1)
                return
            else:
                await asyncio.sleep(self._poll_seconds)
                quiet += self._poll_seconds
            if quiet >= _HEARTBEAT_SECONDS:
                quiet = 0.0
                yield Heartbeat()

    def _read(self, job: Job, attempt: int | None, offset: int) -> _Reading:
        newest = self._logs.of_job(job)
        if newest is None:
            return _Reading(b"", offset, attempt, is_over=job.is_final)
        log, offset = self._next_position(job, newest, attempt, offset)
        # It may be shorter than before: the wrapper cuts the middle out of a log that is too large.
        offset = min(offset, log.size())
        is_over = job.is_final or log.attempt != newest.attempt
        return _Reading(log.read(offset, _CHUNK_BYTES), offset, log.attempt, is_over=is_over)

    def _next_position(self, job: Job, newest: LogFile, attempt: int | None, offset: int) -> tuple[LogFile, int]:
        """Return the next log and the offset in it: an attempt's log is read to its end before the next one."""
        if attempt is None or attempt == newest.attempt:
            return newest, offset
        for log in self._logs.since(job, attempt):
            begin = offset if log.attempt == attempt else 0
            if begin < log.size():
                return log, begin
        return newest, 0


def _whole_lines(data: bytes, *, at_end: bool) -> bytes:
    """Return ``data`` up to its last line end; all of it where no more text can complete the line."""
    # A carriage return ends a line too (progress bars), but as the last byte it may be half of a Windows line end.
    end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
    if end:
        return data[:end]
    if len(data) >= _CHUNK_BYTES:
        return _whole_characters(data)
    return data if at_end else b""


def _whole_characters(data: bytes) -> bytes:
    """Return ``data`` without an incomplete UTF-8 character at its end."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    begun, _ = decoder.getstate()
    return data[: len(data) - len(begun)]
