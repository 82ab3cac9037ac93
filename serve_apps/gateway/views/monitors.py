"""Monitors of versions in the REST API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from raylift.api.monitoring import monitors as wire
from raylift.domain.job import Job, JobStatus
from raylift.domain.monitoring import report
from raylift.domain.monitoring.monitor import Alert, Figures, Monitor, MonitorSettings, Window
from raylift.domain.monitoring.quality_window import QualityWindow
from raylift.domain.monitoring.reference import Reference
from raylift.services.monitoring.monitors import MonitorOverview


def monitor_view(overview: MonitorOverview) -> wire.MonitorView:
    monitor = overview.monitor
    return wire.MonitorView(
        model_name=monitor.model_name,
        model_version=monitor.version,
        status=_status(monitor),
        settings=wire.MonitorSettings(**asdict(monitor.settings)),
        reference=None if monitor.reference is None else _reference_view(monitor.reference),
        since=monitor.since if _status(monitor) == "watching" else None,
        open_alerts=[alert_view(alert) for alert in overview.open_alerts],
        windows=[window_view(window) for window in overview.windows],
        quality=[quality_window_view(window) for window in overview.quality],
    )


def settings_of(body: wire.MonitorSettings) -> MonitorSettings:
    return MonitorSettings(**body.model_dump())


def window_view(window: Window) -> wire.WindowView:
    return wire.WindowView(
        start=window.start_at,
        end=window.end_at,
        rows_seen=window.rows_seen,
        rows_sketched=window.rows_sketched,
        is_compared=window.is_compared,
        figures=[_figures_view(figures) for figures in window.figures],
    )


def quality_window_view(window: QualityWindow) -> wire.QualityWindowView:
    found = asdict(window)
    return wire.QualityWindowView.model_validate(found | {"start": window.start_at, "end": window.end_at})


def alert_view(alert: Alert) -> wire.AlertView:
    return wire.AlertView(
        alert_id=alert.alert_id,
        check=alert.check.value,
        feature=alert.feature,
        segment=alert.segment,
        value=alert.value,
        limit=alert.limit,
        window_start=alert.window_at,
        raised_at=alert.raised_at,
        ended_at=alert.ended_at,
    )


def report_view(job: Job) -> wire.DriftReportView:
    since, until = map(datetime.fromisoformat, job.spec.tags[report.TAG_SPAN].split("/"))
    return wire.DriftReportView(
        job_id=job.job_id,
        status=job.status,
        message=job.message,
        created_at=job.created_at,
        finished_at=job.finished_at,
        since=since,
        until=until,
        reference=job.spec.tags[report.TAG_REFERENCE],
        run_id=job.mlflow_run_id,
        artifact=report.ARTIFACT if job.status is JobStatus.COMPLETED else None,
    )


def _figures_view(figures: Figures) -> wire.FiguresView:
    return wire.FiguresView.model_validate(asdict(figures) | {"breaches": [check.value for check in figures.breaches]})


def _reference_view(reference: Reference) -> wire.ReferenceView:
    columns = [wire.ReferenceColumnView(name=column.name, kind=column.kind.value) for column in reference.columns]
    return wire.ReferenceView(rows=reference.rows, columns=columns, has_answers=reference.answers is not None)


def _status(monitor: Monitor) -> wire.MonitorStatus:
    if not monitor.settings.enabled:
        return "off"
    if not monitor.is_read:
        return "waiting"
    return "no_reference" if monitor.reference is None else "watching"
