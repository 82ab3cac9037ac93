"""Progress of a start: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape


class Progress(Protocol):
    """Receiver of the launcher's steps."""

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        """Show a step while the block runs."""
        ...

    def say(self, text: str) -> None:
        """Show a permanent line."""
        ...


class ConsoleProgress:
    """Shows progress on a console, by default standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        began = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(f"[bold]{name}[/bold]: waiting for {escape(waiting_for)}", spinner="dots"):
                yield
        else:
            self._console.print(f"  {name}: waiting for {waiting_for}", markup=False, soft_wrap=True)
            yield
        self._console.print(f"[green]✓[/green] {name} [dim]({time.monotonic() - began:.1f} s)[/dim]")

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class NoProgress:
    """Shows nothing."""

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        yield

    def say(self, text: str) -> None: ...
