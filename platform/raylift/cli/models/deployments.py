"""``raylift deployments``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.models import DeploymentList, DeploymentView
from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.train import assignments
from raylift.cli.printing import print_facts, print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="Which model versions answer, and with how many replicas.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model.", show_default=False)]
Version = Annotated[str, typer.Argument(help="Its version.", show_default=False)]


@app.command("list")
def list_deployments(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only versions of this model.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List the deployments."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.DEPLOYMENTS, params={"model_name": model})
        if here.as_json:
            print_json(answer)
            return
        rows = [
            (d.model_name, d.model_version, d.status, f"{d.replicas} ({d.min_replicas} to {d.max_replicas})", d.message)
            for d in DeploymentList.model_validate(answer).deployments
        ]
        print_table(("model", "version", "status", "replicas", "message"), rows)


@app.command("show")
def show(
    ctx: typer.Context,
    name: Name,
    version: Version,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Show one deployment."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("GET", paths.deployment(name, version)), here.as_json)


@app.command("set")
def set_deployment(
    ctx: typer.Context,
    name: Name,
    version: Version,
    min_replicas: Annotated[int | None, typer.Option(help="0 scales to zero when idle.")] = None,
    max_replicas: Annotated[int | None, typer.Option(help="The most replicas.")] = None,
    target_ongoing_requests: Annotated[float | None, typer.Option(help="Requests in progress a replica to aim for.")] = None,
    max_ongoing_requests: Annotated[
        int | None, typer.Option(help="Requests in progress a replica before others queue.")
    ] = None,
    max_queued_requests: Annotated[
        int | None, typer.Option(help="Requests that queue a replica before others are refused.")
    ] = None,
    upscale_delay_s: Annotated[float | None, typer.Option(help="Seconds that demand lasts before a replica is added.")] = None,
    downscale_delay_s: Annotated[float | None, typer.Option(help="Seconds that a replica is needless before it goes.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Logical CPUs of each replica.")] = None,
    memory: Annotated[str | None, typer.Option(help="Logical memory of each replica, e.g. 1GiB.")] = None,
    batch_rows: Annotated[int | None, typer.Option(help="Batch requests, up to so many rows together.")] = None,
    batch_wait_ms: Annotated[float | None, typer.Option(help="Milliseconds that a batch waits for company.")] = None,
    payload_log: Annotated[
        float | None, typer.Option(help="Keep this share of requests with their answers, 0 to 1.", min=0, max=1)
    ] = None,
    no_payload_log: Annotated[bool, typer.Option("--no-payload-log", help="Keep none any more.")] = False,
    no_batching: Annotated[bool, typer.Option("--no-batching", help="End batching.")] = False,
    take_traffic: Annotated[
        bool | None,
        typer.Option("--take-traffic/--no-take-traffic", help="Answer requests that name only the model.", show_default=False),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="Variable of the replicas to set; the others stay; may be repeated.", metavar="K=V"),
    ] = None,
    unset_env: Annotated[
        list[str] | None, typer.Option("--unset-env", help="Variable to take away; may be repeated.", metavar="NAME")
    ] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Deploy a version, or change its deployment. What is not given keeps its value."""
    batching = {name: value for name, value in (("max_rows", batch_rows), ("wait_ms", batch_wait_ms)) if value is not None}
    if no_batching and batching:
        option = "--batch-rows" if batch_rows is not None else "--batch-wait-ms"
        raise wrong_usage(option, "cannot be used together with --no-batching")
    body: dict[str, Any] = {
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "target_ongoing_requests": target_ongoing_requests,
        "max_ongoing_requests": max_ongoing_requests,
        "max_queued_requests": max_queued_requests,
        "upscale_delay_s": upscale_delay_s,
        "downscale_delay_s": downscale_delay_s,
        "cpus": cpus,
        "memory": memory,
        "batching": batching or None,
        "payload_log": None if payload_log is None else {"sample_rate": payload_log},
        "take_traffic": take_traffic,
        "environment": {**assignments(env or [], "--env"), **dict.fromkeys(unset_env or ())} or None,
    }
    body = {field: value for field, value in body.items() if value is not None}
    body |= {"batching": None} if no_batching else {}
    body |= {"payload_log": None} if no_payload_log else {}
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("PUT", paths.deployment(name, version), json=body), here.as_json)


@app.command("delete")
def delete(
    ctx: typer.Context,
    name: Name,
    version: Version,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Take a version out of service. It stays registered; `set` deploys it again."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("DELETE", paths.deployment(name, version))
        if here.as_json:
            print_json(answer)
        else:
            say(f"{name} version {version} is taken out of service")


def _seconds(delay: float | None) -> str:
    return "as the platform's" if delay is None else f"{delay:g} s"


def _print(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    deployment = DeploymentView.model_validate(answer)
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
            ("batching", f"{batching.max_rows} rows, {batching.wait_ms:g} ms" if batching else "off"),
            ("payload log", f"{payloads.sample_rate:.0%} of requests" if payloads else "off"),
            ("takes traffic", deployment.take_traffic),
            ("environment", ", ".join(deployment.environment)),
            ("route", deployment.route),
            ("ready since", deployment.ready_at),
        ]
    )
