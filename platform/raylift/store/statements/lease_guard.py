"""Condition of every write under a lease; its token rejects writes of former holders."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.orm import Session

from raylift.domain.errors import StaleLease
from raylift.domain.lease import Lease
from raylift.store.engine.tables import LeaseRow


def guard(session: Session, lease: Lease) -> ColumnElement[bool]:
    """Block a takeover until this transaction ends, and return the condition for guarded writes.

    Raises:
        StaleLease: another has taken the lease.
    """
    # The lock matters on PostgreSQL, where a takeover could otherwise commit between our write and our commit.
    if session.scalar(select(LeaseRow.token).where(is_current(lease)).with_for_update(read=True)) is None:
        raise stale(lease)
    return exists().where(is_current(lease))


def is_current(lease: Lease) -> ColumnElement[bool]:
    """Condition that the lease's row still has this holder and token."""
    return and_(LeaseRow.name == lease.name, LeaseRow.holder == lease.holder, LeaseRow.token == lease.token)


def stale(lease: Lease) -> StaleLease:
    """Error for a holder whose lease another has taken."""
    return StaleLease(f"{lease.holder} no longer holds the lease {lease.name}.", name=lease.name, token=lease.token)
