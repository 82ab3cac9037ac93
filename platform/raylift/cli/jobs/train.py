"""``raylift train``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from raylift.api import paths
from raylift.cli.exits import code_of, sentences, stop, wrong_usage
from raylift.cli.jobs.following import await_health, follow_to_the_end, say_how_it_ended
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
from raylift.cli.printing import print_json, say
from raylift.cli.requirements import RequirementsFileOption, RequirementsOption, TorchBackendOption
from raylift.cli.session import KeyOption, OutputOption, Session, UrlOption, session
from raylift.client import InvalidRequest, Job, Sweep
from raylift.client.jobs.script import read_requirements
from raylift.domain.sweep import SweepMode, SweepPassing

ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", help="Parameter that is no secret: a variable of the script and an MLflow param.", metavar="K=V"),
]

_ARCHIVES: Final = (".zip", ".tar.gz", ".tgz")


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    ctx: typer.Context,
    script: Annotated[
        Path,
        typer.Argument(help="A training script or notebook; with --entrypoint: a project's directory or archive.", exists=True),
    ],
    entrypoint: Annotated[str | None, typer.Option(help="The script to run, as a path in the project.", metavar="FILE")] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", help="MLflow experiment; without: named like the model, or the script.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Registered model to add a version to; without: none is registered.")
    ] = None,
    requirements: RequirementsOption = None,
    requirements_file: RequirementsFileOption = None,
    torch_backend: TorchBackendOption = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="Environment variable of the script; may be repeated.", metavar="K=V")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="Argument of the script; may be repeated.", metavar="TEXT")
    ] = None,
    cpus: Annotated[float, typer.Option(help="Logical CPUs, fractions allowed.")] = 1.0,
    memory: Annotated[str, typer.Option(help="Its limit, e.g. 512MiB.")] = "2GiB",
    gpus: Annotated[float, typer.Option(help="Logical GPUs.")] = 0.0,
    timeout: Annotated[int, typer.Option(help="Seconds the script may run.")] = 600,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Tag of job, run and version; may be repeated.", metavar="K=V")
    ] = None,
    priority: Annotated[int, typer.Option(help="0 to 100, higher first.")] = 50,
    max_retries: Annotated[int, typer.Option(help="Times to run again when the script fails.")] = 0,
    no_autolog: Annotated[bool, typer.Option("--no-autolog", help="Do not call mlflow.autolog() for the script.")] = False,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Register the version without deploying it.")] = False,
    register: Annotated[
        str | None,
        typer.Option(help="Which of the models that it logs to register: a name, class or run.", metavar="MODEL"),
    ] = None,
    no_take_traffic: Annotated[
        bool, typer.Option("--no-take-traffic", help="Leave requests that name only the model to the version they go to now.")
    ] = False,
    param: ParamOption = None,
    sweep: SweepOption = None,
    sweep_as: SweepAsOption = SweepPassing.ENVIRONMENT,
    metric: MetricOption = None,
    mode: ModeOption = SweepMode.MAX,
    register_best: RegisterBestOption = False,
    max_parallel: MaxParallelOption = None,
    owner: Annotated[str | None, typer.Option(help="For whom it runs (env RAYLIFT_OWNER, default local).")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay: output on stdout, phases on stderr.")] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="Two uploads with the same key are one job.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Upload a training script, or a project with one; print the id of its job.

    With --sweep: a job for each combination of values; print the id of the sweep. With --follow: show it live, wait until
    its version is deployed, and end with 1 if the job fails or the version is unhealthy. Ctrl-C then leaves it running.
    """
    options = sweep_values(
        sweep or [], sweep_as, metric=metric, mode=mode, register_best=register_best, max_parallel=max_parallel
    )
    if entrypoint is None and script.is_dir():
        raise wrong_usage("--entrypoint", f"{script} is a directory: name the script in it, e.g. --entrypoint train.py")
    if entrypoint is None and script.name.lower().endswith(_ARCHIVES):
        raise wrong_usage("--entrypoint", f"{script} is an archive: name the script in it, e.g. --entrypoint train.py")
    with session(ctx, url, api_key, output, owner) as here:
        try:
            # Which of the two comes back hangs on the options, which type checkers cannot follow here.
            upload = cast("Callable[..., Job | Sweep]", here.client.train)
            made = upload(
                script,
                entrypoint=entrypoint,
                model=model,
                experiment=experiment,
                requirements=[*(requirements or []), *_lines(requirements_file or [])],
                torch_backend=torch_backend,
                env=assignments(env or [], "--env"),
                args=arg or [],
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                timeout=timeout,
                max_retries=max_retries,
                priority=priority,
                autolog=not no_autolog,
                deploy=not no_deploy,
                register=register,
                take_traffic=not no_take_traffic,
                params=assignments(param or [], "--param"),
                tags=assignments(tag or [], "--tag"),
                idempotency_key=idempotency_key,
                **options,
            )
        except InvalidRequest as error:
            path = script / entrypoint if entrypoint else script
            raise stop(sentences(error, script=str(path)), code_of(error)) from error
        except (ValueError, OSError) as error:
            raise wrong_usage(str(script), str(error)) from error
        if isinstance(made, Sweep):
            follow_sweep(here, made) if follow else announce_sweep(here, made)
        elif follow:
            _follow(here, made)
        else:
            announce(here, made)


def announce(here: Session, job: Job) -> None:
    """A job that was just taken: its id is the data, what to do with it is talk."""
    if here.as_json:
        print_json(job.acknowledgement)
        return
    typer.echo(job.job_id)
    _say_notes(job)
    say(f"Queued. raylift jobs logs {job.job_id} --follow   shows its output,")
    say(f"        raylift jobs show {job.job_id}            how it gets on.")


def assignments(texts: list[str], option: str) -> dict[str, str]:
    """``["K=V"]`` as ``{"K": "V"}``."""
    parts = [text.partition("=") for text in texts]
    wrong = [name for name, equals, _ in parts if not equals or not name]
    if wrong:
        raise wrong_usage(option, f"{wrong[0]!r} is not of the form NAME=VALUE")
    return {name: value for name, _, value in parts}


def _follow(here: Session, job: Job) -> None:
    if not here.as_json:
        say(job.job_id)
        _say_notes(job)
    follow_to_the_end(job, logs_on_stderr=here.as_json)
    if here.as_json:
        print_json(here.client.request("GET", paths.job(job.job_id)))
    code = say_how_it_ended(job.view)
    raise typer.Exit(code or await_health(here.client, job.view))


def _say_notes(job: Job) -> None:
    for note in (job.acknowledgement or {}).get("notes", []):
        say(f"Note: {note}")


def _lines(files: list[Path]) -> list[str]:
    try:
        return [line for file in files for line in read_requirements(file)]
    except (ValueError, OSError) as error:
        raise wrong_usage("--requirements-file", str(error)) from error
