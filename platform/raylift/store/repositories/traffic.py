"""Traffic tables, aliases as last read from MLflow, and the audit of both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from raylift.domain.errors import TrafficChanged
from raylift.domain.traffic import AliasRecord, TrafficAction, TrafficChange, TrafficRecord, TrafficTable
from raylift.domain.webhooks.event import traffic_event
from raylift.store.engine.tables import AliasRow, TrafficChangeRow, TrafficRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements import outbox
from raylift.store.statements.records import columns, from_row

MLFLOW: Final = "mlflow"
"""Author of alias changes that were made directly in MLflow."""

_ANNOUNCED_WITHIN: Final = timedelta(seconds=60)
"""An alias change seen within this time after an announcement is attributed to its author."""


class TrafficRepository:
    """Changes of one model's traffic are serialized; each writes its audit row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model_name: str) -> TrafficRecord | None:
        """Return the model's record; None where its traffic was never changed."""
        with self._database.read() as session:
            row = session.get(TrafficRow, model_name)
            return None if row is None else from_row(TrafficRecord, row)

    def list(self) -> list[TrafficRecord]:
        """Return the records that have a table, sorted by model name."""
        query = select(TrafficRow).where(TrafficRow.table.is_not(None)).order_by(TrafficRow.model_name)
        with self._database.read() as session:
            return [from_row(TrafficRecord, row) for row in session.scalars(query)]

    def put(
        self,
        model_name: str,
        table: TrafficTable | None,
        *,
        who: str,
        now: datetime,
        action: TrafficAction = TrafficAction.PUT,
        expected_revision: int | None = None,
    ) -> TrafficRecord:
        """Store ``table`` as a new revision. An equal table makes no new revision.

        Raises:
            TrafficChanged: the table is no longer at ``expected_revision``.
        """
        with self._database.write() as session:
            return write_table(session, model_name, table, who=who, now=now, action=action, expected_revision=expected_revision)

    def history(self, model_name: str, *, limit: int, before: int | None = None) -> list[TrafficChange]:
        """Return changes before the sequence number ``before``, newest first."""
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name)
        if before is not None:
            query = query.where(TrafficChangeRow.sequence < before)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(TrafficChangeRow.sequence.desc()).limit(limit))
            return [from_row(TrafficChange, row) for row in rows]

    def last_change(self, model_name: str, *, aliases: Collection[str], table: bool = True) -> TrafficChange | None:
        """Return the newest change of the table (unless ``table`` is False) or of one of ``aliases``."""
        wanted = [TrafficChangeRow.alias.in_(aliases)] + ([TrafficChangeRow.alias.is_(None)] if table else [])
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name, or_(*wanted))
        with self._database.read() as session:
            row = session.scalars(query.order_by(TrafficChangeRow.sequence.desc()).limit(1)).one_or_none()
            return None if row is None else from_row(TrafficChange, row)

    def at_revision(self, model_name: str, revision: int) -> TrafficChange | None:
        """Return the change that made ``revision``."""
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name, TrafficChangeRow.revision == revision)
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else from_row(TrafficChange, row)

    def aliases(self, model_name: str | None = None) -> list[AliasRecord]:
        """Return all aliases ever seen, or one model's, sorted by name."""
        query = select(AliasRow)
        if model_name is not None:
            query = query.where(AliasRow.model_name == model_name)
        with self._database.read() as session:
            return [from_row(AliasRecord, row) for row in session.scalars(query.order_by(AliasRow.model_name, AliasRow.alias))]

    def announce(
        self, model_name: str, alias: str, version: str | None, *, who: str, action: TrafficAction, now: datetime
    ) -> AliasRecord:
        """Record that ``who`` is about to move an alias in MLflow, so that the audit names the author.

        Returns the alias's record, to be passed to ``observe``.
        """
        with self._database.write() as session:
            _locked(session, model_name, now)
            row = _alias_row(session, model_name, alias)
            row.revision += 1
            row.announced_by, row.announced_as, row.announced_version, row.announced_at = who, action, version, now
            return from_row(AliasRecord, row)

    def observe(
        self, model_name: str, alias: str, version: str | None, *, now: datetime, known: AliasRecord | None
    ) -> TrafficChange | None:
        """Report an alias as read from MLflow. Returns None and writes nothing if it is unchanged.

        ``known`` is the store's record before MLflow was read. If it changed since, the reading is outdated and ignored.
        """
        with self._database.write() as session:
            _locked(session, model_name, now)
            row = _alias_row(session, model_name, alias)
            if row.revision != (known.revision if known else 0) or row.version == version:
                return None
            who, action = _mover(row, version, now)
            change = TrafficChange(
                model_name, 0, now, who, action, alias=alias, before_version=row.version, after_version=version
            )
            row.version, row.revision = version, row.revision + 1
            row.announced_by = row.announced_as = row.announced_version = row.announced_at = None
            return _append(session, change)


def write_table(
    session: Session,
    model_name: str,
    table: TrafficTable | None,
    *,
    who: str,
    now: datetime,
    action: TrafficAction,
    expected_revision: int | None = None,
) -> TrafficRecord:
    """Store ``table`` as a new revision within a transaction. Raises TrafficChanged."""
    row = _locked(session, model_name, now)
    present = from_row(TrafficRecord, row)
    if expected_revision is not None and present.revision != expected_revision:
        raise TrafficChanged(
            f"The traffic of {model_name} is at revision {present.revision}, not {expected_revision}: "
            "read the present table and send the change again.",
            revision=present.revision,
        )
    if present.table == table:
        return present
    record = replace(present, table=table, revision=present.revision + 1, updated_at=now, updated_by=who)
    for name, value in columns(record).items():
        setattr(row, name, value)
    change = TrafficChange(model_name, 0, now, who, action, revision=record.revision, before=present.table, after=record.table)
    _append(session, change)
    return record


def _mover(row: AliasRow, version: str | None, now: datetime) -> tuple[str, TrafficAction]:
    by, kind, at = row.announced_by, row.announced_as, row.announced_at
    if by is None or kind is None or at is None or row.announced_version != version or now - at > _ANNOUNCED_WITHIN:
        return MLFLOW, TrafficAction.ALIAS
    return by, kind


def _locked(session: Session, model_name: str, now: datetime) -> TrafficRow:
    """Return the model's row, inserted if absent and locked until the transaction ends."""
    blank = TrafficRecord(model_name, revision=0, table=None, updated_at=now, updated_by="")
    session.execute(insert_into(session, TrafficRow).on_conflict_do_nothing(), columns(blank))
    return session.scalars(select(TrafficRow).where(TrafficRow.model_name == model_name).with_for_update()).one()


def _alias_row(session: Session, model_name: str, alias: str) -> AliasRow:
    row = session.get(AliasRow, (model_name, alias))
    if row is None:
        row = AliasRow(model_name=model_name, alias=alias, revision=0)
        session.add(row)
        session.flush()
    return row


def _append(session: Session, change: TrafficChange) -> TrafficChange:
    last = session.scalar(select(func.max(TrafficChangeRow.sequence)).where(TrafficChangeRow.model_name == change.model_name))
    numbered = replace(change, sequence=(last or 0) + 1)
    session.add(TrafficChangeRow(**columns(numbered)))
    outbox.record_of_model(session, change.model_name, lambda workspace: traffic_event(numbered, workspace))
    return numbered
