"""``raylift join`` and ``raylift leave``: this machine as a node of another machine's platform."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raylift.cli.exits import ExitCode, stop, wrong_usage
from raylift.cli.platform import as_interrupt, launcher_errors
from raylift.cli.printing import Output, print_facts, print_json, say
from raylift.cli.session import CaOption, OutputOption, certificates, output_format
from raylift.domain.quantities import parse_bytes

if TYPE_CHECKING:
    from raylift.launcher.nodes.record import NodeRecord


UrlOfPlatform = Annotated[str, typer.Argument(help="The platform, as `raylift up` printed it.", show_default=False)]
JoinToken = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="RAYLIFT_JOIN_TOKEN",
        help="The join token, from the file that `raylift up` names.",
        show_default=False,
        show_envvar=True,
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="Address at which other nodes reach this machine. Default: the one towards the platform."),
]
Cpus = Annotated[int | None, typer.Option("--cpus", help="CPUs for jobs and replicas. Default: all.", min=1)]
Memory = Annotated[str | None, typer.Option("--memory", help="Memory for them, e.g. 12GiB. Default: what is free.")]
Gpus = Annotated[int | None, typer.Option("--gpus", help="GPUs. Default: those that Ray finds.", min=0)]


def register(app: typer.Typer) -> None:
    for command in (join, leave):
        app.command(command.__name__)(command)


def join(
    ctx: typer.Context,
    url: UrlOfPlatform,
    token: JoinToken,
    address: Address = None,
    cpus: Cpus = None,
    memory: Memory = None,
    gpus: Gpus = None,
    ca: CaOption = None,
    output: OutputOption = None,
) -> None:
    """Let this machine join the platform of another one: it takes jobs and replicas from then on."""
    with launcher_errors():
        record, found_running = join_here(url, token, (address, cpus, memory, gpus), certificates(ctx, ca))
    if output_format(ctx, output) is Output.JSON:
        print_json({"url": record.url, "address": record.address, "already_joined": found_running})
        return
    if found_running:
        say("This machine has joined already.")
    print_facts([("Platform", record.url), ("Node", record.address), ("Logs", record.session_dir / "r")])
    say("See it with: raylift nodes. Leave with: raylift leave")


def join_here(
    url: str, token: str, machine: tuple[str | None, int | None, str | None, int | None], ca: str | None
) -> tuple[NodeRecord, bool]:
    """Join with the options of the command line: address, CPUs, memory, GPUs. Raises LauncherError."""
    from raylift.launcher.nodes.join import Machine, join
    from raylift.launcher.progress import ConsoleProgress

    signal.signal(signal.SIGTERM, as_interrupt)
    address, cpus, memory, gpus = machine
    try:
        wanted = Machine(address, cpus, None if memory is None else parse_bytes(memory), gpus)
    except ValueError as error:
        raise wrong_usage("--memory", str(error)) from error
    return join(url, token, wanted, ConsoleProgress(), ca=ca)


def leave(
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait; default: no limit.", min=0)] = None,
    now: Annotated[bool, typer.Option("--now", help="End its work, which starts again on other nodes.")] = False,
    session: Annotated[
        Path | None, typer.Option(hidden=True, help="Session directory, where this machine has joined several platforms.")
    ] = None,
) -> None:
    """Let this machine leave its platform: replicas move, jobs run to their ends, and all of the node's processes end."""
    from raylift.launcher.nodes.leave import StillBusy
    from raylift.launcher.nodes.leave import leave as leave_platform
    from raylift.launcher.progress import ConsoleProgress

    record = _only_node(session)
    with launcher_errors():
        try:
            ended = leave_platform(record, ConsoleProgress(), timeout=timeout, now=now)
        except StillBusy as error:
            raise stop(f"Error: {error}", ExitCode.TIMEOUT) from error
    say(f"Left {record.url}: {len(ended)} processes ended.")


def _only_node(session: Path | None) -> NodeRecord:
    from raylift.launcher.nodes.record import nodes_of_this_machine

    found = [record for record in nodes_of_this_machine() if session in (None, record.session_dir)]
    if not found:
        raise stop("This machine has joined no platform.", ExitCode.NOT_FOUND)
    if len(found) > 1:
        names = ", ".join(f"{record.session_dir} ({record.url})" for record in found)
        raise wrong_usage("--session", f"this machine has joined several platforms: {names}")
    return found[0]
