"""``raylift env``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.environments import EnvironmentList, EnvironmentView
from raylift.cli.exits import ExitCode, stop, wrong_usage
from raylift.cli.names import complete_job
from raylift.cli.options import RequirementsFileOption, RequirementsOption, TorchBackendOption, all_requirements
from raylift.cli.printing import age, print_facts, print_table, say
from raylift.cli.session import Session, command
from raylift.client.jobs.progress import downloaded, step_of
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="The environments that jobs and replicas run in.", no_args_is_help=True)


def _print_list(found: EnvironmentList) -> None:
    print_table(("hash", "state", "size", "own", "last used", "packages"), (_row(each) for each in found.environments))
    say(f"{format_bytes(found.size)} of {format_bytes(found.max_size)}")


@command(app, "list", EnvironmentList, _print_list)
def list_environments(session: Session) -> Any:
    """List the environments on the platform's machine, the longest unused first."""
    return session.client.request("GET", paths.ENVIRONMENTS)


def _print(environment: EnvironmentView) -> None:
    if environment.hash is None:
        say("nothing beyond the platform's own packages is needed")
        return
    print_facts(
        [
            ("hash", environment.hash),
            ("state", _state(environment)),
            ("size", None if environment.size is None else _sizes(environment)),
            ("created", environment.created_at),
            ("last used", environment.last_used_at),
            ("progress", downloaded(environment.progress) if environment.progress else None),
            ("note", environment.note),
            ("message", environment.message),
            ("locked", "\n".join(environment.lock)),
        ]
    )


@command(app, "show", EnvironmentView, _print)
def show(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="HASH",
            help="The environment's hash, or a job's id, or @last for the newest job.",
            show_default=False,
            autocompletion=complete_job,
        ),
    ],
) -> Any:
    """Show one environment, or that of a job."""
    return session.client.request("GET", paths.environment(name))


@command(app, "prewarm")
def prewarm(
    session: Session,
    requirements: RequirementsOption = None,
    requirements_file: RequirementsFileOption = None,
    torch_backend: TorchBackendOption = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the requirements are resolved.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the build.")] = 1800.0,
) -> None:
    """Resolve requirements and build their environment now, so that no job waits for it."""
    lines = all_requirements(requirements, requirements_file)
    if not lines:
        raise wrong_usage("--requirements", "or -r FILE is needed")
    environment = session.client.environments.prewarm(lines, torch_backend=torch_backend)
    if environment.note is not None:
        say(f"Note: {environment.note}")
    if not no_wait:
        try:
            environment = session.client.environments.wait(environment, timeout=timeout, report=DownloadReport())
        except TimeoutError as error:
            raise stop(f"Error: {error}", ExitCode.TIMEOUT) from error
    session.print(environment.model_dump(mode="json"), lambda: _print(environment))
    if environment.message is not None:
        raise stop(f"Error: {environment.message}", ExitCode.FAILED)


@command(app, "rm")
def remove(
    session: Session,
    names: Annotated[list[str], typer.Argument(metavar="HASH...", help="The environments' hashes.", show_default=False)],
) -> None:
    """Remove unused environments, and the downloads that only they need."""
    for name in names:
        session.client.environments.delete(name)
        say(f"environment {name} is removed")


class DownloadReport:
    """Prints the progress of a download, one line for each tenth."""

    def __init__(self) -> None:
        self._printed_step: int | None = None

    def __call__(self, environment: EnvironmentView) -> None:
        progress, step = environment.progress, step_of(environment.progress)
        if progress is not None and step != self._printed_step:
            self._printed_step = step
            say(downloaded(progress))


def _row(environment: EnvironmentView) -> tuple[object, ...]:
    return (
        environment.hash,
        _state(environment),
        _bytes(environment.size),
        _bytes(environment.own_size),
        "-" if environment.last_used_at is None else age(environment.last_used_at),
        ", ".join(environment.lock),
    )


def _sizes(environment: EnvironmentView) -> str:
    if not environment.shared_size:
        return _bytes(environment.size)
    own, shared = _bytes(environment.own_size), _bytes(environment.shared_size)
    return f"{_bytes(environment.size)}: {own} of its own, {shared} shared with other environments"


def _bytes(count: int | None) -> str:
    return "-" if count is None else format_bytes(count)


def _state(environment: EnvironmentView) -> str:
    if environment.message is not None:
        return "broken"
    if not environment.built:
        return "not built"
    return "in use" if environment.in_use else "idle"
