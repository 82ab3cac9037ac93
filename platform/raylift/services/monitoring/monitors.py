"""The monitor of a version as a resource: its settings, windows and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from raylift.domain.errors import DeploymentNotFound, FieldError, InvalidRequest
from raylift.domain.monitoring.monitor import Alert, Monitor, MonitorSettings, MonitorState, Window
from raylift.domain.monitoring.quality_window import QualityWindow
from raylift.domain.monitoring.reference import ColumnKind
from raylift.services.ports import Clock, Registry, utc_now
from raylift.store import Store
from raylift.store.repositories.monitoring.monitors import AlertPage, QualityWindowPage, WindowPage

_SHOWN_WINDOWS: Final = 10
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class MonitorOverview:
    monitor: Monitor
    open_alerts: Sequence[Alert]
    windows: Sequence[Window]
    """The newest ones, newest first."""
    quality: Sequence[QualityWindow]
    """Likewise."""


class MonitorService:
    """Every method raises ModelNotFound or VersionNotFound for a version that does not exist."""

    def __init__(self, store: Store, registry: Registry, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def get(self, model_name: str, version: str) -> MonitorOverview:
        """Return a version's monitor, with its open alerts and newest windows."""
        found = self._find(model_name, version)
        if found is None:
            now = self._clock()
            found = Monitor(model_name, version, MonitorSettings(), None, False, MonitorState(), now, now)
            return MonitorOverview(found, [], [], [])
        return self._overview(found)

    def put(self, model_name: str, version: str, settings: MonitorSettings) -> MonitorOverview:
        """Set the settings of a version's monitor.

        Raises:
            InvalidRequest: the column of the segments is none of the reference's categories, or ``volume_drop`` has windows
                that are not the same on each day.
        """
        if settings.volume_drop is not None and _DAY_SECONDS % settings.window_seconds:
            detail = f"compares the same window of each day, and windows of {settings.window_seconds} s do not divide a day"
            raise InvalidRequest.of(FieldError("volume_drop", detail))
        found = self._find(model_name, version)
        if found is not None:
            _check_segments(found, settings)
        return self._overview(self._store.monitors.set(model_name, version, settings, self._clock()))

    def windows(self, model_name: str, version: str, *, limit: int, cursor: str | None) -> WindowPage:
        """Return a page of windows, newest first. Raises InvalidRequest for an invalid cursor."""
        self._find(model_name, version)
        return self._store.monitors.windows(model_name, version, limit=limit, cursor=cursor)

    def quality_windows(self, model_name: str, version: str, *, limit: int, cursor: str | None) -> QualityWindowPage:
        """Return a page of windows of volume and quality, newest first. Raises InvalidRequest for an invalid cursor."""
        self._find(model_name, version)
        return self._store.monitors.quality_windows(model_name, version, limit=limit, cursor=cursor)

    def alerts(self, model_name: str, version: str, *, limit: int, cursor: str | None) -> AlertPage:
        """Return a page of alerts, newest first. Raises InvalidRequest for an invalid cursor."""
        self._find(model_name, version)
        return self._store.monitors.alerts(model_name, version, limit=limit, cursor=cursor)

    def _overview(self, monitor: Monitor) -> MonitorOverview:
        key = (monitor.model_name, monitor.version)
        windows = self._store.monitors.windows(*key, limit=_SHOWN_WINDOWS).windows
        quality = self._store.monitors.quality_windows(*key, limit=_SHOWN_WINDOWS).windows
        return MonitorOverview(monitor, self._store.monitors.open_alerts(*key), windows, quality)

    def _find(self, model_name: str, version: str) -> Monitor | None:
        try:
            self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)
        return self._store.monitors.find(model_name, version)


def _check_segments(monitor: Monitor, settings: MonitorSettings) -> None:
    reference, column = monitor.reference, settings.segment_column
    if column is None or reference is None:
        return
    possible = [one.name for one in reference.columns if one.kind is ColumnKind.CATEGORY]
    if column not in possible:
        known = f"one of {', '.join(possible[:20])}" if possible else "null: the version has no column of categories"
        raise InvalidRequest.of(FieldError("segment_column", f"is no column of categories of this version: give {known}"))
