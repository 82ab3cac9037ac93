"""Jobs: the handle of one, and the collection of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, overload

from raylift.api import paths
from raylift.api.training import EventList, EventView, JobAccepted, JobSummary, JobView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.log_stream import follow_log, is_final
from raylift.client.jobs.waiting import Report, wait_until_final
from raylift.domain.job import JobStatus


class Job:
    """A handle of one job.

    Its attributes are those of the last look at it: ``refresh()`` and ``wait()`` look again, and the first attribute
    that is asked for looks if nothing has been seen yet.
    """

    def __init__(
        self,
        connection: Connection,
        job_id: str,
        *,
        seen: JobView | JobSummary | None = None,
        acknowledgement: dict[str, Any] | None = None,
    ) -> None:
        self._connection = connection
        self.acknowledgement = acknowledgement
        """The platform's answer to the upload or the rerun that made this handle, as it came; else None."""
        self._job_id = job_id
        self._view = seen if isinstance(seen, JobView) else None
        self._seen = seen

    def __repr__(self) -> str:
        return f"<Job {self._job_id} {self._seen.status}>" if self._seen else f"<Job {self._job_id}>"

    @property
    def job_id(self) -> str:
        return self._job_id

    @property
    def view(self) -> JobView:
        """All that the platform says of the job, as it was seen last."""
        return self._view or self.refresh()._last()

    @property
    def summary(self) -> JobSummary:
        """What a list says of it; costs no request for a job from ``client.jobs.list()``."""
        return self._seen or self.view

    @property
    def status(self) -> JobStatus:
        return JobStatus(self.summary.status)

    @property
    def is_final(self) -> bool:
        """Whether it has ended, one way or another."""
        return is_final(self.summary)

    @property
    def phase(self) -> str:
        return self.view.phase

    @property
    def reason(self) -> str | None:
        """Why it waits, failed or was cancelled: one of a closed list."""
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
        """The version that it registered."""
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
        """Seconds from the script's start to its end, or until it was seen last."""
        return self.summary.duration_seconds

    @property
    def exit_code(self) -> int | None:
        return self.view.exit_code

    def refresh(self) -> Job:
        """Look again."""
        self._see(self._connection.view(JobView, "GET", paths.job(self._job_id)))
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: bool | Report = True,
        poll: float = 0.5,
        raise_on_failure: bool = True,
    ) -> Job:
        """Wait until the job has ended. A platform that restarts meanwhile is waited for, up to a minute.

        Args:
            timeout: Seconds to wait; None: as long as it takes.
            progress: Show phases and elapsed time on stderr; or a function that is told of every look.
            poll: Seconds between two looks.
            raise_on_failure: False: return the job however it ended.

        Raises:
            JobFailed: It failed; carries the reason, the message and the last of its output.
            JobCancelled: It was cancelled.
            JobWaitTimeout: It has not ended in time, and goes on.
        """
        if progress is True:
            # rich is only needed, and only loaded, where something is shown.
            from raylift.client.jobs.progress import ProgressDisplay

            with ProgressDisplay(self._job_id) as display:
                final = self._wait(timeout, poll, display)
        else:
            final = self._wait(timeout, poll, _say_nothing if progress is False else progress)
        if not final:
            raise JobWaitTimeout(self, self._view, timeout or 0.0)
        if raise_on_failure and self.status is JobStatus.FAILED:
            raise JobFailed(self, self.view)
        if raise_on_failure and self.status is JobStatus.CANCELLED:
            raise JobCancelled(self, self.view)
        return self

    @overload
    def logs(self, *, follow: Literal[False] = False) -> str: ...
    @overload
    def logs(self, *, follow: Literal[True]) -> Iterator[str]: ...
    def logs(self, *, follow: bool = False) -> str | Iterator[str]:
        """All that the script printed; with ``follow``, its lines as they come, until the job has ended.

        Following resumes where it was after a broken connection: no line is lost, none comes twice.
        """
        if follow:
            return follow_log(self._connection, self._job_id)
        response = self._connection.send("GET", paths.job(self._job_id, "logs"), headers={"Accept": "text/plain"})
        return response.content.decode("utf-8", "replace")

    def project(self) -> bytes:
        """The project it ran, as a .tar.gz.

        Raises:
            NotFound: It is a single script.
        """
        return self._connection.send("GET", paths.job(self._job_id, "project"), headers={"Accept": "*/*"}).content

    def script(self) -> str:
        """The source it ran; of a project, its entrypoint."""
        response = self._connection.send("GET", paths.job(self._job_id, "script"), headers={"Accept": "*/*"})
        return response.text

    def events(self) -> list[EventView]:
        """Every transition, oldest first."""
        return self._connection.view(EventList, "GET", paths.job(self._job_id, "events")).events

    def cancel(self) -> Job:
        """Ask it to stop. Returns at once: ``wait`` says when it has. A job that has ended stays as it is."""
        self._connection.json("POST", paths.job(self._job_id, "cancel"), resend=True)
        return self.refresh()

    def rerun(
        self,
        *,
        args: Iterable[str] | None = None,
        env: Mapping[str, str] | None = None,
        params: Mapping[str, str | float] | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        gpus: float | None = None,
        deploy: bool | None = None,
        take_traffic: bool = False,
    ) -> Job:
        """Run the job again: the same script or project, in the same locked environment. Returns the new job.

        Its version is deployed, and does not answer for the model's name while another version does.

        Args:
            args: Replaces all arguments. None: as before.
            env: Environment variables to set; the others stay.
            params: Parameters to set; the others stay.
            cpus: Logical CPUs. None: as before.
            memory: Bytes, or a string such as "4GiB". None: as before.
            gpus: Logical GPUs. None: as before.
            deploy: Deploy the registered version. None: as before.
            take_traffic: Let the version answer requests that name only the model.
        """
        resources = {"cpus": cpus, "memory": memory, "gpus": gpus}
        body: dict[str, Any] = {
            "args": None if args is None else [str(arg) for arg in args],
            "environment": {name: str(value) for name, value in (env or {}).items()},
            "params": dict(params or {}),
            "resources": {name: value for name, value in resources.items() if value is not None},
            "deploy": deploy,
            "take_traffic": take_traffic or None,
        }
        asked = {name: value for name, value in body.items() if value is not None and value != {}}
        return accepted(self._connection, self._connection.json("POST", paths.job(self._job_id, "rerun"), json=asked or None))

    def delete(self) -> None:
        """Forget the job and its logs. Its run and its model version stay.

        Raises:
            Conflict: It has not ended yet.
        """
        self._connection.send("DELETE", paths.job(self._job_id))

    def _wait(self, timeout: float | None, poll: float, report: Report) -> bool:
        view, final = wait_until_final(self._connection, self._job_id, timeout=timeout, poll=poll, report=report)
        if view is not None:
            self._see(view)
        return final

    def _see(self, view: JobView) -> None:
        self._view = self._seen = view

    def _last(self) -> JobView:
        if self._view is None:
            raise AssertionError("a refreshed job has been seen")
        return self._view


