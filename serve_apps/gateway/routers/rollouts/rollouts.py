"""``/mlops/rollouts``: requests for a model go to a candidate version step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.rollouts.rollouts import RolloutDecision, RolloutPageView, RolloutRequest, RolloutView
from raylift.domain.rollouts.rollout import Rollout
from raylift.services.container import Services
from raylift.services.jobs.training import MAX_PAGE
from serve_apps.gateway.access.permissions import Action, Kind, needs, require_model
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of
from serve_apps.gateway.views.rollouts import plan_of, rollout_view

_MAX_BODY_BYTES: Final = 64 * 1024
_OWNER: Final = header(OWNER_HEADER, 'Author of the change, for the history; "local" if absent.')
_REASON: Final = {"requestBody": json_body(RolloutDecision) | {"required": False}, "parameters": [_OWNER]}
_PLAIN: Final = {"parameters": [_OWNER]}


def rollouts_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.ROLLOUTS, tags=["rollouts"])
    rollouts = services.rollouts

    @router.get(
        "",
        responses={200: {"model": RolloutPageView}, **problems(422, 503)},
        dependencies=[needs(services, Action.READ)],
    )
    def list_rollouts(
        request: Request,
        model_name: Annotated[str | None, Query(description="Only this model's.")] = None,
        active: Annotated[bool | None, Query(description="true: only those that have not ended; false: the others.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List rollouts, newest first. Admins see those of all workspaces."""
        workspace = principal_of(request).visible_workspace
        page = rollouts.list(workspace, model_name=model_name, active=active, limit=limit, cursor=cursor or None)
        return json_response(RolloutPageView(rollouts=list(map(rollout_view, page.rollouts)), next_cursor=page.next_cursor))

    @router.post(
        "",
        status_code=201,
        responses={201: {"model": RolloutView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(RolloutRequest), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.DEPLOY, "rollout.start")],
    )
    async def start(request: Request) -> Response:
        """Start a rollout from the version that answers for the model now. Its first step begins within a second."""
        asked = await read_model(request, RolloutRequest, max_bytes=_MAX_BODY_BYTES)
        await require_model(services, request, asked.model_name)
        plan, who = plan_of(asked, asked.alias), owner_of(request)
        made = await run_in_threadpool(rollouts.start, asked.model_name, str(asked.version), plan, who=who)
        return json_response(rollout_view(made), 201, {"Location": paths.rollout(made.rollout_id)})

    @router.get(
        "/{rollout_id}",
        responses={200: {"model": RolloutView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.ROLLOUT)],
    )
    def rollout(request: Request, rollout_id: str) -> Response:
        """Show a rollout by its id, or a model's active or else last one by the model's name."""
        return json_response(rollout_view(_found(services, request, rollout_id)))

    @_action(router, services, "approve", _PLAIN)
    async def approve(request: Request, rollout_id: str) -> Response:
        """Let a rollout go on that waits for approval."""
        return await _changed(services, request, rollout_id, rollouts.approve)

    @_action(router, services, "reject", _REASON)
    async def reject(request: Request, rollout_id: str) -> Response:
        """Roll back a rollout that waits for approval."""
        return await _changed(services, request, rollout_id, rollouts.reject, await _reason(request))

    @_action(router, services, "pause", _PLAIN)
    async def pause(request: Request, rollout_id: str) -> Response:
        """Hold a rollout at its step. Its guards go on."""
        return await _changed(services, request, rollout_id, rollouts.pause)

    @_action(router, services, "resume", _PLAIN)
    async def resume(request: Request, rollout_id: str) -> Response:
        """Let a paused rollout go on. The pause does not count for the step."""
        return await _changed(services, request, rollout_id, rollouts.resume)

    @_action(router, services, "abort", _REASON)
    async def abort(request: Request, rollout_id: str) -> Response:
        """End a rollout with the traffic that there was before."""
        return await _changed(services, request, rollout_id, rollouts.abort, await _reason(request))

    @_action(router, services, "promote", _PLAIN)
    async def promote(request: Request, rollout_id: str) -> Response:
        """Skip the steps that are left: the candidate answers every request now, and the alias moves."""
        return await _changed(services, request, rollout_id, rollouts.promote)

    return router


def _action(router: APIRouter, services: Services, name: str, extra: dict[str, Any]) -> Any:
    return router.post(
        "/{rollout_id}/" + name,
        responses={200: {"model": RolloutView}, **problems(400, 404, 409, 412, 413, 415, 422, 503)},
        openapi_extra=extra,
        dependencies=[needs(services, Action.DEPLOY, f"rollout.{name}", of=Kind.ROLLOUT)],
    )


async def _reason(request: Request) -> str | None:
    return (await read_model(request, RolloutDecision, max_bytes=_MAX_BODY_BYTES, optional=True)).reason


async def _changed(
    services: Services, request: Request, rollout_id: str, change: Callable[..., Rollout], *args: str | None
) -> Response:
    def work() -> Rollout:
        return change(_found(services, request, rollout_id), *args, who=owner_of(request))

    changed = await run_in_threadpool(work)
    services.routing.forget(changed.model_name)
    return json_response(rollout_view(changed))


def _found(services: Services, request: Request, rollout_id: str) -> Rollout:
    return services.rollouts.find(rollout_id, visible_workspace=principal_of(request).visible_workspace)
