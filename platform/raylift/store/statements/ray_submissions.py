"""Submission ids that Ray's own clients chose: each stands for one job, as long as that job is there."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from raylift.domain.errors import SubmissionIdTaken
from raylift.store.engine.tables import JobRow, RaySubmissionRow
from raylift.store.engine.transactions import insert_into


def claim(session: Session, submission_id: str, job_id: str) -> None:
    """Let the submission id stand for the job.

    Raises:
        SubmissionIdTaken: it stands for another, or is the id of one.
    """
    insert = insert_into(session, RaySubmissionRow).on_conflict_do_nothing().returning(RaySubmissionRow.job_id)
    claimed = session.scalar(insert, {"submission_id": submission_id, "job_id": job_id})
    if claimed is None or session.get(JobRow, submission_id) is not None:
        raise SubmissionIdTaken(
            f"Job with submission_id {submission_id} already exists. Please use a different submission_id.",
            submission_id=submission_id,
        )


def job_of(session: Session, submission_id: str) -> str | None:
    """The id of the job that the submission id stands for."""
    return session.scalar(select(RaySubmissionRow.job_id).where(RaySubmissionRow.submission_id == submission_id))
