"""``/mlops/environments``: environments of jobs and replicas on the gateway's machine."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.environments import EnvironmentList, EnvironmentRequest, EnvironmentView
from raylift.api.paths import ENVIRONMENTS, MLOPS
from raylift.engines.environments.inventory import Overlay, disk_bytes
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.views.jobs import download_progress

_MAX_BODY_BYTES = 1024 * 1024


def environments_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["environments"])

    @router.get("/environments", responses={200: {"model": EnvironmentList}}, dependencies=[needs(services, Action.READ)])
    def environments(request: Request) -> Response:
        """List the workspace's environments on the gateway's machine, and their use. Admins see all."""
        shown = services.environments.list(principal_of(request).visible_workspace)
        return json_response(_list(shown, services.environments.max_bytes))

    @router.post(
        "/environments",
        responses={
            200: {"model": EnvironmentView, "description": "It is built, or only the base environment is needed."},
            202: {"model": EnvironmentView, "description": "It is being built; `Location` says where to look."},
            **problems(400, 409, 413, 415, 422),
        },
        openapi_extra={"requestBody": json_body(EnvironmentRequest)},
        dependencies=[needs(services, Action.SUBMIT, "environment.build")],
    )
    async def prewarm(request: Request) -> Response:
        """Resolve requirements and build their environment now, so that no job has to wait for it."""
        wanted = await read_model(request, EnvironmentRequest, max_bytes=_MAX_BODY_BYTES)
        workspace = principal_of(request).workspace
        prewarmed = await run_in_threadpool(
            services.environments.prewarm, wanted.requirements, wanted.torch_backend, workspace=workspace
        )
        view = _view(prewarmed.overlay)
        return (
            json_response(view, 202, {"Location": f"{ENVIRONMENTS}/{view.hash}"}) if prewarmed.building else json_response(view)
        )

    @router.get(
        "/environments/{name}",
        responses={200: {"model": EnvironmentView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.ENVIRONMENT)],
    )
    def environment(request: Request, name: str) -> Response:
        """Show one environment, by its hash or by the id of a job that needs it."""
        overlay = services.environments.get(name)
        users = [] if overlay is None else services.environments.users(overlay.hash, principal_of(request).visible_workspace)
        return json_response(_view(overlay).model_copy(update={"used_by": users}))

    @router.delete(
        "/environments/{name}",
        status_code=204,
        response_class=Response,
        responses=problems(404, 409),
        dependencies=[needs(services, Action.DEPLOY, "environment.remove", of=Kind.ENVIRONMENT)],
    )
    def remove(request: Request, name: str) -> Response:
        """Remove an environment that is not in use. The next job that needs it builds it again."""
        services.environments.remove(name, principal_of(request).visible_workspace)
        return Response(status_code=204)

    return router


def _list(overlays: Sequence[Overlay], max_bytes: int) -> EnvironmentList:
    views = [_view(overlay) for overlay in overlays]
    return EnvironmentList(environments=views, size=disk_bytes(overlays), max_size=max_bytes)


def _view(overlay: Overlay | None) -> EnvironmentView:
    if overlay is None:
        return EnvironmentView(
            hash=None, lock=[], built=True, in_use=True, size=0, created_at=None, last_used_at=None, message=None
        )
    return EnvironmentView(
        hash=overlay.hash,
        lock=list(overlay.lock),
        built=overlay.built,
        in_use=overlay.in_use,
        size=overlay.size_bytes,
        own_size=None if overlay.size_bytes is None else overlay.size_bytes - overlay.shared_bytes,
        shared_size=None if overlay.size_bytes is None else overlay.shared_bytes,
        created_at=overlay.created_at if overlay.built else None,
        last_used_at=overlay.last_used_at,
        message=overlay.message,
        progress=download_progress(overlay.downloads),
        note=overlay.note,
    )
