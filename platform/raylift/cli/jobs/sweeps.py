"""``raylift sweeps``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.sweeps import SweepPage, SweepView
from raylift.cli.jobs.sweep_table import nonzero, print_sweep_table
from raylift.cli.options import CursorOption, LimitOption
from raylift.cli.printing import age, echo, pairs, print_facts, print_table, say, say_next_page
from raylift.cli.session import Session, command

app = typer.Typer(
    help="Sweeps: list, show their tables, cancel, delete. `raylift train --sweep` starts one.", no_args_is_help=True
)

SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="Id of the sweep, sweep_…", show_default=False)]


def _print_page(page: SweepPage) -> None:
    rows = [
        (sweep.sweep_id, sweep.status, sum(sweep.counts.values()), ", ".join(sweep.parameters), age(sweep.created_at))
        for sweep in page.sweeps
    ]
    print_table(("sweep", "status", "jobs", "parameters", "age"), rows)
    say_next_page(page.next_cursor)


@command(app, "list", SweepPage, _print_page)
def list_sweeps(session: Session, limit: LimitOption = 20, cursor: CursorOption = None) -> Any:
    """List sweeps, newest first."""
    return session.client.request("GET", paths.SWEEPS, params={"limit": limit, "cursor": cursor})


def _print(view: SweepView) -> None:
    print_facts(_facts(view))
    echo("")
    print_sweep_table(view)


@command(app, "show", SweepView, _print)
def show(session: Session, sweep_id: SweepId) -> Any:
    """Show a sweep and its table, sorted by its metric."""
    return session.client.request("GET", paths.sweep(sweep_id))


def _say_cancelled(view: SweepView) -> None:
    say(f"{view.sweep_id} is {view.status}" if view.finished_at else f"the jobs of {view.sweep_id} are told to stop")


@command(app, "cancel", SweepView, _say_cancelled)
def cancel(session: Session, sweep_id: SweepId) -> Any:
    """Ask all jobs of a sweep to stop. A sweep that has ended does not change."""
    return session.client.request("POST", paths.sweep(sweep_id, "cancel"))


@command(app, "delete")
def delete(session: Session, sweep_id: SweepId) -> None:
    """Delete a sweep that has ended, its jobs and their logs. Their runs and model versions stay."""
    session.print(session.client.request("DELETE", paths.sweep(sweep_id)), lambda: say(f"{sweep_id} is deleted"))


def _facts(view: SweepView) -> list[tuple[str, object]]:
    return [
        ("sweep", view.sweep_id),
        ("status", view.status),
        ("message", view.message),
        ("experiment", view.experiment_name),
        ("model", view.model_name),
        ("script", view.script_name),
        ("jobs", pairs(nonzero(view.counts))),
        ("metric", f"{view.metric} ({view.mode})" if view.metric else None),
        ("best", pairs(view.best.parameters) if view.best else None),
        ("registers", view.registration if view.model_name else None),
        ("run", view.mlflow_run_id),
        ("created", view.created_at),
        ("finished", view.finished_at),
    ]
