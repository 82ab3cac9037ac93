"""Growing pauses between retries."""

from __future__ import annotations

import math
from typing import Final

_MOST_DOUBLINGS: Final = 60


def backoff(failures: int, *, first: float, longest: float = math.inf) -> float:
    """Return the pause in seconds after ``failures`` failures in a row: ``first``, doubled each time, at most ``longest``."""
    return min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest)
