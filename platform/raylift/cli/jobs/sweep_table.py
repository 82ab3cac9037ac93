"""Prints a sweep: its table, once or live, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import typer
from rich.console import Console
from rich.live import Live

from raylift.api import paths
from raylift.api.sweeps import SweepRow, SweepView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.jobs.following import await_health
from raylift.cli.printing import cell, echo, pairs, print_json, print_table, say, table_of
from raylift.cli.session import Session
from raylift.client import RayliftError, Sweep
from raylift.client.jobs.sweeps import by_metric
from raylift.domain.job import JobStatus

_METRICS: Final = 3
"""Columns of metrics when the sweep names none: a terminal has 80 characters."""


def announce_sweep(session: Session, sweep: Sweep) -> None:
    """Print the id of a new sweep on stdout, and the next command on stderr."""
    if session.as_json:
        print_json(sweep.acknowledgement)
        return
    echo(sweep.sweep_id)
    count = len((sweep.acknowledgement or {}).get("jobs", []))
    say(f"{count} jobs are queued. raylift sweeps show {sweep.sweep_id}   shows their table.")


def follow_sweep(session: Session, sweep: Sweep) -> None:
    """Show the table live until the sweep has ended, then wait for the best version's first health check.

    Ctrl-C only detaches.

    Raises:
        typer.Exit: always; with 1 if the sweep failed or was cancelled, or its best version is unhealthy.
    """
    if not session.as_json:
        say(sweep.sweep_id)
    try:
        with _LiveTable() as table:
            sweep.wait(report=table, raise_on_failure=False)
    except KeyboardInterrupt:
        raise stop(
            f"\nDetached; {sweep.sweep_id} goes on.\n"
            f"  raylift sweeps show {sweep.sweep_id}     to look at it\n"
            f"  raylift sweeps cancel {sweep.sweep_id}   to end it",
            ExitCode.INTERRUPTED,
        ) from None
    if session.as_json:
        print_json(session.client.request("GET", paths.sweep(sweep.sweep_id)))
    else:
        print_sweep_table(sweep.view)
    code, best = _say_outcome(sweep.view), sweep.view.best
    if code == ExitCode.OK and best is not None and best.model_version is not None:
        code = await_health(session.client, session.client.jobs.get(best.job_id).view)
    raise typer.Exit(code)


def print_sweep_table(view: SweepView) -> None:
    print_table(*_table(view))


class _LiveTable:
    """A ``SweepReport``: on a terminal a table that updates in place, elsewhere a line for each change of the counts."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._printed_line = ""

    def __enter__(self) -> _LiveTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, view: SweepView | None, error: RayliftError | None) -> None:
        if view is not None and self._live is not None:
            self._live.update(table_of(*_table(view)), refresh=True)
            return
        line = f"trying again, the platform does not answer ({error})" if view is None else pairs(nonzero(view.counts))
        if line != self._printed_line:
            self._printed_line = line
            say(line)


def _table(view: SweepView) -> tuple[list[str], list[list[object]]]:
    metrics = _shown_metrics(view)
    names = list(view.parameters)
    # Ids of jobs are long: last column.
    columns = [*names, "status", *metrics, *(["version"] if view.model_name else []), "job"]
    return columns, [_cells(row, names, metrics, with_version=bool(view.model_name)) for row in by_metric(view)]


def _cells(row: SweepRow, names: list[str], metrics: list[str], *, with_version: bool) -> list[object]:
    status = f"{row.status} ({row.reason})" if row.reason and row.status != JobStatus.QUEUED else row.status
    version: list[object] = [row.model_version] if with_version else []
    return [*(row.parameters.get(name) for name in names), status, *map(row.metrics.get, metrics), *version, row.job_id]


def _shown_metrics(view: SweepView) -> list[str]:
    if view.metric is not None:
        return [view.metric]
    return sorted({name for row in view.jobs for name in row.metrics})[:_METRICS]


def nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {status: count for status, count in counts.items() if count}


def _say_outcome(view: SweepView) -> ExitCode:
    say(f"{view.sweep_id} {view.status}: {view.message or ''}")
    if view.best is not None:
        say(f"  best: {pairs(view.best.parameters)} with {view.metric}={cell(view.best.metrics.get(view.metric or ''))}")
        if view.model_name and view.best.model_version:
            say(f"  raylift predict {view.model_name} --version {view.best.model_version} --inputs @rows.json")
    return ExitCode.OK if view.status == JobStatus.COMPLETED else ExitCode.FAILED
