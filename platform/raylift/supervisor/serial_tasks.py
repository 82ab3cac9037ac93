"""SerialTaskRunner of work: one piece at a time in each, with a growing pause after a failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable, StaleLease

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


@dataclass(slots=True)
class _Task:
    busy: bool = False
    failures: int = 0
    not_before: float = float("-inf")


Submit = Callable[[Callable[[], None]], Future[Any]]
"""Starts a callable in the background."""


class SerialTaskRunner:
    """Keeps work on one subject in order, and lets subjects go side by side.

    Args:
        submit: how work is started that names no other way.
        monotonic: seconds that never go back.
    """

    def __init__(self, submit: Submit, monotonic: Callable[[], float]) -> None:
        self._submit = submit
        self._monotonic = monotonic
        self._tasks: dict[str, _Task] = {}
        self._guard = threading.Lock()

    def busy(self, name: str) -> bool:
        """Whether work of this task is under way, or it rests after a failure."""
        with self._guard:
            task = self._tasks.get(name)
            return task is not None and (task.busy or self._monotonic() < task.not_before)

    def run(self, name: str, work: Callable[[], None], *, submit: Submit | None = None) -> bool:
        """Start ``work`` unless the task is busy. A task without failures is forgotten when its work is done."""
        return self._start(name, work, submit, pause=0.0)

    def run_every(self, name: str, pause_seconds: float, work: Callable[[], None], *, submit: Submit | None = None) -> bool:
        """Like ``run``, and at least ``pause_seconds`` after the work was done last."""
        return self._start(name, work, submit, pause=pause_seconds)

    def _start(self, name: str, work: Callable[[], None], submit: Submit | None, *, pause: float) -> bool:
        with self._guard:
            task = self._tasks.setdefault(name, _Task())
            if task.busy or self._monotonic() < task.not_before:
                return False
            task.busy = True
        (submit or self._submit)(lambda: self._run(name, task, work, pause=pause))
        return True

    def _run(self, name: str, task: _Task, work: Callable[[], None], *, pause: float) -> None:
        failed = True
        try:
            work()
            failed = False
        except (EngineUnavailable, StaleLease) as error:
            log.warning("%s: %s", name, error)
        except Exception:
            # A defect, not a condition: told in full, and tried again like any other failure.
            log.exception("%s failed", name)
        finally:
            with self._guard:
                task.busy = False
                task.failures = task.failures + 1 if failed else 0
                rest = min(_FIRST_PAUSE * 2 ** (task.failures - 1), _LONGEST_PAUSE) if failed else 0.0
                task.not_before = self._monotonic() + max(rest, pause)
                if not failed and not pause:
                    self._tasks.pop(name, None)
