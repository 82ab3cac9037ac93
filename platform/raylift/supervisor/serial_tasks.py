"""Background tasks by name: one run of each at a time, with a growing pause after failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from raylift.domain.backoff import backoff
from raylift.domain.errors import EngineUnavailable, StaleLease

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
MAX_STEP_TRIES: Final = 10
"""Tries of a step of a job or a sweep that fails for an unknown reason. Their pauses sum up to about two minutes."""
_THREADS: Final = 8
_MLFLOW_THREADS: Final = 8
"""Separate threads for tasks that ask MLflow: while it hangs, jobs are still started, watched and stopped."""
_DELIVERY_THREADS: Final = 32
"""Separate threads for deliveries to webhooks, whose receivers may hang. They start when there are deliveries."""

Submit = Callable[[Callable[[], None]], Any]
"""Starts a callable in the background."""


@dataclass(slots=True)
class _Task:
    busy: bool = False
    failures: int = 0
    not_before: float = float("-inf")


class SerialTaskRunner:
    """Runs tasks of different names side by side, and tasks of one name in turn.

    Args:
        submit: starts a task.
        monotonic: seconds that never go back.
        submit_mlflow: starts a task that asks MLflow; None: ``submit``.
    """

    def __init__(self, submit: Submit, monotonic: Callable[[], float], *, submit_mlflow: Submit | None = None) -> None:
        self._submit = submit
        self._submit_mlflow = submit_mlflow or submit
        self._monotonic = monotonic
        self._tasks: dict[str, _Task] = {}
        self._guard = threading.Lock()

    def busy(self, name: str) -> bool:
        """Return True while the task runs or pauses after a failure."""
        with self._guard:
            task = self._tasks.get(name)
            return task is not None and (task.busy or self._monotonic() < task.not_before)

    def run(self, name: str, work: Callable[[], None], *, pause_seconds: float = 0.0, asks_mlflow: bool = False) -> bool:
        """Start ``work`` unless the task is busy. Returns True where it was started.

        The task stays busy for ``pause_seconds`` after the end of ``work``.
        """
        with self._guard:
            task = self._tasks.setdefault(name, _Task())
            if task.busy or self._monotonic() < task.not_before:
                return False
            task.busy = True
        submit = self._submit_mlflow if asks_mlflow else self._submit
        submit(lambda: self._run(name, task, work, pause=pause_seconds))
        return True

    def _run(self, name: str, task: _Task, work: Callable[[], None], *, pause: float) -> None:
        failed = True
        try:
            work()
            failed = False
        except (EngineUnavailable, StaleLease) as error:
            log.warning("%s: %s", name, error)
        except Exception:
            # A defect: logged with its traceback, and repeated like any other failure.
            log.exception("%s failed", name)
        finally:
            with self._guard:
                task.busy = False
                task.failures = task.failures + 1 if failed else 0
                rest = backoff(task.failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE) if failed else 0.0
                task.not_before = self._monotonic() + max(rest, pause)
                if not failed and not pause:
                    self._tasks.pop(name, None)


class TaskThreads:
    """Threads of the supervisor's tasks."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="supervisor")
        self._mlflow_pool = ThreadPoolExecutor(_MLFLOW_THREADS, thread_name_prefix="supervisor-mlflow")
        self._delivery_pool = ThreadPoolExecutor(_DELIVERY_THREADS, thread_name_prefix="supervisor-webhooks")

    def runner(self, monotonic: Callable[[], float]) -> SerialTaskRunner:
        return SerialTaskRunner(self._pool.submit, monotonic, submit_mlflow=self._mlflow_pool.submit)

    def submit_delivery(self, work: Callable[[], None]) -> Any:
        """Start a lane of deliveries."""
        return self._delivery_pool.submit(work)

    def shutdown(self, *, wait: bool) -> None:
        for pool in (self._pool, self._mlflow_pool, self._delivery_pool):
            pool.shutdown(wait=wait)
