"""The ``raylift`` command."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Final

import typer

from raylift import __version__
from raylift.cli import audit, cluster, env, keys, login, reports, secrets
from raylift.cli.data import commands as data
from raylift.cli.exits import ExitCode, PlatformGroup, stop
from raylift.cli.jobs import batches, schedules, sweeps, train
from raylift.cli.jobs import commands as jobs
from raylift.cli.models import commands as models
from raylift.cli.models import deployments, monitor, predict, rollouts, traffic
from raylift.cli.nodes import commands as nodes
from raylift.cli.printing import Output, echo, print_json
from raylift.cli.session import CaOption, Defaults, KeyOption, OutputOption, UrlOption, output_format
from raylift.cli.webhooks import commands as webhooks

EPILOG: Final = (
    "Exit codes: 0 ok, 1 it failed (e.g. the job), 2 wrong usage or request, 3 not found, "
    "4 platform unreachable or unavailable, 5 timeout, 130 interrupted. Data goes to stdout, messages to stderr."
)
_PLATFORM_COMMANDS: Final = {
    "up": "Start a platform on this machine.",
    "down": "Stop what `raylift up` started.",
    "status": "Show what runs on this machine, or at a URL.",
    "doctor": "Check this machine and print advice.",
    "backup": "Write all that the platform keeps to a file.",
    "restore": "Restore a backup into an empty state directory.",
    "join": "Let this machine join the platform of another one.",
    "leave": "Let this machine leave its platform.",
}

app = typer.Typer(
    name="raylift",
    cls=PlatformGroup,
    help="Upload a Python training script, get an autoscaled REST endpoint.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    app(prog_name="raylift")


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"raylift {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    url: UrlOption = None,
    api_key: KeyOption = None,
    ca: CaOption = None,
    output: OutputOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    ctx.obj = Defaults(url, api_key, ca, output)


@app.command("version")
def print_version(ctx: typer.Context, output: OutputOption = None) -> None:
    """Print the version of this client."""
    if output_format(ctx, output) is Output.JSON:
        print_json({"version": __version__})
    else:
        echo(f"raylift {__version__}")


def _add_platform_commands() -> None:
    """Add commands of a platform on this machine. Without the server extra they only print how to install it."""
    if find_spec("ray") is not None and find_spec("raylift.cli.platform") is not None:
        import_module("raylift.cli.platform").register(app)
        import_module("raylift.cli.state").register(app, secrets.app)
        import_module("raylift.cli.nodes.joining").register(app)
        import_module("raylift.cli.nodes.foreground").register(app)
        return
    app.command("status", help=_PLATFORM_COMMANDS["status"])(_status_without_server)
    for name, text in _PLATFORM_COMMANDS.items():
        if name == "status":
            continue
        app.command(name, help=text, context_settings={"ignore_unknown_options": True})(_without_server(name))


def _status_without_server(
    ctx: typer.Context,
    url: cluster.UrlArgument = None,
    state_dir: Annotated[str | None, typer.Option(hidden=True)] = None,
    api_key: KeyOption = None,
    ca: CaOption = None,
    output: OutputOption = None,
) -> None:
    if url is None:
        _without_server("status")(None)
    else:
        cluster.show_status(ctx, url, api_key, ca, output)


def _without_server(name: str) -> Callable[[list[str] | None], None]:
    def refuse(ignored: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise stop(
            f'`raylift {name}` runs a platform on this machine and needs its server side: pip install "raylift[server]"',
            ExitCode.USAGE,
        )

    return refuse


train.register(app)
predict.register(app)
monitor.register(app)
batches.register(app)
cluster.register(app)
nodes.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(sweeps.app, name="sweeps")
app.add_typer(schedules.app, name="schedule")
app.add_typer(batches.app, name="batches")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(deployments.app, name="deployments")
app.add_typer(traffic.app, name="traffic")
app.add_typer(rollouts.app, name="rollout")
app.add_typer(env.app, name="env")
app.add_typer(keys.app, name="keys")
login.register(app)
reports.register()
audit.register(app)
app.add_typer(secrets.app, name="secrets")
app.add_typer(webhooks.app, name="webhooks")
_add_platform_commands()
