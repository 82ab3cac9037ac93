"""Time, as the SDK sees it: injectable, so that waiting and retrying can be tested without waiting."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock. Tests hand ``Client(clock=…)`` one whose ``sleep`` only moves its ``now``."""

    def now(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
