"""``raylift env``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.environments import EnvironmentList, EnvironmentView
from raylift.cli.exits import ExitCode, stop, wrong_usage
from raylift.cli.printing import age, print_facts, print_json, print_table, say
from raylift.cli.requirements import RequirementsFileOption, RequirementsOption, TorchBackendOption
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session
from raylift.client.jobs.progress import downloaded, step_of
from raylift.client.jobs.script import read_requirements
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="The environments that jobs and replicas run in.", no_args_is_help=True)


@app.command("list")
def list_environments(
    ctx: typer.Context, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """List the environments on the platform's machine, the longest unused first."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.ENVIRONMENTS)
        if here.as_json:
            print_json(answer)
            return
        found = EnvironmentList.model_validate(answer)
        print_table(("hash", "state", "size", "own", "last used", "packages"), (_row(each) for each in found.environments))
        say(f"{format_bytes(found.size)} of {format_bytes(found.max_size)}")


@app.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="HASH", help="The environment's hash, or a job's id.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Show one environment, or that of a job."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("GET", paths.environment(name)), here.as_json)


@app.command("prewarm")
def prewarm(
    ctx: typer.Context,
    requirements: RequirementsOption = None,
    requirements_file: RequirementsFileOption = None,
    torch_backend: TorchBackendOption = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as the requirements are resolved.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the build.")] = 1800.0,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Resolve requirements and build their environment now, so that no job waits for it."""
    lines = list(requirements or [])
    try:
        for file in requirements_file or []:
            lines += read_requirements(file)
    except (OSError, ValueError) as error:
        raise wrong_usage("--requirements-file", str(error)) from error
    if not lines:
        raise wrong_usage("--requirements", "or -r FILE is needed")
    with session(ctx, url, api_key, output) as here:
        begun = here.client.environments.prewarm(lines, torch_backend=torch_backend)
        if begun.note is not None:
            say(f"Note: {begun.note}")
        if not no_wait:
            try:
                begun = here.client.environments.wait(begun, timeout=timeout, report=DownloadTalk())
            except TimeoutError as error:
                raise stop(f"Error: {error}", ExitCode.TIMEOUT) from error
        _print(begun.model_dump(mode="json"), here.as_json)
        if begun.message is not None:
            raise stop(f"Error: {begun.message}", ExitCode.FAILED)


@app.command("rm")
def remove(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="HASH...", help="The environments' hashes.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Remove environments that nobody uses, and what they alone need of the downloads."""
    with session(ctx, url, api_key, output) as here:
        for name in names:
            here.client.environments.delete(name)
            say(f"environment {name} is removed")


class DownloadTalk:
    """Says how far a download is: a line a tenth."""

    def __init__(self) -> None:
        self._said: int | None = None

    def __call__(self, environment: EnvironmentView) -> None:
        progress, step = environment.progress, step_of(environment.progress)
        if progress is not None and step != self._said:
            self._said = step
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


def _print(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    environment = EnvironmentView.model_validate(answer)
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
