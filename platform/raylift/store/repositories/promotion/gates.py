"""Gates of jobs: those to be decided, and what became of the others."""

from __future__ import annotations

from sqlalchemy import select, update

from raylift.domain.audit import Outcome
from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.domain.rollouts.gate import GateOutcome, Promotion
from raylift.domain.webhooks.event import promotion_event
from raylift.store.engine import trail
from raylift.store.engine.rollout_tables import JobGateRow
from raylift.store.engine.tables import JobRow
from raylift.store.engine.transactions import Database
from raylift.store.statements import outbox
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import changed, columns, from_row


class GateRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, job_id: str) -> Promotion | None:
        """Return what became of a job's gate; None for a job without one."""
        with self._database.read() as session:
            row = session.get(JobGateRow, job_id)
            return None if row is None else from_row(Promotion, row)

    def pending(self) -> list[Job]:
        """Return the ended jobs whose gates are to be decided, oldest first."""
        query = select(JobRow).join(JobGateRow, JobGateRow.job_id == JobRow.job_id)
        query = query.where(JobGateRow.outcome == GateOutcome.PENDING, JobRow.finished_at.is_not(None))
        with self._database.read() as session:
            return [from_row(Job, row) for row in session.scalars(query.order_by(JobRow.finished_at))]

    def decide(self, lease: Lease, job: Job, promotion: Promotion) -> bool:
        """Record what became of a gate, with its event and audit entry. Returns False where it is decided already.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        with self._database.write() as session:
            pending = JobGateRow.job_id == job.job_id, JobGateRow.outcome == GateOutcome.PENDING, guard(session, lease)
            statement = update(JobGateRow).where(*pending).values(columns(promotion))
            if changed(session, statement, JobGateRow, Promotion) is None:
                return False
            spec = job.spec
            if promotion.version is not None:
                outbox.record(session, spec.workspace, lambda: promotion_event(job, promotion))
            target = job.job_id if promotion.version is None else f"{spec.model_name}/{promotion.version}"
            act = trail.Act(spec.owner, f"gate.{promotion.outcome}", target, workspace=spec.workspace)
            trail.add_entry(session, act.entry(Outcome.DONE, promotion.message))
            return True
