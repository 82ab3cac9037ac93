"""The handle of one job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, overload

from raylift.api import paths
from raylift.api.run_history import JobMetrics
from raylift.api.security.reports import ReportList, ReportView
from raylift.api.training import AttemptList, AttemptView, EventList, EventView, JobAccepted, JobSummary, JobView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.log_stream import follow_log
from raylift.client.jobs.upload import ids_of, workers_field
from raylift.client.jobs.waiting import is_final, wait_until_final
from raylift.client.notebook.html import job_html
from raylift.client.notebook.widgets import WidgetDisplay, has_widgets
from raylift.domain.job import JobStatus

if TYPE_CHECKING:
    from raylift.client.jobs.progress import ProgressDisplay

    Display = WidgetDisplay | ProgressDisplay

Report = Callable[[JobView | None, RayliftError | None], None]
"""Called with each fetched view, or with the error of a failed fetch."""


class Job:
    """A handle of one job.

    Its attributes come from the last fetch: ``refresh()`` and ``wait()`` fetch again, and the first attribute that is read
    fetches if necessary.
    """

    def __init__(
        self,
        connection: Connection,
        job_id: str,
        *,
        fetched: JobView | JobSummary | None = None,
        acknowledgement: dict[str, Any] | None = None,
    ) -> None:
        self._connection = connection
        self._job_id = job_id
        self._view = fetched if isinstance(fetched, JobView) else None
        self._summary = fetched
        self.acknowledgement = acknowledgement
        """JSON answer to the upload or the rerun that made this handle; else None."""

    def __repr__(self) -> str:
        return f"<Job {self._job_id} {self._summary.status}>" if self._summary else f"<Job {self._job_id}>"

    def _repr_html_(self) -> str:
        return job_html(self.summary, self._connection.base_url)

    @property
    def base_url(self) -> str:
        """Address of its platform."""
        return self._connection.base_url

    @property
    def job_id(self) -> str:
        return self._job_id

    @property
    def view(self) -> JobView:
        """The whole job as of the last fetch."""
        return self._view or self._fetch()

    @property
    def summary(self) -> JobSummary:
        """The job as in a list. Needs no request for a job from ``client.jobs.list()``."""
        return self._summary or self.view

    @property
    def status(self) -> JobStatus:
        return JobStatus(self.summary.status)

    @property
    def is_final(self) -> bool:
        """True if the job completed, failed or was cancelled."""
        return is_final(self.summary)

    @property
    def phase(self) -> str:
        return self.view.phase

    @property
    def reason(self) -> str | None:
        """Reason of the status, from a closed list: for waiting, failure or cancellation."""
        return self.summary.reason

    @property
    def message(self) -> str | None:
        return self.summary.message

    @property
    def experiment_name(self) -> str:
        return self.summary.experiment_name

    @property
    def model_name(self) -> str | None:
        return self.summary.model_name

    @property
    def model_version(self) -> str | None:
        """The registered version."""
        return self.summary.model_version

    @property
    def mlflow_run_id(self) -> str | None:
        return self.summary.mlflow_run_id

    @property
    def metrics(self) -> dict[str, float]:
        return self.view.metrics

    @property
    def tags(self) -> dict[str, str]:
        return self.summary.tags

    @property
    def created_at(self) -> datetime:
        return self.summary.created_at

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the script's start to its end, or to the last fetch."""
        return self.summary.duration_seconds

    @property
    def exit_code(self) -> int | None:
        return self.view.exit_code

    def refresh(self) -> Job:
        """Fetch the job again."""
        self._fetch()
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool | Report = True,
        poll: float = 0.5,
        raise_on_failure: bool = True,
    ) -> Job:
        """Wait until the job has ended. The platform may be unavailable for up to a minute, e.g. while it restarts.

        Args:
            timeout: Seconds to wait. None: no limit.
            progress: True shows phases and elapsed time on stderr; in a notebook with ipywidgets, in one place. A function is
                called with each fetched view or error.
            poll: Seconds between two fetches.
            raise_on_failure: False returns the job also when it failed or was cancelled.

        Raises:
            JobFailed: The job failed; carries the reason, the message and the end of the output.
            JobCancelled: The job was cancelled.
            JobWaitTimeout: The job has not ended in time. It continues.
        """
        if progress is True:
            with self._display() as display:
                final = self._wait(timeout, poll, display)
        else:
            final = self._wait(timeout, poll, None if progress is False else progress)
        if not final:
            raise JobWaitTimeout(self, self._view, timeout or 0.0)
        if raise_on_failure and self.status is JobStatus.FAILED:
            raise JobFailed(self, self.view)
        if raise_on_failure and self.status is JobStatus.CANCELLED:
            raise JobCancelled(self, self.view)
        return self

    @overload
    def logs(self, *, follow: Literal[False] = False, tail: int | None = None) -> str: ...
    @overload
    def logs(self, *, follow: Literal[True], tail: int | None = None) -> Iterator[str]: ...
    def logs(self, *, follow: bool = False, tail: int | None = None) -> str | Iterator[str]:
        """The output of the script. With ``follow``, its lines as they come, until the job has ended.

        After a broken connection following resumes without lost or repeated lines.

        Args:
            follow: Yield lines as they come.
            tail: Only the last lines; with ``follow``, begin with them.
        """
        if follow:
            return follow_log(self._connection, self._job_id, tail)
        path, plain = paths.job(self._job_id, "logs"), {"Accept": "text/plain"}
        response = self._connection.send("GET", path, headers=plain, params={"tail": tail})
        return response.content.decode("utf-8", "replace")

    def project(self) -> bytes:
        """The project as a .tar.gz.

        Raises:
            NotFound: The job ran a single script.
        """
        return self._connection.send("GET", paths.job(self._job_id, "project"), headers={"Accept": "*/*"}).content

    def script(self) -> str:
        """The source of the script; of a project, that of its entrypoint."""
        response = self._connection.send("GET", paths.job(self._job_id, "script"), headers={"Accept": "*/*"})
        return response.text

    def reports(self) -> list[ReportView]:
        """Scan the script with bandit and the packages with pip-audit. Takes seconds where that was not done lately."""
        return self._connection.view(ReportList, "GET", paths.job(self._job_id, "reports")).reports

    def events(self) -> list[EventView]:
        """All transitions, oldest first."""
        return self._connection.view(EventList, "GET", paths.job(self._job_id, "events")).events

    def attempts(self) -> list[AttemptView]:
        """Return every submission to Ray, oldest first."""
        return self._connection.view(AttemptList, "GET", paths.job(self._job_id, "attempts")).attempts

    def metric_history(self, *names: str, points: int = 500) -> JobMetrics:
        """Return parameters and metric curves of the run in MLflow, also while the job runs.

        Args:
            names: Metrics to return. None: all.
            points: Most points of a curve; a longer one is sampled.
        """
        params = {"metric": list(names), "points": points}
        return self._connection.view(JobMetrics, "GET", paths.job(self._job_id, "metrics"), params=params)

    def cancel(self) -> Job:
        """Ask the job to stop and return at once; ``wait`` for the end. A job that has ended does not change."""
        self._connection.json("POST", paths.job(self._job_id, "cancel"), resend=True)
        return self.refresh()

    def rerun(
        self,
        *,
        args: Iterable[str] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Iterable[str] | None = None,
        params: Mapping[str, str | float] | None = None,
        data: Mapping[str, str] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: float | None = None,
        workers: int | Mapping[str, Any] | None = None,
        deploy: bool | None = None,
        after: Iterable[str] | str = (),
        take_traffic: bool = False,
        isolation: Literal["sandbox", "cluster"] | None = None,
        network: Literal["full", "mlflow-only", "none"] | None = None,
        output: str | None = None,
    ) -> Job:
        """Run the same script or project again in the same locked environment, and return the new job.

        None keeps a value of this job.

        Args:
            args: Replaces all arguments.
            env: Environment variables to set; the others stay.
            secrets: Replaces all secrets.
            params: Parameters to set; the others stay.
            data: Datasets to set by alias, e.g. ``{"train": "churn-train@4"}``; the others stay.
            cpus: Logical CPUs.
            memory: Bytes, or a string such as "4GiB".
            gpus: Logical GPUs.
            workers: Replaces the workers, as in ``Client.train``.
            deploy: Deploy the registered version.
            after: Ids of jobs that have to complete before it starts.
            take_traffic: True lets the new version answer requests that name only the model. False: another version that
                answers them now continues.
            isolation: "sandbox" or "cluster".
            network: Network of a sandboxed script.
            output: Of a batch, another place: ``file:///…`` or ``s3://…``. A batch has its version, input and output again, and
                never replaces an output.
        """
        resources = {"cpus": cpus, "memory": memory, "gpus": gpus, **workers_field(workers)}
        body: dict[str, Any] = {
            "args": None if args is None else [str(arg) for arg in args],
            "environment": {name: str(value) for name, value in (env or {}).items()},
            "secrets": None if secrets is None else list(secrets),
            "params": dict(params or {}),
            "data": dict(data or {}),
            "resources": {name: value for name, value in resources.items() if value is not None},
            "deploy": deploy,
            "after": ids_of(after) or None,
            "take_traffic": take_traffic or None,
            "isolation": isolation,
            "network": network,
            "output": output,
        }
        changes = {name: value for name, value in body.items() if value is not None and value != {}}
        return accepted(self._connection, self._connection.json("POST", paths.job(self._job_id, "rerun"), json=changes or None))

    def delete(self) -> None:
        """Delete the job and its logs. Its run and its model version stay.

        Raises:
            Conflict: The job has not ended yet.
        """
        self._connection.send("DELETE", paths.job(self._job_id))

    def _display(self) -> Display:
        if has_widgets():
            return WidgetDisplay(self._job_id, self._connection.base_url)
        # Imports rich, which only the display needs.
        from raylift.client.jobs.progress import ProgressDisplay

        return ProgressDisplay(self._job_id)

    def _wait(self, timeout: float | None, poll: float, report: Report | None) -> bool:
        clock = self._connection.clock
        return wait_until_final(clock, self._fetch, timeout=timeout, poll=poll, report=report)[1]

    def _fetch(self) -> JobView:
        self._view = self._summary = self._connection.view(JobView, "GET", paths.job(self._job_id))
        return self._view


