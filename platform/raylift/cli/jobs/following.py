"""Follows a job: prints its output on stdout and its phases on stderr."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

from raylift.api.models import DeploymentView
from raylift.api.training import JobView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.printing import cell, echo, pairs, say
from raylift.client import Client, Job, NotFound, RayliftError
from raylift.client.jobs.progress import ProgressDisplay
from raylift.domain.job import JobStatus
from raylift.domain.models.deployment import DeploymentStatus


def follow(job: Job, *, logs_on_stderr: bool) -> None:
    """Print output and phases as they come, until the job has ended. Ctrl-C only detaches."""
    phases = _PhasePrinter(job)
    with detaching(job):
        phases.start()
        for line in job.logs(follow=True):
            echo(line, err=logs_on_stderr)
        phases.join()
    if phases.error is not None:
        raise phases.error


@contextmanager
def detaching(job: Job) -> Generator[None]:
    """On Ctrl-C, exit with 130 and print how to follow or cancel the job, which continues."""
    try:
        yield
    except KeyboardInterrupt:
        raise stop(
            f"\nDetached; {job.job_id} goes on.\n"
            f"  raylift jobs logs {job.job_id} --follow   to come back\n"
            f"  raylift jobs cancel {job.job_id}          to end it",
            ExitCode.INTERRUPTED,
        ) from None


def print_lines(job: Job, *, as_json: bool, tail: int | None = None) -> None:
    """Print output as it comes, from the last ``tail`` lines on. With ``as_json`` each line is a JSON object."""
    with detaching(job):
        for line in job.logs(follow=True, tail=tail):
            echo(json.dumps({"line": line}, ensure_ascii=False) if as_json else line)


def say_outcome(view: JobView) -> ExitCode:
    """Print the outcome of a job on stderr and return its exit code."""
    took = "" if view.duration_seconds is None else f" after {cell(round(view.duration_seconds, 1))} s"
    if view.status == JobStatus.COMPLETED:
        say(f"{view.job_id} completed{took}")
        if view.metrics:
            say(f"  {pairs(view.metrics)}")
        if view.model_name and view.model_version:
            say(f"  registered as {view.model_name} version {view.model_version}; ask it with")
            say(f"  raylift predict {view.model_name} --version {view.model_version} --inputs @rows.json")
        return ExitCode.OK
    reason = f": {view.reason}" if view.reason else ""
    message = f": {view.message}" if view.message else ""
    say(f"{view.job_id} {view.status}{took}{reason}{message}")
    return ExitCode.FAILED


def await_health(client: Client, view: JobView) -> ExitCode:
    """Wait for the first health check of the version that a job registered. Prints its status and returns the exit code."""
    if view.status != JobStatus.COMPLETED or not (view.deploy and view.model_name and view.model_version):
        return ExitCode.OK
    name, version, status = view.model_name, view.model_version, ""

    def report(deployment: DeploymentView | None, error: RayliftError | None) -> None:
        nonlocal status
        if deployment is not None and deployment.status != status:
            status = deployment.status
            say(f"{name} version {version} is {status.replace('_', ' ')}")

    try:
        deployment = client.deployments.wait(name, version, report=report)
    except NotFound:  # The model belongs to a sweep, or the version was deleted meanwhile.
        return ExitCode.OK
    except KeyboardInterrupt:
        raise stop(
            f"\nDetached; {name} version {version} goes on starting.\n  raylift deployments show {name} {version}",
            ExitCode.INTERRUPTED,
        ) from None
    if deployment.status != DeploymentStatus.UNHEALTHY:
        return ExitCode.OK
    say(f"  {deployment.message or 'Ray Serve does not say why'}")
    return ExitCode.FAILED


class _PhasePrinter(Thread):
    """Prints a job's phases while another thread prints its output."""

    def __init__(self, job: Job) -> None:
        super().__init__(name="phases", daemon=True)
        self._job = job
        self.error: RayliftError | None = None

    def run(self) -> None:
        try:
            with ProgressDisplay(self._job.job_id, live=False) as display:
                self._job.wait(progress=display, raise_on_failure=False)
        except RayliftError as error:
            self.error = error  # Raised again by the thread that joins this one.
