"""``raylift up``, ``down``, ``status``, ``doctor``: a platform on this machine.

Commands import the launcher when they run: it imports Ray, which is slow and not part of a client's installation.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from raylift.cli.cluster import UrlArgument, show_status
from raylift.cli.exits import ExitCode, stop
from raylift.cli.printing import Output, echo, print_facts, print_json, print_table, say
from raylift.cli.session import CaOption, KeyOption, OutputOption, output_format

if TYPE_CHECKING:
    from raylift.launcher import LocalPlatform

DEFAULT_STATE: Final = Path("~/.raylift")
_TITLES: Final = {
    "console": "Console",
    "api": "API",
    "docs": "API docs",
    "ray_dashboard": "Ray dashboard",
    "mlflow": "MLflow",
    "grpc": "gRPC",
}
_SIGNS: Final = {"ok": "✓", "info": "·", "warn": "!", "fail": "✗"}

StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir", envvar="RAYLIFT_STATE_DIR", help="Directory of everything that the platform keeps.", file_okay=False
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings that override the defaults (cluster_configs/local.yaml).", exists=True, dir_okay=False
    ),
]

AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        metavar="NAME",
        envvar="RAYLIFT_ALLOWED_HOSTS",
        help="Name, without a port, by which others call the API, such as a reverse proxy's; may be repeated. Default: "
        "gateway.allowed_hosts.",
        show_default=False,
    ),
]
Auth = Annotated[
    str | None,
    typer.Option(
        "--auth",
        metavar="MODE",
        envvar="RAYLIFT_AUTH",
        help="local: no keys, for this machine only. keys: every request needs a key. Default: local.",
        show_default=False,
    ),
]
AllowedOrigin = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-origin",
        metavar="ORIGIN",
        envvar="RAYLIFT_ALLOWED_ORIGINS",
        help="Web pages that may ask for predictions, e.g. https://app.example; may be repeated. Default: "
        "gateway.allowed_origins.",
        show_default=False,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        metavar="FILE",
        envvar="RAYLIFT_TLS_CERT",
        help="Certificate of the API with its chain, in PEM. Default: gateway.tls.cert.",
        show_default=False,
        exists=True,
        dir_okay=False,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        metavar="FILE",
        envvar="RAYLIFT_TLS_KEY",
        help="Key of the certificate, in PEM. Default: it is in the same file.",
        show_default=False,
        exists=True,
        dir_okay=False,
    ),
]
InsecureNoAuth = Annotated[
    bool,
    typer.Option(
        "--insecure-no-auth",
        envvar="RAYLIFT_INSECURE_NO_AUTH",
        help="Listen on the address of --host although everybody who reaches it can run code as you.",
    ),
]


AcceptNodes = Annotated[
    bool,
    typer.Option(
        "--accept-nodes",
        envvar="RAYLIFT_ACCEPT_NODES",
        help="Let other machines join by raylift join. Ray and MLflow then listen on the address of --host.",
    ),
]


def register(app: typer.Typer) -> None:
    for command in (up, down, status, doctor):
        app.command(command.__name__)(command)


def up(
    ctx: typer.Context,
    state_dir: StateDir = DEFAULT_STATE,
    config: ConfigFile = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address of the API; with 0.0.0.0 other machines can reach it (needs --auth keys)."),
    ] = None,
    accept_nodes: AcceptNodes = False,
    auth: Auth = None,
    allowed_host: AllowedHost = None,
    allowed_origin: AllowedOrigin = None,
    insecure_no_auth: InsecureNoAuth = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 chooses a free one.")] = None,
    dashboard_port: Annotated[int | None, typer.Option(help="Port of Ray's dashboard; 0 chooses a free one.")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="Port of MLflow; 0 chooses a free one.")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port of gRPC; 0 chooses a free one. Default: no gRPC.")] = None,
    output: OutputOption = None,
) -> None:
    """Start a platform on this machine. It continues with the state that it had before."""
    from raylift.launcher import LocalPlatform
    from raylift.launcher.progress import ConsoleProgress

    signal.signal(signal.SIGTERM, as_interrupt)
    with launcher_errors():
        platform = LocalPlatform.start(
            state_dir,
            config_file=config,
            overrides={
                **_ports({"gateway": port, "ray_dashboard": dashboard_port, "mlflow": mlflow_port, "grpc": grpc_port}),
                **_exposure(
                    host,
                    auth,
                    allowed_host,
                    allowed_origin,
                    {"cert": tls_cert, "key": tls_key},
                    insecure_no_auth=insecure_no_auth,
                ),
                **({"accept_nodes": True} if accept_nodes else {}),
            },
            progress=ConsoleProgress(),
        )
    if platform.found_running:
        say("Already running.")
    if output_format(ctx, output) is Output.JSON:
        print_json({"urls": platform.urls, **platform.record.model_dump(mode="json")})
        return
    _print_platform(platform)
    if platform.record.join_token_file is not None:
        say(f"Other machines join with: raylift join {platform.url} --token TOKEN, the text of the file named above.")
    say(f"Stop it with: raylift down{_state_option(state_dir)}")


def down(state_dir: StateDir = DEFAULT_STATE) -> None:
    """Stop what `raylift up` started, jobs included. The platform's state stays in the state directory."""
    from raylift.launcher import LocalPlatform

    with launcher_errors():
        platform = LocalPlatform.find(state_dir)
        if platform is None:
            say(f"Nothing runs on {state_dir.expanduser()}.")
            return
        ended = platform.stop()
    for line in ended:
        say(f"ended {line}")
    say(f"Stopped: {len(ended)} processes. State is kept in {platform.record.state_dir}.")


