"""``raylift jobs``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.jobs.diff import JobDiff
from raylift.api.order.jobs import GraphJob, JobGraph
from raylift.api.training import EventList, JobPage, JobSummary, JobView
from raylift.cli.jobs.diff import print_diff
from raylift.cli.jobs.following import detaching, print_lines, say_outcome
from raylift.cli.jobs.train import announce
from raylift.cli.names import JobArgument, complete_job
from raylift.cli.options import (
    AfterOption,
    CursorOption,
    DataOption,
    IsolationOption,
    LimitOption,
    NetworkOption,
    ParamOption,
    WorkerCpusOption,
    WorkerGpusOption,
    WorkerMemoryOption,
    WorkersOption,
    WorkerStrategyOption,
    assignments,
    workers_of,
)
from raylift.cli.printing import age, cell, echo, pairs, print_facts, print_json, print_table, say, say_next_page
from raylift.cli.session import Session, command
from raylift.client.jobs.progress import downloaded
from raylift.domain.job import JobStatus, Reason
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="Training jobs: list, show, follow, cancel, run again.", no_args_is_help=True)


def _print_page(page: JobPage) -> None:
    print_table(("job", "status", "model", "owner", "cpus", "memory", "age"), [_row(job) for job in page.jobs])
    say_next_page(page.next_cursor)


@command(app, "list", JobPage, _print_page)
def list_jobs(
    session: Session,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs of this status.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only jobs that register this model.")] = None,
    experiment: Annotated[str | None, typer.Option("--experiment", "-e", help="Only jobs of this experiment.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only jobs of this owner.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="K[=V]", help="Only jobs with this tag.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Only jobs of this sweep.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Only jobs that this schedule made.", metavar="NAME")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only jobs with this reason: why they failed or wait.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", "-q", help="Only jobs with this text in id, model, experiment or owner.")
    ] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
) -> Any:
    """List jobs, newest first."""
    params = {
        "status": status,
        "model_name": model,
        "experiment_name": experiment,
        "owner": owner,
        "tag": tag,
        "sweep_id": sweep,
        "schedule": schedule,
        "reason": reason,
        "q": search,
        "limit": limit,
        "cursor": cursor,
    }
    return session.client.request("GET", paths.JOBS, params=params)


@command(app, "show", JobView, lambda job: print_facts(_facts(job)))
def show(session: Session, job_id: JobArgument) -> Any:
    """Show one job: its progress or its outcome, and the reason."""
    return session.client.request("GET", paths.job(job_id))


@command(app, "logs")
def logs(
    session: Session,
    job_id: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", "-n", min=0, help="Only the last lines.")] = None,
) -> None:
    """Print the output of the script."""
    job = session.client.jobs.get(job_id)
    if follow:
        print_lines(job, as_json=session.as_json, tail=tail)
        return
    text = job.logs(tail=tail)
    session.print({"job_id": job_id, "logs": text}, lambda: echo(text, nl=bool(text) and not text.endswith("\n")))


@command(app, "wait")
def wait(
    session: Session,
    job_id: JobArgument,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most; exit code 5 after that.")] = None,
) -> None:
    """Wait until a job has ended. Exit code 1 if it failed."""
    job = session.client.jobs.get(job_id)
    with detaching(job):
        job.wait(timeout, raise_on_failure=False)
    if session.as_json:
        print_json(session.client.request("GET", paths.job(job_id)))
    raise typer.Exit(say_outcome(job.view))


@command(app, "cancel")
def cancel(session: Session, job_id: JobArgument) -> None:
    """Ask a job to stop. A job that has ended does not change."""

    def show_state() -> None:
        job = session.client.jobs.get(job_id)
        say(f"{job_id} is {job.status}" if job.is_final else f"{job_id} is told to stop; raylift jobs wait {job_id}")

    session.print(session.client.request("POST", paths.job(job_id, "cancel")), show_state)


@command(app, "rerun")
def rerun(
    session: Session,
    job_id: JobArgument,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="Argument; replaces all earlier ones; may be repeated.", metavar="TEXT")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="Environment variable to set; the others stay; may be repeated.", metavar="K=V"),
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", help="Secret; replaces all earlier ones; may be repeated.", metavar="NAME")
    ] = None,
    param: ParamOption = None,
    data: DataOption = None,
    cpus: Annotated[float | None, typer.Option(help="Logical CPUs, fractions allowed.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory limit, e.g. 512MiB.")] = None,
    workers: WorkersOption = None,
    worker_cpus: WorkerCpusOption = None,
    worker_memory: WorkerMemoryOption = None,
    worker_gpus: WorkerGpusOption = None,
    worker_strategy: WorkerStrategyOption = None,
    isolation: IsolationOption = None,
    network: NetworkOption = None,
    after: AfterOption = None,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Register the version without deploying it.")] = False,
    take_traffic: Annotated[
        bool, typer.Option("--take-traffic", help="Let the new version answer requests that name only the model.")
    ] = False,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="Of a batch: another output, file:///… or s3://….")
    ] = None,
) -> None:
    """Run a job again: the same script or project in the same locked environment. Prints the new job's id.

    Options that are not given keep their values. The new version is deployed. Requests that name only the model continue
    to get the version that answers them now, unless --take-traffic is given.
    """
    job = session.client.jobs.get(job_id).rerun(
        args=arg,
        env=assignments(env, "--env"),
        secrets=secret,
        params=assignments(param, "--param"),
        data=assignments(data, "--data"),
        cpus=cpus,
        memory=memory,
        workers=workers_of(workers, worker_cpus, worker_memory, worker_gpus, worker_strategy),
        deploy=False if no_deploy else None,
        after=after or [],
        take_traffic=take_traffic,
        isolation=isolation,
        network=network,
        output=to,
    )
    announce(session, job)


@command(app, "diff", JobDiff, print_diff)
def diff(
    session: Session,
    first: Annotated[str, typer.Argument(metavar="A", help="Id of a job.", show_default=False, autocompletion=complete_job)],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B", help="Id of another job, or @last for the newest.", show_default=False, autocompletion=complete_job
        ),
    ],
) -> Any:
    """Show the differences of job B from job A. Values of environment variables are compared, but never shown."""
    return session.client.request("GET", paths.job_diff(first, second))


def _print_graph(graph: JobGraph) -> None:
    before = {job.job_id: [edge.before for edge in graph.edges if edge.after == job.job_id] for job in graph.jobs}
    rows = [
        (f"{'> ' if job.job_id == graph.job_id else ''}{job.job_id}", job.status, _makes(job), ", ".join(before[job.job_id]))
        for job in graph.jobs
    ]
    print_table(("job", "status", "made", "after"), rows)
    if graph.is_cut:
        say("There are more jobs.")


def _makes(job: GraphJob) -> str:
    made = f"{job.output.name}@{job.output.version}" if job.output else ""
    version = f"{job.model_name} v{job.model_version}" if job.model_version and job.kind == "train" else ""
    return ", ".join(filter(None, (made, version))) or "-"


@command(app, "graph", JobGraph, _print_graph)
def graph(session: Session, job_id: JobArgument) -> Any:
    """List the jobs before and after one, in an order in which they run, with what they have made."""
    return session.client.request("GET", paths.job(job_id, "graph"))


@command(app, "delete")
def delete(session: Session, job_id: JobArgument) -> None:
    """Delete a job that has ended, and its logs. Its run and its model version stay."""
    session.print(session.client.request("DELETE", paths.job(job_id)), lambda: say(f"{job_id} is deleted"))


def _print_events(found: EventList) -> None:
    rows = [
        (cell(event.at), event.attempt, event.before, event.after, ": ".join(filter(None, (event.reason, event.message))))
        for event in found.events
    ]
    print_table(("at", "attempt", "from", "to", "why"), rows)


@command(app, "events", EventList, _print_events)
def events(session: Session, job_id: JobArgument) -> Any:
    """List a job's transitions, oldest first."""
    return session.client.request("GET", paths.job(job_id, "events"))


