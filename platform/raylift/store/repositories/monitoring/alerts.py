"""Alerts of monitors in the store, with their events and their entries of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from raylift.domain.audit import AuditEntry, Outcome
from raylift.domain.identifiers import new_entry_id
from raylift.domain.monitoring.monitor import Alert, MonitorSettings
from raylift.domain.monitoring.quality_checks import has_limit
from raylift.domain.webhooks.event import alert_event
from raylift.store.engine import trail
from raylift.store.engine.monitor_tables import AlertRow
from raylift.store.engine.transactions import insert_into
from raylift.store.statements import outbox
from raylift.store.statements.records import columns, execute, from_row


def open_alerts_of(session: Session, model_name: str, version: str) -> list[Alert]:
    row = AlertRow
    query = select(row).where(row.model_name == model_name, row.version == version, row.ended_at.is_(None))
    return [from_row(Alert, one) for one in session.scalars(query.order_by(row.raised_at.desc(), row.alert_id.desc()))]


def unwatched(alerts: Sequence[Alert], before: MonitorSettings, after: MonitorSettings) -> list[Alert]:
    """Return the open alerts whose checks no window will have any more."""
    same_segments = before.segment_column == after.segment_column
    return [
        alert
        for alert in alerts
        if not after.enabled or (alert.segment is not None and not same_segments) or not has_limit(alert.check, after)
    ]


def tell_alerts(
    session: Session,
    version: tuple[str, str],
    window: tuple[datetime, datetime] | None,
    raised: Sequence[Alert],
    ended: Sequence[Alert],
    now: datetime,
) -> None:
    """Store changes of alerts with their event and their entries of the audit. ``window``: that which changed them."""
    for alert in raised:
        session.execute(insert_into(session, AlertRow), columns(alert))
    for alert in ended:
        execute(session, update(AlertRow).where(AlertRow.alert_id == alert.alert_id).values(ended_at=alert.ended_at))
    for alert in (*raised, *ended):
        trail.add_entry(session, _entry(alert, now))
    if raised or ended:
        outbox.record_of_model(
            session, version[0], lambda workspace: alert_event(version, window, workspace, raised, ended, now)
        )


def _entry(alert: Alert, now: datetime) -> AuditEntry:
    action = "monitor.alert" if alert.ended_at is None else "monitor.alert_end"
    where = f" where {alert.segment}" if alert.segment else ""
    detail = f"{alert.check} of {alert.feature}{where}: {alert.value:.4g}, limit {alert.limit:.4g}"
    target = f"{alert.model_name}/{alert.version}"
    entry_id = new_entry_id(now.timestamp())
    return AuditEntry(entry_id, now, "supervisor", None, None, None, action, target, None, Outcome.DONE, detail)
