"""Scripts and archives of projects, stored once per SHA-256 until no job and no schedule refers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import BindParameter, Table, bindparam, delete, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.dml import ReturningInsert

from raylift.domain.errors import NotFound, PlatformError
from raylift.domain.project import digest_of
from raylift.store.engine.schedule_tables import ScheduleRow
from raylift.store.engine.tables import Base, JobProjectRow, JobRow, ProjectRow, ScriptRow
from raylift.store.engine.transactions import dialect_insert, dialect_of


class Blobs:
    """One kind of stored bytes. ``references`` are the columns that refer to them."""

    def __init__(
        self,
        kind: str,
        row: type[Base],
        references: Sequence[InstrumentedAttribute[Any]],
        digest: Callable[[bytes], str],
    ) -> None:
        # Built once: building a statement takes more CPU time than executing it.
        table = cast("Table", row.__table__)
        sha: BindParameter[str] = bindparam("sha")
        found = select(table.c.sha256).where(table.c.sha256 == sha)
        self._kind, self._row, self._digest = kind, row, digest
        self._share = found.with_for_update(read=True, key_share=True)
        self._lock = found.with_for_update()
        self._read = select(table.c.content).where(table.c.sha256 == sha)
        self._drop = delete(table).where(table.c.sha256 == sha, *(~exists().where(column == sha) for column in references))

    def check(self, sha256: str | None, content: bytes) -> None:
        """Raise ValueError unless the content has this SHA-256. Hashing is slow: call it before the transaction."""
        if not self._matches(sha256, content):
            raise ValueError(f"the SHA-256 of the {self._kind} is not {sha256}")

    def keep(self, session: Session, sha256: str, content: bytes | None) -> None:
        """Insert the content if absent, and lock its row until the transaction ends.

        Raises:
            NotFound: it is absent and ``content`` is None.
        """
        # Uploads that share a transaction mostly have the same script. A row inserted here is not noted, because the
        # savepoint of its upload may be rolled back.
        held: set[str] = session.info.setdefault((Blobs, self._kind), set[str]())
        if sha256 in held:
            return
        while session.scalar(self._share, {"sha": sha256}) is None:
            if content is None:
                raise self._missing(sha256)
            # Nothing is inserted if another upload was first. The loop then locks its row.
            insert = _insert(dialect_of(session), self._row)
            if session.scalar(insert, {"sha256": sha256, "content": content}) is not None:
                return
        held.add(sha256)

    def read(self, session: Session, sha256: str) -> bytes:
        """Return the stored content; raises NotFound."""
        content = session.scalar(self._read, {"sha": sha256})
        if content is None:
            raise self._missing(sha256)
        return content

    def checked(self, sha256: str, content: bytes) -> bytes:
        """Return ``content``; raises PlatformError if it is damaged."""
        if not self._matches(sha256, content):
            detail = f"The stored {self._kind} {sha256} is damaged: restore the database from a backup."
            raise PlatformError(detail, **{f"{self._kind}_sha256": sha256})
        return content

    def drop_unused(self, session: Session, sha256: str) -> None:
        """Delete the content unless a job or a schedule refers to it."""
        # Lock before the check, so that a concurrent upload of the same content is seen.
        session.execute(self._lock, {"sha": sha256})
        session.execute(self._drop, {"sha": sha256})

    def _matches(self, sha256: str | None, content: bytes) -> bool:
        try:
            return self._digest(content) == sha256
        except (OSError, EOFError):  # A damaged archive.
            return False

    def _missing(self, sha256: str) -> NotFound:
        return NotFound(f"There is no {self._kind} {sha256}.", **{f"{self._kind}_sha256": sha256})


@cache
def _insert(dialect: str, row: type[Base]) -> ReturningInsert[Any]:
    return dialect_insert(dialect, row).on_conflict_do_nothing().returning(cast("Table", row.__table__).c.sha256)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


scripts: Final = Blobs("script", ScriptRow, [JobRow.script_sha256, ScheduleRow.script_sha256], _sha256)
projects: Final = Blobs("project", ProjectRow, [JobProjectRow.project_sha256, ScheduleRow.project_sha256], digest_of)
