"""Logs of jobs: the file that the wrapper of an attempt writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.domain.errors import LogRemoved, NotFound
from raylift.domain.job import Attempt, Job
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.untrusted_file import open_plain, plain_size
from raylift.store import Store

TAIL_BYTES: Final = 64 * 1024
"""Size of the log's end that a job's resource shows."""

TAIL_LINES_BYTES: Final = 8 * 1024 * 1024
"""Size of the log's end in which last lines are searched."""

_BLOCK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class LogFile:
    """The log of one attempt. The file appears when the script starts."""

    attempt: int
    path: Path

    def size(self) -> int:
        return plain_size(self.path)

    def read(self, offset: int, limit: int) -> bytes:
        file = open_plain(self.path)
        if file is None:
            return b""
        with file:
            file.seek(offset)
            return file.read(limit)

    @property
    def was_removed(self) -> bool:
        """True where the attempt's directory is gone. An attempt that has not started has a directory without a log."""
        return not self.path.parent.exists()

    def tail(self, limit: int = TAIL_BYTES) -> str:
        """Return the end of the log as text. Bytes that are not UTF-8 are replaced."""
        start = max(0, self.size() - limit)
        data = self.read(start, limit)
        if start:
            data = _whole_characters(data)
        return data.decode("utf-8", "replace")

    def last_lines(self, count: int) -> str:
        """Return the last ``count`` lines as text, of at most 8 MiB. A first line notes what was cut.

        A line ends at a line feed, a carriage return (progress bars), or both.
        """
        if count <= 0:
            return ""
        size = self.size()
        start, data = self._back_to(size, count)
        lines = data.splitlines(keepends=True)
        text = b"".join(lines[-count:])
        if start == 0 or len(lines) > count:
            return text.decode("utf-8", "replace")
        text = _whole_characters(text)
        left_out = size - len(text)
        note = f"[raylift] {left_out} bytes before this are left out, too many for so few lines; the whole log has them\n"
        return note + text.decode("utf-8", "replace")

    def start_of_last_lines(self, count: int) -> int:
        """Return the byte at which the last ``count`` lines begin, at most 8 MiB before the end."""
        if count <= 0:
            return self.size()
        start, data = self._back_to(self.size(), count)
        lines = data.splitlines(keepends=True)
        return start + sum(map(len, lines[:-count]))

    def _back_to(self, end: int, count: int) -> tuple[int, bytes]:
        """Return (offset, bytes from there to ``end``) with the last ``count`` lines, if the limit allows it."""
        blocks: list[bytes] = []
        start, ends = end, 0
        # One more line end than lines: the last one is at the end of the log.
        while start > max(0, end - TAIL_LINES_BYTES) and ends <= count:
            step = min(_BLOCK, start)
            start -= step
            block = self.read(start, step)
            split = block.endswith(b"\r") and bool(blocks) and blocks[-1].startswith(b"\n")
            ends += _line_ends(block) - split
            blocks.append(block)
        return start, b"".join(reversed(blocks))


def _line_ends(data: bytes) -> int:
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def removal_note(job: Job) -> str:
    """Return the text that is shown in place of a removed log."""
    return f"The log of {job.job_id} was removed: the job has ended, and logs are kept for a time only (retention.logs_days)."


class JobLogs:
    """Finds the logs of a job's attempts."""

    def __init__(self, store: Store, attempts_dir: Path) -> None:
        self._store = store
        self._attempts_dir = attempts_dir

    def of_job(self, job: Job, attempt: int | None = None) -> LogFile | None:
        """Return the log of the given attempt, else of the newest; None before the first.

        Raises:
            NotFound: the job has no such attempt.
        """
        if attempt is None and job.submission_id:
            return self._log_file(job.attempt, job.submission_id)
        attempts: Sequence[Attempt] = self._store.jobs.attempts(job.job_id)
        if attempt is None:
            return self._log_file(attempts[-1].number, attempts[-1].submission_id) if attempts else None
        for item in attempts:
            if item.number == attempt:
                return self._log_file(item.number, item.submission_id)
        raise NotFound(f"Job {job.job_id} has no attempt {attempt}; it has {len(attempts)}.", job_id=job.job_id)

    def since(self, job: Job, attempt: int) -> Iterator[LogFile]:
        """Yield the logs of this attempt and of later ones, oldest first."""
        for item in self._store.jobs.attempts(job.job_id):
            log = self._log_file(item.number, item.submission_id) if item.number >= attempt else None
            if log is not None:
                yield log

    def existing(self, job: Job, attempt: int | None = None) -> LogFile | None:
        """Return the log as ``of_job`` does.

        Raises:
            NotFound: the job has no such attempt.
            LogRemoved: retention has removed it.
        """
        log = self.of_job(job, attempt)
        if log is not None and job.is_final and log.was_removed:
            raise LogRemoved(removal_note(job), job_id=job.job_id, finished_at=job.finished_at)
        return log

    def remove(self, submission_ids: Sequence[str]) -> None:
        """Delete all files of these attempts."""
        for submission_id in submission_ids:
            if _is_file_name(submission_id):
                AttemptDirectory(self._attempts_dir, submission_id).remove()

    def _log_file(self, number: int, submission_id: str) -> LogFile | None:
        if not _is_file_name(submission_id):
            return None
        return LogFile(number, AttemptDirectory(self._attempts_dir, submission_id).output())


def _is_file_name(submission_id: str) -> bool:
    # Users choose the ids of jobs that they submit directly to Ray.
    return submission_id not in {"", ".", ".."} and "/" not in submission_id and "\0" not in submission_id


def _whole_characters(data: bytes) -> bytes:
    """Return ``data`` without an incomplete UTF-8 character at its start."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
