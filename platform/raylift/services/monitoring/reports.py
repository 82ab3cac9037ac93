"""Submits and lists reports of drift: jobs that compare logged requests with a reference, by Evidently."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

from raylift.domain.errors import DeploymentNotFound, FieldError, InvalidRequest
from raylift.domain.identifiers import DEFAULT_OWNER
from raylift.domain.job import Job, Network
from raylift.domain.monitoring import report
from raylift.domain.monitoring.monitor import Monitor
from raylift.domain.monitoring.report import ReportRequest
from raylift.engines.metrics.payload_files import read_exchanges
from raylift.services.jobs.training import Submission, TrainingService
from raylift.services.ports import Clock, Registry, utc_now
from raylift.services.uploads.checks import UploadChecks
from raylift.services.uploads.request import UploadRequest
from raylift.store import JobFilter, Store

_DAY: Final = timedelta(days=1)
_BEFORE: Final = timedelta(days=7)
"""Requests that are the reference come from so long before."""
_MOST_LOG_BYTES: Final = 64 * 1024**2
_MOST_BODY_BYTES: Final = 24 * 1024**2
"""Bodies of each side of a report, the newest ones."""
_MOST_FEEDBACK: Final = 10_000
_TIMEOUT_SECONDS: Final = 1800


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    jobs: list[Job]
    next_cursor: str | None


class DriftReports:
    """Every method raises ModelNotFound or VersionNotFound for a version that does not exist."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        uploads: UploadChecks,
        training: TrainingService,
        payloads_dir: Path,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self._registry = store, registry
        self._uploads, self._training = uploads, training
        self._payloads_dir = payloads_dir
        self._clock = clock

    def submit(self, model_name: str, version: str, request: ReportRequest, *, owner: str | None, workspace: str) -> Submission:
        """Commit the job of a report to the store.

        Raises:
            InvalidRequest: the payload log has no requests of this time, or a field is wrong.
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
        """
        self._require(model_name, version)
        monitor = self._store.monitors.find(model_name, version)
        since, until = self._span(model_name, version, request)
        current = self._requests(model_name, version, since, until)
        if not current:
            _refuse(
                "since",
                f"the payload log has no answered requests from {since.isoformat()} to {until.isoformat()}: "
                "switch it on (raylift deployments set NAME VERSION --payload-log 1), or give another time",
            )
        files = {report.CURRENT_FILE: _packed(current)}
        dataset = request.reference if request.reference is not None else self._dataset(model_name, version)
        described = dataset or f"requests before {since.isoformat()}"
        if dataset is None:
            before = self._requests(model_name, version, since - _BEFORE, since)
            if not before:
                _refuse(
                    "reference",
                    f"is required: the payload log has no requests before {since.isoformat()}, and the version "
                    "was not trained on one dataset. Name a dataset, or give a later since",
                )
            files[report.REFERENCE_FILE] = _packed(before)
        upload = UploadRequest(
            experiment_name=model_name,
            project=_project(files, monitor),
            entrypoint=report.SCRIPT_NAME,
            requirements=report.REQUIREMENTS,
            environment={"DO_NOT_TRACK": "1"},
            data={} if dataset is None else {report.DATA_ALIAS: dataset},
            timeout_seconds=_TIMEOUT_SECONDS,
            autolog=False,
            deploy=False,
            network=Network.MLFLOW_ONLY,
            owner=owner or DEFAULT_OWNER,
            workspace=workspace,
        )
        checked = self._uploads.check(upload)
        tags = {
            report.TAG_REPORT: f"{model_name}/{version}",
            report.TAG_SPAN: f"{since.isoformat()}/{until.isoformat()}",
            report.TAG_REFERENCE: described,
        }
        return self._training.submit(replace(checked, spec=replace(checked.spec, tags=tags)))

    def page(self, model_name: str, version: str, *, workspace: str | None, limit: int, cursor: str | None) -> ReportPage:
        """Return a page of the jobs of a version's reports, newest first. Raises InvalidRequest for an invalid cursor."""
        self._require(model_name, version)
        wanted = JobFilter(tag=(report.TAG_REPORT, f"{model_name}/{version}"), workspace=workspace)
        page = self._training.page(wanted, limit=limit, cursor=cursor)
        return ReportPage(page.jobs, page.next_cursor)

    def _require(self, model_name: str, version: str) -> None:
        try:
            self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)

    def _span(self, model_name: str, version: str, request: ReportRequest) -> tuple[datetime, datetime]:
        """Return the times of the requests. The default is the newest window, up to now; a day where there is none."""
        until = request.until or self._clock()
        if request.since is not None:
            since = request.since
        else:
            windows = self._store.monitors.windows(model_name, version, limit=1).windows
            since = windows[0].start_at if windows and windows[0].start_at < until else until - _DAY
        if since >= until:
            _refuse("since", f"is {since.isoformat()}, which is not before until, {until.isoformat()}")
        return since, until

    def _requests(self, model_name: str, version: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """Return the newest logged requests of a span of time with their true values, up to a size."""
        found = read_exchanges(self._payloads_dir, model_name, version, since=since, until=until, max_bytes=_MOST_LOG_BYTES)
        told = self._store.feedback.between(model_name, version, since, self._clock(), limit=_MOST_FEEDBACK)
        true_values = {one.request_id: one.true_value for one in told}
        kept: list[dict[str, Any]] = []
        left = _MOST_BODY_BYTES
        for row in sorted(found, key=lambda row: row["time"], reverse=True):
            left -= len(row["inputs"]) + len(row["outputs"] or "")
            if left < 0:
                break
            true_value = true_values.get(row["request_id"])
            kept.append({"inputs": row["inputs"], "outputs": row["outputs"], "true_value": true_value})
        return kept

    def _dataset(self, model_name: str, version: str) -> str | None:
        """Return the dataset that the version was trained on, if it was one."""
        try:
            job_id = self._store.deployments.get(model_name, version).job_id
        except DeploymentNotFound:
            return None
        data: Sequence[Any] = () if job_id is None else self._store.jobs.get(job_id).spec.data
        return f"{data[0].name}@{data[0].version}" if len(data) == 1 else None


def _packed(requests: Sequence[dict[str, Any]]) -> bytes:
    # The archive's own compression counts against the limit of its ratio; requests are very alike.
    return gzip.compress("".join(f"{json.dumps(one)}\n" for one in requests).encode(), 5, mtime=0)


def _project(files: dict[str, bytes], monitor: Monitor | None) -> bytes:
    reference = None if monitor is None else monitor.reference
    order = {"columns": [] if reference is None else [column.name for column in reference.columns]}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr(report.SCRIPT_NAME, report.SCRIPT)
        packed.writestr(report.ORDER_FILE, json.dumps(order))
        for name, content in files.items():
            packed.writestr(name, content)
    return archive.getvalue()


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidRequest.of(FieldError(field, message))
