"""Counts of a model's process that its replica reads at any moment, in a page of memory that both have."""

from __future__ import annotations

import mmap
from time import monotonic
from typing import Final

from job_entrypoints.sandbox.model_process import PAGE_BYTES

_ONGOING, _ASKED = 0, 1
_RECENT_WEIGHT: Final = 2.0**-20
"""Ongoing requests that a recent request counts as: enough for one replica, not for two. A power of two adds up exactly."""
_RECENT_SECONDS: Final = 3.0
"""Longer than Serve's sampling interval (a fifth of ``look_back_period_s``, at most ``metrics_interval_s``)."""
_MOST: Final = 1e6


class CountPage:
    """The page. Written by the model's process, which may write anything; read by the replica."""

    def __init__(self, descriptor: int) -> None:
        self._values: memoryview[float] = memoryview(mmap.mmap(descriptor, PAGE_BYTES)).cast("d")

    def change_ongoing(self, requests: int) -> None:
        self._values[_ONGOING] += requests

    def note_prediction(self) -> None:
        self._values[_ASKED] = monotonic()

    def ongoing(self) -> float:
        """Return the number of requests that have a slot, and a tiny part of one if there was a prediction lately.

        Serve samples about once a second and rarely sees a request of microseconds. It would remove the last replica of a
        version in use.
        """
        counted, asked = self._values[_ONGOING], self._values[_ASKED]
        # Written so that what is no number counts as none.
        ongoing = float(int(counted)) if 0 <= counted <= _MOST else 0.0
        is_recent = asked > 0 and 0 <= monotonic() - asked < _RECENT_SECONDS
        return ongoing + (_RECENT_WEIGHT if is_recent else 0.0)
