"""When the supervisor looks again: at a steady pace, and at once when something is written while it is at rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

_PEEK_SECONDS: Final = 0.01


class TickTimer:
    """The pauses between ticks. An upload to a platform at rest starts at once; thousands of them do not make the ticks more.

    Args:
        seconds: the pause between two ticks.
        was_written_to: whether something was written since the last tick; asked every few milliseconds.
        monotonic: seconds that never go back.
    """

    def __init__(self, seconds: float, was_written_to: Callable[[], bool], monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._was_written_to = was_written_to
        self._monotonic = monotonic
        self._at_rest = False

    def wait(self, stop: threading.Event) -> None:
        """Return when the next tick is due, or ``stop`` is set. Raises what ``was_written_to`` raises, once a pause at most."""
        begun = self._monotonic()
        # Not at rest until a tick has said so: one that fails must not be repeated every few milliseconds.
        at_rest, self._at_rest = self._at_rest, False
        while not stop.wait(_PEEK_SECONDS) and self._monotonic() - begun < self._seconds:
            if at_rest and self._was_written_to():
                return

    def found(self, *, news: bool) -> None:
        """What a tick found: without news the platform is at rest."""
        self._at_rest = not news
