"""Progress of a batch: a file for the platform, and lines for the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from raylift.domain.batches.order import PROGRESS_FILE
from serve_apps.batch.plan import Plan, write_json

_FILE_SECONDS: Final = 1.0
_LINE_SECONDS: Final = 10.0
_WINDOW_SECONDS: Final = 60.0
"""Time over which the rate is measured."""


class ProgressReport:
    """Counts rows, and reports them at most once a second.

    Args:
        work: Directory of the file.
        plan: The plan.
        monotonic: A clock.
        say: Prints a line.
    """

    def __init__(
        self, work: Path, plan: Plan, *, monotonic: Callable[[], float] = time.monotonic, say: Callable[[str], None] = print
    ) -> None:
        self._path, self._plan, self._monotonic, self._say = work / PROGRESS_FILE, plan, monotonic, say
        self._total = plan.rows
        self._rows = self._bytes = self._rejected = self._items = 0
        self._next_file = 0.0
        self._next_line = monotonic() + _LINE_SECONDS
        self._window: deque[tuple[float, int, int]] = deque()

    def take_finished(self, rows: int, bytes_: int, rejected: int) -> None:
        """Count an item that an earlier attempt finished."""
        self._rows, self._bytes = self._rows + rows, self._bytes + bytes_
        self.finish_item(rejected)

    def add(self, rows: int, bytes_: int) -> None:
        """Count rows that were scored."""
        self._rows, self._bytes = self._rows + rows, self._bytes + bytes_

    def finish_item(self, rejected: int) -> None:
        self._items, self._rejected = self._items + 1, self._rejected + rejected

    def report(self, *, phase: str = "scoring", now_at_once: bool = False) -> None:
        """Write the file and a line where they are due."""
        now = self._monotonic()
        if len(self._window) == 1 and self._window[0][1] == self._rows:
            self._window.clear()  # The processes are still starting.
        self._window.append((now, self._rows, self._bytes))
        while now - self._window[0][0] > _WINDOW_SECONDS:
            self._window.popleft()
        if now >= self._next_file or now_at_once:
            self._next_file = now + _FILE_SECONDS
            write_json(self._path, self._record(phase))
        if now >= self._next_line:
            self._next_line = now + _LINE_SECONDS
            self._say(self._line())

    def _record(self, phase: str) -> dict[str, Any]:
        rate, left = self._speed()
        return {
            "phase": phase,
            "rows": self._rows,
            "rows_total": self._total,
            "rejected": self._rejected,
            "items": self._items,
            "items_total": len(self._plan.items),
            "rows_per_second": rate,
            "eta_seconds": left,
        }

    def _speed(self) -> tuple[float | None, float | None]:
        """Return rows a second, and the seconds that are left; None while they are not known."""
        (begin, rows, bytes_), (end, last_rows, last_bytes) = self._window[0], self._window[-1]
        if end <= begin or last_rows == rows:
            return None, None
        rate = (last_rows - rows) / (end - begin)
        if self._total is not None:
            return rate, (self._total - last_rows) / rate
        done = (last_bytes - bytes_) / (end - begin)
        return rate, max(0.0, self._plan.bytes - last_bytes) / done if done else None

    def _line(self) -> str:
        rate, left = self._speed()
        of = "" if self._total is None else f" of {self._total:,}"
        speed = "" if rate is None else f", {rate:,.0f} rows/s"
        rest = "" if left is None else f", {left:.0f} s left"
        rejected = f", {self._rejected:,} rejected" if self._rejected else ""
        return f"{self._rows:,}{of} rows{speed}{rest}{rejected}"
