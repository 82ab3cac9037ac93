"""Idempotency-Keys: a repeated request makes one job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import CursorResult, Table, bindparam, case, delete, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from raylift.domain.errors import IdempotencyMismatch
from raylift.store.engine.columns import UtcDateTime
from raylift.store.engine.tables import IdempotencyRow
from raylift.store.engine.transactions import dialect_insert, dialect_of

_PRUNED_AT_ONCE: Final = 100
_NOW: Final = bindparam("now", type_=UtcDateTime())
_TABLE: Final = cast("Table", IdempotencyRow.__table__)
_PRUNE: Final = delete(_TABLE).where(
    _TABLE.c.key.in_(
        select(_TABLE.c.key).where(_TABLE.c.expires_at <= _NOW).limit(_PRUNED_AT_ONCE).with_for_update(skip_locked=True)
    )
)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key for safe repetition, and the digest of the body that belongs to it."""

    key: str
    body_sha256: str
    expires_at: datetime


def claim(session: Session, key: IdempotencyKey, *, job_id: str, now: datetime) -> str:
    """Return the key's job: ``job_id`` for a new or expired key, else the first request's.

    Raises:
        IdempotencyMismatch: the first request had another body.
    """
    first = session.execute(
        _claim_statement(dialect_of(session)),
        {"key": key.key, "body_sha256": key.body_sha256, "expires_at": key.expires_at, "job_id": job_id, "now": now},
    ).one()
    if first.body_sha256 != key.body_sha256:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used for another request: send the same body, or another key.", job_id=first.job_id
        )
    return first.job_id


@cache  # Building it took a quarter of the CPU time of an upload.
def _claim_statement(dialect: str) -> ReturningInsert[str, str]:
    insert = dialect_insert(dialect, IdempotencyRow)
    expired = _TABLE.c.expires_at <= _NOW
    # Always an update, even to the same values: it locks and returns the row, so two requests cannot both be first.
    taken = {
        name: case((expired, insert.excluded[name]), else_=_TABLE.c[name]) for name in ("body_sha256", "expires_at", "job_id")
    }
    return insert.on_conflict_do_update(index_elements=["key"], set_=taken).returning(
        IdempotencyRow.job_id, IdempotencyRow.body_sha256
    )


def prune(session: Session, now: datetime) -> bool:
    """Delete a batch of expired keys. Returns True where more may be left. It skips locked rows, so it cannot deadlock."""
    result = cast("CursorResult[Any]", session.execute(_PRUNE, {"now": now}))
    return result.rowcount >= _PRUNED_AT_ONCE
