"""``raylift sweeps``."""

from __future__ import annotations

from typing import Annotated

import typer

from raylift.api import paths
from raylift.api.sweeps import SweepPage, SweepView
from raylift.cli.jobs.sweep_table import print_sweep_table
from raylift.cli.printing import age, pairs, print_facts, print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session

app = typer.Typer(
    help="Sweeps: list, look at the table, cancel, delete. `raylift train --sweep` makes one.", no_args_is_help=True
)

SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="Its id, sweep_…", show_default=False)]


@app.command("list")
def list_sweeps(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1)] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where the last page ended.")] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """List sweeps, newest first."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.SWEEPS, params={"limit": limit, "cursor": cursor})
        if here.as_json:
            print_json(answer)
            return
        page = SweepPage.model_validate(answer)
        rows = [
            (sweep.sweep_id, sweep.status, sum(sweep.counts.values()), ", ".join(sweep.parameters), age(sweep.created_at))
            for sweep in page.sweeps
        ]
        print_table(("sweep", "status", "jobs", "parameters", "age"), rows)
        if page.next_cursor:
            say(f"There are more: --cursor {page.next_cursor}")


@app.command("show")
def show(
    ctx: typer.Context, sweep_id: SweepId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Show a sweep and its table, sorted by its metric."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("GET", paths.sweep(sweep_id))
        if here.as_json:
            print_json(answer)
            return
        view = SweepView.model_validate(answer)
        print_facts(_facts(view))
        typer.echo()
        print_sweep_table(view)


@app.command("cancel")
def cancel(
    ctx: typer.Context, sweep_id: SweepId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Ask all jobs of a sweep to stop. One that has ended stays as it is."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("POST", paths.sweep(sweep_id, "cancel"))
        if here.as_json:
            print_json(answer)
            return
        view = SweepView.model_validate(answer)
        say(f"{sweep_id} is {view.status}" if view.finished_at else f"the jobs of {sweep_id} are told to stop")


@app.command("delete")
def delete(
    ctx: typer.Context, sweep_id: SweepId, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Forget a sweep that has ended, its jobs and their logs. Their runs and model versions stay."""
    with session(ctx, url, api_key, output) as here:
        answer = here.client.request("DELETE", paths.sweep(sweep_id))
        if here.as_json:
            print_json(answer)
        else:
            say(f"{sweep_id} is deleted")


def _facts(view: SweepView) -> list[tuple[str, object]]:
    return [
        ("sweep", view.sweep_id),
        ("status", view.status),
        ("message", view.message),
        ("experiment", view.experiment_name),
        ("model", view.model_name),
        ("script", view.script_name),
        ("jobs", pairs({status: count for status, count in view.counts.items() if count})),
        ("metric", f"{view.metric} ({view.mode})" if view.metric else None),
        ("best", pairs(view.best.parameters) if view.best else None),
        ("registers", view.registration if view.model_name else None),
        ("run", view.mlflow_run_id),
        ("created", view.created_at),
        ("finished", view.finished_at),
    ]