def _row(job: JobSummary) -> tuple[str, ...]:
    version = f" v{job.model_version}" if job.model_version else ""
    model = f"{job.model_name}{version}" if job.model_name else "-"
    wanted = job.resources
    return job.job_id, status_of(job), model, job.owner, f"{wanted.cpus:g}", format_bytes(wanted.memory), age(job.created_at)


def status_of(job: JobSummary) -> str:
    """Return the status with its reason, and of a waiting job its place in the queue."""
    place = f" #{job.queue_position}" if job.queue_position is not None else ""
    return f"{job.status}{place} ({job.reason})" if job.reason else f"{job.status}{place}"


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
        ("gate", f"{job.promotion.outcome}: {job.promotion.message}" if job.promotion else None),
        ("run", job.mlflow_run_id),
        ("metrics", pairs(job.metrics)),
        ("script", job.entrypoint or job.script_name),
        ("project", job.project_sha256),
        ("data", ", ".join(f"{each.alias}={each.name}@{each.version or f'({each.of_job})'}" for each in job.data)),
        ("after", ", ".join(f"{each.job_id} ({each.status})" for each in job.after)),
        ("followed by", ", ".join(f"{each.job_id} ({each.status})" for each in job.followed_by)),
        ("makes", f"{job.output.name}@{job.output.version}" if job.output else job.output_dataset),
        ("arguments", " ".join(job.args)),
        ("requirements", ", ".join(job.requirements)),
        ("from", job.requirements_source),
        ("PyTorch build", job.torch_backend),
        ("locked", ", ".join(job.environment_lock or [])),
        ("environment progress", downloaded(job.environment_progress) if job.environment_progress else None),
        ("parameters", pairs({**job.params, **(job.sweep_parameters or {})})),
        ("environment", ", ".join(name for name in job.environment if name not in job.params)),
        ("secrets", ", ".join(job.secrets)),
        ("asked for", str(job.resources)),
        ("used", f"{usage.cpu_seconds:.1f} CPU s, {format_bytes(usage.peak_memory_bytes)} at most" if usage else None),
        ("time limit", f"{job.timeout_seconds} s"),
        ("priority", job.priority),
        ("owner", job.owner),
        ("tags", pairs(job.tags)),
        ("sweep", job.sweep_id),
        ("schedule", job.schedule),
        ("attempt", job.attempt),
        ("created", job.created_at),
        ("started", job.started_at),
        ("finished", job.finished_at),
        ("took", None if job.duration_seconds is None else f"{job.duration_seconds:.1f} s"),
        ("phases", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in job.phases.items())),
        ("exit code", job.exit_code),
    ]
