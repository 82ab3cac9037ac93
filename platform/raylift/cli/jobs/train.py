"""``raylift train``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from raylift.api import paths
from raylift.api.training import UploadCheck
from raylift.cli.exits import wrong_usage
from raylift.cli.jobs import following
from raylift.cli.jobs.dry_run import print_check, print_dry_run, refused
from raylift.cli.jobs.gate_options import (
    PromoteAliasOption,
    PromoteFirstOption,
    PromoteGuardOption,
    PromoteStepsOption,
    PromoteWhenOption,
    gate_of,
)
from raylift.cli.jobs.sweep_options import (
    MaxParallelOption,
    MetricOption,
    ModeOption,
    RegisterBestOption,
    SweepAsOption,
    SweepOption,
    sweep_values,
)
from raylift.cli.jobs.sweep_table import announce_sweep, follow_sweep
from raylift.cli.options import (
    AfterOption,
    DataOption,
    IsolationOption,
    NetworkOption,
    OutputDatasetOption,
    ParamOption,
    RequirementsFileOption,
    RequirementsOption,
    SecretOption,
    TorchBackendOption,
    WorkerCpusOption,
    WorkerGpusOption,
    WorkerMemoryOption,
    WorkersOption,
    WorkerStrategyOption,
    all_requirements,
    assignments,
    workers_of,
)
from raylift.cli.printing import echo, print_json, say
from raylift.cli.session import Session, command
from raylift.client import InvalidRequest, Job, Sweep
from raylift.domain.sweep import SweepMode, SweepPassing

_ARCHIVES: Final = (".zip", ".tar.gz", ".tgz")


def register(app: typer.Typer) -> None:
    command(app, "train", takes_owner=True)(train)


def train(
    session: Session,
    script: Annotated[
        Path,
        typer.Argument(help="A training script or notebook; with --entrypoint: a project's directory or archive.", exists=True),
    ],
    entrypoint: Annotated[str | None, typer.Option(help="Path of the script in the project.", metavar="FILE")] = None,
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", "-e", help="MLflow experiment; default: the name of the model, or of the script."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Registered model to add a version to; default: none.")
    ] = None,
    requirements: RequirementsOption = None,
    requirements_file: RequirementsFileOption = None,
    torch_backend: TorchBackendOption = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="Environment variable of the script; may be repeated.", metavar="K=V")
    ] = None,
    secret: SecretOption = None,
    data: DataOption = None,
    after: AfterOption = None,
    output_dataset: OutputDatasetOption = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="Argument of the script; may be repeated.", metavar="TEXT")
    ] = None,
    cpus: Annotated[float, typer.Option(help="Logical CPUs, fractions allowed.")] = 1.0,
    memory: Annotated[str, typer.Option(help="Memory limit, e.g. 512MiB.")] = "2GiB",
    gpus: Annotated[float, typer.Option(help="Logical GPUs.")] = 0.0,
    workers: WorkersOption = None,
    worker_cpus: WorkerCpusOption = None,
    worker_memory: WorkerMemoryOption = None,
    worker_gpus: WorkerGpusOption = None,
    worker_strategy: WorkerStrategyOption = None,
    timeout: Annotated[int, typer.Option(help="Time limit of the script in seconds.")] = 600,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Tag of job, run and version; may be repeated.", metavar="K=V")
    ] = None,
    priority: Annotated[int, typer.Option(help="0 to 100, higher first.")] = 50,
    max_retries: Annotated[int, typer.Option(help="Number of retries when the script fails.")] = 0,
    no_autolog: Annotated[bool, typer.Option("--no-autolog", help="Do not call mlflow.autolog() for the script.")] = False,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Register the version without deploying it.")] = False,
    register: Annotated[
        str | None,
        typer.Option(help="Logged model to register: its name, class or run.", metavar="MODEL"),
    ] = None,
    no_take_traffic: Annotated[
        bool,
        typer.Option(
            "--no-take-traffic", help="Requests that name only the model stay with the version that answers them now."
        ),
    ] = False,
    promote_alias: PromoteAliasOption = None,
    promote_when: PromoteWhenOption = None,
    promote_first: PromoteFirstOption = "promote",
    promote_steps: PromoteStepsOption = None,
    promote_guard: PromoteGuardOption = None,
    isolation: IsolationOption = None,
    network: NetworkOption = None,
    param: ParamOption = None,
    sweep: SweepOption = None,
    sweep_as: SweepAsOption = SweepPassing.ENVIRONMENT,
    metric: MetricOption = None,
    mode: ModeOption = SweepMode.MAX,
    register_best: RegisterBestOption = False,
    max_parallel: MaxParallelOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for the end: output on stdout, phases on stderr.")
    ] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="Two uploads with the same key make one job.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing: check the upload and print what would happen.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Store nothing: print warnings about the script; exit code 1 on a syntax error.")
    ] = False,
) -> Job | Sweep | None:
    """Upload a training script or a project, and print the id of its job.

    With --sweep, start one job for each combination of values and print the id of the sweep. With --follow, show the job
    live and wait until its version is deployed; exit code 1 if the job fails or the version is unhealthy. After Ctrl-C the
    job continues.
    """
    options = sweep_values(
        sweep or [], sweep_as, metric=metric, mode=mode, register_best=register_best, max_parallel=max_parallel
    )
    require_entrypoint(script, entrypoint)
    try:
        # Client.train returns a Job or a Sweep by its options, which type checkers cannot follow here.
        upload = cast("Callable[..., Job | Sweep | UploadCheck]", session.client.train)
        made = upload(
            script,
            **train_options(
                entrypoint=entrypoint,
                experiment=experiment,
                model=model,
                requirements=requirements,
                requirements_file=requirements_file,
                torch_backend=torch_backend,
                env=env,
                secret=secret,
                data=data,
                after=after,
                output_dataset=output_dataset,
                arg=arg,
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                workers=workers,
                worker_cpus=worker_cpus,
                worker_memory=worker_memory,
                worker_gpus=worker_gpus,
                worker_strategy=worker_strategy,
                timeout=timeout,
                tag=tag,
                priority=priority,
                max_retries=max_retries,
                no_autolog=no_autolog,
                no_deploy=no_deploy,
                register=register,
                no_take_traffic=no_take_traffic,
                promote_alias=promote_alias,
                promote_when=promote_when,
                promote_first=promote_first,
                promote_steps=promote_steps,
                promote_guard=promote_guard,
                isolation=isolation,
                network=network,
                param=param,
            ),
            idempotency_key=idempotency_key,
            dry_run=dry_run or check,
            **options,
        )
    except InvalidRequest as error:
        if session.as_json and not check:
            raise
        path = script / entrypoint if entrypoint else script
        raise refused(error, str(path), is_check=check) from error
    except (ValueError, OSError) as error:
        raise wrong_usage(str(script), str(error)) from error
    if isinstance(made, UploadCheck):
        session.print(made.model_dump(mode="json"), lambda: (print_check if check else print_dry_run)(made))
        return None
    if isinstance(made, Sweep):
        follow_sweep(session, made) if follow else announce_sweep(session, made)
    elif follow:
        _follow(session, made)
    else:
        announce(session, made)
    return made


def require_entrypoint(script: Path, entrypoint: str | None) -> None:
    """Exit where a project has no entrypoint."""
    if entrypoint is None and script.is_dir():
        raise wrong_usage("--entrypoint", f"{script} is a directory: name the script in it, e.g. --entrypoint train.py")
    if entrypoint is None and script.name.lower().endswith(_ARCHIVES):
        raise wrong_usage("--entrypoint", f"{script} is an archive: name the script in it, e.g. --entrypoint train.py")


def train_options(
    *,
    env: list[str] | None,
    secret: list[str] | None,
    data: list[str] | None,
    arg: list[str] | None,
    tag: list[str] | None,
    param: list[str] | None,
    requirements: list[str] | None,
    requirements_file: list[Path] | None,
    no_autolog: bool,
    no_deploy: bool,
    no_take_traffic: bool,
    workers: int | None,
    worker_cpus: float | None,
    worker_memory: str | None,
    worker_gpus: float | None,
    worker_strategy: str | None,
    promote_alias: str | None,
    promote_when: str | None,
    promote_first: str,
    promote_steps: str | None,
    promote_guard: list[str] | None,
    after: list[str] | None,
    **same: Any,
) -> dict[str, Any]:
    """Return the options of ``Client.train`` for those of the command. ``same`` are the ones that need no translation."""
    return {
        **same,
        "requirements": all_requirements(requirements, requirements_file),
        "env": assignments(env, "--env"),
        "secrets": secret or [],
        "data": assignments(data, "--data"),
        "args": arg or [],
        "autolog": not no_autolog,
        "deploy": not no_deploy,
        "take_traffic": not no_take_traffic,
        "workers": workers_of(workers, worker_cpus, worker_memory, worker_gpus, worker_strategy),
        "after": after or (),
        "promote": gate_of(promote_alias, promote_when, promote_first, promote_steps, promote_guard),
        "params": assignments(param, "--param"),
        "tags": assignments(tag, "--tag"),
    }


def announce(session: Session, job: Job) -> None:
    """Print the id of a new job on stdout, and the next commands on stderr."""
    if session.as_json:
        print_json(job.acknowledgement)
        return
    echo(job.job_id)
    _say_notes(job)
    say(f"Queued. raylift jobs logs {job.job_id} --follow   shows its output,")
    say(f"        raylift jobs show {job.job_id}            how it gets on.")


def _follow(session: Session, job: Job) -> None:
    if not session.as_json:
        say(job.job_id)
        _say_notes(job)
    following.follow(job, logs_on_stderr=session.as_json)
    if session.as_json:
        print_json(session.client.request("GET", paths.job(job.job_id)))
    code = following.say_outcome(job.view)
    raise typer.Exit(code or following.await_health(session.client, job.view))


def _say_notes(job: Job) -> None:
    for note in (job.acknowledgement or {}).get("notes", []):
        say(f"Note: {note}")