class JobFailed(RayliftError):
    """A job that was waited for failed."""

    def __init__(self, job: Job, view: JobView) -> None:
        said = f": {view.message}" if view.message else ""
        super().__init__(f"{view.job_id} failed with {view.reason}{said}")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs
        """The last of what the script printed, its traceback included."""

    def __str__(self) -> str:
        tail = "\n".join(self.log_tail.rstrip().splitlines()[-20:])
        return super().__str__() + (f"\n{tail}" if tail else "")


class JobCancelled(RayliftError):
    """A job that was waited for was cancelled."""

    def __init__(self, job: Job, view: JobView) -> None:
        super().__init__(f"{view.job_id} was cancelled")
        self.job = job
        self.view = view
        self.reason = view.reason
        self.message = view.message
        self.log_tail = view.logs


class JobWaitTimeout(RayliftError):
    """A job took longer than was waited for it. It goes on."""

    def __init__(self, job: Job, view: JobView | None, timeout: float) -> None:
        state = f"is still {view.status} ({view.phase})" if view is not None else "has not been seen"
        super().__init__(f"{job.job_id} {state} after {timeout:g} s")
        self.job = job
        self.view = view
        """As it was seen last; None when the platform never answered."""


def accepted(connection: Connection, answer: Any) -> Job:
    """The handle of a job that the platform has just taken."""
    taken = connection.parse(JobAccepted, answer, "POST", paths.UPLOAD)
    return Job(connection, taken.job_id, acknowledgement=answer)


def _say_nothing(view: JobView | None, error: RayliftError | None) -> None:
    """The report of who wants none."""
