"""All jobs of a platform: looked up, listed and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raylift.api import paths
from raylift.api.job_diff import JobDiff
from raylift.api.training import JobPage
from raylift.client.http.connection import Connection
from raylift.client.jobs.job import Job
from raylift.domain.job import JobStatus


class Jobs:
    """``client.jobs``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: There is none of that id.
        """
        return Job(self._connection, job_id).refresh()

    def diff(self, first: str | Job, second: str | Job) -> JobDiff:
        """What the second job does differently from the first. Values of variables are compared on the platform, never shown.

        Raises:
            NotFound: There is none of one of the ids.
        """
        ids = [job.job_id if isinstance(job, Job) else job for job in (first, second)]
        return self._connection.view(JobDiff, "GET", paths.job_diff(*ids))

    def list(
        self,
        *,
        status: JobStatus | str | None = None,
        model: str | None = None,
        experiment: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        sweep: str | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> Iterator[Job]:
        """Jobs, newest first, fetched page by page as they are asked for.

        Args:
            status: queued, running, completed, failed or cancelled.
            model: Only those that register this model.
            experiment: Only those of this MLflow experiment.
            tag: ``"key"`` or ``"key=value"``.
            owner: Only those that named this owner.
            sweep: Only those of this sweep, by its id.
            limit: At most so many; None: all.
            page_size: Jobs a request.
        """
        filters: dict[str, Any] = {
            "status": None if status is None else str(status),
            "model_name": model,
            "experiment_name": experiment,
            "tag": tag,
            "owner": owner,
            "sweep_id": sweep,
        }
        return self._pages(filters, limit, page_size)

    def _pages(self, filters: dict[str, Any], limit: int | None, page_size: int) -> Iterator[Job]:
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = page_size if left is None else min(page_size, left)
            page = self._connection.view(JobPage, "GET", paths.JOBS, params=filters | {"limit": size, "cursor": cursor})
            for seen in page.jobs if left is None else page.jobs[:left]:
                yield Job(self._connection, seen.job_id, seen=seen)
            left = None if left is None else left - len(page.jobs)
            cursor = page.next_cursor
            if cursor is None:
                return
