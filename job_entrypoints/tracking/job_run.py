"""The job's run: what the script logs outside of a run of its own belongs to one run, autologging's first fit included.

MLflow makes a run for each autologged ``fit`` and ends it, and another one for the next ``log_metric``: nobody who looks at the
model sees that metric. Here the first of them makes the job's run, and the later ones find it again. Further autologged fits
have runs of their own beneath it: parameters of a run cannot be changed, and a run has one value of a metric at a time.
Runs that the script starts itself stay as they are.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType
    from typing import Any

TAG_JOB_RUN = "raylift.job_run"
"""On the job's run: the metrics that the script logged into it outside of a fit, as a JSON list, or ``*``."""
ALL = "*"
_PARENT = "mlflow.parentRunId"
_LONGEST_TAG = 4500


class JobRun:
    """One for a process. ``fluent`` is MLflow's module of that name."""

    def __init__(self, fluent: ModuleType, has_failed: Callable[[], bool]) -> None:
        self._fluent: Any = fluent
        self._has_failed = has_failed
        self._original_get_or_start: Callable[[], Any] = fluent._get_or_start_run
        self._place: tuple[Any, ...] = ()
        self._run_id: str | None = None
        self._has_fit = False
        self._outside: set[str] = set()
        self._guard = threading.RLock()
        self._fitting = threading.local()
        self._process = os.getpid()
        # A new MLflow that renamed one of them is to be noticed now, not in the middle of the script.
        _ = self._place_now(), fluent.MlflowClient, fluent.MlflowException, fluent.set_tags, fluent.end_run

    def get_or_start(self) -> Any:
        """The active run, or the job's: in the place of MLflow's ``_get_or_start_run``."""
        if self._fluent.active_run() is not None or os.environ.get("MLFLOW_RUN_ID"):
            return self._original_get_or_start()
        return self._open({})

    def noting(self, log: Callable[..., Any], names: Callable[[Any], Iterable[str]]) -> Callable[..., Any]:
        """``log_metric`` or ``log_metrics``, which notes what is logged into the job's run."""

        @functools.wraps(log)
        def log_and_note(*arguments: Any, **named: Any) -> Any:
            done = log(*arguments, **named)
            active = self._fluent.active_run()
            if named.get("run_id") is None and active is not None and active.info.run_id == self._run_id:
                self._note(names(arguments[0] if arguments else named.get("key", named.get("metrics"))))
            return done

        return log_and_note

    def end(self) -> None:
        """At the end of the process: the runs that are open end as the script did, and so does the job's."""
        if os.getpid() != self._process or not self._has_failed():
            return
        while (active := self._fluent.active_run()) is not None:
            self._fluent.end_run("FAILED")
            if active.info.run_id == self._run_id:
                return
        if self._run_id is not None:
            self._fluent.MlflowClient().set_terminated(self._run_id, "FAILED")

    @contextmanager
    def of_fit(self, tags: Mapping[str, str], is_training: Callable[[], bool]) -> Iterator[None]:
        """The run of an autologged fit: the one that the script has open, the job's, or one beneath it."""
        active = self._fluent.active_run()
        of_script = active is not None and active.info.run_id != self._run_id
        if of_script or getattr(self._fitting, "on", False) or is_training():
            yield
            return
        opened = self._open_for_fit(tags, active)
        self._fitting.on = True
        status = "FINISHED"
        try:
            yield
        except (Exception, KeyboardInterrupt):
            status = "FAILED"
            raise
        finally:
            self._fitting.on = False
            if opened:
                self._fluent.end_run(status)

    def _open_for_fit(self, tags: Mapping[str, str], active: Any) -> bool:
        """Let a run be active for a fit. Returns whether it is to end with it."""
        with self._guard:
            if self._is_usable() and self._has_fit:
                # As tags: the run of a sweep would be the parent otherwise.
                self._fluent.start_run(nested=active is not None, tags={**tags, _PARENT: self._run_id})
                return True
            noted = {**tags, TAG_JOB_RUN: self._outside_now()}
            if active is None:
                self._open(noted)
            else:
                self._fluent.set_tags(noted)
            self._has_fit = True
            return active is None

    def _open(self, tags: Mapping[str, str]) -> Any:
        with self._guard:
            if self._is_usable():
                try:
                    return self._fluent.start_run(run_id=self._run_id, tags=dict(tags))
                except self._fluent.MlflowException as error:
                    # The script may have deleted it.
                    print(f"[raylift] the job's run cannot be resumed, another one is made: {error}", file=sys.stderr)  # noqa: T201
            self._has_fit, self._outside = False, set()
            run = self._fluent.start_run(tags={TAG_JOB_RUN: ALL, **tags})
            self._run_id, self._place = run.info.run_id, self._place_now()
            return run

    def _is_usable(self) -> bool:
        return self._run_id is not None and self._place == self._place_now()

    def _place_now(self) -> tuple[Any, ...]:
        """A script that sets another experiment or server has a job's run there."""
        environment = tuple(os.environ.get(name) for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"))
        return (self._fluent._resolve_tracking_uri(), self._fluent._active_experiment_id, *environment)

    def _note(self, names: Iterable[str]) -> None:
        with self._guard:
            new = set(names) - self._outside
            self._outside |= new
            if new and self._has_fit:
                self._fluent.MlflowClient().set_tag(self._run_id, TAG_JOB_RUN, self._outside_now())

    def _outside_now(self) -> str:
        listed = json.dumps(sorted(self._outside))
        return listed if len(listed) < _LONGEST_TAG else ALL


_job_run: JobRun | None = None


def patch_fluent(fluent: Any) -> None:
    """Change MLflow's fluent API, directly after its import."""
    global _job_run
    _job_run = job_run = JobRun(fluent, _script_has_failed)
    fluent._get_or_start_run = job_run.get_or_start
    fluent.log_metric = job_run.noting(fluent.log_metric, lambda key: [str(key)])
    fluent.log_metrics = job_run.noting(fluent.log_metrics, lambda metrics: list(metrics or ()))
    # After MLflow's own, hence before it.
    atexit.register(job_run.end)


def patch_safety(safety: Any) -> None:
    """Change what autologging makes its runs with; ``fluent`` imports it, so it comes first."""
    with_managed_run = safety.with_managed_run

    @functools.wraps(with_managed_run)
    def managed_here(integration: str, patch_function: Any, tags: Mapping[str, str] | None = None) -> Any:
        managed = with_managed_run(integration, patch_function, tags)

        @functools.wraps(managed)
        def patched(original: Any, *arguments: Any, **named: Any) -> Any:
            if _job_run is None:
                return managed(original, *arguments, **named)
            with _job_run.of_fit(tags or {}, safety.mlflow.utils.autologging_utils._has_active_training_session):
                return managed(original, *arguments, **named)

        return patched

    safety.with_managed_run = managed_here


def _script_has_failed() -> bool:
    end = sys.modules.get("job_entrypoints.script.end")
    return end is not None and end.failed