class JobFailed(RayliftError):
    """``Job.wait``: the job failed."""

    def __init__(self, job: Job, view: JobView) -> None:
        message = f": {view.message}" if view.message else ""
        super().__init__(f"{view.job_id} failed with {view.reason}{message}")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs
        """End of the script's output, with its traceback."""

    def __str__(self) -> str:
        tail = "\n".join(self.log_tail.rstrip().splitlines()[-20:])
        return super().__str__() + (f"\n{tail}" if tail else "")


class JobCancelled(RayliftError):
    """``Job.wait``: the job was cancelled."""

    def __init__(self, job: Job, view: JobView) -> None:
        super().__init__(f"{view.job_id} was cancelled")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs


class JobWaitTimeout(RayliftError):
    """``Job.wait``: the job has not ended in time. It continues."""

    def __init__(self, job: Job, view: JobView | None, timeout: float) -> None:
        state = f"is still {view.status} ({view.phase})" if view is not None else "has not been seen"
        super().__init__(f"{job.job_id} {state} after {timeout:g} s")
        self.job = job
        self.view = view
        """The last view; None if the platform never answered."""


def accepted(connection: Connection, answer: Any) -> Job:
    """The handle of an accepted upload or rerun."""
    job_id = connection.parse(JobAccepted, answer, "POST", paths.UPLOAD).job_id
    return Job(connection, job_id, acknowledgement=answer)
