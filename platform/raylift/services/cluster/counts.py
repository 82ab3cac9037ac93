"""Counts of jobs and deployments by status, for metrics and the overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raylift.domain.job import JobStatus, Reason
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.store import Store


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """Every status is present, if only with 0: a graph then shows that nothing is left."""

    jobs: Mapping[JobStatus, int]
    deployments: Mapping[DeploymentStatus, int]
    failed_jobs: Mapping[Reason, int]


@dataclass(frozen=True, slots=True)
class _JobCounts:
    mark: str
    by_status: Mapping[JobStatus, int]
    failed: Mapping[Reason, int]


class StatusCounter:
    """Counts jobs again only after a write to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: dict[str | None, _JobCounts] = {}
        """By workspace; None: of all."""

    def take(self) -> StatusCounts:
        """Count those of all workspaces."""
        return self.of(self._store.deployments.list())

    def of(self, deployments: Iterable[Deployment], *, workspace: str | None = None) -> StatusCounts:
        """Count these deployments, and the jobs of one workspace; None: of all."""
        jobs = self._jobs(workspace)
        statuses = Counter(deployment.status for deployment in deployments)
        return StatusCounts(
            {status: jobs.by_status.get(status, 0) for status in JobStatus},
            {status: statuses[status] for status in DeploymentStatus},
            jobs.failed,
        )

    def _jobs(self, workspace: str | None) -> _JobCounts:
        # The mark first: a write during the count makes the next call count again.
        mark = self._store.changes.mark()
        last = self._last.get(workspace)
        if last is None or last.mark != mark:
            counts = self._store.jobs.count_by_status(workspace), self._store.history.failed_by_reason(workspace)
            last = self._last[workspace] = _JobCounts(mark, *counts)
        return last
