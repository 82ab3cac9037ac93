"""``raylift node head`` and ``raylift node worker``: this machine as a node, in the foreground, for containers and services."""

from __future__ import annotations

import time
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from raylift.cli.exits import ExitCode, stop
from raylift.cli.nodes import joining
from raylift.cli.platform import launcher_errors, up
from raylift.cli.printing import say
from raylift.cli.session import CaOption, certificates

if TYPE_CHECKING:
    from raylift.launcher.nodes.record import NodeRecord

app = typer.Typer(name="node", help="This machine as a node, in the foreground, such as in a container.", no_args_is_help=True)
_PAUSE_SECONDS: Final = 2.0


def head(**options: Any) -> None:
    """Run a platform until SIGTERM, with its logs on standard output. Options are those of `raylift up`."""
    from raylift.launcher.local_platform import MAIN, LocalPlatform
    from raylift.launcher.nodes.foreground import LogFollower, Signals, logs_of, stay

    up(**options)
    with launcher_errors():
        platform = LocalPlatform.find(options["state_dir"])
        if platform is None:
            raise stop("The platform has ended.", ExitCode.FAILED)
        record = platform.record
        signals = Signals()
        ended_by_signal = stay(
            [record.pids[name] for name in MAIN],
            signals,
            LogFollower(lambda: logs_of(record.session_dir, record.state_dir / "logs")),
        )
        ended = platform.stop()
    say(f"Stopped: {len(ended)} processes. State is kept in {record.state_dir}.")
    if not ended_by_signal:
        raise stop("Ray or MLflow has ended by itself.", ExitCode.FAILED)


def worker(
    ctx: typer.Context,
    url: joining.UrlOfPlatform,
    token: joining.JoinToken,
    address: joining.Address = None,
    cpus: joining.Cpus = None,
    memory: joining.Memory = None,
    gpus: joining.Gpus = None,
    ca: CaOption = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a platform that does not answer yet.", min=0)] = 300.0,
    grace: Annotated[
        float, typer.Option(help="Seconds for its work after SIGTERM. What is left then starts again on other nodes.", min=0)
    ] = 600.0,
) -> None:
    """Be a node of a platform until SIGTERM, with Ray's logs on standard output. Then it is drained, and leaves."""
    from raylift.launcher.nodes.foreground import LogFollower, Signals, logs_of, stay
    from raylift.launcher.nodes.join import HeadUnreachable
    from raylift.launcher.processes.platform_processes import pids_by_component

    deadline = time.monotonic() + wait
    while True:
        try:
            with launcher_errors(but=HeadUnreachable):
                record, _ = joining.join_here(url, token, (address, cpus, memory, gpus), certificates(ctx, ca))
            break
        except HeadUnreachable as error:
            if time.monotonic() > deadline:
                raise stop(f"Error: {error}", ExitCode.UNAVAILABLE) from error
            time.sleep(_PAUSE_SECONDS)
    say(f"{record.address} is a node of {record.url}.")
    signals = Signals()
    raylet = pids_by_component(record.instance).get("raylet", 0)
    if stay([raylet], signals, LogFollower(lambda: logs_of(record.session_dir))):
        _leave(record, signals, grace)
    else:
        _end_without_ray(record)


def _leave(record: NodeRecord, signals: Any, grace: float) -> None:
    """Leave in order; a second signal, or the end of the grace, ends the node's work."""
    from raylift.launcher.errors import LauncherError
    from raylift.launcher.nodes.leave import StillBusy, leave
    from raylift.launcher.progress import ConsoleProgress

    with launcher_errors():
        try:
            leave(record, ConsoleProgress(), timeout=grace, stop_waiting=lambda: signals.count > 1)
        except StillBusy as error:
            leave(record, ConsoleProgress(), timeout=None, now=True)
            raise stop(f"Left {record.url} with work that starts again on other nodes.", ExitCode.TIMEOUT) from error
        except LauncherError:
            # Such as a head that is gone: nothing stays here.
            leave(record, ConsoleProgress(), timeout=None, now=True)
            raise
    say(f"Left {record.url}.")


def _end_without_ray(record: NodeRecord) -> None:
    """Remove what is left of a node whose Ray has ended: drained by somebody, which is in order, or lost."""
    from raylift.launcher.nodes.leave import was_drained
    from raylift.launcher.nodes.record import end_node

    drained = was_drained(record)
    with launcher_errors():
        end_node(record)
    if not drained:
        raise stop(f"Ray has ended: {record.url} is gone, or has lost contact with this node.", ExitCode.FAILED)
    say(f"Drained, and left {record.url}.")


def register(root: typer.Typer) -> None:
    """Add ``node``. ``head`` has the options of ``up``."""
    head.__signature__ = signature(up, eval_str=True)  # pyright: ignore[reportFunctionMemberAccess] # For Typer.
    for command in (head, worker):
        app.command(command.__name__)(command)
    root.add_typer(app)
