"""What to do about the deployments: a pure function of (the rows, what Ray Serve shows)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylift.domain.deployment import ANSWERING, ApplicationSeen, ApplicationState, Deployment, DeploymentStatus

Key = tuple[str, str]
"""(model name, version)"""


@dataclass(frozen=True, slots=True)
class Deploy:
    """Hand it to Ray Serve, or change it in place."""

    deployment: Deployment
    prove: bool
    """Start one replica, so that a model that does not load is found out now."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Take an application down."""

    key: Key


@dataclass(frozen=True, slots=True)
class Observe:
    """Write down what is seen."""

    deployment: Deployment
    status: DeploymentStatus
    replicas: int
    message: str | None


DeploymentAction = Deploy | Delete | Observe


def plan_deployments(
    rows: Sequence[Deployment], seen: Mapping[Key, ApplicationSeen], *, max_starting: int
) -> list[DeploymentAction]:
    """Actions that bring Ray Serve and the rows together; at most ``max_starting`` versions prove themselves at a time."""
    actions: list[DeploymentAction] = []
    # Only those that Ray Serve has: after a restart the rows still say so of applications that are gone.
    starting = sum(1 for row in rows if row.status is DeploymentStatus.STARTING and (row.model_name, row.version) in seen)
    known: set[Key] = set()
    for row in rows:
        key = (row.model_name, row.version)
        known.add(key)
        action = _plan_one(row, seen.get(key))
        if isinstance(action, Deploy) and action.prove:
            if starting >= max_starting:
                continue
            starting += 1
        if action is not None:
            actions.append(action)
    actions += [Delete(key) for key, app in seen.items() if key not in known and app.state is not ApplicationState.DELETING]
    return actions


def _plan_one(row: Deployment, app: ApplicationSeen | None) -> DeploymentAction | None:
    if app is not None and app.state is ApplicationState.DELETING:
        return None
    if not row.wanted:
        return Delete((row.model_name, row.version)) if app is not None else _observe(row, DeploymentStatus.STOPPED, 0, None)
    changed = row.applied_generation != row.generation
    if row.status is DeploymentStatus.UNHEALTHY and not changed:
        # It was taken down on purpose: trying again without a change would be a crash loop.
        return Delete((row.model_name, row.version)) if app is not None else None
    if changed or app is None:
        return Deploy(row, prove=row.ready_at is None or row.config.min_replicas > 0)
    match app.state:
        case ApplicationState.FAILED:
            return _observe(row, DeploymentStatus.UNHEALTHY, 0, app.message)
        case ApplicationState.RUNNING if app.replicas > 0:
            return _observe(row, DeploymentStatus.READY, app.replicas, None)
        case ApplicationState.RUNNING:
            return _observe(row, DeploymentStatus.SCALED_TO_ZERO, 0, None)
        case ApplicationState.STARTING if row.status not in ANSWERING:
            return _observe(row, DeploymentStatus.STARTING, app.replicas, app.message)
        case ApplicationState.STARTING | ApplicationState.DELETING:
            return None


def _observe(row: Deployment, status: DeploymentStatus, replicas: int, message: str | None) -> Observe | None:
    """None when the row says so already."""
    if (row.status, row.replicas, row.message) == (status, replicas, message):
        return None
    return Observe(row, status, replicas, message)
