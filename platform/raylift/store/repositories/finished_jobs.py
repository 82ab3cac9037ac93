"""What is over: which of it is old enough to be forgotten, and whether anything still refers to what lies on disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, exists, func, select

from raylift.domain.job import FINAL_STATES, STATUS_OF, JobStatus, Reason
from raylift.store.engine.tables import JobRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import Database
from raylift.store.statements import idempotency

_FINAL: Final = sorted({STATUS_OF[state] for state in FINAL_STATES})
_SWEEP_GOES_ON: Final = exists().where(
    SweepJobRow.job_id == JobRow.job_id, SweepRow.sweep_id == SweepJobRow.sweep_id, SweepRow.finished_at.is_(None)
)
"""The sweep will compare its jobs when the last has ended."""


class HistoryRepository:
    """Every method is a transaction of its own, and short."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def finished_before(self, moment: datetime, *, limit: int) -> list[str]:
        """Jobs that had ended by then, none of a sweep that goes on, the longest known first; at most ``limit``."""
        # By when they were created, which the index has: a job ends after that.
        return self._oldest(limit, JobRow.created_at < moment, JobRow.finished_at < moment)

    def beyond(self, keep: int, *, limit: int) -> list[str]:
        """The oldest finished jobs, as far as there are more than ``keep``; at most ``limit``."""
        with self._database.read() as session:
            finished = sum(session.scalar(select(func.count()).where(JobRow.status == status)) or 0 for status in _FINAL)
        return self._oldest(min(finished - keep, limit)) if finished > keep else []

    def ends_of(self, job_ids: Collection[str]) -> dict[str, datetime | None]:
        """When each of these jobs ended, None for one that has not; those that are not there are left out."""
        with self._database.read() as session:
            rows = session.execute(select(JobRow.job_id, JobRow.finished_at).where(JobRow.job_id.in_(job_ids))).all()
        return {row.job_id: row.finished_at for row in rows}

    def failed_by_reason(self) -> dict[Reason, int]:
        """How many of the failed jobs that are kept ended with each reason."""
        query = select(JobRow.reason, func.count()).where(JobRow.status == JobStatus.FAILED).group_by(JobRow.reason)
        with self._database.read() as session:
            return {reason: count for reason, count in session.execute(query).tuples() if reason is not None}

    def forget_keys(self, now: datetime) -> bool:
        """Remove some of the idempotency keys that are past their time. Returns whether there may be more."""
        with self._database.write() as session:
            return idempotency.prune(session, now)

    def _oldest(self, limit: int, *conditions: ColumnElement[bool]) -> list[str]:
        found: list[tuple[datetime, str]] = []
        with self._database.read() as session:
            # One query a status: each reads one range of an index, in its order.
            for status in _FINAL:
                query = select(JobRow.created_at, JobRow.job_id).where(JobRow.status == status, *conditions, ~_SWEEP_GOES_ON)
                rows: Sequence[tuple[datetime, str]] = (
                    session.execute(query.order_by(JobRow.created_at, JobRow.job_id).limit(limit)).tuples().all()
                )
                found += rows
        return [job_id for _, job_id in sorted(found)[:limit]]
