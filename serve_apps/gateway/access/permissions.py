"""Permissions of routes: each route says its action, and the one decision is here.

A route's dependencies contain ``needs(…)``. tests/unit/gateway/test_permissions.py fails for a route without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from raylift.domain.access import Action, Principal, least_role, may, sees
from raylift.domain.errors import Forbidden, JobNotFound, ModelNotFound, PlatformError, SweepNotFound, Unauthenticated
from raylift.services.container import Services
from raylift.store import Act, declare
from serve_apps.gateway.http.visit import Visit, owner_of, visit_of


class Kind(Enum):
    """Kind of the thing that a path names. The values are path parameters."""

    JOB = ("job_id", "other_id")
    BATCH = ("batch_id",)
    RAY_JOB = ("job_or_submission_id",)
    SWEEP = ("sweep_id",)
    MODEL = ("name", "model")
    KEY = ("key_id",)
    ENVIRONMENT = ("name",)
    PACKAGE = ("package_name",)
    SECRET = ("secret_name",)
    SCHEDULE = ("schedule_name",)
    WEBHOOK = ("webhook_name",)
    DATASET = ("dataset_name",)
    ROLLOUT = ("rollout_id",)
    NODE = ("node",)


@dataclass(frozen=True, slots=True, eq=False)
class Permission:
    """The permission of a route. A FastAPI dependency."""

    services: Services
    action: Action
    of: Kind | None
    verb: str | None
    """Action of the audit entry, such as ``job.cancel``; None: the route changes nothing."""

    async def __call__(self, connection: HTTPConnection) -> None:
        await self.decide(connection, connection.path_params)

    async def decide(self, connection: HTTPConnection, named: Mapping[str, Any]) -> None:
        """Let the request pass, or raise.

        Raises:
            Unauthenticated: it has no valid key.
            Forbidden: the caller's role or key does not allow the action.
            NotFound: the thing belongs to another workspace.
        """
        visit = visit_of(connection.scope)
        names = [str(named[parameter]) for parameter in (self.of.value if self.of else ()) if parameter in named]
        if self.verb is not None:
            _declare(connection, visit, self.verb, _target(names, named))
        if self.action is Action.PUBLIC or (visit.is_checked and self.action is Action.PREDICT):
            return
        caller = visit.caller
        if isinstance(caller, PlatformError):
            raise caller
        if not may(caller, self.action):
            raise _forbidden(caller, self.action)
        if self.of in _LOOK_UP:
            for name in names:
                await _LOOK_UP[self.of](self.services, caller, name)


def needs(services: Services, action: Action, verb: str | None = None, *, of: Kind | None = None) -> Any:
    """Return the dependency of a route that needs ``action``, on the thing ``of`` this kind in its path."""
    return Depends(Permission(services, action, of, verb))


async def require_model(services: Services, request: HTTPConnection, model_name: str) -> None:
    """Raise ModelNotFound where the model, which the body names, belongs to another workspace."""
    visit = visit_of(request.scope)
    if not visit.is_checked and isinstance(visit.caller, Principal):
        await _model(services, visit.caller, model_name)


def permission_of(route: BaseRoute) -> Permission | None:
    """Return the permission of a route; None where it says none."""
    if not isinstance(route, APIRoute | APIWebSocketRoute):
        return None
    found = (dependency.call for dependency in route.dependant.dependencies)
    return next((call for call in found if isinstance(call, Permission)), None)


def require_permissions(routers: Iterable[APIRouter]) -> None:
    """Raise ValueError for a route that says no permission: it would be open to everybody."""
    for router in routers:
        for route in router.routes:
            if permission_of(route) is None:
                raise ValueError(f"{getattr(route, 'path', route)} says no permission")


def _target(names: Sequence[str], named: Mapping[str, Any]) -> str | None:
    """Return the thing that a request changes: its id or name, and a model's version or alias after a slash."""
    part = named.get("version", named.get("alias"))
    return None if not names else names[0] if part is None else f"{names[0]}/{part}"


def _declare(connection: HTTPConnection, visit: Visit, verb: str, target: str | None) -> None:
    caller = visit.caller
    who, key_id, workspace = "", None, None
    if isinstance(caller, Principal):
        who, key_id, workspace = caller.name, caller.key_id, caller.workspace
        if visit.is_local:
            try:
                who = owner_of(connection)
            except PlatformError:
                who = caller.name  # The route refuses the name.
    request_id = connection.scope.get("raylift.request_id")
    visit.act = Act(who, verb, target, key_id, workspace, visit.address, request_id)
    declare(visit.act)


def _forbidden(caller: Principal, action: Action) -> PlatformError:
    if caller.models is not None:
        detail = f"The key {caller.key_id} may only predict with {', '.join(sorted(caller.models))}."
        return Forbidden(detail, action=action)
    role = least_role(action)
    return Forbidden(f"This needs the role {role}; {caller.name!r} has {caller.role}.", action=action, role=role)


async def _job(services: Services, caller: Principal, job_id: str) -> None:
    if caller.visible_workspace is not None:
        workspace = await run_in_threadpool(services.workspaces.of_job, job_id)
        if workspace is not None and not sees(caller, workspace):
            raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)


async def _ray_job(services: Services, caller: Principal, job_or_submission_id: str) -> None:
    if caller.visible_workspace is not None:
        job = await run_in_threadpool(services.ray_jobs.find, job_or_submission_id)
        if not sees(caller, job.spec.workspace):
            raise JobNotFound(f"Job {job_or_submission_id} does not exist", job_id=job_or_submission_id)


async def _sweep(services: Services, caller: Principal, sweep_id: str) -> None:
    if caller.visible_workspace is not None:
        workspace = await run_in_threadpool(services.workspaces.of_sweep, sweep_id)
        if workspace is not None and not sees(caller, workspace):
            raise SweepNotFound(f"There is no sweep {sweep_id}.", sweep_id=sweep_id)


async def _model(services: Services, caller: Principal, model_name: str) -> None:
    if not await services.model_workspaces.shows(caller, model_name):
        raise ModelNotFound(f"No model is registered as {model_name!r}.", model_name=model_name)


async def _environment(services: Services, caller: Principal, name: str) -> None:
    if name.startswith("job_"):
        await _job(services, caller, name)
    elif caller.visible_workspace is not None:
        await run_in_threadpool(services.environments.require, name, caller.visible_workspace)


_LookUp = Callable[[Services, Principal, str], Awaitable[None]]
_LOOK_UP: Final[Mapping[Kind | None, _LookUp]] = {
    Kind.JOB: _job,
    Kind.BATCH: _job,
    Kind.RAY_JOB: _ray_job,
    Kind.SWEEP: _sweep,
    Kind.MODEL: _model,
    Kind.ENVIRONMENT: _environment,
}

__all__ = ["Action", "Kind", "Permission", "Unauthenticated", "needs", "permission_of", "require_model", "require_permissions"]
