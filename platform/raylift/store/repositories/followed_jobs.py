"""Jobs in some states, read again and again. Only those that have changed since are read in full."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any, Final

from sqlalchemy import select, type_coerce
from sqlalchemy.types import NullType

from raylift.domain.job import Job, JobState
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import Database
from raylift.store.statements.records import columns_of, from_row

_AT_ONCE: Final = 500
"""Jobs of one query by id: databases limit a statement's parameters."""

# Raw values, which are compared and not used: to convert one job takes some thirty times as long as to read its row.
_CHANGING: Final = [type_coerce(JobRow.__table__.c[name], NullType()).label(name) for name in columns_of(Job) if name != "spec"]


class FollowedJobs:
    """Jobs in given states. The caller keeps it, and one thread uses it at a time."""

    def __init__(self, database: Database, states: Collection[JobState]) -> None:
        self._database = database
        self._is_followed = JobRow.state.in_(states)
        self._known: dict[str, tuple[tuple[Any, ...], Job]] = {}
        """Jobs as of the last reading, with the raw values of their rows at that time or before."""

    def read(self) -> list[Job]:
        """Return the jobs, the oldest first.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        order = (JobRow.created_at, JobRow.job_id)
        with self._database.read() as session:
            rows = session.execute(select(*_CHANGING).where(self._is_followed).order_by(*order))
            now: dict[str, tuple[Any, ...]] = {row.job_id: tuple(row) for row in rows}
            known = {job_id: self._known[job_id] for job_id, row in now.items() if self._row_of(job_id) == row}
            changed = (job_id for job_id in now if job_id not in known)
            while ids := list(islice(changed, _AT_ONCE)):
                found = session.scalars(select(JobRow).where(JobRow.job_id.in_(ids), self._is_followed))
                # A job that has changed once more since is read again the next time.
                known |= {row.job_id: (now[row.job_id], from_row(Job, row)) for row in found}
        self._known = known
        return [known[job_id][1] for job_id in now if job_id in known]

    def _row_of(self, job_id: str) -> tuple[Any, ...] | None:
        before = self._known.get(job_id)
        return None if before is None else before[0]
