"""Reports on a job's script and packages, and on a model version. Made when they are asked for, and kept for a while."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from raylift.access_settings import ReportSettings
from raylift.domain.errors import EngineUnavailable, FieldError
from raylift.domain.models.workspaces import url_in_workspace
from raylift.domain.security.report import Report, ReportState, Severity
from raylift.engines.scanners import scan_model, scan_packages, scan_script
from raylift.services.ports import Clock, Registry, utc_now
from raylift.store import Store

_KEPT: Final = 500
_PLACES: Final = 4
"""Requests that make a report or wait for their turn. Further ones are refused: each holds a thread of the gateway."""
_LASTS: Final = timedelta(hours=12)
"""Age of a report: new advisories come every day."""


class ReportService:
    """Its methods run scanners, one at a time: call them in a thread."""

    def __init__(
        self, store: Store, registry: Registry, settings: ReportSettings, mlflow_url: str, *, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._mlflow_url = mlflow_url
        self._clock = clock
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_PLACES)
        self._known: OrderedDict[str, tuple[datetime, Report]] = OrderedDict()

    def of_job(self, job_id: str) -> list[Report]:
        """Return the reports on a job's script and on its packages beyond the base.

        Raises:
            JobNotFound: there is no such job.
            EngineUnavailable: too many reports are being made.
        """
        job = self._store.jobs.get(job_id)
        lock = job.environment_lock or ()
        with self._place():
            packages = self._once(f"packages {sorted(lock)}", lambda: scan_packages(lock, osv_url=self._settings.osv_url))
            if job.spec.command is not None:
                return [packages]
            return [self._of_script(self._store.jobs.script(job.spec.script_sha256)), packages]

    def of_version(self, name: str, version: str) -> list[Report]:
        """Return the report on a version's files.

        Raises:
            ModelNotFound: there is no such model.
            VersionNotFound: there is no such version.
            EngineUnavailable: too many reports are being made, or MLflow does not answer.
        """
        found = self._registry.version(name, version)
        url = url_in_workspace(self._mlflow_url, self._store.workspaces.of_model(name))
        with self._place():
            return [self._once(f"model {found.uri} {name}/{version}", lambda: scan_model(found.uri, url))]

    def check_script(self, script: bytes) -> Iterator[FieldError]:
        """Yield an error for each finding that the settings do not let pass."""
        least = self._settings.refuse_scripts
        if least is None:
            return
        report = self._of_script(script)
        if report.state is ReportState.NOT_RUN:
            yield FieldError("script", f"cannot be scanned, which reports.refuse_scripts asks for: {report.detail}")
        for finding in report.at_least(Severity(least)):
            yield FieldError("script", f"has a finding of {report.tool}, {finding.severity}, {finding.where}: {finding.what}")

    @contextmanager
    def _place(self) -> Generator[None]:
        if not self._places.acquire(blocking=False):
            raise EngineUnavailable("The scanners are busy with other reports. Ask again in a minute.")
        try:
            yield
        finally:
            self._places.release()

    def _of_script(self, script: bytes) -> Report:
        return self._once(f"script {hashlib.sha256(script).hexdigest()}", lambda: scan_script(script))

    def _once(self, key: str, scan: Callable[[], Report]) -> Report:
        with self._lock:
            now = self._clock()
            known = self._known.get(key)
            if known is not None and now - known[0] < _LASTS:
                return known[1]
            report = scan()
            if report.state is not ReportState.NOT_RUN:
                self._known[key] = (now, report)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return report
