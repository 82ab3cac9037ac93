"""Executes the planned step of one sweep. Every step may be repeated: it adopts what it finds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from raylift.domain.errors import EngineUnavailable, PlatformError, StaleLease, StaleSweep, SweepNotFound
from raylift.domain.identifiers import DEFAULT_WORKSPACE, TAG_SWEEP_PARAMETER
from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.domain.models.version import TrackedRun
from raylift.domain.sweep import Sweep, SweepState
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.sweep_runs import SweepRuns
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.registration import NoModelLogged, deploy, register_model
from raylift.supervisor.serial_tasks import MAX_STEP_TRIES
from raylift.supervisor.sweeps.plan import CloseSweep, ConcludeSweep, OpenSweep, SweepAction, plan_sweep

log = logging.getLogger(__name__)

_TAG: Final = 500
"""Maximum characters of a tag that shows the values of a parameter. The sweep has all of them."""

_RUN_STATUS: Final = {SweepState.COMPLETED: "FINISHED", SweepState.FAILED: "FAILED", SweepState.CANCELLED: "KILLED"}
"""MLflow's status of the parent run."""


class SweepExecutor:
    """Executes planned sweep actions against MLflow and the store."""

    def __init__(
        self,
        settings: PlatformSettings,
        store: Store,
        runs: SweepRuns,
        tracking: Tracking,
        registry: Registry,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._store = store
        self._runs = runs
        self._tracking = tracking
        self._registry = registry
        self._clock = clock
        self._failures: dict[str, int] = {}

    def attend(self, lease: Lease, sweep_id: str) -> None:
        """Plan and execute the next step of a sweep, if there is one.

        Raises:
            EngineUnavailable: an engine did not answer; the step is planned again.
            StaleLease: another supervisor has taken over.
        """
        try:
            sweep = self._store.sweeps.get(sweep_id)
        except SweepNotFound:
            return
        action = plan_sweep(sweep, self._store.sweeps.jobs(sweep_id))
        try:
            self._carry_out(lease, sweep, action)
        except StaleSweep as error:
            log.debug("%s", error)  # It moved on in the meantime; the next tick plans from there.
        except (EngineUnavailable, StaleLease):
            raise
        except Exception as error:
            if not self._give_up(lease, sweep, action, error):
                raise
            log.exception("%s: given up", sweep.sweep_id)
        self._failures.pop(sweep.sweep_id, None)

    def _carry_out(self, lease: Lease, sweep: Sweep, action: SweepAction | None) -> None:
        match action:
            case OpenSweep():
                self._open(lease, sweep)
            case CloseSweep(best_job_id=best_job_id):
                self._store.sweeps.move(lease, sweep, SweepState.CLOSING, now=self._clock(), best_job_id=best_job_id)
            case ConcludeSweep():
                self._conclude(lease, sweep, action)
            case None:
                pass

    def _open(self, lease: Lease, sweep: Sweep) -> None:
        spec, ranges = sweep.spec, sweep.spec.parameters.items()
        try:
            run = self._runs_of(sweep).open(
                sweep.sweep_id,
                experiment_name=spec.experiment_name,
                run_name=f"sweep of {spec.script_name}",
                tags={**spec.tags, **{f"{TAG_SWEEP_PARAMETER}{name}": ", ".join(values)[:_TAG] for name, values in ranges}},
            )
        except MlflowRefused as error:
            # The jobs report it, too, if they cannot track either.
            log.warning("%s runs without a parent run: %s", sweep.sweep_id, error)
            message = f"It has no parent run: {error.detail}"
            self._store.sweeps.move(lease, sweep, SweepState.RUNNING, now=self._clock(), message=message)
            return
        self._store.sweeps.move(
            lease,
            sweep,
            SweepState.RUNNING,
            now=self._clock(),
            mlflow_experiment_id=run.experiment_id,
            parent_run_id=run.run_id,
        )

    def _conclude(self, lease: Lease, sweep: Sweep, action: ConcludeSweep) -> None:
        to, message, best = action.to, action.message, action.best
        if action.registers and best is not None:
            try:
                best = self._register(lease, best)
                message = f"{message} Registered as {best.spec.model_name} version {best.model_version}."
            except (NoModelLogged, MlflowRefused) as error:
                to, message = SweepState.FAILED, f"{message} It could not be registered: {error.detail}"
        self._end_parent(sweep, to, best)
        self._store.sweeps.move(lease, sweep, to, now=self._clock(), message=message)
        log.info("%s: %s: %s", sweep.sweep_id, to, message)

    def _register(self, lease: Lease, best: Job) -> Job:
        """Register the best job's model unless that was done, and record the version in the job."""
        made = register_model(best, self._tracking, self._registry)
        if made.version is None:
            raise NoModelLogged(made.message)
        config = self._settings.serving.default_deployment()
        answers = deploy(best, made.version, self._store, config, now=self._clock(), files=made.files)
        if best.model_version == made.version.version:
            return best
        return self._store.jobs.amend(
            lease, best, model_version=made.version.version, message=f"{made.message} {answers}".rstrip()
        )

    def _end_parent(self, sweep: Sweep, to: SweepState, best: Job | None) -> None:
        if sweep.parent_run_id is None or sweep.mlflow_experiment_id is None:
            return
        tags: dict[str, str] = {}
        if best is not None:
            tags = {"raylift.best_job_id": best.job_id, "raylift.best_run_id": best.mlflow_run_id or ""}
        try:
            self._runs_of(sweep).close(
                TrackedRun(sweep.parent_run_id, sweep.mlflow_experiment_id, sweep.created_at),
                sweep_id=sweep.sweep_id,
                status=_RUN_STATUS[to],
                tags=tags,
                params=best.spec.sweep.parameters if best and best.spec.sweep else {},
                metrics=best.metrics if best else {},
            )
        except MlflowRefused as error:
            # A user has deleted the run. The result of the sweep does not depend on it.
            log.warning("%s: its parent run was not ended: %s", sweep.sweep_id, error)

    def _runs_of(self, sweep: Sweep) -> SweepRuns:
        return self._runs.of(self._store.workspaces.of_sweep(sweep.sweep_id) or DEFAULT_WORKSPACE)

    def _give_up(self, lease: Lease, sweep: Sweep, action: SweepAction | None, error: Exception) -> bool:
        """End a sweep whose last step always fails. One that cannot be opened runs without a parent run."""
        failures = self._failures[sweep.sweep_id] = self._failures.get(sweep.sweep_id, 0) + 1
        if failures < MAX_STEP_TRIES or isinstance(action, CloseSweep) or action is None:
            return False
        cause = error.detail if isinstance(error, PlatformError) else f"{type(error).__name__}: {error}"
        message = f"Failed {failures} times, the last time with {cause}. The supervisor's log has more."
        to = SweepState.RUNNING if isinstance(action, OpenSweep) else SweepState.FAILED
        self._store.sweeps.move(lease, sweep, to, now=self._clock(), message=message)
        return True