def status(
    ctx: typer.Context,
    url: UrlArgument = None,
    state_dir: StateDir = DEFAULT_STATE,
    api_key: KeyOption = None,
    ca: CaOption = None,
    output: OutputOption = None,
) -> None:
    """Show the platform's components and the number of jobs by status. Exit code 1 unless all components are healthy."""
    if url is not None:
        show_status(ctx, url, api_key, ca, output)
        return
    from raylift.launcher import LocalPlatform
    from raylift.launcher.status import read_status

    as_json = output_format(ctx, output) is Output.JSON
    with launcher_errors():
        platform = LocalPlatform.find(state_dir)
    if platform is None:
        if as_json:
            print_json({"running": False})
        raise stop(
            f"Nothing runs on {state_dir.expanduser()}. Start it with: raylift up{_state_option(state_dir)}", ExitCode.FAILED
        )
    seen = read_status(platform.record)
    if as_json:
        print_json({"running": True, "urls": platform.urls, "state_dir": str(platform.record.state_dir), **seen.as_dict()})
    else:
        print_table(
            ("component", "health", "pid", "port", "detail"),
            [(part.name, part.health, part.pid, part.port, part.detail) for part in seen.components],
        )
        _print_platform(platform)
        print_facts([("Jobs", ", ".join(f"{count} {name}" for name, count in seen.jobs.items()) or "none")])
    if not seen.healthy:
        raise typer.Exit(ExitCode.FAILED)


def doctor(
    ctx: typer.Context, state_dir: StateDir = DEFAULT_STATE, config: ConfigFile = None, output: OutputOption = None
) -> None:
    """Check this machine and print advice. Exit code 1 if the platform cannot run on it."""
    from raylift.launcher import load_config
    from raylift.launcher.doctor import examine
    from raylift.launcher.findings import Level

    with launcher_errors():
        findings = examine(load_config(config), state_dir.expanduser().resolve())
    if output_format(ctx, output) is Output.JSON:
        print_json([{"name": f.name, "level": f.level, "detail": f.detail, "advice": f.advice} for f in findings])
    else:
        for finding in findings:
            echo(f"{_SIGNS[finding.level]} {finding.level:<4}  {finding.name}: {finding.detail}")
            if finding.advice:
                echo(f"          {finding.advice}")
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _ports(ports: dict[str, int | None]) -> dict[str, Any]:
    return {"ports": {name: port for name, port in ports.items() if port is not None}}


def _exposure(
    host: str | None,
    auth: str | None,
    allowed_hosts: list[str] | None,
    allowed_origins: list[str] | None,
    tls: dict[str, Path | None],
    *,
    insecure_no_auth: bool,
) -> dict[str, Any]:
    overrides = _given({"host": host, "auth": auth})
    gateway = _given({"allowed_hosts": allowed_hosts or None, "allowed_origins": allowed_origins or None})
    files = _given(tls)
    if files:
        gateway["tls"] = {name: str(path) for name, path in files.items()}
    if gateway:
        overrides["gateway"] = gateway
    if insecure_no_auth:
        overrides["insecure_no_auth"] = True
    return overrides


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _print_platform(platform: LocalPlatform) -> None:
    record = platform.record
    print_facts(
        [
            *((_TITLES[name], url) for name, url in platform.urls.items()),
            ("Listens on", record.listens_on),
            ("Ray's token", record.ray_token_file),
            ("Admin key", record.admin_key_file),
            ("Join token", record.join_token_file),
            ("Internal ports", f"{record.platform_ports.block} to {record.platform_ports.workers.stop - 1}"),
            ("State", record.state_dir),
            ("Logs", f"{record.state_dir / 'logs'}, Ray's in {record.session_dir / 'r' / 'session_latest' / 'logs'}"),
        ]
    )


def _state_option(state_dir: Path) -> str:
    return "" if state_dir == DEFAULT_STATE else f" --state-dir {state_dir}"


@contextmanager
def launcher_errors(*, but: type[Exception] | tuple[()] = ()) -> Generator[None]:
    """Turns errors of the launcher into messages and exit codes, ``but`` for one kind."""
    from raylift.launcher import LauncherError

    try:
        yield
    except but:
        raise
    except LauncherError as error:
        raise stop(f"Error: {error}", ExitCode.FAILED) from error


def as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
