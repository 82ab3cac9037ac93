"""What a job's script printed: the file that the wrapper of its attempt writes."""

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
"""How much of the log a job's resource carries."""

TAIL_LINES_BYTES: Final = 8 * 1024 * 1024
"""How much of the log its last lines are looked for in."""

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
        """Whether all that the attempt left is gone. One that has not started yet has its directory, if no log."""
        return not self.path.parent.exists()

    def tail(self, limit: int = TAIL_BYTES) -> str:
        """The end of the log as text; what is no UTF-8 in it is replaced."""
        start = max(0, self.size() - limit)
        data = self.read(start, limit)
        if start:
            data = _whole_characters(data)
        return data.decode("utf-8", "replace")

    def last_lines(self, count: int) -> str:
        """The last ``count`` lines as text, of at most 8 MiB; a first line says so where there is more in them.

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

    def _back_to(self, end: int, count: int) -> tuple[int, bytes]:
        """(offset, the bytes from there to ``end``), with the last ``count`` lines in them if the bound allows it."""
        blocks: list[bytes] = []
        start, ends = end, 0
        # One more than asked: the last of all ends no line that others follow.
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
    """What there is to say in the place of a log that is gone."""
    return f"The log of {job.job_id} was removed: the job has ended, and logs are kept for a time only (retention.logs_days)."


class JobLogs:
    """Finds the log of a job, or of one of its attempts."""

    def __init__(self, store: Store, attempts_dir: Path) -> None:
        self._store = store
        self._attempts_dir = attempts_dir

    def of_job(self, job: Job, attempt: int | None = None) -> LogFile | None:
        """The log of the given attempt, else of the newest that there is; None before the first was submitted.

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
        """The logs of this attempt and of those that came after it, oldest first."""
        for item in self._store.jobs.attempts(job.job_id):
            log = self._log_file(item.number, item.submission_id) if item.number >= attempt else None
            if log is not None:
                yield log

    def kept(self, job: Job, attempt: int | None = None) -> LogFile | None:
        """As ``of_job``, if it is still there.

        Raises:
            NotFound: the job has no such attempt.
            LogRemoved: the job ended so long ago that its log is not kept any longer.
        """
        log = self.of_job(job, attempt)
        if log is not None and job.is_final and log.was_removed:
            raise LogRemoved(removal_note(job), job_id=job.job_id, finished_at=job.finished_at)
        return log

    def remove(self, submission_ids: Sequence[str]) -> None:
        """Delete everything that these attempts left."""
        for submission_id in submission_ids:
            if _is_file_name(submission_id):
                AttemptDirectory(self._attempts_dir, submission_id).remove()

    def _log_file(self, number: int, submission_id: str) -> LogFile | None:
        if not _is_file_name(submission_id):
            return None
        return LogFile(number, AttemptDirectory(self._attempts_dir, submission_id).output())


def _is_file_name(submission_id: str) -> bool:
    # Ids of jobs that were handed straight to Ray are whatever their users chose.
    return submission_id not in {"", ".", ".."} and "/" not in submission_id and "\0" not in submission_id


def _whole_characters(data: bytes) -> bytes:
    """``data`` without the rest of a UTF-8 character that begins before it."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]
