"""Scans of versions before they are deployed: the condition ``reports.refuse_models``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from raylift.access_settings import ReportSettings
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.models.files import digest_of
from raylift.domain.models.workspaces import url_in_workspace
from raylift.domain.security.report import Report, ReportState, Severity
from raylift.engines.scanners import scan_model
from raylift.store import Store

log = logging.getLogger(__name__)


class ModelScans:
    """Lets versions pass whose scan finds nothing that the setting refuses; the others become unhealthy and are not loaded.

    Passed files are remembered by their digest, while the supervisor runs. A refused version is scanned again when its
    deployment changes.
    """

    def __init__(self, settings: ReportSettings, mlflow_url: str, store: Store, clock: Callable[[], datetime]) -> None:
        self._least = Severity(settings.refuse_models) if settings.refuse_models else None
        self._mlflow_url = mlflow_url
        self._store = store
        self._clock = clock
        self._passed: set[str] = set()

    def missing(self, rows: Sequence[Deployment]) -> Collection[tuple[str, str]]:
        """Return the versions whose recorded files have not passed. Nothing without the setting."""
        if self._least is None:
            return ()
        waiting = [row for row in rows if row.files is not None and row.applied_generation != row.generation]
        return {(row.model_name, row.version) for row in waiting if digest_of(row.files or {}) not in self._passed}

    def scan(self, lease: Lease, row: Deployment) -> None:
        """Scan a version. One that is refused becomes unhealthy, with the reason.

        Raises:
            EngineUnavailable: MLflow does not answer.
            StaleLease: another supervisor has taken over.
        """
        files = row.files or {}
        url = url_in_workspace(self._mlflow_url, self._store.workspaces.of_model(row.model_name))
        problem = self._problem(scan_model(row.model_uri, url, files), row)
        if problem is None:
            self._passed.add(digest_of(files))
            return
        self._store.deployments.observe(
            lease,
            row,
            now=self._clock(),
            status=DeploymentStatus.UNHEALTHY,
            message=problem,
            applied_generation=row.generation,
        )
        log.info("%s version %s is refused: %s", row.model_name, row.version, problem)

    def _problem(self, report: Report, row: Deployment) -> str | None:
        if report.state is ReportState.NOT_RUN:
            return (
                f"Not deployed: the version cannot be scanned, which reports.refuse_models asks for. {report.detail} "
                "Deploy it again when that is mended."
            )
        refused = report.at_least(self._least or Severity.HIGH)
        if not refused:
            return None
        first, more = refused[0], f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        return (
            f"Not deployed, because reports.refuse_models is {self._least}: {report.tool} found that {first.where} "
            f"{first.what} ({first.severity}){more}. `raylift models reports {row.model_name} {row.version}` lists all. "
            "Register a version without such a pickle, for instance with skops, safetensors or a model from code; "
            "or have that setting changed."
        )
