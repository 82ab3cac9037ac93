"""Archives of projects, stored once per SHA-256."""

from __future__ import annotations

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from raylift.domain.errors import NotFound, PlatformError
from raylift.domain.project import PackedProject, digest_of
from raylift.store.engine.tables import JobProjectRow, ProjectRow
from raylift.store.engine.transactions import insert_into


def check(sha256: str | None, project: PackedProject | None) -> None:
    """Raise ValueError unless the project has the job's SHA-256. Hashing is slow: call it before the transaction."""
    if project is not None and not (project.sha256 == sha256 == digest_of(project.content)):
        raise ValueError(f"the project's SHA-256 is not {sha256}")


def keep(session: Session, sha256: str, project: PackedProject | None) -> None:
    """Insert the project if absent, and lock its row until the transaction ends.

    Raises:
        NotFound: it does not exist and ``project`` is None.
    """
    held = select(ProjectRow.sha256).where(ProjectRow.sha256 == sha256).with_for_update(read=True, key_share=True)
    insert = insert_into(session, ProjectRow).on_conflict_do_nothing().returning(ProjectRow.sha256)
    while session.scalar(held) is None:
        if project is None:
            raise _missing(sha256)
        # Nothing was inserted if another upload was first. The loop then locks its row.
        if session.scalar(insert, {"sha256": sha256, "content": project.content}) is not None:
            return


def refer(session: Session, job_id: str, sha256: str) -> None:
    """Record that the job uses the project."""
    session.execute(insert_into(session, JobProjectRow), {"job_id": job_id, "project_sha256": sha256})


def read(session: Session, sha256: str) -> bytes:
    """Return the project's archive; raises NotFound."""
    content = session.scalar(select(ProjectRow.content).where(ProjectRow.sha256 == sha256))
    if content is None:
        raise _missing(sha256)
    return content


def checked(sha256: str, content: bytes) -> bytes:
    """Return ``content``; raises PlatformError if its SHA-256 differs."""
    try:
        sound = digest_of(content) == sha256
    except (OSError, EOFError):
        sound = False
    if not sound:
        raise PlatformError(
            f"The stored project {sha256} is damaged: restore the database from a backup.", project_sha256=sha256
        )
    return content


def drop_unused(session: Session, sha256: str) -> None:
    """Delete the project unless a job still refers to it."""
    # Lock before the check, so that a concurrent upload of the same project is seen.
    session.execute(select(ProjectRow.sha256).where(ProjectRow.sha256 == sha256).with_for_update())
    used = exists().where(JobProjectRow.project_sha256 == sha256)
    session.execute(delete(ProjectRow).where(ProjectRow.sha256 == sha256, ~used))


def _missing(sha256: str) -> NotFound:
    return NotFound(f"There is no project {sha256}.", project_sha256=sha256)
