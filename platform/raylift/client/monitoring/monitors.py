"""The watch over versions: drift of inputs and answers, volume, quality, and its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from raylift.api import paths
from raylift.api.monitoring.monitors import (
    AlertPage,
    AlertView,
    DriftReportPage,
    DriftReportView,
    MonitorView,
    QualityWindowPage,
    QualityWindowView,
    WindowPage,
    WindowView,
)
from raylift.client.http.part import Part


class Monitors(Part):
    """``client.monitors``. Every method raises NotFound for a version that does not exist."""

    def get(self, name: str, version: str | int) -> MonitorView:
        """Settings, open alerts and the newest windows of one version."""
        return self._connection.view(MonitorView, "GET", paths.monitor(name, version))

    def set(self, name: str, version: str | int, **settings: Any) -> MonitorView:
        """Change settings of one version's monitor. Those that are not given stay as they are.

        Args:
            name: The model.
            version: Its version.
            settings: Fields of ``MonitorSettings``, such as window_seconds, drift_threshold, segment_column,
                minimum_volume or quality_drop.

        Raises:
            InvalidRequest: E.g. the segment's column has no categories.
        """
        before = self.get(name, version).settings.model_dump()
        return self._connection.view(MonitorView, "PUT", paths.monitor(name, version), json={**before, **settings}, resend=True)

    def windows(self, name: str, version: str | int) -> Iterator[WindowView]:
        """Iterate over the closed windows, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(WindowPage, paths.monitor(name, version, "windows"), {"limit": 100}):
            yield from page.windows

    def quality(self, name: str, version: str | int) -> Iterator[QualityWindowView]:
        """Iterate over the windows of volume and of quality from feedback, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(QualityWindowPage, paths.monitor(name, version, "quality"), {"limit": 100}):
            yield from page.windows

    def alerts(self, name: str, version: str | int) -> Iterator[AlertView]:
        """Iterate over the alerts, open and ended ones, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(AlertPage, paths.monitor(name, version, "alerts"), {"limit": 100}):
            yield from page.alerts

    def report(
        self,
        name: str,
        version: str | int,
        *,
        since: datetime | timedelta | None = None,
        until: datetime | None = None,
        reference: str | None = None,
    ) -> DriftReportView:
        """Start the job of a full report: logged requests against a reference, by Evidently.

        ``client.jobs.get(report.job_id).wait()`` waits for it; ``reports`` then has its run and artifact.

        Args:
            name: The model.
            version: Its version.
            since: Requests from then on, or from so long ago. None: since the start of the newest window, or for a day.
            until: None: now.
            reference: Dataset, ``churn-train@3``. None: the one of its training, or the requests before ``since``.

        Raises:
            InvalidRequest: The payload log has no requests of this time, or there is no reference.
        """
        start = datetime.now(UTC) - since if isinstance(since, timedelta) else since
        moments = {"since": start, "until": until}
        body = {key: moment.isoformat() for key, moment in moments.items() if moment is not None}
        if reference is not None:
            body["reference"] = reference
        return self._connection.view(DriftReportView, "POST", paths.monitor(name, version, "reports"), json=body)

    def reports(self, name: str, version: str | int) -> Iterator[DriftReportView]:
        """Iterate over the reports of one version, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(DriftReportPage, paths.monitor(name, version, "reports"), {"limit": 100}):
            yield from page.reports
