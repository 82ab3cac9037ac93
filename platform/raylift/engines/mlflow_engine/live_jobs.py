"""File of the jobs that run now: the credential of a job is good while the job lives.

The supervisor writes it. MLflow's processes, which have no store, read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

FILE: Final = "live-jobs"
"""In MLflow's own directory, beside the secret: its confined server reads no other."""
_LONGEST_SILENCE: Final = 60.0
"""Seconds between two writings at most: a job may begin and end between two looks."""


class LiveJobs:
    """The file. It has the time of the look in its first line, then an id a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._draft = file.with_name(f"{file.name}.draft")
        self._looked_at = 0.0
        self._ids: frozenset[str] = frozenset()
        self._stamp: tuple[int, int] | None = None

    def publish(self, job_ids: Iterable[str], *, looked_at: float) -> None:
        """Write the jobs that were seen at ``looked_at``, in seconds since 1970. Most calls find nothing to write."""
        ids = frozenset(job_ids)
        if ids == self._ids and looked_at - self._looked_at < _LONGEST_SILENCE:
            return
        self._draft.write_text("\n".join([f"{looked_at:.3f}", *sorted(ids)]), encoding="ascii")
        self._draft.replace(self._file)
        self._ids, self._looked_at = ids, looked_at

    def has_ended(self, job_id: str, *, issued: float) -> bool:
        """Return True where a look after ``issued`` did not find the job. Without a file, no job has."""
        self._read()
        return issued < self._looked_at and job_id not in self._ids

    def _read(self) -> None:
        try:
            status = self._file.stat()
            if (stamp := (status.st_mtime_ns, status.st_ino)) == self._stamp:
                return
            looked_at, *ids = self._file.read_text(encoding="ascii").split("\n")
        except FileNotFoundError:
            return
        self._looked_at, self._ids, self._stamp = float(looked_at), frozenset(ids), stamp
