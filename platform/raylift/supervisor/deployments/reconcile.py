"""Brings Ray Serve to the wanted state: observe, plan, execute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from raylift.domain.lease import Lease
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.engines.ray_engine.serve import RayServe
from raylift.settings import ServingSettings
from raylift.store import Store
from raylift.supervisor.deployments.execute import DeploymentExecutor
from raylift.supervisor.deployments.plan import DeploymentAction, LoadCheck, RecordFiles, ScanModel, plan_deployments
from raylift.supervisor.deployments.publish_routes import RoutePublisher
from raylift.supervisor.deployments.scans import ModelScans
from raylift.supervisor.serial_tasks import SerialTaskRunner

_IDLE_SECONDS: Final = 2.0
"""Age of the last look at Ray Serve after which it is due again, while no version comes or goes."""
_IDLE_SHARE: Final = 0.02
"""Share of the time that idle looks may take. With hundreds of versions, one takes half a second."""
_IDLE_MAX_SECONDS: Final = 15.0


class DeploymentReconciler:
    """One reconciliation at a time. Without changes, Ray Serve is asked every two seconds, less often if it is slow."""

    def __init__(
        self,
        settings: ServingSettings,
        store: Store,
        serve: RayServe,
        executor: DeploymentExecutor,
        routes: RoutePublisher,
        tasks: SerialTaskRunner,
        scans: ModelScans,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._serve = serve
        self._executor = executor
        self._routes = routes
        self._tasks = tasks
        self._scans = scans
        self._clock = clock
        self._monotonic = monotonic
        self._is_due = True
        self._started_at = float("-inf")
        self._settled: Sequence[Deployment] | None = None
        """Rows of the last look at Ray Serve, where it left nothing to do."""
        self._serve_asked_at = float("-inf")
        self._idle_seconds = _IDLE_SECONDS

    def notice_change(self) -> None:
        """Make a reconciliation due: the store was written to."""
        self._is_due = True

    def is_due(self) -> bool:
        return self._is_due or self._monotonic() - self._started_at >= _IDLE_SECONDS

    def reconcile(self, lease: Lease) -> None:
        """Plan and execute once.

        Raises:
            EngineUnavailable: Ray Serve, the gateway or MLflow does not answer.
            StaleLease: another supervisor has taken over.
        """
        # Cleared before the rows are read: a later change makes the next one due.
        self._is_due, self._started_at = False, self._monotonic()
        rows = self._store.deployments.list()
        actions = self._planned(rows)
        for action in actions:
            if isinstance(action, LoadCheck):
                name = f"load check {action.deployment.model_name} {action.deployment.version}"
                self._tasks.run(name, lambda row=action.deployment: self._executor.load_check(lease, row))
            elif isinstance(action, RecordFiles):
                name = f"files {action.deployment.model_name} {action.deployment.version}"
                self._tasks.run(name, lambda row=action.deployment: self._executor.record_files(lease, row), asks_mlflow=True)
            elif isinstance(action, ScanModel):
                # One at a time: versions of one user, each slow to scan, leave the threads to the jobs of others.
                self._tasks.run("scan", lambda row=action.deployment: self._scans.scan(lease, row), asks_mlflow=True)
        self._executor.execute(lease, self._routes.before(actions, rows))

    def _planned(self, rows: Sequence[Deployment]) -> list[DeploymentAction]:
        """Return the planned actions; none, without asking Ray Serve, while the rows are settled.

        Its status costs milliseconds for each application, and most writes to the store concern jobs.
        """
        if rows == self._settled and self._monotonic() - self._serve_asked_at < self._idle_seconds:
            return []
        self._serve_asked_at = self._monotonic()
        observed = self._serve.observe()
        took = self._monotonic() - self._serve_asked_at
        self._idle_seconds = min(max(_IDLE_SECONDS, took / _IDLE_SHARE), _IDLE_MAX_SECONDS)
        warm = self._settings.warm_models > 0
        most, unscanned = self._settings.max_starting, self._scans.missing(rows)
        actions = plan_deployments(rows, observed, self._clock(), max_starting=most, warm=warm, unscanned=unscanned)
        is_settled = not actions and not any(row.wanted and row.status is DeploymentStatus.STARTING for row in rows)
        self._settled = rows if is_settled else None
        if not is_settled:
            self._is_due = True
        return actions
