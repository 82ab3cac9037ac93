"""Submission ids chosen by Ray clients. Each belongs to one job while that job exists."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from raylift.domain.errors import SubmissionIdTaken
from raylift.store.engine.tables import JobRow, RaySubmissionRow
from raylift.store.engine.transactions import insert_into


def claim(session: Session, submission_id: str, job_id: str) -> None:
    """Reserve the submission id for the job. Raises SubmissionIdTaken if another job has it."""
    insert = insert_into(session, RaySubmissionRow).on_conflict_do_nothing().returning(RaySubmissionRow.job_id)
    claimed = session.scalar(insert, {"submission_id": submission_id, "job_id": job_id})
    if claimed is None or session.get(JobRow, submission_id) is not None:
        raise SubmissionIdTaken(
            f"Job with submission_id {submission_id} already exists. Please use a different submission_id.",
            submission_id=submission_id,
        )


def find_job(session: Session, submission_id: str) -> str | None:
    """Return the id of the submission's job."""
    return session.scalar(select(RaySubmissionRow.job_id).where(RaySubmissionRow.submission_id == submission_id))
