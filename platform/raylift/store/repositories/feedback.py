"""Feedback on predictions: one row per request, the latest value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, tuple_

from raylift.domain.models.feedback import Feedback
from raylift.store.engine.tables import FeedbackRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import columns, execute, from_row

_REMOVED_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class FeedbackPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    feedback: list[Feedback]
    next_cursor: str | None


class FeedbackRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, feedback: Sequence[Feedback]) -> None:
        """Insert or replace the feedback of each request. Of two about one request, the later one counts."""
        last = {(one.model_name, one.version, one.request_id): one for one in feedback}
        if not last:
            return
        with self._database.write() as session:
            insert = insert_into(session, FeedbackRow)
            new = insert.excluded
            upsert = insert.on_conflict_do_update(
                index_elements=["model_name", "version", "request_id"],
                set_={"true_value": new.true_value, "received_at": new.received_at},
            )
            # Sorted, so that two writers of the same rows cannot deadlock.
            session.execute(upsert, [columns(last[key]) for key in sorted(last)])

    def page(self, model_name: str, version: str, *, limit: int, cursor: str | None = None) -> FeedbackPage:
        """Return one page. Raises InvalidRequest for an invalid cursor."""
        row = FeedbackRow
        query = select(row).where(row.model_name == model_name, row.version == version)
        if cursor is not None:
            query = query.where(tuple_(row.received_at, row.request_id) < tuple_(*decode_cursor(cursor)))
        query = query.order_by(row.received_at.desc(), row.request_id.desc()).limit(limit + 1)
        with self._database.read() as session:
            found = [from_row(Feedback, one) for one in session.scalars(query)]
        return FeedbackPage(*cut(found, limit, lambda one: (one.received_at, one.request_id)))

    def between(self, model_name: str, version: str, since: datetime, until: datetime, *, limit: int) -> list[Feedback]:
        """Return the newest feedback that was received from ``since`` until before ``until``."""
        row = FeedbackRow
        query = select(row).where(
            row.model_name == model_name, row.version == version, row.received_at >= since, row.received_at < until
        )
        query = query.order_by(row.received_at.desc(), row.request_id.desc()).limit(limit)
        with self._database.read() as session:
            return [from_row(Feedback, one) for one in session.scalars(query)]

    def count(self, model_name: str, version: str) -> int:
        query = select(func.count()).where(FeedbackRow.model_name == model_name, FeedbackRow.version == version)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def forget_before(self, moment: datetime) -> bool:
        """Delete a batch of feedback received before ``moment``. Returns True where more may be left."""
        row = FeedbackRow
        with self._database.write() as session:
            due = session.execute(
                select(row.model_name, row.version, row.request_id).where(row.received_at < moment).limit(_REMOVED_AT_ONCE)
            ).all()
            keys = [tuple(one) for one in due]
            if keys:
                execute(session, delete(row).where(tuple_(row.model_name, row.version, row.request_id).in_(keys)))
        return len(keys) == _REMOVED_AT_ONCE
