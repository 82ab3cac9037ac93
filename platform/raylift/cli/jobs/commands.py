"""``raylift jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from raylift.api import paths
from raylift.api.job_diff import JobDiff
from raylift.api.training import EventList, JobPage, JobSummary, JobView
from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.diff import print_diff
from raylift.cli.jobs.following import detaching, print_lines, say_how_it_ended
from raylift.cli.jobs.train import ParamOption, announce, assignments
from raylift.cli.printing import age, cell, pairs, print_facts, print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session
from raylift.client.jobs.progress import downloaded
from raylift.domain.job import JobStatus
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="Training jobs: list, look, follow, cancel, run again.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, job_…", show_default=False)]


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only jobs that register this model.")] = None,
    experiment: Annotated[str | None, typer.Option("--experiment", "-e", help="Only jobs of this experiment.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only jobs of this owner.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="K[=V]", help="Only jobs with this tag.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Only jobs of this sweep.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1)] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List jobs, newest first."""
    with session(ctx, url, api_key, output) as here:
        params = {
            "status": status,
            "model_name": model,
            "experiment_name": experiment,
            "owner": owner,
            "tag": tag,
            "sweep_id": sweep,
            "limit": limit,
            "cursor": cursor,
        }
        answer = here.client.request("GET", paths.JOBS, params=params)
        if here.as_json:
            print_json(answer)
            return
        page = JobPage.model_validate(answer)
        print_table(("job", "status", "model", "age"), [_row(job) for job in page.jobs])
        if page.next_cursor:
            say(f"There are more: --cursor {page.next_cursor}")


