"""The job's run: one MLflow run for all that the script logs outside of its own runs, with autologging's first fit.

MLflow makes and ends a run for each autologged ``fit``, and another for the next ``log_metric``, whose metric the model's run
then lacks. Here the first of them makes the job's run, and later ones resume it. Further autologged fits have runs beneath it:
parameters of a run cannot change, and a run has one value of a metric at a time. Runs that the script starts stay as they are.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import threading
from contextlib import contextmanager

from job_entrypoints.contract import ALL_METRICS, TAG_JOB_RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType
    from typing import Any

_PARENT = "mlflow.parentRunId"
_LONGEST_TAG = 4500


class JobRun:
    """The job's run in one process. ``fluent`` is MLflow's module of that name."""

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
        # If a new MLflow has renamed one of them, fail now, not in the middle of the script.
        _ = self._place_now(), fluent.MlflowClient, fluent.MlflowException, fluent.set_tags, fluent.end_run

    def get_or_start(self) -> Any:
        """Return the active run, or resume the job's. Replaces MLflow's ``_get_or_start_run``."""
        if self._fluent.active_run() is not None or os.environ.get("MLFLOW_RUN_ID"):
            return self._original_get_or_start()
        return self._open({})

    def noting(self, log: Callable[..., Any], names: Callable[[Any], Iterable[str]]) -> Callable[..., Any]:
        """Wrap ``log_metric`` or ``log_metrics``, to note the metrics logged into the job's run."""

        @functools.wraps(log)
        def log_and_note(*arguments: Any, **named: Any) -> Any:
            done = log(*arguments, **named)
            active = self._fluent.active_run()
            if named.get("run_id") is None and active is not None and active.info.run_id == self._run_id:
                self._note(names(arguments[0] if arguments else named.get("key", named.get("metrics"))))
            return done

        return log_and_note

    def end(self) -> None:
        """At the end of a process whose script failed, end its open runs and the job's as FAILED."""
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
        """Activate the run of an autologged fit: the one that the script has open, the job's, or one beneath it."""
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
        """Activate a run for a fit. Returns true if the run ends with the fit."""
        with self._guard:
            if self._is_usable() and self._has_fit:
                # The parent as a tag: otherwise the run of a sweep would be the parent.
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
                    # The script may have deleted the run.
                    print(f"[raylift] the job's run cannot be resumed, another one is made: {error}", file=sys.stderr)  # noqa: T201
            self._has_fit, self._outside = False, set()
            run = self._fluent.start_run(tags={TAG_JOB_RUN: ALL_METRICS, **tags})
            self._run_id, self._place = run.info.run_id, self._place_now()
            return run

    def _is_usable(self) -> bool:
        return self._run_id is not None and self._place == self._place_now()

    def _place_now(self) -> tuple[Any, ...]:
        """Server and experiment. A script that changes one of them gets another job's run there."""
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
        return listed if len(listed) < _LONGEST_TAG else ALL_METRICS


_job_run: JobRun | None = None


def patch_fluent(fluent: Any) -> None:
    """Patch MLflow's fluent API, directly after its import."""
    global _job_run
    _job_run = job_run = JobRun(fluent, _script_has_failed)
    fluent._get_or_start_run = job_run.get_or_start
    fluent.log_metric = job_run.noting(fluent.log_metric, lambda key: [str(key)])
    fluent.log_metrics = job_run.noting(fluent.log_metrics, lambda metrics: list(metrics or ()))
    # Registered after MLflow's own handler, so it runs before that.
    atexit.register(job_run.end)


def patch_safety(safety: Any) -> None:
    """Patch the function that makes autologging's runs, before ``fluent`` imports it."""
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
