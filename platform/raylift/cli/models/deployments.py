"""``raylift deployments``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.models import DeploymentList, DeploymentView
from raylift.cli.exits import wrong_usage
from raylift.cli.names import ModelArgument
from raylift.cli.options import VersionArgument, assignments
from raylift.cli.printing import print_facts, print_table, say
from raylift.cli.session import Session, command
from raylift.client.models import deployment_body
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="Deployments: the model versions that answer, and their replicas.", no_args_is_help=True)


def _print_list(found: DeploymentList) -> None:
    rows = [
        (d.model_name, d.model_version, d.status, f"{d.replicas} ({d.min_replicas} to {d.max_replicas})", d.message)
        for d in found.deployments
    ]
    print_table(("model", "version", "status", "replicas", "message"), rows)


@command(app, "list", DeploymentList, _print_list)
def list_deployments(
    session: Session,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only versions of this model.")] = None,
) -> Any:
    """List the deployments."""
    return session.client.request("GET", paths.DEPLOYMENTS, params={"model_name": model})


def _seconds(delay: float | None) -> str:
    return "as the platform's" if delay is None else f"{delay:g} s"


def _print(deployment: DeploymentView) -> None:
    batching, payloads = deployment.batching, deployment.payload_log
    print_facts(
        [
            ("model", deployment.model_name),
            ("version", deployment.model_version),
            ("status", deployment.status),
            ("message", deployment.message),
            ("replicas", f"{deployment.replicas} ({deployment.min_replicas} to {deployment.max_replicas})"),
            ("target ongoing requests", deployment.target_ongoing_requests),
            ("max ongoing requests", deployment.max_ongoing_requests),
            ("max queued requests", deployment.max_queued_requests),
            ("upscale delay", _seconds(deployment.upscale_delay_s)),
            ("downscale delay", _seconds(deployment.downscale_delay_s)),
            ("cpus", deployment.cpus),
            ("memory", format_bytes(deployment.memory) if deployment.memory else None),
            ("gpus", f"{deployment.gpus:g}" if deployment.gpus else None),
            ("batching", f"{batching.max_rows} rows, {batching.wait_ms:g} ms" if batching else "off"),
            ("payload log", f"{payloads.sample_rate:.0%} of requests" if payloads else "off"),
            ("takes traffic", deployment.take_traffic),
            ("environment", ", ".join(deployment.environment)),
            ("route", deployment.route),
            ("ready since", deployment.ready_at),
        ]
    )


@command(app, "show", DeploymentView, _print)
def show(session: Session, name: ModelArgument, version: VersionArgument) -> Any:
    """Show one deployment."""
    return session.client.request("GET", paths.deployment(name, version))


@command(app, "set", DeploymentView, _print)
def set_deployment(
    session: Session,
    name: ModelArgument,
    version: VersionArgument,
    min_replicas: Annotated[int | None, typer.Option(help="Fewest replicas; 0 scales to zero when idle.")] = None,
    max_replicas: Annotated[int | None, typer.Option(help="Most replicas.")] = None,
    target_ongoing_requests: Annotated[float | None, typer.Option(help="Target for requests in progress per replica.")] = None,
    max_ongoing_requests: Annotated[
        int | None, typer.Option(help="Most requests in progress per replica; further ones queue.")
    ] = None,
    max_queued_requests: Annotated[
        int | None, typer.Option(help="Most queued requests per replica; further ones are refused.")
    ] = None,
    upscale_delay_s: Annotated[float | None, typer.Option(help="Seconds of high load before a replica is added.")] = None,
    downscale_delay_s: Annotated[float | None, typer.Option(help="Seconds of low load before a replica is removed.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Logical CPUs of each replica.")] = None,
    memory: Annotated[str | None, typer.Option(help="Logical memory of each replica, e.g. 1GiB.")] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs of each replica: a part of one (0.5), or whole ones.")] = None,
    batch_rows: Annotated[int | None, typer.Option(help="Most rows of one batch; turns batching on.")] = None,
    batch_wait_ms: Annotated[float | None, typer.Option(help="Milliseconds that a batch waits for more requests.")] = None,
    payload_log: Annotated[
        float | None, typer.Option(help="Share of requests to log with their answers, 0 to 1.", min=0, max=1)
    ] = None,
    no_payload_log: Annotated[bool, typer.Option("--no-payload-log", help="Turn the payload log off.")] = False,
    no_batching: Annotated[bool, typer.Option("--no-batching", help="Turn batching off.")] = False,
    take_traffic: Annotated[
        bool | None,
        typer.Option("--take-traffic/--no-take-traffic", help="Answer requests that name only the model.", show_default=False),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", help="Environment variable of the replicas to set; the others stay; may be repeated.", metavar="K=V"
        ),
    ] = None,
    unset_env: Annotated[
        list[str] | None, typer.Option("--unset-env", help="Environment variable to remove; may be repeated.", metavar="NAME")
    ] = None,
) -> Any:
    """Deploy a version, or change its deployment. Options that are not given keep their values."""
    batching = {name: value for name, value in (("max_rows", batch_rows), ("wait_ms", batch_wait_ms)) if value is not None}
    if no_batching and batching:
        option = "--batch-rows" if batch_rows is not None else "--batch-wait-ms"
        raise wrong_usage(option, "cannot be used together with --no-batching")
    fields: dict[str, Any] = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "target_ongoing_requests": target_ongoing_requests,
        "max_ongoing_requests": max_ongoing_requests,
        "max_queued_requests": max_queued_requests,
        "upscale_delay_s": upscale_delay_s,
        "downscale_delay_s": downscale_delay_s,
        "cpus": cpus,
        "memory": memory,
        "gpus": gpus,
        "batching": False if no_batching else batching or None,
        "payload_log": False if no_payload_log else None if payload_log is None else {"sample_rate": payload_log},
        "take_traffic": take_traffic,
        "environment": {**assignments(env, "--env"), **dict.fromkeys(unset_env or ())} or None,
    }
    return session.client.request("PUT", paths.deployment(name, version), json=deployment_body(fields))


@command(app, "delete")
def delete(session: Session, name: ModelArgument, version: VersionArgument) -> None:
    """Take a version out of service. It stays registered; `set` deploys it again."""
    answer = session.client.request("DELETE", paths.deployment(name, version))
    session.print(answer, lambda: say(f"{name} version {version} is taken out of service"))
