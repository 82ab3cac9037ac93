"""Monitors of versions, their windows and alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, literal, select, tuple_, update
from sqlalchemy.orm import Session

from raylift.domain.errors import StaleMonitor
from raylift.domain.lease import Lease
from raylift.domain.monitoring.monitor import Alert, Monitor, MonitorSettings, MonitorState, Window
from raylift.domain.monitoring.quality_window import QualityWindow, ScoreState
from raylift.domain.monitoring.reference import Reference
from raylift.store.engine.columns import Key, UtcDateTime
from raylift.store.engine.monitor_tables import AlertRow, MonitorRow, QualityWindowRow, WindowRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.repositories.monitoring.alerts import open_alerts_of, tell_alerts, unwatched
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.pages import cut, decode_cursor
from raylift.store.statements.records import changed, columns, execute, from_row

_REMOVED_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class MonitorHead:
    """Part of a monitor that is read every few seconds."""

    model_name: str
    version: str
    settings: MonitorSettings
    is_read: bool
    has_reference: bool
    since: datetime
    scored_until: datetime | None

    @property
    def key(self) -> tuple[str, str]:
        return self.model_name, self.version


@dataclass(frozen=True, slots=True)
class WindowPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    windows: list[Window]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    alerts: list[Alert]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class QualityWindowPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    windows: list[QualityWindow]
    next_cursor: str | None


class MonitorRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, model_name: str, version: str) -> Monitor | None:
        """Return a monitor; None where none was made yet."""
        with self._database.read() as session:
            row = session.get(MonitorRow, (model_name, version))
            return None if row is None else from_row(Monitor, row)

    def heads(self) -> list[MonitorHead]:
        """Return all monitors without their references and states, which are large."""
        row = MonitorRow
        query = select(
            row.model_name, row.version, row.settings, row.is_read, row.reference.is_not(None), row.since, row.scored_until
        )
        with self._database.read() as session:
            return [MonitorHead(*found) for found in session.execute(query)]

    def set(self, model_name: str, version: str, settings: MonitorSettings, now: datetime) -> Monitor:
        """Set the settings of a version's monitor, and make it where there is none. Its streaks begin again.

        Alerts that nothing would end any more end now: those of a monitor that is switched off, or of other segments.
        """
        with self._database.write() as session:
            row = MonitorRow
            new = Monitor(model_name, version, settings, None, False, MonitorState(), now, now)
            session.execute(insert_into(session, row).on_conflict_do_nothing(), columns(new))
            is_it = (row.model_name == model_name, row.version == version)
            query = select(row.settings, row.state, row.since, row.scored_until, row.scores).where(*is_it).with_for_update()
            before, state, since, scored_until, scores = session.execute(query).one().tuple()
            begins = settings.enabled and not before.enabled
            values: dict[str, Any] = {
                "settings": settings,
                "state": replace(state, streaks={}),
                "since": now if begins else since,
                # The first look finds out where the counters are.
                "scored_until": None if begins else scored_until,
                "scores": None if begins or scores is None else replace(scores, streaks={}),
                "updated_at": now,
                "revision": row.revision + 1,
            }
            monitor = _require(changed(session, update(row).where(*is_it).values(values), row, Monitor), model_name, version)
            over = unwatched(open_alerts_of(session, model_name, version), before, settings)
            tell_alerts(session, _key(monitor), None, [], [replace(alert, ended_at=now) for alert in over], now)
            return monitor

    def begin(self, lease: Lease, model_name: str, version: str, reference: Reference | None, now: datetime) -> None:
        """Store the reference of a version, from whose first window on it is watched. Raises StaleLease."""
        with self._database.write() as session:
            guard(session, lease)
            new = Monitor(model_name, version, MonitorSettings(), reference, True, MonitorState(), now, now)
            values = {"reference": reference, "is_read": True, "since": now, "updated_at": now}
            insert = insert_into(session, MonitorRow)
            excluded = insert.excluded
            upsert = insert.on_conflict_do_update(
                index_elements=["model_name", "version"],
                set_={name: excluded[name] for name in values} | {"revision": MonitorRow.revision + 1},
            )
            session.execute(upsert, columns(new))

    def close_window(
        self,
        lease: Lease,
        monitor: Monitor,
        window: Window,
        state: MonitorState,
        *,
        raised: Sequence[Alert],
        ended: Sequence[Alert],
        now: datetime,
    ) -> None:
        """Store a window with all that it changes, in one transaction: alerts, events of webhooks, entries of the audit.

        Raises:
            StaleLease: another supervisor has taken over.
            StaleMonitor: the monitor has changed since it was read; read it again.
        """
        with self._database.write() as session:
            _advance(session, lease, monitor, {"state": state, "since": window.end_at, "updated_at": now})
            session.execute(insert_into(session, WindowRow), columns(window))
            tell_alerts(session, _key(monitor), (window.start_at, window.end_at), raised, ended, now)

    def begin_scores(self, lease: Lease, monitor: Monitor, scores: ScoreState, since: datetime) -> None:
        """Store where the first window of volume and quality begins.

        Raises:
            StaleLease: another supervisor has taken over.
            StaleMonitor: the monitor has changed since it was read; read it again.
        """
        with self._database.write() as session:
            _advance(session, lease, monitor, {"scores": scores, "scored_until": since})

    def close_quality(
        self,
        lease: Lease,
        monitor: Monitor,
        window: QualityWindow,
        scores: ScoreState,
        *,
        raised: Sequence[Alert],
        ended: Sequence[Alert],
        now: datetime,
    ) -> None:
        """Store a window of volume and quality with all that it changes, in one transaction.

        Raises:
            StaleLease: another supervisor has taken over.
            StaleMonitor: the monitor has changed since it was read; read it again.
        """
        with self._database.write() as session:
            _advance(session, lease, monitor, {"scores": scores, "scored_until": window.end_at, "updated_at": now})
            session.execute(insert_into(session, QualityWindowRow), columns(window))
            tell_alerts(session, _key(monitor), (window.start_at, window.end_at), raised, ended, now)

    def quality_windows(self, model_name: str, version: str, *, limit: int, cursor: str | None = None) -> QualityWindowPage:
        """Return one page. Raises InvalidRequest for an invalid cursor."""
        row = QualityWindowRow
        query = select(row).where(row.model_name == model_name, row.version == version)
        if cursor is not None:
            query = query.where(row.start_at < literal(decode_cursor(cursor)[0], UtcDateTime()))
        with self._database.read() as session:
            rows = session.scalars(query.order_by(row.start_at.desc()).limit(limit + 1))
            found = [from_row(QualityWindow, one) for one in rows]
        return QualityWindowPage(*cut(found, limit, lambda one: (one.start_at, one.version)))

    def rows_of_windows(self, model_name: str, version: str, spans: Sequence[tuple[datetime, datetime]]) -> list[int]:
        """Return the answered rows of the windows from and to these moments, as far as they are known."""
        row, starts = QualityWindowRow, [start for start, _ in spans]
        query = select(row.rows, row.start_at, row.end_at)
        query = query.where(row.model_name == model_name, row.version == version, row.start_at.in_(starts))
        with self._database.read() as session:
            return [rows for rows, *span in session.execute(query) if tuple(span) in spans]

    def windows(self, model_name: str, version: str, *, limit: int, cursor: str | None = None) -> WindowPage:
        """Return one page. Raises InvalidRequest for an invalid cursor."""
        row = WindowRow
        query = select(row).where(row.model_name == model_name, row.version == version)
        if cursor is not None:
            query = query.where(row.start_at < literal(decode_cursor(cursor)[0], UtcDateTime()))
        with self._database.read() as session:
            rows = session.scalars(query.order_by(row.start_at.desc()).limit(limit + 1))
            found = [from_row(Window, one) for one in rows]
        return WindowPage(*cut(found, limit, lambda one: (one.start_at, one.version)))

    def alerts(self, model_name: str, version: str, *, limit: int, cursor: str | None = None) -> AlertPage:
        """Return one page. Raises InvalidRequest for an invalid cursor."""
        row = AlertRow
        query = select(row).where(row.model_name == model_name, row.version == version)
        if cursor is not None:
            at, alert_id = decode_cursor(cursor)
            query = query.where(
                tuple_(row.raised_at, row.alert_id) < tuple_(literal(at, UtcDateTime()), literal(alert_id, Key()))
            )
        query = query.order_by(row.raised_at.desc(), row.alert_id.desc()).limit(limit + 1)
        with self._database.read() as session:
            found = [from_row(Alert, one) for one in session.scalars(query)]
        return AlertPage(*cut(found, limit, lambda one: (one.raised_at, one.alert_id)))

    def open_alerts(self, model_name: str, version: str) -> list[Alert]:
        """Return the alerts that have not ended, newest first."""
        with self._database.read() as session:
            return open_alerts_of(session, model_name, version)

    def forget_before(self, moment: datetime) -> bool:
        """Delete a batch of windows and ended alerts from before ``moment``. Returns True where more may be left."""
        alert = AlertRow
        with self._database.write() as session:
            counts = [_forget_windows(session, WindowRow, moment), _forget_windows(session, QualityWindowRow, moment)]
            is_due = (alert.raised_at < moment, alert.ended_at.is_not(None))
            alerts = list(session.scalars(select(alert.alert_id).where(*is_due).limit(_REMOVED_AT_ONCE)))
            if alerts:
                execute(session, delete(alert).where(alert.alert_id.in_(alerts)))
        return _REMOVED_AT_ONCE in (*counts, len(alerts))


def _forget_windows(session: Session, row: type[WindowRow] | type[QualityWindowRow], moment: datetime) -> int:
    key = (row.model_name, row.version, row.start_at)
    found = session.execute(select(*key).where(row.end_at < moment).limit(_REMOVED_AT_ONCE)).all()
    if found:
        execute(session, delete(row).where(tuple_(*key).in_([tuple(one) for one in found])))
    return len(found)


def _key(monitor: Monitor) -> tuple[str, str]:
    return monitor.model_name, monitor.version


def _advance(session: Session, lease: Lease, monitor: Monitor, values: Mapping[str, Any]) -> None:
    """Change a monitor that is as it was read. Raises StaleLease, StaleMonitor."""
    guard(session, lease)
    statement = _unchanged(monitor).values({**values, "revision": monitor.revision + 1})
    _require(changed(session, statement, MonitorRow, Monitor), *_key(monitor))


def _unchanged(monitor: Monitor) -> Any:
    row = MonitorRow
    is_same = (row.model_name == monitor.model_name, row.version == monitor.version, row.revision == monitor.revision)
    return update(row).where(*is_same)


def _require(found: Monitor | None, model_name: str, version: str) -> Monitor:
    if found is None:
        raise StaleMonitor(f"The monitor of {model_name} version {version} was changed at the same time: try again.")
    return found
