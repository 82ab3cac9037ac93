"""Prints data on stdout: tables for people, JSON for programs. Messages go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raylift.client.terminal_text import printable

_PIPE_WIDTH: Final = 10_000
"""In a pipe a row is one line, and long values are not cut."""


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text of the platform or of a job, on a terminal without escape sequences: a script could forge what is shown."""
    stream = sys.stderr if err else sys.stdout
    typer.echo(printable(text) if stream.isatty() else text, err=err, nl=nl)


def print_json(answer: Any) -> None:
    echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under upper-case column names, without rules between them: for terminals of 80 columns, grep and awk."""
    _print(table_of(columns, rows))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, name in enumerate(columns):
        # Users copy the first column, which identifies the row: it is never broken.
        table.add_column(Text(printable(name.upper())), no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, without empty values."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value not in (None, "", (), [], {}):
            table.add_row(Text(printable(name)), Text(cell(value)))
    _print(table)


def say(message: str) -> None:
    """Print a message on stderr."""
    echo(message, err=True)


def say_next_page(cursor: str | None) -> None:
    if cursor:
        say(f"There are more: --cursor {cursor}")


def cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case datetime():
            return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
        case _:
            return printable(str(value))


def age(moment: datetime, now: datetime | None = None) -> str:
    """Time since ``moment`` in its largest unit, rounded down: 90 seconds are ``1m``."""
    seconds = max(int(((now or datetime.now(UTC)) - moment).total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def pairs(values: dict[str, Any]) -> str:
    """``a=1, b=2``."""
    return ", ".join(f"{name}={cell(value)}" for name, value in values.items())


def _print(table: Table) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(highlight=False, width=_PIPE_WIDTH, no_color=True)
    with wide.capture() as text:
        wide.print(table)
    for line in text.get().splitlines():
        echo(line.rstrip())
