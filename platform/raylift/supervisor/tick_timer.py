"""Pauses between the supervisor's ticks: a steady pace, and an early tick after a write to an idle platform."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

_PEEK_SECONDS: Final = 0.03


class TickTimer:
    """Waits for the next tick. An upload to an idle platform starts at once; many uploads do not add ticks.

    Args:
        seconds: the pause between two ticks.
        was_written_to: returns True after a write since the last tick; called every 30 milliseconds.
        monotonic: seconds that never go back.
    """

    def __init__(self, seconds: float, was_written_to: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._was_written_to = was_written_to
        self._monotonic = monotonic
        self._is_idle = False

    def wait(self, stop: threading.Event) -> None:
        """Return when the next tick is due, or ``stop`` is set. Raises errors of ``was_written_to``, once a pause at most."""
        begun = self._monotonic()
        # Not idle until a tick reports it: a tick that fails must not be repeated at each of them.
        is_idle, self._is_idle = self._is_idle, False
        while not stop.wait(_PEEK_SECONDS) and self._monotonic() - begun < self._seconds:
            if is_idle and self._was_written_to():
                return

    def found(self, *, news: bool) -> None:
        """Report the result of a tick: without news the platform is idle."""
        self._is_idle = not news
