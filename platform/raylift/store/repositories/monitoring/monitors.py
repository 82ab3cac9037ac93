"""Monitors of versions, their windows and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, literal, select, tuple_, update

from raylift.domain.audit import AuditEntry, Outcome
from raylift.domain.errors import StaleMonitor
from raylift.domain.identifiers import new_entry_id
from raylift.domain.lease import Lease
from raylift.domain.monitoring.monitor import Alert, Monitor, MonitorSettings, MonitorState, Window
from raylift.domain.monitoring.reference import Reference
from raylift.domain.webhooks.event import alert_event
from raylift.store.engine import trail
from raylift.store.engine.columns import Key, UtcDateTime
from raylift.store.engine.monitor_tables import AlertRow, MonitorRow, WindowRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements import outbox
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
        query = select(row.model_name, row.version, row.settings, row.is_read, row.reference.is_not(None), row.since)
        with self._database.read() as session:
            return [MonitorHead(*found) for found in session.execute(query)]

    def set(self, model_name: str, version: str, settings: MonitorSettings, now: datetime) -> Monitor:
        """Set the settings of a version's monitor, and make it where there is none. Its streaks begin again."""
        with self._database.write() as session:
            row = MonitorRow
            new = Monitor(model_name, version, settings, None, False, MonitorState(), now, now)
            session.execute(insert_into(session, row).on_conflict_do_nothing(), columns(new))
            is_it = (row.model_name == model_name, row.version == version)
            query = select(row.settings, row.state, row.since).where(*is_it).with_for_update()
            before, state, since = session.execute(query).one().tuple()
            values: dict[str, Any] = {
                "settings": settings,
                "state": replace(state, streaks={}),
                "since": now if settings.enabled and not before.enabled else since,
                "updated_at": now,
                "revision": row.revision + 1,
            }
            return _require(changed(session, update(row).where(*is_it).values(values), row, Monitor), model_name, version)

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
            guard(session, lease)
            statement = _unchanged(monitor).values(
                {"state": state, "since": window.end_at, "updated_at": now, "revision": monitor.revision + 1}
            )
            _require(changed(session, statement, MonitorRow, Monitor), monitor.model_name, monitor.version)
            session.execute(insert_into(session, WindowRow), columns(window))
            for alert in raised:
                session.execute(insert_into(session, AlertRow), columns(alert))
            for alert in ended:
                execute(session, update(AlertRow).where(AlertRow.alert_id == alert.alert_id).values(ended_at=alert.ended_at))
            for alert in (*raised, *ended):
                trail.add_entry(session, _entry(alert, now))
            if raised or ended:
                outbox.record_of_model(
                    session, monitor.model_name, lambda workspace: alert_event(window, workspace, raised, ended, now)
                )

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
        row = AlertRow
        query = select(row).where(row.model_name == model_name, row.version == version, row.ended_at.is_(None))
        with self._database.read() as session:
            return [from_row(Alert, one) for one in session.scalars(query.order_by(row.raised_at.desc(), row.alert_id.desc()))]

    def forget_before(self, moment: datetime) -> bool:
        """Delete a batch of windows and ended alerts from before ``moment``. Returns True where more may be left."""
        window, alert = WindowRow, AlertRow
        key = (window.model_name, window.version, window.start_at)
        with self._database.write() as session:
            windows = session.execute(select(*key).where(window.end_at < moment).limit(_REMOVED_AT_ONCE)).all()
            if windows:
                execute(session, delete(window).where(tuple_(*key).in_([tuple(one) for one in windows])))
            is_due = (alert.raised_at < moment, alert.ended_at.is_not(None))
            alerts = list(session.scalars(select(alert.alert_id).where(*is_due).limit(_REMOVED_AT_ONCE)))
            if alerts:
                execute(session, delete(alert).where(alert.alert_id.in_(alerts)))
        return _REMOVED_AT_ONCE in (len(windows), len(alerts))


def _unchanged(monitor: Monitor) -> Any:
    row = MonitorRow
    is_same = (row.model_name == monitor.model_name, row.version == monitor.version, row.revision == monitor.revision)
    return update(row).where(*is_same)


def _require(found: Monitor | None, model_name: str, version: str) -> Monitor:
    if found is None:
        raise StaleMonitor(f"The monitor of {model_name} version {version} was changed at the same time: try again.")
    return found


def _entry(alert: Alert, now: datetime) -> AuditEntry:
    action = "monitor.alert" if alert.ended_at is None else "monitor.alert_end"
    where = f" where {alert.segment}" if alert.segment else ""
    detail = f"{alert.check} of {alert.feature}{where}: {alert.value:.4g}, limit {alert.limit:.4g}"
    target = f"{alert.model_name}/{alert.version}"
    entry_id = new_entry_id(now.timestamp())
    return AuditEntry(entry_id, now, "supervisor", None, None, None, action, target, None, Outcome.DONE, detail)
