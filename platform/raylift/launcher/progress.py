"""Telling a person what the launcher waits for: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console


class Progress(Protocol):
    """How the launcher reports its steps."""

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        """While it lasts, ``name`` waits for ``waiting_for``."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


class ConsoleProgress:
    """On a console, by default the standard error output."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        began = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(f"[bold]{name}[/bold]: waiting for {waiting_for}", spinner="dots"):
                yield
        else:
            self._console.print(f"  {name}: waiting for {waiting_for}", markup=False, soft_wrap=True)
            yield
        self._console.print(f"[green]✓[/green] {name} [dim]({time.monotonic() - began:.1f} s)[/dim]")

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class Silence:
    """For programs."""

    @contextmanager
    def step(self, name: str, waiting_for: str) -> Generator[None]:
        yield

    def say(self, text: str) -> None:
        """Nobody listens."""
