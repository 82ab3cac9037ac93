"""Plans deployments: a pure function of the rows, Ray Serve's status and the time.

A version without requests is scaled to zero: Ray Serve has no application of it, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.models.deployment import ANSWERING, ApplicationSnapshot, ApplicationState, Deployment, DeploymentStatus

Key = tuple[str, str]
"""(model name, version)"""

_SCALE_UP_LASTS: Final = timedelta(seconds=60)
"""Time for which a scale-up request counts. Requests that go on repeat it."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """Deploy a version to Ray Serve, or change it in place."""

    deployment: Deployment
    load_check: bool
    """Start one replica now, to check that the model loads."""
    leave_environment_to_ray: bool = False
    """True where a node lacks the plugin that starts replicas in overlays."""

    @property
    def next_status(self) -> DeploymentStatus:
        """Status until the application is observed."""
        return DeploymentStatus.STARTING if self.load_check else DeploymentStatus.SCALED_TO_ZERO


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """Check in a warm process, without an application, that the model loads."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """Record the digests of a version's files. Nothing of a version is loaded before."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class ScanModel:
    """Scan a version's files, which ``reports.refuse_models`` asks for before they are loaded."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Delete:
    """Take an application down."""

    key: Key


@dataclass(frozen=True, slots=True)
class Observe:
    """Store the observed status."""

    deployment: Deployment
    status: DeploymentStatus
    replicas: int
    message: str | None


DeploymentAction = Deploy | LoadCheck | RecordFiles | ScanModel | Delete | Observe


def plan_deployments(
    rows: Sequence[Deployment],
    observed: Mapping[Key, ApplicationSnapshot],
    now: datetime,
    *,
    max_starting: int,
    warm: bool,
    unscanned: Collection[Key] = (),
) -> list[DeploymentAction]:
    """Return the actions that bring Ray Serve to the wanted state.

    Args:
        rows: deployments in the store.
        observed: applications in Ray Serve.
        now: the time.
        max_starting: limit of versions that start their first replica at a time.
        warm: True where warm processes can load models of the base environment.
        unscanned: versions to scan before they are deployed or changed.
    """
    actions: list[DeploymentAction] = []
    # Only with an application: after a restart of Ray, rows can say STARTING without one.
    starting = sum(1 for row in rows if row.status is DeploymentStatus.STARTING and (row.model_name, row.version) in observed)
    known: set[Key] = set()
    for row in rows:
        key = (row.model_name, row.version)
        known.add(key)
        action = _plan_one(row, observed.get(key), now, warm=warm, unscanned=key in unscanned)
        # One that starts again in another environment is counted already.
        if isinstance(action, LoadCheck) or (
            isinstance(action, Deploy) and action.load_check and not action.leave_environment_to_ray
        ):
            if starting >= max_starting:
                continue
            starting += 1
        if action is not None:
            actions.append(action)
    actions += [Delete(key) for key, app in observed.items() if key not in known and app.state is not ApplicationState.DELETING]
    return actions


def _plan_one(
    row: Deployment, app: ApplicationSnapshot | None, now: datetime, *, warm: bool, unscanned: bool
) -> DeploymentAction | None:
    if app is not None and app.state is ApplicationState.DELETING:
        return None
    changed = row.applied_generation != row.generation
    # An unhealthy version is not retried without a change: that would be a crash loop.
    given_up = row.status is DeploymentStatus.UNHEALTHY and not changed
    if not row.wanted or given_up:
        if app is not None:
            return Delete((row.model_name, row.version))
        return None if row.wanted else _observe(row, DeploymentStatus.STOPPED, 0, None)
    if row.files is None:
        return RecordFiles(row)
    if changed and unscanned:
        return ScanModel(row)
    if app is None:
        return _plan_scaled_to_zero(row, now, changed=changed, warm=warm)
    if changed:
        return Deploy(row, load_check=row.ready_at is None or row.config.min_replicas > 0)
    return _plan_running(row, app)


def _plan_running(row: Deployment, app: ApplicationSnapshot) -> DeploymentAction | None:
    """Plan for a wanted version whose application has its present configuration."""
    match app.state:
        case ApplicationState.FAILED if app.lacks_plugin:
            return Deploy(row, load_check=True, leave_environment_to_ray=True)
        case ApplicationState.FAILED:
            return _observe(row, DeploymentStatus.UNHEALTHY, 0, app.message)
        case ApplicationState.RUNNING if app.replicas > 0:
            return _observe(row, DeploymentStatus.READY, app.replicas, None)
        case ApplicationState.RUNNING:
            return _observe(row, DeploymentStatus.SCALED_TO_ZERO, 0, None) or _scale_to_zero(row)
        case ApplicationState.STARTING if row.status not in ANSWERING:
            return _observe(row, DeploymentStatus.STARTING, app.replicas, app.message)
        case ApplicationState.STARTING | ApplicationState.DELETING:
            return None


def _plan_scaled_to_zero(row: Deployment, now: datetime, *, changed: bool, warm: bool) -> DeploymentAction | None:
    """Plan for a wanted version without an application."""
    is_called = row.demanded_at is not None and (changed or now - row.demanded_at < _SCALE_UP_LASTS)
    if row.config.min_replicas > 0 or is_called:
        return Deploy(row, load_check=True)
    if row.ready_at is not None:
        return _observe(row, DeploymentStatus.SCALED_TO_ZERO, 0, None)
    return LoadCheck(row) if warm and row.fits_warm_process and not row.environment_lock else Deploy(row, load_check=True)


def _scale_to_zero(row: Deployment) -> Delete | None:
    """Delete the application, once the row says so: requests go to the gateway then, which holds or answers them."""
    return None if row.config.min_replicas > 0 else Delete((row.model_name, row.version))


def _observe(row: Deployment, status: DeploymentStatus, replicas: int, message: str | None) -> Observe | None:
    """Return None where the row has these values already."""
    if (row.status, row.replicas, row.message) == (status, replicas, message):
        return None
    return Observe(row, status, replicas, message)
