"""The audit: entries of writes, in their transactions, and of refused requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Select, delete, literal, select, tuple_

from raylift.domain.audit import AuditEntry, AuditFilter
from raylift.store.engine import trail
from raylift.store.engine.access_tables import AuditRow
from raylift.store.engine.columns import Key, UtcDateTime
from raylift.store.engine.transactions import Database
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import execute, from_row

_REMOVED_AT_ONCE: Final = 5000
_READ_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    entries: list[AuditEntry]
    next_cursor: str | None


class AuditRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: AuditEntry) -> None:
        """Store an entry in a transaction of its own, such as that of a refused request."""
        with self._database.write() as session:
            trail.add_entry(session, entry)

    def list(self, wanted: AuditFilter, *, limit: int, cursor: str | None = None) -> AuditPage:
        """Return one page of entries, newest first. Raises InvalidRequest for an invalid cursor."""
        query = _matching(wanted)
        if cursor is not None:
            at, entry_id = decode_cursor(cursor)
            query = query.where(
                tuple_(AuditRow.at, AuditRow.entry_id) < tuple_(literal(at, UtcDateTime()), literal(entry_id, Key()))
            )
        with self._database.read() as session:
            found = [from_row(AuditEntry, row) for row in session.scalars(query.limit(limit + 1))]
        return AuditPage(*cut(found, limit, lambda entry: (entry.at, entry.entry_id)))

    def every(self, wanted: AuditFilter) -> Iterator[AuditEntry]:
        """Yield all matching entries, newest first, a thousand at a time."""
        cursor: str | None = None
        while True:
            page = self.list(wanted, limit=_READ_AT_ONCE, cursor=cursor)
            yield from page.entries
            cursor = page.next_cursor
            if cursor is None:
                return

    def forget_before(self, moment: datetime) -> bool:
        """Delete a batch of entries before ``moment``. Returns True where more may be left."""
        with self._database.write() as session:
            due = list(session.scalars(select(AuditRow.entry_id).where(AuditRow.at < moment).limit(_REMOVED_AT_ONCE)))
            if due:
                execute(session, delete(AuditRow).where(AuditRow.entry_id.in_(due)))
        return len(due) == _REMOVED_AT_ONCE


def _matching(wanted: AuditFilter) -> Select[AuditRow]:
    query = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.entry_id.desc())
    for column, value in (
        (AuditRow.who, wanted.who),
        (AuditRow.workspace, wanted.workspace),
        (AuditRow.target, wanted.target),
        (AuditRow.outcome, wanted.outcome),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.action is not None:
        exact = not wanted.action.endswith(".")
        query = query.where(
            AuditRow.action == wanted.action if exact else AuditRow.action.startswith(wanted.action, autoescape=True)
        )
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    return query
