"""Rollouts. A move is one transaction: its traffic, the rollout, the events and the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from raylift.domain.audit import Outcome
from raylift.domain.errors import RolloutExists, RolloutNotFound, StaleRollout
from raylift.domain.lease import Lease
from raylift.domain.rollouts.moves import RolloutMove
from raylift.domain.rollouts.rollout import Rollout, RolloutEventKind
from raylift.domain.traffic import TrafficAction
from raylift.domain.webhooks.event import OF_ROLLOUT, rollout_event
from raylift.store.engine import trail
from raylift.store.engine.rollout_tables import RolloutRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.repositories.traffic import write_table
from raylift.store.statements import outbox
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import changed, columns, from_row

_FORGOTTEN_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    rollouts: list[Rollout]
    next_cursor: str | None


class RolloutRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rollout: Rollout) -> None:
        """Store a new rollout; durable on return.

        Raises:
            RolloutExists: the model has one that has not ended.
        """
        with self._database.write() as session:
            add_rollout(session, rollout)
            trail.name_target(session, rollout.rollout_id)

    def get(self, rollout_id: str) -> Rollout:
        """Raises RolloutNotFound."""
        with self._database.read() as session:
            row = session.get(RolloutRow, rollout_id)
            if row is None:
                raise RolloutNotFound(f"There is no rollout {rollout_id}.", rollout_id=rollout_id)
            return from_row(Rollout, row)

    def newest_of(self, model_name: str) -> Rollout | None:
        """Return a model's active rollout, or else its last one."""
        # The id of a gate's rollout has the time of its job's upload, so the active one comes first.
        order = RolloutRow.finished_at.is_not(None), RolloutRow.rollout_id.desc()
        query = select(RolloutRow).where(RolloutRow.model_name == model_name).order_by(*order)
        with self._database.read() as session:
            row = session.scalars(query.limit(1)).one_or_none()
            return None if row is None else from_row(Rollout, row)

    def active(self) -> list[Rollout]:
        """Return every rollout that has not ended, oldest first."""
        query = select(RolloutRow).where(RolloutRow.finished_at.is_(None)).order_by(RolloutRow.rollout_id)
        with self._database.read() as session:
            return [from_row(Rollout, row) for row in session.scalars(query)]

    def list(
        self,
        workspace: str | None = None,
        *,
        model_name: str | None = None,
        active: bool | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> RolloutPage:
        """Return one page of a workspace's rollouts, or of all. Raises InvalidRequest for an invalid cursor."""
        query = select(RolloutRow).order_by(RolloutRow.rollout_id.desc())
        if workspace is not None:
            query = query.where(RolloutRow.workspace == workspace)
        if model_name is not None:
            query = query.where(RolloutRow.model_name == model_name)
        if active is not None:
            query = query.where(RolloutRow.finished_at.is_(None) if active else RolloutRow.finished_at.is_not(None))
        if cursor is not None:
            query = query.where(RolloutRow.rollout_id < decode_cursor(cursor)[1])
        with self._database.read() as session:
            found = [from_row(Rollout, row) for row in session.scalars(query.limit(limit + 1))]
        return RolloutPage(*cut(found, limit, lambda each: (each.created_at, each.rollout_id)))

    def apply(self, move: RolloutMove, *, now: datetime, lease: Lease | None = None) -> Rollout:
        """Carry out a move in one transaction, if neither the rollout nor the traffic has changed since they were read.

        Args:
            move: the new state, with the revision that was read, and its traffic.
            now: time of the change.
            lease: the supervisor's. None: a user's request, whose audit entry is the request's own.

        Raises:
            StaleLease: another supervisor has taken over.
            StaleRollout: the rollout has changed in the meantime.
            TrafficChanged: the traffic was changed by hand.
        """
        rollout = move.rollout
        unchanged = [RolloutRow.rollout_id == rollout.rollout_id, RolloutRow.revision == rollout.revision]
        with self._database.write() as session:
            if lease is not None:
                unchanged.append(guard(session, lease))
            revision = rollout.traffic_revision
            if move.writes_traffic:
                who = move.who or rollout.created_by
                record = write_table(
                    session,
                    rollout.model_name,
                    move.table,
                    who=who,
                    now=now,
                    action=TrafficAction.ROLLOUT,
                    expected_revision=revision,
                )
                revision = record.revision
            values = columns(rollout) | {"revision": rollout.revision + 1, "traffic_revision": revision}
            moved = changed(session, update(RolloutRow).where(*unchanged).values(values), RolloutRow, Rollout)
            if moved is None:
                raise _stale(rollout)
            if move.event is not None:
                _tell(session, moved, move.event)
                if lease is not None:
                    act = trail.Act(moved.created_by, f"rollout.{move.event}", moved.rollout_id, workspace=moved.workspace)
                    trail.add_entry(session, act.entry(Outcome.DONE, moved.message))
            return moved

    def forget_before(self, moment: datetime) -> bool:
        """Delete rollouts that ended before, a bounded number. Returns True where there may be more."""
        old = select(RolloutRow.rollout_id).where(RolloutRow.finished_at < moment).limit(_FORGOTTEN_AT_ONCE)
        with self._database.write() as session:
            found = list(session.scalars(old))
            if found:
                session.execute(delete(RolloutRow).where(RolloutRow.rollout_id.in_(found)))
        return len(found) == _FORGOTTEN_AT_ONCE


def add_rollout(session: Session, rollout: Rollout) -> None:
    """Insert a rollout and tell its start. Raises RolloutExists."""
    active = select(RolloutRow.rollout_id).where(RolloutRow.model_name == rollout.model_name, RolloutRow.finished_at.is_(None))
    insert = insert_into(session, RolloutRow).on_conflict_do_nothing()
    if session.scalar(insert.returning(RolloutRow.rollout_id), columns(rollout)) is None:
        other = session.scalar(active)
        detail = f"{rollout.model_name!r} has a rollout that has not ended ({other}): abort it, or wait for its end."
        raise RolloutExists(detail, rollout_id=other)
    _tell(session, rollout, RolloutEventKind.STARTED)


def _tell(session: Session, rollout: Rollout, kind: RolloutEventKind) -> None:
    if kind in OF_ROLLOUT:
        outbox.record(session, rollout.workspace, lambda: rollout_event(rollout, kind))


def _stale(rollout: Rollout) -> StaleRollout:
    detail = f"The rollout {rollout.rollout_id} was changed at the same time: read it, and try again."
    return StaleRollout(detail, rollout_id=rollout.rollout_id)