@app.command("show")
def show(
    ctx: typer.Context, job_id: JobId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Show one job: how it gets on or ended, and why."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.job(job_id))
        if here.as_json:
            print_json(answer)
        else:
            print_facts(_facts(JobView.model_validate(answer)))


@app.command("logs")
def logs(
    ctx: typer.Context,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last lines.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Print what the script printed."""
    if follow and tail is not None:
        raise wrong_usage("--tail", "cannot be used together with --follow")
    with session(ctx, url, api_key, output) as here:
        job = here.client.jobs.get(job_id)
        if follow:
            print_lines(job, as_json=here.as_json)
            return
        text = job.logs()
        if tail is not None:
            text = "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        if here.as_json:
            print_json({"job_id": job_id, "logs": text})
        else:
            typer.echo(text, nl=bool(text) and not text.endswith("\n"))


@app.command("wait")
def wait(
    ctx: typer.Context,
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most; then end with 5.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Wait until a job has ended; end with 1 if it failed."""
    with session(ctx, url, api_key, output) as here:
        job = here.client.jobs.get(job_id)
        with detaching(job):
            job.wait(timeout, raise_on_failure=False)
        if here.as_json:
            print_json(here.client.request("GET", paths.job(job_id)))
        raise typer.Exit(say_how_it_ended(job.view))


@app.command("cancel")
def cancel(
    ctx: typer.Context, job_id: JobId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Ask a job to stop. One that has ended stays as it is."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("POST", paths.job(job_id, "cancel"))
        if here.as_json:
            print_json(answer)
            return
        job = here.client.jobs.get(job_id)
        say(f"{job_id} is {job.status}" if job.is_final else f"{job_id} is told to stop; raylift jobs wait {job_id}")


@app.command("rerun")
def rerun(
    ctx: typer.Context,
    job_id: JobId,
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", help="Argument, in the place of all those before; may be repeated.", metavar="TEXT"),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="Variable to set; the others stay; may be repeated.", metavar="K=V")
    ] = None,
    param: ParamOption = None,
    cpus: Annotated[float | None, typer.Option(help="Logical CPUs, fractions allowed.")] = None,
    memory: Annotated[str | None, typer.Option(help="Its limit, e.g. 512MiB.")] = None,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Register the version without deploying it.")] = False,
    take_traffic: Annotated[
        bool, typer.Option("--take-traffic", help="Let the new version answer requests that name only the model.")
    ] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Run a job again: the same script or project in the same locked environment. Prints the new job's id.

    What is not given stays as it was. The new version is deployed; without --take-traffic the version that answers for the
    model's name goes on doing so.
    """
    with session(ctx, url, api_key, output) as here:
        again = here.client.jobs.get(job_id).rerun(
            args=arg,
            env=assignments(env or [], "--env"),
            params=assignments(param or [], "--param"),
            cpus=cpus,
            memory=memory,
            deploy=False if no_deploy else None,
            take_traffic=take_traffic,
        )
        announce(here, again)


@app.command("diff")
def diff(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A job's id.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another's.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Show what job B does differently from job A. Values of environment variables are compared, but never shown."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.job_diff(first, second))
        if here.as_json:
            print_json(answer)
        else:
            print_diff(JobDiff.model_validate(answer))


@app.command("delete")
def delete(
    ctx: typer.Context, job_id: JobId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Forget a job that has ended, and its logs. Its run and its model version stay."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("DELETE", paths.job(job_id))
        if here.as_json:
            print_json(answer)
        else:
            say(f"{job_id} is deleted")


@app.command("events")
def events(
    ctx: typer.Context, job_id: JobId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """List a job's transitions, oldest first."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.job(job_id, "events"))
        if here.as_json:
            print_json(answer)
            return
        rows = [
            (cell(e.at), e.attempt, e.before, e.after, ": ".join(filter(None, (e.reason, e.message))))
            for e in EventList.model_validate(answer).events
        ]
        print_table(("at", "attempt", "from", "to", "why"), rows)


def _row(job: JobSummary) -> tuple[str, str, str, str]:
    status = f"{job.status} ({job.reason})" if job.reason else job.status
    version = f" v{job.model_version}" if job.model_version else ""
    return job.job_id, status, f"{job.model_name}{version}" if job.model_name else "-", age(job.created_at)


def _facts(job: JobView) -> list[tuple[str, object]]:
    usage = job.usage
    return [
        ("job", job.job_id),
        ("status", job.status),
        ("phase", job.phase if job.phase != job.status else None),
        ("reason", job.reason),
        ("message", job.message),
        ("queue position", job.queue_position),
        ("experiment", job.experiment_name),
        (
            "model",
            f"{job.model_name} {f'version {job.model_version}' if job.model_version else ''}" if job.model_name else None,
        ),
        ("run", job.mlflow_run_id),
        ("metrics", pairs(job.metrics)),
        ("script", job.entrypoint or job.script_name),
        ("project", job.project_sha256),
        ("arguments", " ".join(job.args)),
        ("requirements", ", ".join(job.requirements)),
        ("from", job.requirements_source),
        ("PyTorch build", job.torch_backend),
        ("locked", ", ".join(job.environment_lock or [])),
        ("environment progress", downloaded(job.environment_progress) if job.environment_progress else None),
        ("parameters", pairs({**job.params, **(job.sweep_parameters or {})})),
        ("environment", ", ".join(name for name in job.environment if name not in job.params)),
        ("asked for", f"{job.resources.cpus:g} CPU, {format_bytes(job.resources.memory)}, {job.resources.gpus:g} GPU"),
        ("used", f"{usage.cpu_seconds:.1f} CPU s, {format_bytes(usage.peak_memory_bytes)} at most" if usage else None),
        ("time limit", f"{job.timeout_seconds} s"),
        ("priority", job.priority),
        ("owner", job.owner),
        ("tags", pairs(job.tags)),
        ("sweep", job.sweep_id),
        ("attempt", job.attempt),
        ("created", job.created_at),
        ("started", job.started_at),
        ("finished", job.finished_at),
        ("took", None if job.duration_seconds is None else f"{job.duration_seconds:.1f} s"),
        ("phases", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in job.phases.items())),
        ("exit code", job.exit_code),
    ]
