"""Queries about finished jobs, for retention."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, exists, func, select

from raylift.domain.job import FINAL_STATES, STATUS_OF, JobStatus, Reason
from raylift.store.engine.tables import JobRow, SweepJobRow, SweepRow
from raylift.store.engine.transactions import Database
from raylift.store.statements import idempotency
from raylift.store.statements.job_order import IS_AWAITED

_FINAL: Final = sorted({STATUS_OF[state] for state in FINAL_STATES})
_SWEEP_GOES_ON: Final = exists().where(
    SweepJobRow.job_id == JobRow.job_id, SweepRow.sweep_id == SweepJobRow.sweep_id, SweepRow.finished_at.is_(None)
)
"""The job's sweep is unfinished and will still compare its jobs."""


class HistoryRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def finished_before(self, moment: datetime, *, limit: int) -> list[str]:
        """Return ids of jobs finished before ``moment``, oldest first.

        Without jobs of unfinished sweeps, and those that others wait for.
        """
        # A job ends after its creation, and `created_at` is in the index.
        return self._oldest(limit, JobRow.created_at < moment, JobRow.finished_at < moment)

    def beyond(self, keep: int, *, limit: int) -> list[str]:
        """Return ids of the oldest finished jobs beyond the newest ``keep``, at most ``limit``."""
        with self._database.read() as session:
            finished = sum(session.scalar(select(func.count()).where(JobRow.status == status)) or 0 for status in _FINAL)
        return self._oldest(min(finished - keep, limit)) if finished > keep else []

    def ends_of(self, job_ids: Collection[str]) -> dict[str, datetime | None]:
        """Return the end of each job; None for an unfinished one. Unknown ids are left out."""
        with self._database.read() as session:
            rows = session.execute(select(JobRow.job_id, JobRow.finished_at).where(JobRow.job_id.in_(job_ids))).all()
        return {row.job_id: row.finished_at for row in rows}

    def failed_by_reason(self, workspace: str | None = None) -> dict[Reason, int]:
        """Count the stored failed jobs of a workspace by reason; None: of all."""
        query = select(JobRow.reason, func.count()).where(JobRow.status == JobStatus.FAILED).group_by(JobRow.reason)
        if workspace is not None:
            query = query.where(JobRow.workspace == workspace)
        with self._database.read() as session:
            return {reason: count for reason, count in session.execute(query).tuples() if reason is not None}

    def forget_keys(self, now: datetime) -> bool:
        """Delete a batch of expired idempotency keys. Returns True where more may be left."""
        with self._database.write() as session:
            return idempotency.prune(session, now)

    def _oldest(self, limit: int, *conditions: ColumnElement[bool]) -> list[str]:
        found: list[tuple[datetime, str]] = []
        with self._database.read() as session:
            # A query per status reads one range of an index in its order.
            for status in _FINAL:
                query = select(JobRow.created_at, JobRow.job_id).where(JobRow.status == status, *conditions)
                query = query.where(~_SWEEP_GOES_ON, ~IS_AWAITED)
                rows: Sequence[tuple[datetime, str]] = (
                    session.execute(query.order_by(JobRow.created_at, JobRow.job_id).limit(limit)).tuples().all()
                )
                found += rows
        return [job_id for _, job_id in sorted(found)[:limit]]
