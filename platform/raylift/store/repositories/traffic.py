"""Traffic tables, the aliases as they were last seen in MLflow, and the audit of both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from raylift.domain.errors import TrafficChanged
from raylift.domain.traffic import AliasRecord, TrafficAction, TrafficChange, TrafficRecord, TrafficTable
from raylift.store.engine.tables import AliasRow, TrafficChangeRow, TrafficRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.records import alias_of, columns, traffic_change_of, traffic_of

MLFLOW: Final = "mlflow"
"""Who moved an alias that the platform's API did not."""

_ANNOUNCED_WITHIN: Final = timedelta(seconds=60)
"""How long a move that was announced may take to be seen in MLflow and still be the announcer's."""


class TrafficRepository:
    """Every method is one transaction. What changes a model's traffic is written one after the other, with its audit row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model_name: str) -> TrafficRecord | None:
        """The model's record; None where its traffic was never touched."""
        with self._database.read() as session:
            row = session.get(TrafficRow, model_name)
            return None if row is None else traffic_of(row)

    def list(self) -> list[TrafficRecord]:
        """The models that have a table, by name."""
        # A JSON column without a value is NULL on both databases.
        query = select(TrafficRow).where(TrafficRow.table.is_not(None)).order_by(TrafficRow.model_name)
        with self._database.read() as session:
            return [traffic_of(row) for row in session.scalars(query)]

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
        """Make ``table`` the model's, as a new revision; the one there is, when it is the same table.

        Raises:
            TrafficChanged: The table is no longer at ``expected_revision``.
        """
        with self._database.write() as session:
            row = _locked(session, model_name, now)
            present = traffic_of(row)
            if expected_revision is not None and present.revision != expected_revision:
                raise TrafficChanged(
                    f"The traffic of {model_name} is at revision {present.revision}, not {expected_revision}: "
                    "look at what changed, and send it again.",
                    revision=present.revision,
                )
            if present.table == table:
                return present
            record = replace(present, table=table, revision=present.revision + 1, updated_at=now, updated_by=who)
            for name, value in columns(record).items():
                setattr(row, name, value)
            change = TrafficChange(
                model_name, 0, now, who, action, revision=record.revision, before=present.table, after=record.table
            )
            _append(session, change)
            return record

    def history(self, model_name: str, *, limit: int, before: int | None = None) -> list[TrafficChange]:
        """Changes, newest first, older than the sequence number ``before``."""
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name)
        if before is not None:
            query = query.where(TrafficChangeRow.sequence < before)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(TrafficChangeRow.sequence.desc()).limit(limit))
            return [traffic_change_of(row) for row in rows]

    def last_change(self, model_name: str, *, aliases: Collection[str], table: bool = True) -> TrafficChange | None:
        """The newest change of the table (unless ``table`` is False) or of one of ``aliases``."""
        wanted = [TrafficChangeRow.alias.in_(aliases)] + ([TrafficChangeRow.alias.is_(None)] if table else [])
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name, or_(*wanted))
        with self._database.read() as session:
            row = session.scalars(query.order_by(TrafficChangeRow.sequence.desc()).limit(1)).one_or_none()
            return None if row is None else traffic_change_of(row)

    def at_revision(self, model_name: str, revision: int) -> TrafficChange | None:
        """The change that made ``revision``."""
        query = select(TrafficChangeRow).where(TrafficChangeRow.model_name == model_name, TrafficChangeRow.revision == revision)
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else traffic_change_of(row)

    def aliases(self, model_name: str | None = None) -> list[AliasRecord]:
        """All aliases ever seen, or one model's, by name."""
        query = select(AliasRow)
        if model_name is not None:
            query = query.where(AliasRow.model_name == model_name)
        with self._database.read() as session:
            return [alias_of(row) for row in session.scalars(query.order_by(AliasRow.model_name, AliasRow.alias))]

    def announce(
        self, model_name: str, alias: str, version: str | None, *, who: str, action: TrafficAction, now: datetime
    ) -> AliasRecord:
        """Say that ``who`` is about to move an alias in MLflow, so that whoever sees it moved knows whose doing it was.

        Returns what was known of it, to be given to ``observe``.
        """
        with self._database.write() as session:
            _locked(session, model_name, now)
            row = _alias_row(session, model_name, alias)
            row.revision += 1
            row.announced_by, row.announced_as, row.announced_version, row.announced_at = who, action, version, now
            return alias_of(row)

    def observe(
        self, model_name: str, alias: str, version: str | None, *, now: datetime, known: AliasRecord | None
    ) -> TrafficChange | None:
        """Report where MLflow has an alias; None, and nothing written, when that is known already.

        ``known`` is what the store had before MLflow was asked: when something was written since, the look is out of date.
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


def _mover(row: AliasRow, version: str | None, now: datetime) -> tuple[str, TrafficAction]:
    by, kind, at = row.announced_by, row.announced_as, row.announced_at
    if by is None or kind is None or at is None or row.announced_version != version or now - at > _ANNOUNCED_WITHIN:
        return MLFLOW, TrafficAction.ALIAS
    return by, kind


def _locked(session: Session, model_name: str, now: datetime) -> TrafficRow:
    """The model's row, made if absent, which no other transaction changes until this one ends."""
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
    return numbered
