"""Scripts, stored once per SHA-256."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, delete, exists, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from raylift.domain.errors import NotFound, PlatformError
from raylift.store.engine.tables import JobRow, ScriptRow
from raylift.store.engine.transactions import dialect_insert, dialect_of

_TABLE: Final = cast("Table", ScriptRow.__table__)
_HOLD: Final = select(_TABLE.c.sha256).where(_TABLE.c.sha256 == bindparam("sha")).with_for_update(read=True, key_share=True)

_HELD: Final = "raylift.store.statements.scripts"
"""Key in ``session.info`` for the scripts that existed before this transaction."""


def keep(session: Session, sha256: str, content: bytes) -> None:
    """Insert the script if absent, and lock its row until the transaction ends."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"the script's SHA-256 is not {sha256}")
    # Uploads that share a transaction mostly have the same script. A script inserted here is not noted, because the
    # savepoint of its upload may be rolled back.
    held: set[str] = session.info.setdefault(_HELD, set[str]())
    if sha256 in held:
        return
    insert = _insert(dialect_of(session))
    while session.scalar(_HOLD, {"sha": sha256}) is None:
        # Nothing was inserted if another upload was first. The loop then locks its row.
        if session.scalar(insert, {"sha256": sha256, "content": content}) is not None:
            return
    held.add(sha256)


@cache
def _insert(dialect: str) -> ReturningInsert[Any]:
    return dialect_insert(dialect, ScriptRow).on_conflict_do_nothing().returning(_TABLE.c.sha256)


def read(session: Session, sha256: str) -> bytes:
    """Return the script's bytes. Raises NotFound, or PlatformError if its SHA-256 differs."""
    content = session.scalar(select(ScriptRow.content).where(ScriptRow.sha256 == sha256))
    if content is None:
        raise NotFound(f"There is no script {sha256}.", script_sha256=sha256)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PlatformError(f"The stored script {sha256} is damaged: restore the database from a backup.", script_sha256=sha256)
    return content


def drop_unused(session: Session, sha256: str) -> None:
    """Delete the script unless a job still refers to it."""
    # Lock before the check, so that a concurrent upload of the same script is seen.
    session.execute(select(ScriptRow.sha256).where(ScriptRow.sha256 == sha256).with_for_update())
    used = exists().where(JobRow.script_sha256 == sha256)
    session.execute(delete(ScriptRow).where(ScriptRow.sha256 == sha256, ~used))
