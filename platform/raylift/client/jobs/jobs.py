"""The collection of all jobs: get, list and compare."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from raylift.api import paths
from raylift.api.jobs.diff import JobDiff
from raylift.api.training import JobPage
from raylift.client.http.part import Part
from raylift.client.jobs.job import Job
from raylift.client.notebook.html import jobs_html
from raylift.domain.job import JobStatus, Reason

_SHOWN: Final = 20
"""Jobs that a notebook shows."""


class Jobs(Part):
    """``client.jobs``."""

    def _repr_html_(self) -> str:
        return jobs_html((job.summary for job in self.list(limit=_SHOWN)), self._connection.base_url)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            NotFound: No job has this id.
        """
        return Job(self._connection, job_id).refresh()

    def diff(self, first: str | Job, second: str | Job) -> JobDiff:
        """Differences of the second job from the first. Values of environment variables are compared, but never shown.

        Raises:
            NotFound: No job has one of the ids.
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
        schedule: str | None = None,
        reason: Reason | str | None = None,
        text: str | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> Iterator[Job]:
        """Iterate over jobs, newest first. Pages are fetched when needed.

        Args:
            status: queued, running, completed, failed or cancelled.
            model: Only jobs that register this model.
            experiment: Only jobs of this MLflow experiment.
            tag: ``"key"`` or ``"key=value"``.
            owner: Only jobs of this owner.
            sweep: Only jobs of the sweep with this id.
            schedule: Only jobs that the schedule of this name made.
            reason: Only jobs with this reason of a failure, a cancellation or a wait, e.g. ``"out_of_memory"``.
            text: Only jobs with this text in their id, model, experiment or owner.
            limit: Number of jobs at most. None: all.
            page_size: Jobs per request.
        """
        filters: dict[str, Any] = {
            "status": None if status is None else str(status),
            "model_name": model,
            "experiment_name": experiment,
            "tag": tag,
            "owner": owner,
            "sweep_id": sweep,
            "schedule": schedule,
            "reason": None if reason is None else str(reason),
            "q": text,
        }
        size = page_size if limit is None else min(page_size, limit)
        pages = self._connection.pages(JobPage, paths.JOBS, filters | {"limit": size})
        jobs = (Job(self._connection, summary.job_id, fetched=summary) for page in pages for summary in page.jobs)
        return islice(jobs, limit)
