"""What to do about the deployments: a pure function of (the rows, what Ray Serve shows, the time).

The resting state of a version that nobody calls is *parked*: Ray Serve has no application of it, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.deployment import ANSWERING, ApplicationSeen, ApplicationState, Deployment, DeploymentStatus

Key = tuple[str, str]
"""(model name, version)"""

_DEMAND_LASTS: Final = timedelta(seconds=60)
"""How long a call for processes counts: whoever goes on asking calls again, and nobody waits for an hour-old call."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """Hand it to Ray Serve, or change it in place."""

    deployment: Deployment
    load_check: bool
    """Start one replica, so that a model that does not load is found out now."""
    leave_environment_to_ray: bool = False
    """Because a node does not have the plugin that starts it in its overlay."""


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """Find out whether it loads, without an application: in a warm process."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Delete:
    """Take an application down: nobody wants the version, or it is parked."""

    key: Key


@dataclass(frozen=True, slots=True)
class Observe:
    """Write down what is seen."""

    deployment: Deployment
    status: DeploymentStatus
    replicas: int
    message: str | None


DeploymentAction = Deploy | LoadCheck | Delete | Observe


def plan_deployments(
    rows: Sequence[Deployment], seen: Mapping[Key, ApplicationSeen], now: datetime, *, max_starting: int, warm: bool
) -> list[DeploymentAction]:
    """Actions that bring Ray Serve and the rows together.

    Args:
        rows: what is wanted.
        seen: what Ray Serve has.
        now: the time.
        max_starting: how many versions may start their first process at a time.
        warm: whether there are warm processes, which can prove versions of the base environment.
    """
    actions: list[DeploymentAction] = []
    # Only those that Ray Serve has: after a restart the rows still say so of applications that are gone.
    starting = sum(1 for row in rows if row.status is DeploymentStatus.STARTING and (row.model_name, row.version) in seen)
    known: set[Key] = set()
    for row in rows:
        key = (row.model_name, row.version)
        known.add(key)
        action = _plan_one(row, seen.get(key), now, warm=warm)
        # One that starts over in another environment is among those that start.
        if isinstance(action, LoadCheck) or (
            isinstance(action, Deploy) and action.load_check and not action.leave_environment_to_ray
        ):
            if starting >= max_starting:
                continue
            starting += 1
        if action is not None:
            actions.append(action)
    actions += [Delete(key) for key, app in seen.items() if key not in known and app.state is not ApplicationState.DELETING]
    return actions


def _plan_one(row: Deployment, app: ApplicationSeen | None, now: datetime, *, warm: bool) -> DeploymentAction | None:
    if app is not None and app.state is ApplicationState.DELETING:
        return None
    changed = row.applied_generation != row.generation
    # An unhealthy one was given up on purpose: trying it again without a change would be a crash loop.
    given_up = row.status is DeploymentStatus.UNHEALTHY and not changed
    if not row.wanted or given_up:
        if app is not None:
            return Delete((row.model_name, row.version))
        return None if row.wanted else _observe(row, DeploymentStatus.STOPPED, 0, None)
    if app is None:
        return _plan_scaled_to_zero(row, now, changed=changed, warm=warm)
    if changed:
        return Deploy(row, load_check=row.ready_at is None or row.config.min_replicas > 0)
    return _plan_running(row, app)


def _plan_running(row: Deployment, app: ApplicationSeen) -> DeploymentAction | None:
    """Of a wanted version whose application is as it was asked for."""
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
    """Of a wanted version without an application."""
    demanded = row.demanded_at is not None and (changed or now - row.demanded_at < _DEMAND_LASTS)
    if row.config.min_replicas > 0 or demanded:
        return Deploy(row, load_check=True)
    if row.ready_at is not None:
        return _observe(row, DeploymentStatus.SCALED_TO_ZERO, 0, None)
    return LoadCheck(row) if warm and row.fits_warm_process and not row.environment_lock else Deploy(row, load_check=True)


def _scale_to_zero(row: Deployment) -> Delete | None:
    """Only after the row says so: by then requests go to the gateway, which holds them or has them answered elsewhere."""
    return None if row.config.min_replicas > 0 else Delete((row.model_name, row.version))


def _observe(row: Deployment, status: DeploymentStatus, replicas: int, message: str | None) -> Observe | None:
    """None when the row says so already."""
    if (row.status, row.replicas, row.message) == (status, replicas, message):
        return None
    return Observe(row, status, replicas, message)
