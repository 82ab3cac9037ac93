"""Shows a job live: its output on stdout, its phases on stderr."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

import typer

from raylift.api.models import DeploymentView
from raylift.api.training import JobView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.printing import cell, pairs, say
from raylift.client import Client, Job, NotFound, RayliftError
from raylift.client.jobs.progress import ProgressDisplay
from raylift.domain.deployment import DeploymentStatus
from raylift.domain.job import JobStatus


def follow_to_the_end(job: Job, *, logs_on_stderr: bool) -> Job:
    """Print output and phases as they come; return when the job has ended. Ctrl-C only detaches."""
    watch = _Watch(job)
    with detaching(job):
        watch.start()
        for line in job.logs(follow=True):
            typer.echo(line, err=logs_on_stderr)
        watch.join()
    if watch.error is not None:
        raise watch.error
    return job


@contextmanager
def detaching(job: Job) -> Generator[None]:
    """Ctrl-C leaves the job alone, and says how to come back to it and how to end it."""
    try:
        yield
    except KeyboardInterrupt:
        raise stop(
            f"\nDetached; {job.job_id} goes on.\n"
            f"  raylift jobs logs {job.job_id} --follow   to come back\n"
            f"  raylift jobs cancel {job.job_id}          to end it",
            ExitCode.INTERRUPTED,
        ) from None


def print_lines(job: Job, *, as_json: bool) -> None:
    """Output as it comes, and nothing else; with ``as_json`` a JSON object a line."""
    with detaching(job):
        for line in job.logs(follow=True):
            typer.echo(json.dumps({"line": line}, ensure_ascii=False) if as_json else line)


def say_how_it_ended(view: JobView) -> ExitCode:
    """The last words on a job, and the exit code that goes with them."""
    took = "" if view.duration_seconds is None else f" after {cell(round(view.duration_seconds, 1))} s"
    if view.status == JobStatus.COMPLETED:
        say(f"{view.job_id} completed{took}")
        if view.metrics:
            say(f"  {pairs(view.metrics)}")
        if view.model_name and view.model_version:
            say(f"  registered as {view.model_name} version {view.model_version}; ask it with")
            say(f"  raylift predict {view.model_name} --version {view.model_version} --inputs @rows.json")
        return ExitCode.OK
    why = f": {view.reason}" if view.reason else ""
    said = f": {view.message}" if view.message else ""
    say(f"{view.job_id} {view.status}{took}{why}{said}")
    return ExitCode.FAILED


def await_health(client: Client, view: JobView) -> ExitCode:
    """Wait for the first health check of the version that a completed job registered; say how it went."""
    if view.status != JobStatus.COMPLETED or not (view.deploy and view.model_name and view.model_version):
        return ExitCode.OK
    name, version, said = view.model_name, view.model_version, ""

    def report(seen: DeploymentView | None, error: RayliftError | None) -> None:
        nonlocal said
        if seen is not None and seen.status != said:
            said = seen.status
            say(f"{name} version {version} is {said.replace('_', ' ')}")

    try:
        deployment = client.deployments.wait(name, version, report=report)
    except NotFound:  # Its model belongs to a sweep, or the version was deleted meanwhile.
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


class _Watch(Thread):
    """Prints phases while the output is printed by another thread."""

    def __init__(self, job: Job) -> None:
        super().__init__(name="phases", daemon=True)
        self._job = job
        self.error: RayliftError | None = None

    def run(self) -> None:
        try:
            with ProgressDisplay(self._job.job_id, live=False) as display:
                self._job.wait(progress=display, raise_on_failure=False)
        except RayliftError as error:
            self.error = error  # raised again where the thread is joined
