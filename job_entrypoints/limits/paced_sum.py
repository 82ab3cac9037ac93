"""Sums up the sizes of many files in small portions, so that the walk does not delay the check of memory."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PORTION_SECONDS = 0.002
_REST_SECONDS = 2.0
_REST_SHARE = 20
"""Walking takes at most 1/20 of the time."""


class PacedSum:
    """The sum of ``sizes()``. ``value`` is bytes, as of the last walk."""

    def __init__(self, sizes: Callable[[], Iterator[int]]) -> None:
        self.value = 0
        self._sizes = sizes
        self._walk: Iterator[int] | None = None
        self._sum = 0
        self._cost = 0.0
        self._rest_until = time.monotonic() + _REST_SECONDS

    @property
    def is_walking(self) -> bool:
        return self._walk is not None

    @property
    def is_due(self) -> bool:
        """True once the last walk lies far enough back."""
        return time.monotonic() >= self._rest_until

    def begin(self) -> None:
        self._walk, self._sum, self._cost = self._sizes(), 0, 0.0

    def go_on(self, limit: float = float("inf")) -> None:
        """Continue a walk for a moment. It ends early above ``limit``."""
        if self._walk is None:
            return
        began = now = time.monotonic()
        while now - began < _PORTION_SECONDS:
            # The clock is read for each file: one call to a slow file system may take the whole portion.
            size = next(self._walk, None)
            now = time.monotonic()
            self._sum += size or 0
            if size is None or self._sum > limit:
                self.value, self._walk = self._sum, None
                break
        self._cost += now - began
        self._rest_until = now + max(_REST_SECONDS, self._cost * _REST_SHARE)

    def finish(self) -> int:
        """Walk to the end, now. Returns the sum."""
        self.value, self._walk = sum(self._sizes()), None
        return self.value
